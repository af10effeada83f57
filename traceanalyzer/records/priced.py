"""Priced: a completed trace, the cost of each distinct call, and the priced op of each record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from traceanalyzer.records.analysis import FormulaText
from traceanalyzer.records.calls import Cost, OpCall, Unpriced
from traceanalyzer.records.notice import Notice
from traceanalyzer.records.trace import Bools, Ids, Trace

Role = Literal[
    "work",  # does work of its own
    "auxiliary",  # merely moves or fills: does not stand in the way of the op it serves
    "free",  # views and allocations: no work
    "composite",  # delegates: priced only if nothing below it is
]
Fusible = Literal[
    "element",  # maps elements to elements: a compiler joins it with whatever precedes or follows it
    "reduction",  # makes one element of many: joins what reduces as many elements to one
    "pieces",  # lays tensors side by side: joins what makes the pieces, each smaller than the result
    "gather",  # loads through an index: joins what reads its result, not what makes its source
    "scatter",  # stores through an index: joins what makes the values, not what reads its result
    "opaque",  # a kernel of its own: matmuls, convolutions, attention, sorts, scans
]


class Formula(msgspec.Struct, frozen=True):
    """One registered cost formula; `name` is an op's, or a pattern with `*`."""

    name: str
    price: Callable[[OpCall], Cost]
    source: str  # where the formula can be checked
    role: Role = "work"
    fusible: Fusible = "opaque"

    @property
    def doc(self) -> str:
        """Its docstring: FLOPs, Bytes, assumptions."""
        return self.price.__doc__ or ""


class PricedCall(msgspec.Struct, frozen=True):
    """One distinct call, its cost per invocation or the reason why it has none, and its formula."""

    call: OpCall
    cost: Cost | Unpriced
    formula: Formula | None

    @property
    def known(self) -> Cost | None:
        """The cost, where it is known."""
        return self.cost if isinstance(self.cost, Cost) else None

    @property
    def role(self) -> Role | None:
        """None where the op has no formula."""
        return self.formula.role if self.formula else None

    @property
    def fusible(self) -> Fusible:
        """Whether a compiler fuses it with its neighbors; a compiled kernel is never fused again."""
        return self.formula.fusible if self.formula and not self.call.triton else "opaque"


class Priced(msgspec.Struct, frozen=True, eq=False):
    """A completed trace and its prices; columns have one entry a record of Trace.kernels."""

    trace: Trace
    calls: Sequence[OpCall]  # Trace.calls; behind them those borrowed from other traces
    prices: Mapping[int, PricedCall]  # by row in `calls`: of every call that a record belongs to
    priced_op: Ids  # row in Trace.ops; -1 where nothing prices the record
    overhead: Bools  # the priced op's work is priced in the ops it calls; this is its dispatch time
    shaped: Bools  # the link op or an ancestor below the first wrapper has dims; or shapes are borrowed
    borrowed_call: Ids  # row in `calls` that a record without a link op borrows; -1
    borrowed_run: Ids  # equal for the records of one borrowed invocation; -1
    notices: tuple[Notice, ...] = ()

    def formula_text(self, op: str) -> FormulaText | None:
        """The formula of an op of this name, in words; None where it has none."""
        formula = next((p.formula for p in self.prices.values() if p.call.name == op and p.formula), None)
        return FormulaText(op, formula.doc, formula.source) if formula else None
