"""Seen: an optimizer's step made of operators over single parameters, or over lists of them (foreach).

Instead: the same optimizer with `fused=True`: one kernel reads parameters, gradients and states once.

Saves: all passes but one. AdamW reads four values a parameter and writes three; as single operators or
lists it moves about three times as much.

When not: parameters that are not floating-point, or an optimizer without the argument: Adam, AdamW, SGD
and Adagrad have it. Where the step waits for the host, it is launches that are saved, not kernel time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.cost.registry import Missing
from traceanalyzer.cost.tensors import bytes_of, is_list, list_bytes
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.savings import Work
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_STEP = re.compile(r"Optimizer\.step#(\w+)\.step")
# Tensors read and written a parameter: torch/optim: adamw, sgd with and without momentum, adagrad.
_PASSES = {"Adam": 7, "AdamW": 7, "SGD": 5, "Adagrad": 5}
_ADDING = ("_foreach_addcdiv", "addcdiv", "_foreach_add", "add")  # what writes the parameters
_SCALING = ("_foreach_mul", "mul")  # and the momentum of SGD


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for each kind of optimizer that has a fused form, and does not use it."""
    steps: dict[str, list[Node]] = {}
    for node in graph.nodes:
        name = _optimizer(graph, node) if free(node) else None
        if name in _PASSES:
            steps.setdefault(name, []).append(node)
    for name, nodes in steps.items():
        if not any("fused" in node.name for node in nodes):
            yield from _match(name, nodes)


def _optimizer(graph: StepGraph, node: Node) -> str | None:
    found = next((match for scope in graph.scopes(node) if (match := _STEP.search(scope))), None)
    return found[1] if found else None


def _match(name: str, nodes: Sequence[Node]) -> Iterator[Match]:
    parameters, passes = _parameter_bytes(nodes, _ADDING), _PASSES[name]
    if name == "SGD":
        momentum = _parameter_bytes(nodes, _SCALING)
        parameters, passes = (momentum, passes) if momentum else (parameters, 3)
    if not parameters:
        return
    before = sum(node.bytes for node in nodes)
    after = Work(passes * parameters, share=passes * parameters / max(_traffic(nodes), 1))
    if before > after.bytes:
        yield Match(tuple(nodes), "T0", after, bytes_saved=before - after.bytes, where=f"optimizer {name}")


def _traffic(nodes: Sequence[Node]) -> int:
    """As a CPU feels it: what is not written in place is read before."""
    elsewhere = (node.cost.write_bytes for node in nodes if node.cost and not node.call.name.endswith("_"))
    return sum(node.bytes for node in nodes) + sum(elsewhere)


def _parameter_bytes(nodes: Sequence[Node], writing: Sequence[str]) -> int:
    """Bytes of all parameters: what the first of these operators that is used at all is given first."""
    amounts = {name: sum(_first_argument(node) for node in nodes if node.name == name) for name in writing}
    return next((amount for amount in amounts.values() if amount), 0)


def _first_argument(node: Node) -> int:
    try:
        return list_bytes(node.call, 0) if is_list(node.call, 0) else bytes_of(node.call, 0)
    except Missing:
        return 0


RULE = Rule(
    "fused_optimizer", __doc__ or "", find,
    title="The optimizer reads and writes its states in many passes",
    action="Give the optimizer fused=True.",
    snippet="optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)",
    caveats=("all parameters must be floating-point tensors",
             "a GradScaler hands its scale over to the fused kernel: unscale before clipping as before"),
    docs="https://docs.pytorch.org/docs/stable/optim.html",
    replacement="optimizer",
)  # fmt: skip
