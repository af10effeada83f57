"""What identifies each row, and the cost of one of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.records import Cost, OpCall, Phase, Reason, Unpriced
from traceanalyzer.records.code_places import module_named, modules_of_ops
from traceanalyzer.records.priced import Priced, PricedCall
from traceanalyzer.records.trace import PHASES, UNLINKED, Bools, Codes, Ids, RecordKind, Trace
from traceanalyzer.roofline.invocations import COMPUTE, COPY, Groups

_NODE = "what an autograd node computes is not recorded"


class RowHead(msgspec.Struct, frozen=True):
    """What identifies a row, and the cost of one of its calls."""

    name: str
    call: OpCall | None  # None: the row is one of a kernel name
    phase: Phase | None
    module: str | None
    work: int  # COMPUTE, COMMUNICATION, COPY
    price: Cost | Unpriced
    copied_bytes: tuple[int, int] | None = None  # read, written in all: copies only
    borrowed: bool = False  # some of its calls in the window borrow their shapes


def row_heads(priced: Priced, groups: Groups, work_class: Codes, inside: Bools) -> list[RowHead]:
    """One head a row. `inside`: records that the window counts."""
    borrows = np.zeros(len(groups.first_record), bool)
    borrows[groups.row[inside & (priced.borrowed_call >= 0)]] = True
    within = modules_of_ops(priced.trace)
    return [
        _head(priced, within, record, int(work_class[record]), bool(borrows[row]))
        for row, record in enumerate(groups.first_record.tolist())
    ]


def _head(priced: Priced, within: Ids, record: int, work: int, borrows: bool) -> RowHead:
    """`within`: the module of each operator."""
    trace = priced.trace
    ops, kernels = trace.ops, trace.kernels
    priced_op = int(priced.priced_op[record])
    if trace.device_lost:
        return _host_side(priced, record)
    op = priced_op if priced_op >= 0 else int(kernels.op[record])
    unlinked = int(kernels.unlinked[record])
    borrowed = int(priced.borrowed_call[record])
    if work == COMPUTE and borrowed >= 0:
        priced_call = priced.prices[borrowed]
        return RowHead(
            priced_call.call.name, priced_call.call, None, None, work, priced_call.cost, borrowed=borrows
        )
    if work != COMPUTE or unlinked >= 0 or op < 0 or ops.call[op] < 0:
        reason = cast(Reason, UNLINKED[unlinked] if unlinked >= 0 else "no_op")
        name = trace.names[kernels.name[record]]
        return RowHead(name, None, None, None, work, Unpriced(reason), borrowed=borrows)
    priced_call = priced.prices[int(ops.call[op])]
    cost = priced_call.cost if priced_op >= 0 else _without_a_price(priced_call, bool(priced.shaped[record]))
    phase = cast(Phase, PHASES[ops.phase[op]]) if ops.phase[op] >= 0 else None
    module = module_named(trace, int(within[op]))
    return RowHead(priced_call.call.name, priced_call.call, phase, module, work, cost, borrowed=borrows)


def _host_side(priced: Priced, record: int) -> RowHead:
    """What a host does for a device whose own records are missing has no work of its own."""
    ops, kernels = priced.trace.ops, priced.trace.kernels
    op = int(kernels.op[record])
    call = priced.prices[int(ops.call[op])].call if op >= 0 and ops.call[op] >= 0 else None
    name = call.name if call else priced.trace.names[kernels.name[record]]
    phase = cast(Phase, PHASES[ops.phase[op]]) if op >= 0 and ops.phase[op] >= 0 else None
    module = priced.trace.names[ops.module[op]] if op >= 0 and ops.module[op] >= 0 else None
    return RowHead(name, call, phase, module, COMPUTE, Unpriced("not_recorded"))


def _without_a_price(priced_call: PricedCall, shaped: bool) -> Cost | Unpriced:
    """Why nothing prices a record: an autograd node's dims are those of gradients, not of what it does."""
    if not shaped and any(priced_call.call.shapes):
        unknown = priced_call.role == "work" and isinstance(priced_call.cost, Unpriced)
        return priced_call.cost if unknown else Unpriced("no_formula", _NODE)
    return Unpriced("no_formula" if shaped else "no_shapes")


def copied(trace: Trace, groups: Groups, heads: Sequence[RowHead], inside: Bools) -> list[RowHead]:
    """The heads, those of copies with the device memory they read and wrote, from the records' own bytes."""
    kernels = trace.kernels
    moved = inside & (kernels.copied_bytes >= 0) & (kernels.kind != RecordKind.KERNEL)
    total = np.zeros(len(heads), np.int64)
    np.add.at(total, groups.row[moved], kernels.copied_bytes[moved])
    moves = np.zeros(len(heads), bool)
    moves[groups.row[moved]] = True
    result = []
    for row, head in enumerate(heads):
        if head.work == COPY and moves[row]:
            head = replace(head, copied_bytes=moved_by_copy(head.name, int(total[row])))
        result.append(head)
    return result


def moved_by_copy(name: str, amount: int) -> tuple[int, int]:
    """Bytes of device memory that a copy or a fill of so many bytes reads and writes."""
    reads = 0 if "HtoD" in name or "emset" in name else amount
    return reads, 0 if "DtoH" in name else amount
