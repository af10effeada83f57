"""Idle time of real traces: what must hold of every stretch, whatever its cause.

Looked up in the rows of the trace, one stretch after the other.
"""

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
from tests.roofline.test_idle import stretches
from traceanalyzer.records.trace import Launches, Ops, Spans, Trace
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


# What holds the device up by itself, first come first, as docs/time.md names it; written out here on purpose.
COMPILES = re.compile(
    r".*\(dynamo_timed\)|torch/_dynamo/convert_frame\.py.*|torch/_inductor/async_compile\.py.*"
    r"|triton/compiler/code_generator\.py.*"
)
ALLOCATES = re.compile(r"(?:cuda|hip)(?:Host)?(?:Malloc|Free|Alloc)|cuMem(?:Create|Map|Unmap|Release)")
SAMPLES = 400


def sampled(idle: list[tuple[int, int, str, str]]) -> list[tuple[int, str]]:
    """Instants drawn evenly from idle time, each with the cause that it was given."""
    ends = np.cumsum([end - start for start, end, _, _ in idle])
    drawn = np.random.default_rng(0).integers(0, ends[-1], SAMPLES)
    which = np.searchsorted(ends, drawn, side="right")
    return [
        (idle[row][1] - int(ends[row] - place), idle[row][2])
        for row, place in zip(which.tolist(), drawn.tolist(), strict=True)
    ]


def open_at(table: Ops | Launches | Spans, t: int, threads: set[int]) -> list[int]:
    """Rows of these threads in which `t` lies: every row is looked at."""
    rows = np.flatnonzero((table.start_ns <= t) & (t < table.end_ns))
    return [row for row in rows.tolist() if int(table.thread[row]) in threads]


def held_up_by(trace: Trace, t: int, threads: set[int], pageable: set[int], first: int) -> str:
    """The first of the causes that is open at `t`; empty where none is."""
    names = trace.names
    spans, ops = open_at(trace.spans, t, threads), open_at(trace.ops, t, threads)
    calls = open_at(trace.launches, t, threads)
    every = set(range(int(max(trace.spans.thread.max(initial=0), 0)) + 1))
    if any(trace.spans.profiler[row] for row in open_at(trace.spans, t, every)):
        return "profiler"
    if any(COMPILES.fullmatch(names[trace.ops.name[row]]) for row in ops) or any(
        COMPILES.fullmatch(names[trace.spans.name[row]]) for row in spans
    ):
        return "compilation"
    if any(names[trace.ops.name[row]].startswith("enumerate(DataLoader)") for row in ops):
        return "data_loading"
    if any(ALLOCATES.match(names[trace.launches.name[row]]) and trace.launches.start_ns[row] >= first
           for row in calls):  # fmt: skip
        return "memory_allocation"
    if any(row in pageable for row in calls):
        return "host_to_device_copy"
    return "synchronisation" if any("Synchronize" in names[trace.launches.name[row]] for row in calls) else ""


@pytest.mark.parametrize("name", TRACES)
def test_instants_have_the_cause_that_is_open_then(name: str, real_traces: Path) -> None:
    """Drawn from idle time, each held against all rows; where two threads are at work it could be either."""
    trace, window = of_device_shown(real_traces / f"{name}.json.gz")
    kernels, calls = trace.kernels, trace.launches
    linked = kernels.launch[kernels.launch >= 0]
    threads = set(calls.thread[linked].tolist()) or set(range(10_000))
    copies = [
        row for row in np.flatnonzero(kernels.launch >= 0).tolist()
        if "Pageable -> Device" in trace.names[kernels.name[row]]
    ]  # fmt: skip
    pageable = {int(kernels.launch[row]) for row in copies}
    first = int(calls.start_ns[linked].min()) if len(linked) else 0
    compared = 0
    for t, cause in sampled(stretches(trace, window)):
        near = linked[(calls.end_ns[linked] > t - MS) & (calls.start_ns[linked] < t + MS)]
        if cause == "first_use" or len(set(calls.thread[near].tolist())) > 1:
            continue
        held = held_up_by(trace, t, threads, pageable, first)
        assert (held or "host") == (cause if cause in NAMED and cause != "host_work" else "host"), (t, cause)
        compared += 1
    assert compared >= 100 or name.startswith("norm_layers"), "start-up is nearly all of that one"
