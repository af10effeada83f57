"""The phase of each operator in a training step, and the forward op that a backward node differentiates.

A number ("Sequence number" with "Fwd thread id" 0) is recorded for an operator that runs with
gradients on; autograd nodes repeat the number of the forward op they differentiate.

* backward    inside an autograd node or a compiled backward, or on a thread that only runs those
* recompute   numbered operators inside a backward node that then goes on without gradients: an
              activation checkpoint running its forward part again. A node all of whose operators
              are numbered is being differentiated itself (create_graph) and stays backward
* optimizer   under the optimizer's annotation, not inside the forward op of a backward node
* forward     numbered operators elsewhere, and what else follows them before the next backward;
              where the trace numbers nothing, all the rest
* null        unknown: no backward and no optimizer in the trace, data loading, gradient
              clipping or metrics between a backward and the next forward
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.records.trace import PHASES, Bools, Codes, Ids, Ints, OpKind, above, nearest, passes
from traceanalyzer.trace.linking.kinds import is_backward_region
from traceanalyzer.trace.linking.link import latest_before

_FORWARD, _BACKWARD, _OPTIMIZER, _RECOMPUTE = (PHASES.index(phase) for phase in
                                               ("forward", "backward", "optimizer", "recompute"))  # fmt: skip
_CHECKPOINT = "Checkpoint"  # torch.utils.checkpoint.CheckpointFunction and its kin in other libraries


class Host(msgspec.Struct, frozen=True, eq=False):
    """Sorted, nested host intervals, as far as phases need them."""

    names: Sequence[str]
    start_ns: Ints
    name: Ids
    kind: Codes
    thread: Ids
    parent: Ids
    sequence: Ints
    numbered: Bools  # runs with gradients on: has a sequence number and is not an autograd node

    def called(self, *prefixes: str) -> Bools:
        """Whether each interval's name begins with one of these."""
        return passes(self.names, self.name, lambda name: name.startswith(prefixes))


def phases(host: Host, forward: Ids) -> Codes:
    """Phase of each interval, a row of PHASES or -1; `forward`: what `forward_ops` gives."""
    annotation = host.kind == OpKind.ANNOTATION
    node = (host.kind == OpKind.AUTOGRAD) | passes(host.names, host.name, is_backward_region)
    optimizer = nearest(host.parent, annotation & host.called("Optimizer.step#", "Optimizer.zero_grad#")) >= 0
    phase = np.full(len(host.name), -1, np.int8)
    if not node.any() and not optimizer.any():
        return phase
    again = _run_again(host, node)
    inner = nearest(host.parent, node | again)
    backward = (inner >= 0) | np.isin(host.thread, _backward_threads(host, node))
    differentiated = np.zeros(len(host.name), bool)
    differentiated[forward[forward >= 0]] = True
    root = _roots(host, annotation)
    of_forward = np.zeros(len(host.name), bool)
    of_forward[root[differentiated]] = True
    optimizer &= ~of_forward[root]
    phase[_forward(host, node, backward | optimizer, root)] = _FORWARD
    phase[optimizer] = _OPTIMIZER
    phase[backward] = _BACKWARD
    phase[(inner >= 0) & again[inner]] = _RECOMPUTE
    phase[annotation] = -1
    return phase


def forward_ops(host: Host) -> Ids:
    """Of each backward node the forward op it differentiates; -1 elsewhere and where it is not known.

    Several forward ops share a number: a composite with the op inside it that made the node, and
    ops before it that made none. The node's is the last to begin.
    """
    forward = np.full(len(host.name), -1, np.int32)
    nodes = np.flatnonzero((host.kind != OpKind.ANNOTATION) & (host.sequence >= 0) & ~host.numbered)
    givers = np.flatnonzero(host.numbered)
    row = latest_before(
        host.sequence[givers], host.start_ns[givers], host.sequence[nodes], host.start_ns[nodes] - 1
    )
    recorded = row >= 0
    forward[nodes[recorded]] = givers[row[recorded]]
    return forward


def _run_again(host: Host, node: Bools) -> Bools:
    """Outermost operators of a forward part that runs again inside a backward node."""
    size = len(host.name)
    operator = host.kind != OpKind.ANNOTATION
    encloser = above(host.parent, operator)  # -1 reads the last entry, which is spare
    is_node = np.append(node, False)
    direct = np.flatnonzero(operator & ~node & is_node[encloser])
    numbered = direct[host.numbered[direct]]
    first, last = np.full(size, size), np.full(size, -1)
    np.minimum.at(first, encloser[numbered], numbered)
    np.maximum.at(last, encloser[numbered], numbered)
    # The node goes on: an operator without gradients, or a nested backward, follows the numbered ones.
    children = np.flatnonzero(operator & is_node[encloser] & ~host.numbered)
    after = children[(last[encloser[children]] >= 0) & (children > last[encloser[children]])]
    resumed = host.called(_CHECKPOINT)
    resumed[encloser[after]] = True
    owner = encloser[direct]
    chosen = resumed[owner] & (direct >= first[owner]) & (direct <= last[owner])
    again = np.zeros(size, bool)
    again[direct[chosen]] = True
    return again


def _roots(host: Host, annotation: Bools) -> Ids:
    """The outermost operator round each row with no operator between it and an annotation; itself for one."""
    top = (host.parent < 0) | annotation[host.parent] | annotation
    return nearest(host.parent, top)


def _backward_threads(host: Host, node: Bools) -> Ids:
    """Threads of the autograd engine: they begin with a node, and nothing there is numbered outside of
    nodes, nor are steps annotated.

    Up to torch 1.9 the engine's own additions and reductions stand between nodes, not inside them.
    """
    operators = np.flatnonzero(host.kind != OpKind.ANNOTATION)
    busy, first = np.unique(host.thread[operators], return_index=True)
    begins = busy[node[operators[first]]]
    loose = host.numbered & (nearest(host.parent, node) < 0)
    others = np.unique(host.thread[loose | host.called("ProfilerStep#", "Optimizer.")])
    if len(np.setdiff1d(busy, host.thread[node])) == 0:
        return np.zeros(0, np.int32)  # one thread for all: that of a CPU run
    return np.setdiff1d(begins, others).astype(np.int32)


def _forward(host: Host, node: Bools, taken: Bools, root: Ids) -> Bools:
    """Rows of the forward pass; `taken` belong elsewhere."""
    free = ~taken & (nearest(host.parent, host.called("enumerate(DataLoader)#")) < 0)
    numbered = host.numbered & free
    if not numbered.any():
        return free
    starts = np.concatenate((host.start_ns[numbered], host.start_ns[node]))
    is_forward = np.repeat([True, False], [int(numbered.sum()), int(node.sum())])
    by_time = np.argsort(starts, kind="stable")
    before = np.searchsorted(starts[by_time], host.start_ns, side="right") - 1
    follows = (before >= 0) & is_forward[by_time[np.maximum(before, 0)]]
    follows &= np.isin(host.thread, np.unique(host.thread[numbered]))
    holds = np.zeros(len(host.name), bool)
    holds[root[numbered]] = True
    forward: Bools = free & (follows[root] | holds[root])
    return forward
