"""`activity_of`: what a judged trace tells the job of its ranks, its collectives above all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records import OpCall
from traceanalyzer.records.collectives import (
    NO_COLLECTIVES,
    CollectiveArgs,
    CollectiveForm,
    Collectives,
    Integers,
    collective_name,
)
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.rank_result import RankActivity
from traceanalyzer.records.trace import Ids, Ints, RecordKind, Trace
from traceanalyzer.records.units import ITEMSIZE, canonical_dtype
from traceanalyzer.roofline.invocations import COMMUNICATION
from traceanalyzer.roofline.judge import work_classes

_DTYPE = re.compile(r"_(bf16|f16|f32|f64|half|float|double|bfloat16|u?int\d+|[iu]\d+)(?:_|\b)", re.IGNORECASE)
_UNTYPED = ("send_recv", "send", "recv", "all_to_all")  # NCCL moves bytes there, whatever the kernel's name
_ANCESTORS = 4  # of a link op, among which the collective's operator is looked for


def activity_of(judged: Judged) -> RankActivity:
    """Of one judged device, when it took part in collectives; no columns of the trace are kept."""
    trace, window = judged.priced.trace, judged.window
    return RankActivity(
        rank=trace.rank, device_index=judged.device_index, path=trace.path, base_ns=trace.base_ns,
        window_start_ns=window.start_ns, window_end_ns=window.end_ns,
        world_size=trace.distributed.world_size, collectives=_collectives(trace),
    )  # fmt: skip


def _collectives(trace: Trace) -> Collectives:
    """What runs on the device as communication; a CPU's operators only start it."""
    kernels = trace.kernels
    if trace.on_cpu:
        return NO_COLLECTIVES
    rows = np.flatnonzero((work_classes(trace) == COMMUNICATION) & (kernels.kind == RecordKind.KERNEL))
    row_of: dict[CollectiveForm, int] = {}
    sequence, form = [], []
    described: dict[tuple[int, int, int], tuple[CollectiveForm, int | None]] = {}
    for row in rows.tolist():
        key = (int(kernels.collective[row]), int(kernels.op[row]), int(kernels.name[row]))
        if key not in described:
            described[key] = _described(trace, *key)
        what, number = described[key]
        sequence.append(-1 if number is None else number)
        form.append(row_of.setdefault(what, len(row_of)))
    start, end = kernels.start_ns[rows], kernels.end_ns[rows]
    return Collectives(
        _narrow(start), _narrow(end - start), _narrow(kernels.stream[rows]),
        _narrow(np.array(sequence, np.int64)), _narrow(_steps(trace, rows)),
        _narrow(np.array(form, np.int64)), tuple(row_of),
    )  # fmt: skip


def _narrow(column: Ints | Ids) -> Integers:
    """In as few bytes a value as all of them fit in, with their sign."""
    least, most = int(column.min(initial=0)), int(column.max(initial=0))
    return column.astype(np.min_scalar_type(min(least, -1 - most)))


def _steps(trace: Trace, rows: Ids | Ints) -> Ints:
    """The number of the step in which each was launched; -1 where none is known."""
    launched = trace.kernels.launch_ns[rows]
    if not trace.steps:
        return np.full(len(rows), -1, np.int64)
    start = np.array([step.start_ns for step in trace.steps])
    end = np.array([step.end_ns for step in trace.steps])
    number = np.array([step.number for step in trace.steps])
    last = np.searchsorted(start, launched, side="right") - 1
    inside = (last >= 0) & (launched <= end[last])
    return np.where(inside, number[last], -1).astype(np.int64)


def _described(trace: Trace, args_row: int, op: int, name: int) -> tuple[CollectiveForm, int | None]:
    """By the record's own arguments; where it has none, by its operator and the kernel's name."""
    kernel = trace.names[name]
    if args_row < 0:
        return _by_operator(trace, op, kernel), None
    args = trace.collectives[args_row]
    return _with_peer(_by_args(trace, args, kernel), trace, op), args.sequence


