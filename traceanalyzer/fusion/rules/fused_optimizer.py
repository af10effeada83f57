"""Seen: an optimizer's step that runs as operators over single parameters, or over lists of them (foreach).

Instead: the same optimizer with `fused=True`: one kernel reads parameters, gradients and states once.

Saves: all passes but one. AdamW reads four values per parameter and writes three; as single operators or
lists it moves about three times as much. On a CPU also new pages for their results, and what Python takes
from one operator to the next: half of it at least, for recording them is a part. Not where the step was given
a closure: the script's own code is between them too.

When not: a hook or a subclass changes what the step does. Where the step waits for the host, it is launches
that are saved, not kernel time, and the report says so.

Left out: optimizers without such an argument (Adam, AdamW, SGD and Adagrad have it), and fused ones; what a
closure runs inside of the step; sparse gradients and complex parameters, which the fused kernels refuse; an
optimizer that works on CPU tensors while a GPU is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile

from msgspec.structs import replace

from traceanalyzer.cost.registry import Missing
from traceanalyzer.cost.tensors import bytes_of, is_list, list_bytes
from traceanalyzer.fusion.pages import paging_ns
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.gradient_clipping import NORMS
from traceanalyzer.fusion.rules.optimizers import SPARSE, STEP, closure_ends, optimizer_classes
from traceanalyzer.fusion.savings import Work
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band

_SNIPPET = "optimizer = torch.optim.{name}(model.parameters(), lr=lr, fused=True)"
# Tensors read and written per parameter: torch/optim: adamw, sgd with and without momentum, adagrad.
_PASSES = {"Adam": 7, "AdamW": 7, "SGD": 5, "Adagrad": 5}
_SGD_WITHOUT_MOMENTUM, _AMSGRAD = 3, 2  # the latter in addition: its maximum is read and written
# Of what the host takes between operators on a CPU, with the profiler's part in it.
_BETWEEN = (0.5, 0.8, 1.0)
_ADDING = (("_foreach_addcdiv", "addcdiv"), ("_foreach_add", "add"))  # what writes the parameters
_SCALING = (("_foreach_mul", "mul"),)  # and the momentum of SGD
_MEASURING = (*NORMS, "_foreach_norm", "clamp")  # of torch.nn.utils.clip_grad_norm_, and what it does next
_SCALES = ("mul", "_foreach_mul")
_NOT_DENSE = re.compile(rf"{SPARSE.pattern}|view_as_(?:real|complex)")  # the latter: complex parameters


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for each kind of optimizer that has a fused form, and does not use it."""
    working: dict[str, list[Node]] = {}
    scopes: dict[str, set[int]] = {}
    if not optimizer_classes(graph):
        return
    closures = graph.once(closure_ends)
    for node in graph.nodes:
        row = _step_above(graph, node) if free(node) else -1
        name = _optimizer(graph, row)
        if name in _PASSES and graph.trace.ops.start_ns[node.row] >= closures.get(row, 0):
            working.setdefault(name, []).append(node)
            scopes.setdefault(name, set()).add(row)
    for name, nodes in working.items():
        if not any("fused" in node.name for node in nodes) and not _not_dense(graph, scopes[name]):
            if not scopes[name].isdisjoint(closures):
                nodes = _after_clipping(nodes)
            yield from (
                _on_cpu(graph, match) if graph.trace.on_cpu else match for match in _match(name, nodes)
            )


def _after_clipping(nodes: Sequence[Node]) -> list[Node]:
    """Without norms of gradients, and what scales those by them: after a closure `step` may hold that too."""
    last = max((at for at, node in enumerate(nodes) if node.name in _MEASURING), default=-1)
    return list(nodes) if last < 0 else list(dropwhile(lambda node: node.name in _SCALES, nodes[last + 1 :]))


def _step_above(graph: StepGraph, node: Node) -> int:
    """Row of the innermost annotation of an optimizer's step; -1."""
    return next((row for row in graph.above(node) if _optimizer(graph, row)), -1)


def _optimizer(graph: StepGraph, row: int) -> str:
    """The class that an annotation names; "" where it is no optimizer's."""
    step = STEP.search(graph.trace.names[graph.trace.ops.name[row]]) if row >= 0 else None
    return step[1] if step else ""


