"""Op rows: cost (FLOPs, bytes), time (ns) and verdict of each distinct call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import groupby
from math import isnan
from typing import Literal

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.cost import operator_class
from traceanalyzer.cost.cpu_work import functions_of
from traceanalyzer.records import Bounded, Cost, FunctionCount, NamedTime, OperatorClass, OpRow, Unpriced
from traceanalyzer.records.trace import Ids, Ints, Trace
from traceanalyzer.records.units import duration, si
from traceanalyzer.roofline.invocations import COMMUNICATION, COMPUTE, COPY
from traceanalyzer.roofline.measure import Measured
from traceanalyzer.roofline.occupancy import Floats
from traceanalyzer.roofline.row_keys import RowHead
from traceanalyzer.roofline.traffic import Traffic
from traceanalyzer.roofline.verdicts import Judgment, RowFacts

Names = tuple[tuple[str, int], ...]  # a row's kernels: (name, time_ns), longest first
_WORK: dict[int, Literal["compute", "communication", "copy"]] = {
    COMPUTE: "compute", COMMUNICATION: "communication", COPY: "copy",
}  # fmt: skip
_NO_WORK = Cost(0, 0, 0)
_OVERHEAD = "its work is priced in the ops it calls; this is its dispatch time"


class Shown(msgspec.Struct, frozen=True, eq=False):
    """Whether a row has to show its strides and its concrete inputs to be distinguished from others."""

    strides: bool
    concrete: bool


def row_facts(
    trace: Trace,
    heads: Sequence[RowHead],
    m: Measured,
    waves: Floats,
    names: Sequence[Names],
    moved: Sequence[Traffic | None],
) -> Iterable[RowFacts]:
    """The facts behind the verdict of each row. `waves`: of each row's longest kernel."""
    blocks = np.where(m.longest_record >= 0, trace.kernels.blocks[m.longest_record], -1)
    return (
        _facts(head, row, m, int(blocks[row]), float(waves[row]), names[row], moved[row])
        for row, head in enumerate(heads)
    )


def _facts(
    head: RowHead, row: int, m: Measured, blocks: int, waves: float, names: Names, moved: Traffic | None
) -> RowFacts:
    complete = int(m.complete_calls[row])
    calls = int(m.complete_priced_calls[row] if complete else m.priced_calls[row])
    flops, read, written = _totals(head, calls)
    cost = head.price
    corners = cost.corners if isinstance(cost, Bounded) and head.work == COMPUTE else ()
    work = cost if isinstance(cost, Cost) else _NO_WORK
    return RowFacts(
        work=_WORK[head.work],
        time_ns=int(m.complete_time_ns[row]) if complete else None,
        median_call_ns=int(m.median_call_ns[row]),
        blocks=blocks,
        waves=None if isnan(waves) else waves,
        kernels=names,
        borrowed_shapes=head.borrowed,
        flops=flops if not isinstance(cost, Unpriced) else None,
        read_bytes=read,
        write_bytes=written,
        engine=work.engine,
        precision=work.precision,
        special_functions=work.special_functions * calls,
        traffic_bytes=moved.bytes * calls if moved and moved.proved else None,
        possible_bytes=moved.bytes * calls if moved else None,
        functions=_functions(head, calls),
        unpriced=cost.reason if isinstance(cost, Unpriced) else None,
        corners=tuple(
            _facts(replace(head, price=corner), row, m, blocks, waves, names, moved) for corner in corners
        ),
    )


def _functions(head: RowHead, calls: int) -> tuple[FunctionCount, ...]:
    """What so many calls evaluate, where a CPU takes longer for it than for FLOPs."""
    if head.call is None or not isinstance(head.price, Cost):
        return ()
    of_call = functions_of(head.call, head.price)
    return tuple(FunctionCount(each.function, each.precision, each.count * calls) for each in of_call)


def op_rows(
    heads: Sequence[RowHead],
    m: Measured,
    verdicts: Sequence[Judgment],
    names: Sequence[Names],
    moved: Sequence[Traffic | None],
) -> list[OpRow]:
    """One row a head, in the same order; of traffic only what is proved."""
    return [
        _op_row(head, row, m, verdicts[row], names[row], _proved(traffic), shown)
        for row, (head, traffic, shown) in enumerate(zip(heads, moved, _shown(heads), strict=True))
    ]


def _proved(traffic: Traffic | None) -> Traffic | None:
    return traffic if traffic and traffic.proved else None


def in_order(rows: Iterable[OpRow]) -> tuple[OpRow, ...]:
    """Largest attributed time first; the order does not depend on that of the trace."""
    by_time = sorted(rows, key=_time_and_name)
    ordered: list[OpRow] = []
    for _, equals in groupby(by_time, key=_time_and_name):
        ordered += sorted(equals, key=_details)
    return tuple(ordered)


def _time_and_name(row: OpRow) -> tuple[int, int, int, str]:
    return -row.attributed_ns, -row.time_ns, -(row.counter_bytes or 0), row.name


def _details(row: OpRow) -> tuple[str, ...]:
    """What tells rows of equal time and name apart; long texts, made of few rows only."""
    recorded = (row.input_dims, row.input_types, row.input_strides, row.concrete_inputs)
    return (*map(str, recorded), row.phase or "", row.module or "", row.reason or "")


