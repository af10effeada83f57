"""A whole module rebuilt from its recorded operators, as it ran and compiled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import msgspec

from traceanalyzer.fusion.module_compile import compiled_together
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.savings import added, proved, saving
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.records import Band, Device
from traceanalyzer.records.errors import UsageError
from traceanalyzer.verify.measure import Timed, timed
from traceanalyzer.verify.replay import Replay, told
from traceanalyzer.verify.trained import differentiated, differentiating, trained
from traceanalyzer.verify.verify import compiled, rebuilt

MOST_OPERATORS = 300
"""Of a call of a module that is tried: compiling more takes minutes."""


class ModuleTrial(msgspec.Struct, frozen=True):
    """One call of a module as a program; compiling it, which takes long, is left to the trial."""

    path: str
    nodes: Sequence[Node]
    gradients: Sequence[Node]  # of them; none where the step has no backward pass
    forward: Replay
    recorded_ns: float  # of all

    @property
    def every(self) -> list[Node]:
        return [*self.nodes, *self.gradients]


class VerifiedModule(msgspec.Struct, frozen=True):
    """One call of a module: measured times, and what all that compiling it replaces was predicted to save."""

    path: str
    operators: int  # rebuilt
    backward: bool  # with their gradients
    timed: Timed
    band: Band | None
    recorded_ns: float  # of them all
    predicts: bool  # whether a time is predicted of any part of it

    @property
    def inside(self) -> bool:
        """Whether the measured saving lies in the predicted band."""
        return self.band is not None and self.band.low <= self.timed.saved_ns <= self.band.high


def module_trial(graph: StepGraph, match: Match, where: str) -> ModuleTrial:
    """Of the module that holds `match`, or what it differentiates, on `where`, "cuda" or "cpu". UsageError,
    with the reason, where it cannot be rebuilt or differentiated."""
    path, nodes = call_of_module(graph, differentiated(graph, match))
    if len(nodes) > MOST_OPERATORS:
        raise UsageError(
            f"{path} calls {len(nodes)} operators, more than are rebuilt", fix="compile the model"
        )
    gradients = differentiating(graph, nodes)
    with told(path):
        forward = rebuilt(graph, nodes, where)
    if gradients:
        trained(forward)
    return ModuleTrial(path, nodes, gradients, forward, graph.undisturbed_ns([*nodes, *gradients]))


def verified_module(graph: StepGraph, trial: ModuleTrial, device: Device, floor_ns: float) -> VerifiedModule:
    """`device`, `floor_ns`: of this machine. UsageError, with the reason, where it is not compiled here."""
    before, after = trial.forward, compiled(trial.forward)
    if trial.gradients:
        before, after = trained(before), trained(after)
    with told(trial.path):
        times = timed(before, after)
    bands, replaced_ns = _predicted(graph, trial.every, times.eager_ns, device, floor_ns)
    band = proved(added(bands), replaced_ns) if bands else None
    return VerifiedModule(
        trial.path, len(trial.nodes), bool(trial.gradients), times, band, trial.recorded_ns, bool(bands)
    )


def call_of_module(graph: StepGraph, match: Match) -> tuple[str, list[Node]]:
    """Its dotted path, and the operators of the one call in which the match lies."""
    parts = [(node.module or "").split(".") for node in match.nodes]
    common = list(takewhile(lambda same: len(set(same)) == 1, zip(*parts, strict=False)))
    path = ".".join(names[0] for names in common)
    if not path:
        raise UsageError("the trace names no module that holds it", fix="record with `traceanalyze profile`")
    first = match.nodes[0].place
    begin, end = first, first
    while begin > 0 and _belongs(graph, begin - 1, path, first):
        begin -= 1
    while end + 1 < len(graph.nodes) and _belongs(graph, end + 1, path, first):
        end += 1
    return path, list(graph.nodes[begin : end + 1])


def _belongs(graph: StepGraph, at: int, path: str, first: int) -> bool:
    node = graph.nodes[at]
    inside = node.module == path or (node.module or "").startswith(f"{path}.")
    same = node.phase == graph.nodes[first].phase and graph.threads[at] == graph.threads[first]
    return inside and same


def _predicted(
    graph: StepGraph, nodes: Sequence[Node], eager_ns: float, device: Device, floor_ns: float
) -> tuple[list[Band], float]:
    """Of all that a compiler replaces among them, by its share of the recorded time, and that share."""
    places, whole_ns = {node.place for node in nodes}, sum(node.time_ns for node in nodes)
    matches = [
        match for rule, matches in compiled_together(graph, list(applied(graph))) for match in matches
        if rule.replacement == "compiled" and match.after is not None and match.tier < "T3"
        and {node.place for node in match.nodes} <= places
    ]  # fmt: skip
    bands: list[Band] = []
    replaced_ns = 0.0
    for match in matches:
        before_ns = eager_ns * sum(node.time_ns for node in match.nodes) / max(1, whole_ns)
        band = saving(before_ns, match.after, device, floor_ns) if match.after is not None else None
        if band is not None:
            bands.append(band)
            replaced_ns += before_ns
    return bands, replaced_ns