def _with_peer(form: CollectiveForm, trace: Trace, op: int) -> CollectiveForm:
    """Of a send or a receive, the other rank; older records have it as an argument of the operator alone."""
    if form.name not in ("send", "recv") or not form.ranks or (form.source, form.destination) != (None, None):
        return form
    for name, call in _operators(trace, op):
        at = _PEER.get(name)
        given = call.concrete[at] if at and call is not None and len(call.concrete) > at else ""
        if given.isdecimal() and int(given) < len(form.ranks):
            peer = form.ranks[int(given)]
            return replace(form, destination=peer) if form.name == "send" else replace(form, source=peer)
    return form


# Place of the peer's number in the group: torch/csrc/distributed/c10d/Ops.cpp, ParamCommsUtils.hpp.
_PEER = {"c10d::send": 2, "c10d::recv_": 2, "record_param_comms": 3}


def _by_args(trace: Trace, args: CollectiveArgs, kernel: str) -> CollectiveForm:
    width = ITEMSIZE.get(canonical_dtype(args.dtype) or canonical_dtype(args.dtype.removesuffix("_")) or "")
    width = _LONG_NAMES.get(args.dtype.lower(), width)
    sizes = [
        None if count is None or width is None else count * width
        for count in (args.in_elements, args.out_elements)
    ]
    ranks = args.ranks or trace.distributed.groups.get(args.group)
    return CollectiveForm(
        name=collective_name(args.name) or collective_name(kernel) or args.name, group=args.group,
        ranks=ranks, group_size=args.group_size or (len(ranks) if ranks else None),
        in_bytes=sizes[0], out_bytes=sizes[1], source=args.source, destination=args.destination,
    )  # fmt: skip


_LONG_NAMES = {"long": 8, "int": 4, "byte": 1, "char": 1, "short": 2, "bool": 1}  # of c10::toString


def _by_operator(trace: Trace, op: int, kernel: str) -> CollectiveForm:
    """Old traces: sizes from the operator's inputs, their type from the kernel's name."""
    name = next(filter(None, (collective_name(text) for text, _ in _operators(trace, op))), None)
    name = name or collective_name(kernel) or kernel.partition("(")[0].partition("<")[0]
    typed = _DTYPE.search(kernel) if name not in _UNTYPED else None
    width = ITEMSIZE.get(canonical_dtype(typed[1]) or "") if typed else None
    elements = next((n for _, call in _operators(trace, op) if (n := _elements(call)) is not None), None)
    size = None if width is None or elements is None else elements * width
    gathers = name in ("all_gather", "reduce_scatter")  # which of the two sizes it is, is not known
    return CollectiveForm(name, in_bytes=None if gathers else size, out_bytes=None if gathers else size,
                          group_size=_group_size(trace, op))  # fmt: skip


def _operators(trace: Trace, op: int) -> Iterator[tuple[str, OpCall | None]]:
    """(name, call) of an operator and of those round it."""
    for _ in range(_ANCESTORS):
        if op < 0:
            return
        yield trace.names[trace.ops.name[op]], _call_of(trace, op)
        op = int(trace.ops.parent[op])


def _call_of(trace: Trace, op: int) -> OpCall | None:
    call = int(trace.ops.call[op])
    return trace.calls[call] if call >= 0 else None


def _elements(call: OpCall | None) -> int | None:
    """Of the first input: a tensor, or a list of them."""
    first = call.dims(0) if call is not None else ()
    if not first:
        return None
    tensors = first if isinstance(first[0], list | tuple) else [first]
    return sum(math.prod(tensor) for tensor in tensors) or None


def _group_size(trace: Trace, op: int) -> int | None:
    """The last argument of `record_param_comms`, up to torch 2.2."""
    for name, call in _operators(trace, op):
        values = call.concrete if call is not None else ()
        if name == "record_param_comms" and len(values) == 8 and str(values[-1]).isdecimal():
            return int(values[-1]) or None
    return None
