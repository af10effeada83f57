"""One match of a rule, timed before and after the suggested change: predicted against measured saving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from traceanalyzer.fusion.cost_to_try import CHANGES
from traceanalyzer.fusion.place_promise import recorded_ns
from traceanalyzer.fusion.regions import region
from traceanalyzer.fusion.rules import Match, Rule
from traceanalyzer.fusion.savings import added, proved, saving
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Band, Device
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.vocabulary import IDLE_RULES
from traceanalyzer.verify.measure import Timed, timed
from traceanalyzer.verify.optimizers import optimizers
from traceanalyzer.verify.replay import Replay, replay, told
from traceanalyzer.verify.trained import trained

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # attention that is tried


class Trial(msgspec.Struct, frozen=True):
    """One match as a program, and what the rule replaces it by."""

    rule: Rule
    match: Match
    eager: Replay
    replacement: Replay
    backward: tuple[Match, ...] = ()  # that both do too
    recorded_ns: float = 0.0  # what all took when it was recorded; 0: not known

    @property
    def matches(self) -> tuple[Match, ...]:
        """All that the change replaces."""
        return (self.match, *self.backward)


class Verified(msgspec.Struct, frozen=True):
    """One match: measured times (ns per run) and the predicted saving (ns per run)."""

    rule: str
    replacement: str  # how the replacement was built: Rule.replacement
    names: tuple[str, ...]
    timed: Timed
    band: Band | None
    backward: bool = False  # forward and backward
    recorded_ns: float = 0.0  # of both in the recording; 0: not known
    predicts: bool = True  # whether a time is predicted of it at all

    @property
    def inside(self) -> bool:
        """Whether the measured saving lies in the predicted band."""
        return self.band is not None and self.band.low <= self.timed.saved_ns <= self.band.high


def why_by_hand(rule: Rule) -> str | None:
    """Why no place of the rule can be tried by itself; None where its operators can be rebuilt."""
    if rule.replacement != "nothing":
        return None
    if rule.name in IDLE_RULES:
        return "it shortens what the device waits for, and operators that are rebuilt wait for nothing"
    change = CHANGES.get(rule.name)
    takes = f"it takes {change}" if change else "it changes the whole step"
    return f"{takes}, which operators that are rebuilt do not show"


def trial_of(
    graph: StepGraph, rule: Rule, match: Match, where: str, backward: tuple[Match, ...] = ()
) -> Trial:
    """On `where`, "cuda" or "cpu". UsageError where the match cannot be rebuilt.

    `backward`: matches in its backward pass, which both programs do too.
    """
    with told(rule.name):
        eager, replacement = _programs(graph, rule, match, where)
    took_ns = recorded_ns(graph, (match, *backward))
    if not backward:
        return Trial(rule, match, eager, replacement, recorded_ns=took_ns)
    return Trial(rule, match, trained(eager), trained(replacement), backward, took_ns)


def verified(trial: Trial, device: Device, floor_ns: float) -> Verified:
    """`device`, `floor_ns`: of this machine. UsageError where the change does not run here."""
    rule, match = trial.rule, trial.match
    with told(rule.name):
        times = timed(trial.eager, trial.replacement)
    band = _predicted(trial, times.eager_ns, device, floor_ns)
    promised = proved(band, times.eager_ns) if band is not None else None
    names = tuple(node.name for node in match.nodes)
    return Verified(
        rule.name,
        rule.replacement,
        names,
        times,
        promised,
        bool(trial.backward),
        trial.recorded_ns,
        predicts=all(match.after is not None for match in trial.matches),
    )


def _predicted(trial: Trial, eager_ns: float, device: Device, floor_ns: float) -> Band | None:
    """Of each match by its share of the recorded time; None where one has no prediction."""
    recorded_ns = [sum(node.time_ns for node in match.nodes) for match in trial.matches]
    bands = []
    for match, time_ns in zip(trial.matches, recorded_ns, strict=True):
        share = time_ns / sum(recorded_ns) if sum(recorded_ns) else 1.0
        band = saving(eager_ns * share, match.after, device, floor_ns) if match.after is not None else None
        if band is None:
            return None
        bands.append(band)
    return added(bands)


def _programs(graph: StepGraph, rule: Rule, match: Match, where: str) -> tuple[Replay, Replay]:
    if (why := why_by_hand(rule)) is not None or not match.nodes:
        raise UsageError(f"{rule.name}: {why or 'the place has no operators'}", fix="change the script")
    if rule.replacement == "optimizer":
        return optimizers(match.where, [node.call for node in match.nodes], where)
    eager = rebuilt(graph, match.nodes, where)
    return eager, _attention(match.nodes, where) if rule.replacement == "attention" else compiled(eager)


def rebuilt(graph: StepGraph, nodes: Sequence[Node], where: str) -> Replay:
    """Their program, op by op, on the device `where`. UsageError where the trace does not say enough."""
    joined = region(graph, nodes)
    number_of = {node.place: number for number, node in enumerate(nodes)}
    fed: list[list[int]] = [[] for _ in nodes]
    for edge in joined.edges:
        fed[number_of[edge.consumer]].append(number_of[edge.producer])
    needed = [node.place not in joined.inside for node in nodes]
    return replay([node.call for node in nodes], fed, needed, where)


def compiled(eager: Replay) -> Replay:
    """The same program, by torch.compile."""
    import torch

    return msgspec.structs.replace(eager, run=torch.compile(eager.run, dynamic=False))


def _attention(nodes: Sequence[Node], where: str) -> Replay:
    """Scaled dot product attention on the operands of both matmuls of a forward pass."""
    import torch

    matmuls = [node.call for node in nodes if node.name in ("bmm", "baddbmm")]
    operands = [[dims for _, dims, *_ in call.tensors()][-2:] for call in matmuls]
    precision = next(
        (precision for call in matmuls for *_, precision, _ in reversed(list(call.tensors()))), None
    )
    if [len(dims) for dims in operands] != [2, 2] or precision not in _DTYPES:
        raise UsageError("a backward pass is tried with its forward pass, not alone", fix="change the script")
    shapes: list[Any] = [*operands[0], operands[1][1]]
    dtype = getattr(torch, _DTYPES[precision])
    q, k, v = (torch.rand(1, *shape, dtype=dtype, device=where) for shape in shapes)
    k = k.transpose(-2, -1).contiguous()
    run: Any = torch.nn.functional.scaled_dot_product_attention
    return Replay(run, (q, k, v))


def use_threads(count: int) -> None:
    """So many threads for operators of the CPU from here on."""
    import torch

    torch.set_num_threads(count)
