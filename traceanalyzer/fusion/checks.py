"""Of every rule, whether it was found, and what the trace lacks where it cannot be looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from traceanalyzer.fusion.rules import RULES, Match, Rule
from traceanalyzer.fusion.rules.base import Need, with_call
from traceanalyzer.fusion.rules.matmuls import is_trained
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.records import Notice, Suggestion
from traceanalyzer.records.suggestion import RuleCheck
from traceanalyzer.records.vocabulary import NEXT_TO_NOTHING

_LEAST_SHAPED = 0.05  # of the time of records, by operators whose sizes are known
NO_OPERATORS = "no operators were recorded"
NOT_RECORDED = "the device's work is not in the trace: the host's time says nothing of what would be saved"
UNREAD = "the operators of the step could not be read: see the notices"


def unchecked(reason: str) -> tuple[RuleCheck, ...]:
    """Of every rule that it could not be looked for."""
    return tuple(RuleCheck(rule.name, "not_checkable", reason) for rule in RULES)


def checks(
    graph: StepGraph,
    matched: Iterable[tuple[Rule, Sequence[Match]]],
    listed: Iterable[Suggestion],
    notices: Iterable[Notice],
) -> tuple[RuleCheck, ...]:
    """One entry a rule, in their order; `matched`: also what is not worth a suggestion."""
    named = {each.rule for each in listed}
    seen = {rule.name for rule, matches in matched if matches}
    failed = {notice.message.partition(":")[0] for notice in notices if notice.code == "rule_failed"}
    lacking = {need: reason for need, reason in _MISSING.items() if _LACKS[need](graph)}
    if "shapes" in lacking and _shapes_recorded(graph):
        lacking["shapes"] = _FEW_SHAPES
    return tuple(_explained(graph, rule, _check(rule, named, seen, failed, lacking)) for rule in RULES)


def _explained(graph: StepGraph, rule: Rule, check: RuleCheck) -> RuleCheck:
    """With why nothing is suggested, where a reader sees in the time that it could be."""
    if rule.why_not is None or check.outcome != "not_found" or check.reason is not None:
        return check
    return RuleCheck(rule.name, "not_found", rule.why_not(graph) or None)


def _check(
    rule: Rule, named: set[str], seen: set[str], failed: set[str], lacking: Mapping[Need, str]
) -> RuleCheck:
    if rule.name in named:
        return RuleCheck(rule.name, "found")
    if rule.name in failed:
        return RuleCheck(rule.name, "not_checkable", "the rule failed: see the notices")
    if rule.name in seen:
        return RuleCheck(rule.name, "not_found", NEXT_TO_NOTHING)
    missing = next((lacking[need] for need in rule.needs if need in lacking), None)
    return RuleCheck(rule.name, "not_checkable" if missing else "not_found", missing)


_NO_SHAPES = "no shapes: record with record_shapes=True"
_FEW_SHAPES = "hardly any of the device's time is in operators that were recorded"
_MISSING: Mapping[Need, str] = {
    "gpu": "it concerns a GPU, and this is the work of a CPU",
    "cpu": "it concerns a CPU, and this is the work of a GPU",
    "page_faults": "page faults were not counted: `traceanalyze profile` counts them",
    "launches": "no launches were recorded",
    "steps": "the trace names no steps",
    "backward": "nothing is trained: there is no backward pass",
    "tensors": "the trace does not say which tensors are the same: `traceanalyze profile` records that",
    "shapes": _NO_SHAPES,
}


def _no_shapes(graph: StepGraph) -> bool:
    """Also where operators are hardly known at all, as under CUDA graphs."""
    return _shaped_ns(graph) * graph.stretch.repeats < _LEAST_SHAPED * graph.busy_ns / graph.judged.step_count


def _shapes_recorded(graph: StepGraph) -> bool:
    """Whether the bulk of the operators that are known has shapes, so that they were asked for."""
    return 2 * _shaped_ns(graph) >= sum(node.time_ns for node in graph.nodes) > 0


def _shaped_ns(graph: StepGraph) -> int:
    return sum(node.time_ns for node in with_call(graph, lambda node: any(node.call.shapes)))


_LACKS: Mapping[Need, Callable[[StepGraph], bool]] = {
    "gpu": lambda graph: not graph.on_gpu,
    "cpu": lambda graph: graph.on_gpu,
    "page_faults": lambda graph: graph.recording is None or graph.recording.minor_faults_per_step is None,
    "launches": lambda graph: not len(graph.trace.launches),
    "steps": lambda graph: not graph.has_steps,
    "backward": lambda graph: not is_trained(graph),
    "tensors": lambda graph: not graph.argument_tensors and not graph.executed,
    "shapes": _no_shapes,
}
