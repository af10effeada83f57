"""`price`: what each distinct call costs, and which op every record's time and cost belong to.

The priced op is the innermost of the link op and its ancestors (below the first autograd wrapper,
annotation or compiled region) that has dims and a formula, provided no other op below it is priced
by itself. Ops that merely move or fill (a `contiguous` before a convolution) do not stand in the
way of the op they serve.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.cost.catalog import BUILT_IN, Formulas
from traceanalyzer.cost.user import used
from traceanalyzer.inference.borrowed_shapes import Donor, borrow
from traceanalyzer.records.call_facts import call_facts
from traceanalyzer.records.priced import Priced
from traceanalyzer.records.trace import Bools, Codes, Ids, OpKind, Trace, distinct

_NONE, _WORK, _AUXILIARY, _FREE, _COMPOSITE = range(5)
_ROLE_CODES = {"work": _WORK, "auxiliary": _AUXILIARY, "free": _FREE, "composite": _COMPOSITE}


def price(
    trace: Trace, formulas: Formulas = BUILT_IN, donors: Sequence[Trace] = (), capture: str | None = None
) -> Priced:
    """The completed `trace` of one device with its prices; each distinct call is priced once.

    `donors`: further traces to borrow shapes from; `capture`: the file that the user named.
    """
    links = link_prices(trace, formulas)
    others = [Donor(other, link_prices(other, formulas).working_op) for other in donors]
    borrowed = borrow(Donor(trace, links.working_op), others, capture)
    ops = distinct(np.concatenate((links.priced_op, trace.kernels.op)))
    rows = distinct(np.concatenate((trace.ops.call[ops[ops >= 0]], borrowed.call)))
    prices = {row: formulas.price(borrowed.calls[row]) for row in rows[rows >= 0].tolist()}
    names = {trace.names[row] for row in distinct(trace.ops.name).tolist()} if formulas.own else set()
    return Priced(
        trace=trace,
        calls=borrowed.calls,
        prices=prices,
        priced_op=links.priced_op,
        overhead=links.overhead,
        shaped=links.shaped | (borrowed.call >= 0),
        borrowed_call=borrowed.call,
        borrowed_run=borrowed.run,
        notices=(*borrowed.notices, *used(tuple(formulas.own.values()), names)),
    )


class PriceLinks(msgspec.Struct, frozen=True, eq=False):
    """Which op prices each record of Trace.kernels; columns as in `Priced`."""

    priced_op: Ids
    overhead: Bools
    shaped: Bools

    @property
    def working_op(self) -> Ids:
        """The priced op where the record is its work; -1 elsewhere."""
        return np.where(self.overhead, np.int32(-1), self.priced_op)


def link_prices(trace: Trace, formulas: Formulas = BUILT_IN) -> PriceLinks:
    """Priced op of every record; O(ops x depth) in numpy, no Python loop over rows."""
    ops, kernels = trace.ops, trace.kernels
    roles, dims, described = _roles_and_dims(trace, formulas)
    linked = (kernels.unlinked < 0) & (kernels.op >= 0)
    link_ops = distinct(kernels.op[linked])
    if trace.on_cpu:
        roles[_repeats(trace, dims, roles)] = _COMPOSITE
    blocked = _blocked(trace, roles, dims, link_ops)
    priced_by = np.full(len(ops) + 1, -1, np.int32)
    shaped_of = np.zeros(len(ops) + 1, bool)
    priced_by[link_ops], shaped_of[link_ops] = _walk(trace, link_ops, roles, described, blocked)
    overhead_of = np.zeros(len(ops) + 1, bool)
    if trace.on_cpu:
        orphan = link_ops[priced_by[link_ops] < 0]
        delegates = (roles[orphan] == _COMPOSITE) | (roles[orphan] == _AUXILIARY)
        delegating = orphan[blocked[orphan] & dims[orphan] & delegates]
        priced_by[delegating], overhead_of[delegating] = delegating, True
        free = orphan[roles[orphan] == _FREE]
        priced_by[free] = free
    slot = np.where(linked, kernels.op, -1)  # -1 reads the spare last entry
    return PriceLinks(priced_by[slot], overhead_of[slot], shaped_of[slot])


def _roles_and_dims(trace: Trace, formulas: Formulas) -> tuple[Codes, Bools, Bools]:
    """Of each op: the role of its formula; whether it has dims; whether it has, or works on numbers alone.

    An op on tensors of no dimension, as on a step counter, has its own price, but keeps no op above it,
    whose work it is a part of, from being priced.
    """
    facts = call_facts(trace.calls)
    keys = zip(facts.name, facts.triton.tolist(), strict=True)
    role_of_call = np.append([_role(formulas, name, triton) for name, triton in keys], _NONE)
    dims, typed = np.append(facts.dims, False), np.append(facts.typed, False)
    of = trace.ops.call
    return role_of_call.astype(np.int8)[of], dims[of], (dims | typed)[of]


def _role(formulas: Formulas, name: str, triton: bool) -> int:
    formula = formulas.named(name, triton=triton)
    return _NONE if formula is None else _ROLE_CODES[formula.role]


def _blocked(trace: Trace, roles: Codes, dims: Bools, link_ops: Ids) -> Bools:
    """Ops below which another op is priced by itself.

    Only ops that launched something can be priced; a launch-free `aten::add` on a CPU tensor
    inside a GPU op blocks nothing.
    """
    parent = trace.ops.parent
    launched = np.zeros(len(parent), bool)
    launched[link_ops] = True
    active = launched | _ancestors(parent, launched)
    priced = active & dims
    by_work = _ancestors(parent, priced & ((roles == _WORK) | (roles == _COMPOSITE)))
    by_move = _ancestors(parent, priced & (roles == _AUXILIARY))
    blocked: Bools = by_work | ((roles == _AUXILIARY) & by_move)
    return blocked


def _repeats(trace: Trace, dims: Bools, roles: Codes) -> Ids:
    """Ops that call one of their own name, as `mul` by a number calls the `mul` of two tensors.

    The inner one does the work, and on a CPU both have a record.
    """
    ops = trace.ops
    bare: dict[str, int] = {}
    name = np.array([bare.setdefault(text.rstrip("_"), len(bare)) for text in trace.names], np.int32)
    inner = np.flatnonzero(dims & (roles == _WORK) & (ops.parent >= 0))
    outer = ops.parent[inner]
    same = name[ops.name[inner]] == name[ops.name[outer]]
    return distinct(outer[same])


def _ancestors(parent: Ids, marked: Bools) -> Bools:
    """Proper ancestors of the marked rows."""
    above = np.zeros(len(parent), bool)
    frontier = distinct(parent[marked])
    while True:
        frontier = frontier[frontier >= 0]
        frontier = frontier[~above[frontier]]
        if not len(frontier):
            return above
        above[frontier] = True
        frontier = distinct(parent[frontier])


def _walk(trace: Trace, link_ops: Ids, roles: Codes, dims: Bools, blocked: Bools) -> tuple[Ids, Bools]:
    """(priced op or -1, shaped) of each link op: from it outwards, until a wrapper ends the walk."""
    ops = trace.ops
    priced_op = np.full(len(link_ops), -1, np.int32)
    shaped = np.zeros(len(link_ops), bool)
    current = link_ops.astype(np.int32)
    alive = np.ones(len(link_ops), bool)
    can_price = dims & ~blocked & (roles != _NONE)
    if not trace.on_cpu:
        can_price &= roles != _FREE
    # A kernel that an op launched itself is the op's own work, whatever it calls besides. On a CPU trace
    # every op has a record, which proves nothing: there an op that merely may delegate prices its time
    # only where nothing below it is priced.
    works = roles == _WORK if trace.on_cpu else (roles == _WORK) | (roles == _AUXILIARY)
    first = can_price | (dims & works)
    here = first
    while alive.any():
        kind_ok = ops.kind[current] == OpKind.OP
        alive &= kind_ok
        shaped |= alive & dims[current]
        take = alive & (priced_op < 0) & here[current]
        priced_op[take] = current[take]
        up = ops.parent[current]
        alive &= up >= 0
        current = np.where(alive, up, current)
        here = can_price & (roles != _FREE)
    return priced_op, shaped
