"""What identifies each row, and the cost of one of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from traceanalyzer.cost import formula_of, price_call
from traceanalyzer.cost.price import Ownership
from traceanalyzer.records import Cost, OpCall, Phase, Reason, Unpriced
from traceanalyzer.records.trace import PHASES, UNLINKED, Bools, Codes, RecordKind, Trace
from traceanalyzer.roofline.invocations import COMPUTE, COPY, Groups

_NODE = "what an autograd node does with its gradients is not recorded"


@dataclass(frozen=True, slots=True)
class RowHead:
    """What identifies a row, and the cost of one of its calls."""

    name: str
    call: OpCall | None  # None: the row is one of a kernel name
    phase: Phase | None
    module: str | None
    work: int  # COMPUTE, COMMUNICATION, COPY
    price: Cost | Unpriced
    copied_bytes: tuple[int, int] | None = None  # read, written in all: copies only
    borrowed: bool = False  # some of its calls in the window borrow their shapes


def row_heads(
    trace: Trace, ownership: Ownership, groups: Groups, rank: Codes, inside: Bools
) -> list[RowHead]:
    """One head a row; each distinct call is priced once. `inside`: records that the window counts."""
    prices: dict[int, Cost | Unpriced] = {}
    lent = np.zeros(len(groups.first_record), bool)
    lent[groups.row[inside & (ownership.loan >= 0)]] = True
    return [replace(_head(trace, ownership, record, int(rank[record]), prices), borrowed=bool(lent[row]))
            for row, record in enumerate(groups.first_record.tolist())]  # fmt: skip


def _head(
    trace: Trace, ownership: Ownership, record: int, work: int, prices: dict[int, Cost | Unpriced]
) -> RowHead:
    ops, kernels = trace.ops, trace.kernels
    owner = int(ownership.priced_op[record])
    op = owner if owner >= 0 else int(kernels.op[record])
    unlinked = int(kernels.unlinked[record])
    loan = int(ownership.loan[record])
    if work == COMPUTE and loan >= 0:
        call = ownership.calls[loan]
        return RowHead(call.name, call, None, None, work, _priced(loan, call, prices))
    if work != COMPUTE or unlinked >= 0 or op < 0 or ops.call[op] < 0:
        reason = cast(Reason, UNLINKED[unlinked] if unlinked >= 0 else "no_op")
        return RowHead(trace.names[kernels.name[record]], None, None, None, work, Unpriced(reason))
    row = int(ops.call[op])
    call = trace.calls[row]
    if owner < 0:
        cost = _without_an_owner(call, bool(ownership.shaped[record]))
    else:
        cost = _priced(row, call, prices)
    phase = cast(Phase, PHASES[ops.phase[op]]) if ops.phase[op] >= 0 else None
    module = trace.names[ops.module[op]] if ops.module[op] >= 0 else None
    return RowHead(call.name, call, phase, module, work, cost)


def _without_an_owner(call: OpCall, shaped: bool) -> Cost | Unpriced:
    """Why nothing prices a record: an autograd node's dims are those of gradients, not of what it does."""
    if not shaped and any(call.shapes):
        formula = formula_of(call.name)
        known = price_call(call) if formula is not None and formula.role == "work" else None
        return known if isinstance(known, Unpriced) else Unpriced("no_formula", _NODE)
    return Unpriced("no_formula" if shaped else "no_shapes")


def _priced(row: int, call: OpCall, prices: dict[int, Cost | Unpriced]) -> Cost | Unpriced:
    if row not in prices:
        prices[row] = price_call(call)
    return prices[row]


def copied(trace: Trace, groups: Groups, heads: Sequence[RowHead], inside: Bools) -> list[RowHead]:
    """The heads, those of copies with the device memory they read and wrote, from the records' own bytes."""
    kernels = trace.kernels
    moved = inside & (kernels.copied_bytes >= 0) & (kernels.kind != RecordKind.KERNEL)
    total = np.zeros(len(heads), np.int64)
    np.add.at(total, groups.row[moved], kernels.copied_bytes[moved])
    known = np.zeros(len(heads), bool)
    known[groups.row[moved]] = True
    result = []
    for row, head in enumerate(heads):
        if head.work == COPY and known[row]:
            amount = int(total[row])
            reads = 0 if "HtoD" in head.name or "emset" in head.name else amount
            writes = 0 if "DtoH" in head.name else amount
            head = replace(head, copied_bytes=(reads, writes))
        result.append(head)
    return result
