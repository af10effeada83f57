"""A step that the profiler slowed is not passed off as the script's own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.project.tree import ROOT
from traceanalyzer import analyze

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
