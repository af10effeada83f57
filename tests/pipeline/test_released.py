"""What an analysis has read is released: its result holds the table of kernels at most."""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.records import trace as records
from traceanalyzer.trace import load

TYPES = {each for each in vars(records).values() if isinstance(each, type)}
CLASSES = {each for each in TYPES if issubclass(each, msgspec.Struct)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three operators, one after another, and what the first allocates and the second reads."""
    t = Kineto()
    for place, name in enumerate(("aten::exp", "aten::log", "aten::neg")):
        t.run(name, 10 + 20 * place, "kernel", 200 + 100 * place, 100, ([4096, 4096], "float"))
    for ts, size in ((12, 4 * 4096**2), (36, -4 * 4096**2)):
        t.events.append(
            {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 10, "tid": 1,
             "ts": ts, "args": {"Bytes": size, "Addr": 4096, "Device Type": 1, "Device Id": 0}}
        )  # fmt: skip
    return t.write(tmp_path / "trace.json")


def held() -> dict[int, object]:
    """Records of traces that something holds, by their identity."""
    gc.collect()
    return {id(each): each for each in gc.get_objects() if type(each) in CLASSES}


@pytest.mark.parametrize("kernels", [True, False])
def test_nothing_of_a_trace_outlives_its_analysis(path: Path, kernels: bool) -> None:
    before = held()  # by other tests
    job = traceanalyzer.analyze(path, options=traceanalyzer.AnalyzeOptions(kernels=kernels))
    assert job.time.busy_ns == 300_000
    assert not held().keys() - before.keys()


def test_records_of_a_trace_are_seen(path: Path) -> None:
    before = held()
    trace = load(str(path))
    assert {type(each).__name__ for key, each in held().items() if key not in before} >= {"Trace"}
    assert trace.memory is not None