def _not_dense(graph: StepGraph, scopes: set[int]) -> bool:
    """Whether the steps handle sparse gradients or complex parameters, working or not."""
    ops, names = graph.trace.ops, graph.trace.names
    not_dense = {number for number, name in enumerate(names) if _NOT_DENSE.search(name)}
    for row in scopes if not_dense else ():
        first, last = ops.start_ns[row], ops.end_ns[row]
        inside = (ops.thread == ops.thread[row]) & (ops.start_ns >= first) & (ops.start_ns < last)
        if not_dense & set(ops.name[inside].tolist()):
            return True
    return False


def _on_cpu(graph: StepGraph, match: Match) -> Match:
    """With what lies between the operators, and without pages for results: all is changed in place."""
    time_ns = graph.undisturbed_ns(match.nodes)
    moving = 1 - min(1.0, paging_ns(graph, match.nodes) / time_ns) if time_ns else 1.0
    after = replace(match.after, share=match.after.share * moving) if match.after is not None else None
    return replace(match, after=after, between=_between(graph, match.nodes))


def _between(graph: StepGraph, nodes: Sequence[Node]) -> Band | None:
    """What lies between the operators, from the first of a step on: parameters are collected before that,
    fused or not. None after a closure: what its caller does before it goes on is no part of the optimizer."""
    ops = graph.trace.ops
    first: dict[int, Node] = {}
    for node in nodes:
        first.setdefault(_step_above(graph, node), node)
    if not first.keys().isdisjoint(graph.once(closure_ends)):
        return None
    whole_ns = sum(int(ops.end_ns[row] - ops.start_ns[node.row]) for row, node in first.items())
    begins = {row: node.place for row, node in first.items()}
    worked_ns = sum(
        node.time_ns
        for node in graph.nodes
        if node.place >= begins.get(_step_above(graph, node), node.place + 1)
    )
    return Band(*(share * max(0, whole_ns - worked_ns) for share in _BETWEEN))


def _match(name: str, nodes: Sequence[Node]) -> Iterator[Match]:
    parameters, passes = _parameter_bytes(nodes, _ADDING), _PASSES[name]
    if name == "SGD":
        momentum = _parameter_bytes(nodes, _SCALING)
        parameters, passes = (momentum, passes) if momentum else (parameters, _SGD_WITHOUT_MOMENTUM)
    elif any("maximum" in node.name for node in nodes):
        passes += _AMSGRAD
    if not parameters:
        return
    before = sum(node.bytes for node in nodes)
    after = Work(passes * parameters, share=passes * parameters / max(_traffic(nodes), 1))
    if before > after.bytes:
        yield Match(tuple(nodes), "T0", after, bytes_saved=before - after.bytes, where=f"optimizer {name}",
                    snippet=_SNIPPET.format(name=name))  # fmt: skip


def _traffic(nodes: Sequence[Node]) -> int:
    """CPU-weighted: what is not written in place is read before."""
    elsewhere = (node.cost.write_bytes for node in nodes if node.cost and not node.call.name.endswith("_"))
    return sum(node.bytes for node in nodes) + sum(elsewhere)


def _parameter_bytes(nodes: Sequence[Node], writing: Sequence[tuple[str, ...]]) -> int:
    """Bytes of all parameters: what the first of these operators that is used at all changes in place."""
    in_place = [node for node in nodes if node.call.name.endswith("_")]
    amounts = (sum(_first_argument(node) for node in in_place if node.name in names) for names in writing)
    return next((amount for amount in amounts if amount), 0)


def _first_argument(node: Node) -> int:
    try:
        return list_bytes(node.call, 0) if is_list(node.call, 0) else bytes_of(node.call, 0)
    except Missing:
        return 0


RULE = Rule(
    "fused_optimizer", __doc__ or "", find,
    title="The optimizer reads and writes its states in many passes",
    action="Pass fused=True to the optimizer.",
    snippet=_SNIPPET.format(name="AdamW"),
    caveats=("all parameters must be floating-point tensors and all gradients dense",
             "a GradScaler passes its scale to the fused kernel: unscale before clipping as before"),
    needs=("backward",),
    docs="https://docs.pytorch.org/docs/stable/optim.html",
    replacement="optimizer",
)  # fmt: skip
