"""A step that the profiler slowed is not passed off as the script's own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.project.tree import ROOT
from traceanalyzer import analyze
from traceanalyzer.report import render

SAMPLE = ROOT / "sample_traces" / "convnet_eager_cpu.json.gz"


@pytest.mark.parametrize(
    "profiled, unprofiled, told", [(200, 100, True), (120, 100, False), (200, None, False)]
)
def test_a_slowed_step_is_warned_of(
    profiled: int, unprofiled: int | None, told: bool, tmp_path: Path
) -> None:
    document = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    document["traceanalyze"] |= {"profiled_step_ns": profiled, "unprofiled_step_ns": unprofiled}
    (tmp_path / "t.json").write_text(json.dumps(document))
    codes = [warning.code for warning in analyze(tmp_path / "t.json").source.warnings]
    assert ("slowed_by_profiler" in codes) is told


@pytest.mark.parametrize(
    ("steps", "unprofiled", "told"),
    [
        ((270, 272, 280), 313, True),  # 13 % more without the profiler, and the steps differ by 3 %
        ((250, 272, 320), 313, False),  # the steps differ by more
        ((270, 272, 280), 283, False),  # next to nothing
        ((270, 272, 280), 240, False),
        ((270, 272, 280), None, False),
    ],
)
def test_a_step_that_the_profiler_makes_shorter_is_a_sign_of_load(
    steps: tuple[int, ...], unprofiled: int | None, told: bool, tmp_path: Path
) -> None:
    document = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    ms = 1_000_000
    document["traceanalyze"] |= {
        "profiled_step_ns": sorted(steps)[1] * ms, "unprofiled_step_ns": unprofiled and unprofiled * ms,
        "steps": [{"name": f"ProfilerStep#{number}", "profiled_ns": ns * ms,
                   "unprofiled_ns": unprofiled and unprofiled * ms} for number, ns in enumerate(steps)],
    }  # fmt: skip
    (tmp_path / "t.json").write_text(json.dumps(document))
    analysis = analyze(tmp_path / "t.json")
    said = [w.message for w in analysis.source.warnings if w.code == "shorter_under_profiler"]
    assert bool(said) is told
    assert all("uncertain by 13.1 %" in text for text in said)
    for name in ("txt", "html", "md"):
        assert ("other work on the machine" in render(analysis, name)) is told