def _shown(heads: Sequence[RowHead]) -> list[Shown]:
    """Strides, and concrete inputs, only where rows differ in them."""
    loose = [_key(head) for head in heads]
    twins = Counter(loose)
    strided = Counter((key, h.call and h.call.input_strides) for key, h in zip(loose, heads, strict=True))
    concrete = Counter((key, h.call and h.call.concrete) for key, h in zip(loose, heads, strict=True))
    return [
        Shown(
            head.call is not None and strided[key, head.call.input_strides] < twins[key],
            head.call is not None and concrete[key, head.call.concrete] < twins[key],
        )
        for key, head in zip(loose, heads, strict=True)
    ]


def _key(head: RowHead) -> Hashable:
    call = head.call
    return (head.name, call and (call.shapes, call.types), head.phase, head.module, head.work)


def _op_row(
    head: RowHead, row: int, m: Measured, v: Judgment, names: Names, moved: Traffic | None, shown: Shown
) -> OpRow:
    call, calls = head.call, int(m.calls[row])
    priced = int(m.priced_calls[row])
    flops, read, written = _totals(head, priced)
    return OpRow(
        name=head.name,
        input_dims=call.shapes if call else None,
        input_types=call.types if call else None,
        input_strides=call.input_strides if call and shown.strides else None,
        concrete_inputs=call.concrete if call and shown.concrete else None,
        phase=head.phase, module=head.module,
        calls=calls, kernels=int(m.kernels[row]),
        time_ns=int(m.time_ns[row]), attributed_ns=int(m.attributed_ns[row]),
        flops=flops, flops_range=_range(head, priced, "flops"),
        recomputed_flops=_recomputed(head, flops, priced),
        read_bytes=read, write_bytes=written, bytes_range=_range(head, priced, "bytes"),
        traffic_bytes=moved.bytes * priced if moved else None,
        counter_bytes=int(m.counted_bytes[row]) if m.counted_bytes[row] >= 0 else None,
        intensity=v.intensity, engine=v.engine, precision=v.precision,
        roof_ns=_over_all_calls(v.roof_ns, int(m.complete_priced_calls[row]), priced),
        efficiency=v.efficiency, bound=v.bound, limiter=v.limiter, verdict=v.verdict,
        operator_class=_class(head, names), flags=v.flags, reason=v.reason,
        kernel_names=tuple(NamedTime(name, time) for name, time in names),
        note=_note(head, calls - priced, moved, v),
    )  # fmt: skip


def _over_all_calls(roof_ns: float | None, complete: int, calls: int) -> float | None:
    """The roof time of complete calls, extended to those cut by the window's ends."""
    return roof_ns * calls / complete if roof_ns is not None and complete else roof_ns


def _note(head: RowHead, delegated: int, moved: Traffic | None, v: Judgment) -> str:
    cost = head.price
    cost_note = cost.note if isinstance(cost, Cost) else cost.detail
    traffic = f"{si(moved.bytes, 'B')} of traffic a call: {moved.why}" if moved else ""
    rate = ""
    if v.functions_ns:
        rate = f"its functions take {duration(v.functions_ns)} at this CPU's measured rates"
    return "; ".join(part for part in (cost_note, traffic, rate, _OVERHEAD if delegated else "") if part)


def _totals(head: RowHead, calls: int) -> tuple[int | None, int | None, int | None]:
    """FLOPs, bytes read and bytes written of so many calls."""
    if head.copied_bytes is not None:
        return 0, *head.copied_bytes
    if head.work != COMPUTE:
        return None, None, None
    cost = head.price
    if isinstance(cost, Cost):
        return cost.flops * calls, cost.read_bytes * calls, cost.write_bytes * calls
    if isinstance(cost, Bounded):
        few, many = cost.least, cost.most
        flops = few.flops * calls if few.flops == many.flops else None
        if (few.read_bytes, few.write_bytes) != (many.read_bytes, many.write_bytes):
            return flops, None, None
        return flops, few.read_bytes * calls, few.write_bytes * calls
    if cost.read_bytes is None or cost.write_bytes is None:
        return None, None, None
    return None, cost.read_bytes * calls, cost.write_bytes * calls


def _range(head: RowHead, calls: int, what: Literal["flops", "bytes"]) -> tuple[int, int] | None:
    """Least and most of so many calls, where only these are known."""
    if head.work != COMPUTE or not isinstance(head.price, Bounded):
        return None
    few, many = (getattr(end, what) * calls for end in (head.price.least, head.price.most))
    return (few, many) if few != many else None


def _recomputed(head: RowHead, flops: int | None, calls: int) -> int | None:
    """FLOPs computed before: all of a forward pass that runs again, else what the formula says."""
    if flops is None or head.phase == "recompute":
        return flops
    return head.price.recomputed_flops * calls if isinstance(head.price, Cost) else 0


def _class(head: RowHead, names: Names) -> OperatorClass:
    if head.work == COMMUNICATION:
        return "communication"
    if head.work == COPY:
        return "copy"
    return operator_class(head.call.name if head.call else None, names[0][0] if names else head.name)


def names_of_rows(trace: Trace, rows: int, kernel_times: tuple[Ids, Ids, Ints]) -> list[Names]:
    """The kernels of each row, longest first, then by name: a name's number depends on the file's order."""
    result: list[list[tuple[str, int]]] = [[] for _ in range(rows)]
    for row, name, time in zip(*(column.tolist() for column in kernel_times), strict=True):
        result[row].append((trace.names[name], time))
    return [tuple(sorted(members, key=lambda kernel: (-kernel[1], kernel[0]))) for members in result]
