"""Work grows with the trace no faster than its text, and what is done once a call or a step not at all.

Counted are calls of this package's functions, which no other process disturbs, in a trace of 2 copies of a
sample and in one of 8.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import traceanalyzer
from benchmarks.tile import tile
from tests.project.tree import PACKAGE, ROOT
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.trace.reading.rows import Rows

SAMPLES = ("convnet_eager_cpu", "gpt_compiled_cpu")
COPIES = (2, 8)
ONCE = ("cost/formulas", "cost/registry.py", "cost/tensors.py", "fusion/regions.py", "fusion/step_graph.py")


def work(trace: Path) -> tuple[Counter[str], int]:
    """Calls of each part of the package, and how many decoded events were taken apart."""
    calls: Counter[str] = Counter()
    decoded = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal decoded
        path = Path(frame.f_code.co_filename)
        if event != "call" or not path.is_relative_to(PACKAGE):
            return
        calls["/".join(path.relative_to(PACKAGE).parts[:2])] += 1
        if frame.f_code is Rows.add.__code__:
            decoded += len(frame.f_locals["events"])

    sys.setprofile(count)
    try:
        traceanalyzer.analyze(trace, options=AnalyzeOptions(kernels=False))
    finally:
        sys.setprofile(None)
    return calls, decoded


@pytest.mark.parametrize("name", SAMPLES)
def test_work_grows_no_faster_than_the_trace(name: str, tmp_path: Path) -> None:
    source = ROOT / "sample_traces" / f"{name}.json.gz"
    size = len(gzip.decompress(source.read_bytes()))
    traces = [tmp_path / f"{copies}.json" for copies in COPIES]
    made = [
        tile(str(source), trace, copies * size * 0.95) for copies, trace in zip(COPIES, traces, strict=True)
    ]
    assert tuple(made) == COPIES
    traceanalyzer.analyze(traces[0])  # what is made once a process
    (few, few_decoded), (many, many_decoded) = map(work, traces)
    for decoded, trace in zip((few_decoded, many_decoded), traces, strict=True):
        assert decoded == len(json.loads(trace.read_text())["traceEvents"])
    assert all(many[part] == few[part] > 0 for part in ONCE), {part: (few[part], many[part]) for part in ONCE}
    growth = max(COPIES) / min(COPIES)
    assert {part: (few[part], many[part]) for part in many if many[part] > growth * few[part] + 50} == {}
    assert many.total() < growth / 2 * few.total()
