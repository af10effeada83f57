"""Idle time of real traces by cause against a sweep that counts what is open at each moment."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from itertools import groupby
from pathlib import Path

import pytest

import traceanalyzer
from tests.files import loaded
from traceanalyzer.records.trace import RecordKind, Trace, Window
from traceanalyzer.roofline import idle
from traceanalyzer.roofline.host_work import LATENCY_NS, LONGEST_NS
from traceanalyzer.trace import devices_with_work, of_device, select_window

pytestmark = pytest.mark.slow
FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")
TRACES = [
    "decode_sglang_qwen3_mi300x", "infer_bert_small_h100", "infer_ep_moe_b200_rank0of2", "infer_owlv2_h100",
    "infer_qwen_h100", "infer_sam_a100_large", "multi_stream_a100", "train_gpt_compiled_h100_rank0of8",
    "train_recsys_a100_rank3of8", "train_recsys_v100_rank1of2", "train_resnet50_v100_torch19",
    "train_v100_float_epoch",
]  # fmt: skip
SOURCES = ("profiler", "compilation", "data_loading", "memory_allocation", "first_use", "host_to_device_copy",
           "synchronisation")  # fmt: skip
Edges = list[tuple[int, int, str]]  # (moment, +1 or -1, what opens or closes)


def sources(trace: Trace) -> Edges:
    """What of the host holds the device up by itself, row by row."""
    edges: Edges = []
    calls, ops, kernels, names = trace.launches, trace.ops, trace.kernels, trace.names
    feeding = {int(calls.thread[call]) for call in kernels.launch.tolist() if call >= 0}
    feeding = feeding or {*ops.thread.tolist(), *calls.thread.tolist(), *trace.spans.thread.tolist()}

    def add(what: str, start: int, end: int) -> None:
        if end > start:
            edges.extend(((start, 1, what), (end, -1, what)))

    staged, first_seen, slow = set(), set(), set()
    columns = (kernels.launch, kernels.launch_ns, kernels.name, kernels.kind)
    rows = zip(*(column.tolist() for column in columns), range(len(kernels)), strict=True)
    launched = sorted((row for row in rows if row[0] >= 0), key=lambda row: (row[1], row[4]))
    for call, _, name, kind, _ in launched:
        if kind == RecordKind.MEMCPY and "HtoD" in names[name] and "Pinned" not in names[name]:
            staged.add(call)
        if kind == RecordKind.KERNEL and name not in first_seen:
            first_seen.add(name)
            if calls.end_ns[call] - calls.start_ns[call] > LONGEST_NS:
                slow.add(call)
    first = launched[0][1] if launched else 0
    for row, (name, start, end) in enumerate(
        zip(calls.name.tolist(), calls.start_ns.tolist(), calls.end_ns.tolist(), strict=True)
    ):
        if int(calls.thread[row]) not in feeding:
            continue
        text = names[name]
        allocates = bool(idle._ALLOCATION.match(text))
        if idle._FIRST_USE.match(text) or row in slow or (allocates and start < first):
            add("first_use", start, end)
        elif allocates:
            add("memory_allocation", start, end)
        if row in staged:
            add("host_to_device_copy", start, end)
        if "Synchronize" in text:
            add("synchronisation", start, end)
    columns = (ops.name, ops.start_ns, ops.end_ns, ops.thread)
    for name, start, end, thread in zip(*(column.tolist() for column in columns), strict=True):
        if thread not in feeding:
            continue
        if names[name].startswith("enumerate(DataLoader)"):
            add("data_loading", start, end)
        if idle._COMPILATION.match(names[name]):
            add("compilation", start, end)
    spans = trace.spans
    columns = (spans.name, spans.start_ns, spans.end_ns, spans.profiler, spans.thread)
    for name, start, end, own, thread in zip(*(column.tolist() for column in columns), strict=True):
        if own:
            add("first_use" if idle._FIRST_USE.match(names[name]) else "profiler", start, end)
        elif thread in feeding and idle._COMPILATION.match(names[name]):
            add("compilation", start, end)
    return edges


def launching(trace: Trace) -> Edges:
    calls, edges, reach = trace.launches, [], None
    first = {}
    for row, (call, op) in enumerate(
        zip(trace.kernels.launch.tolist(), trace.kernels.op.tolist(), strict=True)
    ):
        if call >= 0:
            first.setdefault(call, (row, op))
    for call in sorted(first, key=lambda call: (int(calls.start_ns[call]), call)):
        start, end = int(calls.start_ns[call]), int(calls.end_ns[call])
        op = first[call][1]
        begin = start
        if reach is not None and 0 <= start - reach < LONGEST_NS:
            begin = reach
        elif op >= 0 and reach is not None and 0 <= start - int(trace.ops.start_ns[op]) < LONGEST_NS:
            begin = int(trace.ops.start_ns[op])
        edges += [(begin, 1, "launching"), (end, -1, "launching")]
        reach = end if reach is None else max(reach, end)
    return edges


def sweep(trace: Trace, window: Window) -> Counter[str]:
    """Idle ns by cause; host work and what nothing is known of together, for names are another matter."""
    kernels = trace.kernels
    edges = sources(trace) + launching(trace)
    spans = sorted(
        zip(kernels.start_ns.tolist(), kernels.end_ns.tolist(), kernels.launch.tolist(), strict=True),
        key=lambda k: k[0],
    )
    gaps, reach = [], window.start_ns
    for start, end, _ in spans:
        if start > reach and reach < window.end_ns:
            gaps.append((reach, min(start, window.end_ns)))
        reach = max(reach, end)
    if reach < window.end_ns:
        gaps.append((reach, window.end_ns))
    following = iter([k for k in spans if k[1] > k[0]])
    upcoming = next(following, None)
    held, ended = {}, {}
    for gap in gaps:
        while upcoming is not None and upcoming[0] < gap[1]:
            upcoming = next(following, None)
        call = upcoming[2] if upcoming else -1
        ended[gap] = upcoming is not None
        if upcoming is None:
            held[gap] = gap[1]
        elif call >= 0 and trace.launches.start_ns[call] >= gap[0]:
            held[gap] = min(gap[1], int(trace.launches.end_ns[call]) + LATENCY_NS)
            edges += [(int(trace.launches.start_ns[call]), 1, "launching"), (held[gap], -1, "launching")]
        else:
            held[gap] = gap[0]
        edges += [(gap[0], 0, "gap"), (gap[1], 0, "gap"), (held[gap], 0, "gap")]
    edges.sort()
    total: Counter[str] = Counter()
    pieces: dict[tuple[int, int], list[tuple[int, int, str, bool]]] = defaultdict(list)
    open_: Counter[str] = Counter()
    place, moment = 0, edges[0][0] if edges else 0
    for at, change, what in edges:
        if at > moment:
            while place < len(gaps) and gaps[place][1] <= moment:
                place += 1
            if place < len(gaps) and gaps[place][0] <= moment:
                cause = next((s for s in SOURCES if open_[s]), "")
                pieces[gaps[place]].append((moment, at, cause, open_["launching"] > 0))
            moment = at
        open_[what] += change
    for gap, parts in pieces.items():
        for (cause, mine), run in groupby(parts, key=lambda p: (p[2], p[0] < held[gap])):
            run = list(run)
            length = run[-1][1] - run[0][0]
            for start, end, _, calls in run:
                if cause:
                    total[cause] += end - start
                elif mine and (calls or (length < LONGEST_NS and ended[gap])):
                    total["launch_gap"] += end - start
                else:
                    total["host_work or unknown"] += end - start
    return total


@pytest.mark.parametrize("name", TRACES)
def test_causes_of_real_traces(name: str, real_traces: Path) -> None:
    job = traceanalyzer.analyze(real_traces / f"{name}.json.gz")
    whole = loaded(str(real_traces / f"{name}.json.gz"))
    index = job.source.files[0].device_index or 0
    assert index in devices_with_work(whole)
    trace = of_device(whole, index)
    found = Counter({part.cause: part.time_ns for part in job.time.idle_by_cause})
    found["host_work or unknown"] = found.pop("host_work") + found.pop("unknown")
    assert +found == sweep(trace, select_window(trace, index))
