"""Which op a kernel's time and cost belong to: the priced op of every record, vectorised.

The priced op is the innermost of the link op and its ancestors (below the first autograd wrapper,
annotation or compiled region) that has dims and a formula, provided no other op below it is priced
by itself. Ops that merely move or fill (a `contiguous` before a convolution) do not stand in the
way of the op they serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traceanalyzer.cost.registry import formula_for
from traceanalyzer.records import OpCall
from traceanalyzer.records.trace import Bools, Codes, Ids, OpKind, Trace, distinct

_NONE, _WORK, _AUXILIARY, _FREE, _COMPOSITE = range(5)
_ROLE_CODES = {"work": _WORK, "auxiliary": _AUXILIARY, "free": _FREE, "composite": _COMPOSITE}


@dataclass(frozen=True, slots=True, eq=False)
class Ownership:
    """One entry a record of Trace.kernels."""

    priced_op: Ids  # priced op: row in Trace.ops; -1 where nothing prices the record
    overhead: Bools  # the owner's work is priced in the ops it calls; this is its dispatch time
    shaped: Bools  # the link op or an ancestor below the first wrapper has dims; or shapes are borrowed
    calls: Sequence[OpCall]  # Trace.calls; behind them those lent by other traces
    loan: Ids  # row in `calls` that a record without a link op borrows; -1
    loan_run: Ids  # equal for the records of one borrowed invocation; -1


def own(trace: Trace) -> Ownership:
    """Priced op of every record; O(ops x depth) in numpy, no Python loop over rows."""
    ops, kernels = trace.ops, trace.kernels
    roles, dims, described = _roles_and_dims(trace)
    linked = (kernels.unlinked < 0) & (kernels.op >= 0)
    link_ops = distinct(kernels.op[linked])
    if trace.on_cpu:
        roles[_repeats(trace, dims, roles)] = _COMPOSITE
    blocked = _blocked(trace, roles, dims, link_ops)
    owner_of = np.full(len(ops) + 1, -1, np.int32)
    shaped_of = np.zeros(len(ops) + 1, bool)
    owner_of[link_ops], shaped_of[link_ops] = _walk(trace, link_ops, roles, described, blocked)
    overhead_of = np.zeros(len(ops) + 1, bool)
    if trace.on_cpu:
        orphan = link_ops[owner_of[link_ops] < 0]
        delegates = (roles[orphan] == _COMPOSITE) | (roles[orphan] == _AUXILIARY)
        delegating = orphan[blocked[orphan] & dims[orphan] & delegates]
        owner_of[delegating], overhead_of[delegating] = delegating, True
        free = orphan[roles[orphan] == _FREE]
        owner_of[free] = free
    slot = np.where(linked, kernels.op, -1)  # -1 reads the spare last entry
    nothing = np.full(len(slot), -1, np.int32)
    return Ownership(
        owner_of[slot], overhead_of[slot], shaped_of[slot], trace.calls, loan=nothing, loan_run=nothing
    )


def _roles_and_dims(trace: Trace) -> tuple[Codes, Bools, Bools]:
    """Of each op: the role of its formula; whether it has dims; whether it has, or works on numbers alone.

    An op on tensors of no dimension, as on a step counter, has its own price, but keeps no op above it,
    whose work it is a part of, from being priced.
    """
    role_of_call = np.zeros(len(trace.calls) + 1, np.int8)
    dims_of_call = np.zeros(len(trace.calls) + 1, bool)
    typed_of_call = np.zeros(len(trace.calls) + 1, bool)
    for row, call in enumerate(trace.calls):
        formula = formula_for(call)
        role_of_call[row] = _NONE if formula is None else _ROLE_CODES[formula.role]
        dims_of_call[row] = any(shape != () for shape in call.shapes)
        typed_of_call[row] = any(call.dtypes)
    of = trace.ops.call
    return role_of_call[of], dims_of_call[of], dims_of_call[of] | typed_of_call[of]


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
    """(owner or -1, shaped) of each link op: from it outwards, until a wrapper ends the walk."""
    ops = trace.ops
    owner = np.full(len(link_ops), -1, np.int32)
    shaped = np.zeros(len(link_ops), bool)
    current = link_ops.astype(np.int32)
    alive = np.ones(len(link_ops), bool)
    can_own = dims & ~blocked & (roles != _NONE)
    if not trace.on_cpu:
        can_own &= roles != _FREE
    # A kernel that an op launched itself is the op's own work, whatever it calls besides. On a CPU trace
    # every op has a record, which proves nothing: there an op that merely may delegate owns its time
    # only where nothing below it is priced.
    own_work = roles == _WORK if trace.on_cpu else (roles == _WORK) | (roles == _AUXILIARY)
    first = can_own | (dims & own_work)
    here = first
    while alive.any():
        kind_ok = ops.kind[current] == OpKind.OP
        alive &= kind_ok
        shaped |= alive & dims[current]
        take = alive & (owner < 0) & here[current]
        owner[take] = current[take]
        up = ops.parent[current]
        alive &= up >= 0
        current = np.where(alive, up, current)
        here = can_own & (roles != _FREE)
    return owner, shaped
