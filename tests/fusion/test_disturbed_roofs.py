"""What is promised where other processes ran while the CPU's roofs were measured."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import traceanalyzer
from tests.project.tree import ROOT
from traceanalyzer.records import Suggestion

SAMPLE = ROOT / "sample_traces" / "gpt_eager_cpu.json.gz"


def suggested(folder: Path, load: float | None) -> dict[str, Suggestion]:
    recorded = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    recorded["traceanalyze"]["cpu_roofs"]["load"] = load
    (file := folder / f"{load}.json").write_text(json.dumps(recorded))
    found = traceanalyzer.analyze(file).suggestions
    assert found
    return {each.rule: each for each in found if each.saving_per_step_ns is not None}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Suggestion], dict[str, Suggestion]]:
    folder = tmp_path_factory.mktemp("roofs")
    return suggested(folder, None), suggested(folder, 3.0)


def test_nothing_that_rests_on_disturbed_roofs_is_proved(
    both: tuple[dict[str, Suggestion], dict[str, Suggestion]],
) -> None:
    quiet, busy = both
    bands = {rule: (quiet[rule].saving_per_step_ns, busy[rule].saving_per_step_ns) for rule in quiet}
    proved = {rule for rule, (band, _) in bands.items() if band is not None and band.low > 0}
    assert proved, "the sample proves something"
    for rule in proved:
        before, after = bands[rule]
        assert before is not None and after is not None
        assert after.low == 0 and after.high >= before.high, rule
        assert any("kept the machine busy" in caveat for caveat in busy[rule].caveats)


def test_the_band_under_load_holds_the_one_without(
    both: tuple[dict[str, Suggestion], dict[str, Suggestion]],
) -> None:
    for rule, suggestion in both[0].items():
        before, after = suggestion.saving_per_step_ns, both[1][rule].saving_per_step_ns
        assert before is not None and after is not None
        assert after.low <= before.low <= before.mid <= before.high <= after.high
