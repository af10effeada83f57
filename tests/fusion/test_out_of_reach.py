"""What is promised where large kernels stay at a few per cent of their roofs, and nobody knows why."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import traceanalyzer
from tests.project.tree import ROOT
from traceanalyzer.records import Analysis

SAMPLE = ROOT / "sample_traces" / "gpt_eager_cpu.json.gz"
OF_ROOFS = {"pointwise_chain", "cross_entropy", "fused_optimizer", "unfused_attention", "half_precision"}


def analyzed(folder: Path, times: float) -> Analysis:
    """The sample on a CPU whose roofs are so many times as high."""
    recorded = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    roofs = recorded["traceanalyze"]["cpu_roofs"]
    roofs["bandwidth_bytes_per_s"] *= times
    for peak in roofs["peaks"]:
        peak["flop_per_s"] *= times
    (file := folder / f"{times}.json").write_text(json.dumps(recorded))
    return traceanalyzer.analyze(file)


def proved(analysis: Analysis) -> set[str]:
    bands = {each.rule: each.saving_per_step_ns for each in analysis.suggestions or ()}
    return {rule for rule, band in bands.items() if band is not None and band.low > 0}


def test_nothing_is_proved_by_roofs_that_nothing_gets_near(tmp_path: Path) -> None:
    assert proved(analyzed(tmp_path, 1.0)) & OF_ROOFS, "the sample proves something"
    far = analyzed(tmp_path, 100.0)
    assert any(notice.code == "far_below_roofs" for notice in far.source.warnings)
    assert not proved(far) & OF_ROOFS
    still = [each for each in far.suggestions or () if each.rule in OF_ROOFS]
    assert still, "it may still save something"
    assert all(any("far_below_roofs" in caveat for caveat in each.caveats) for each in still)
