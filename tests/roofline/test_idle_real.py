"""Idle time of real traces: what must hold of every stretch, and instants beside a twin."""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import traceanalyzer
from tests.files import loaded
from tests.roofline.instants import Instants
from tests.roofline.test_idle import stretches
from traceanalyzer.records.trace import Trace
from traceanalyzer.roofline import host_names, host_work, idle, launching
from traceanalyzer.trace import devices_with_work, of_device, select_window

pytestmark = pytest.mark.slow
FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")
TRACES = [
    "decode_sglang_qwen3_mi300x", "infer_bert_small_h100", "infer_ep_moe_b200_rank0of2", "infer_owlv2_h100",
    "infer_qwen_h100", "infer_sam_a100_large", "multi_stream_a100", "train_gpt_compiled_h100_rank0of8",
    "train_recsys_a100_rank3of8", "train_recsys_v100_rank1of2", "train_resnet50_v100_torch19",
    "train_v100_float_epoch", "infer_sd35_compiled_mi300x", "norm_layers_mi300x",
]  # fmt: skip
NAMED = ("profiler", "compilation", "data_loading", "memory_allocation", "first_use", "host_to_device_copy",
         "synchronisation", "host_work")  # fmt: skip
MS = 1_000_000
OpenTimes = dict[str, list[tuple[int, int]]]


def of_device_shown(path: Path) -> tuple[Trace, tuple[int, int]]:
    whole = loaded(str(path))
    index = traceanalyzer.analyze(path).source.files[0].device_index or 0
    assert index in devices_with_work(whole)
    trace = of_device(whole, index)
    window = select_window(trace, index)
    return trace, (window.start_ns, window.end_ns)


def by_name(trace: Trace) -> OpenTimes:
    """When each name was open, on any thread, as sorted disjoint intervals."""
    spans: OpenTimes = defaultdict(list)
    for table in (trace.ops, trace.launches, trace.spans):
        columns = (table.name, table.start_ns, table.end_ns)
        for name, start, end in zip(*(column.tolist() for column in columns), strict=True):
            spans[trace.names[name]].append((start, end))
    joined: OpenTimes = {}
    for name, rows in spans.items():
        joined[name] = mine = []
        for start, end in sorted(rows):
            if mine and start <= mine[-1][1]:
                mine[-1] = (mine[-1][0], max(end, mine[-1][1]))
            else:
                mine.append((start, end))
    return joined


def open_ns(rows: list[tuple[int, int]], start: int, end: int) -> int:
    """How much of [start, end) the name was open."""
    first = max(0, bisect_right(rows, (start, 0)) - 1)
    last = bisect_left(rows, (end, 0))
    return sum(max(0, min(b, end) - max(a, start)) for a, b in rows[first:last])


@pytest.mark.parametrize("name", TRACES)
def test_every_stretch_is_what_the_rows_of_the_trace_show(name: str, real_traces: Path) -> None:
    trace, window = of_device_shown(real_traces / f"{name}.json.gz")
    spans = by_name(trace)
    calls = trace.launches
    launching = np.unique(trace.kernels.launch[trace.kernels.launch >= 0])
    begun = np.sort(calls.start_ns[launching])
    returned = np.sort(calls.end_ns[launching])
    for start, end, cause, what in stretches(trace, window):
        launched = int(np.searchsorted(begun, end) - np.searchsorted(begun, start))
        if cause in NAMED:
            assert what, cause
        if cause in NAMED and cause != "host_work":
            assert open_ns(spans[what], start, end) == end - start, (what, start, end)
        if cause == "host_work":
            assert launched == 0, "it launched nothing"
            assert open_ns(spans[what], start, end) > 0 or end - start < MS, (what, start, end)
        if cause == "launch_gap":
            inside = int(np.searchsorted(begun, start, side="right")) > int(np.searchsorted(returned, start))
            assert launched or inside or end - start < MS, "without a launch it is short"


@pytest.mark.parametrize("name", TRACES)
def test_causes_add_up_to_the_idle_time_of_the_trace_and_of_each_step(name: str, real_traces: Path) -> None:
    job = traceanalyzer.analyze(real_traces / f"{name}.json.gz")
    assert sum(part.time_ns for part in job.time.idle_by_cause) == job.time.idle_ns
    for part in job.time.idle_by_cause:
        assert sum(each.time_ns for each in part.names) <= part.time_ns


SAMPLES = 400
Stretch = tuple[int, int, str, str]


def drawn(parts: list[Stretch]) -> list[tuple[int, str]]:
    """Instants with the cause that each was given: evenly from idle time, and one each of some stretches."""
    numbers = np.random.default_rng(0)
    ends = np.cumsum([end - start for start, end, _, _ in parts])
    evenly = numbers.integers(0, ends[-1], SAMPLES)
    rows = np.searchsorted(ends, evenly, side="right")
    instants = [
        (parts[row][1] - int(ends[row] - place), parts[row][2])
        for row, place in zip(rows.tolist(), evenly.tolist(), strict=True)
    ]
    for row in numbers.integers(0, len(parts), SAMPLES).tolist():
        start, end, cause, _ = parts[row]
        instants.append((int(numbers.integers(start, end)), cause))
    return instants


@pytest.mark.parametrize("name", TRACES)
def test_instants_have_the_cause_that_their_rows_show(name: str, real_traces: Path) -> None:
    trace, window = of_device_shown(real_traces / f"{name}.json.gz")
    twin = Instants(trace, window)
    for t, cause in drawn(stretches(trace, window)):
        assert cause == twin.cause(t), t


OF_HOST = (launching, host_work, host_names)
MISTAKES = {
    "kernels arrive at once": [(host_work, "LATENCY_NS", 2_000)],
    "usual is far": [(launching, "FAR_FROM_USUAL", 1.0), (launching, "DISPATCH_NS", 10_000)],
    "short is long": [(module, "LONGEST_NS", 400_000) for module in OF_HOST],
    "brief work has names": [(module, "DISPATCH_NS", 30_000) for module in (launching, host_names)],
    "a tenth is most": [(module, "COVERS_MOST_SHARE", 0.1) for module in (launching, host_names)],
    "nothing allocates": [(idle, "_ALLOCATION", re.compile("never"))],
    "nothing starts up": [(idle, "_slow_first_launches", lambda trace: np.zeros(len(trace.launches), bool))],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_twin_tells_a_mistake(mistake: str, real_traces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "train_gpt_compiled_h100_rank0of8",
        "norm_layers_mi300x",
        "multi_stream_a100",
        "train_recsys_a100_rank3of8",
    )
    for module, name, value in MISTAKES[mistake]:
        monkeypatch.setattr(module, name, value)
    for name in names:
        trace, window = of_device_shown(real_traces / f"{name}.json.gz")
        twin = Instants(trace, window)
        if any(cause != twin.cause(t) for t, cause in drawn(stretches(trace, window))):
            return
    pytest.fail("no instant differs")
