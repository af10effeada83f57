"""`traceanalyze verify TRACE RULE`: the largest match of a rule, timed before and after on this machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from traceanalyzer.cli import completion
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess

if TYPE_CHECKING:
    from traceanalyzer.fusion.rules import Match, Rule
    from traceanalyzer.fusion.step_graph import StepGraph
    from traceanalyzer.records import Device
    from traceanalyzer.verify.modules import ModuleTrial, VerifiedModule
    from traceanalyzer.verify.verify import Trial, Verified

_REFUSED = 3  # matches that are named although they were not tried


@click.command()
@click.argument("trace", type=click.Path())
@click.argument("rule", shell_complete=completion.rules)
@click.option("--steps", default="complete", show_default=True, metavar="WHICH", help="As for report.")
@click.option("--counters", is_flag=True, help="Count the bytes that memory moves, too (Linux, CPU).")
def command(trace: str, rule: str, steps: str, counters: bool) -> None:
    """Rebuild the largest match of RULE in TRACE from the recorded sizes and types, and time it as it ran
    and with the suggested change; where the advice is to compile, also one call of the module that holds it.
    The prediction is for this machine, whose roofs are measured first.
    Of a rule that replaces no operators it says how to try it instead.
    Needs PyTorch; the machine should do nothing else meanwhile.

    \b
    traceanalyze verify train.trace.json.gz pointwise_chain
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from traceanalyzer.cli.verify_lines import (
        Claim,
        bytes_lines,
        module_lines,
        refusal_lines,
        result_lines,
        verdict_lines,
    )
    from traceanalyzer.fusion.place_promise import place_promise
    from traceanalyzer.options import AnalyzeOptions
    from traceanalyzer.pipeline import reported
    from traceanalyzer.report.context import saving_text
    from traceanalyzer.trace.reading.names import shown_name
    from traceanalyzer.verify.moved import moved
    from traceanalyzer.verify.verify import why_by_hand

    wanted = _rule(rule)
    report = reported(trace, AnalyzeOptions(steps=steps, kernels=False))
    applying = ((each, some) for each in report.graphs if (some := _largest_first(each, wanted)))
    graph, matches = next(applying, (None, []))
    if graph is None:
        raise UsageError(f"{shown_name(trace)}: {rule} applies nowhere in it",
                         fix="take a rule that the report of this trace suggests")  # fmt: skip
    if (why := why_by_hand(wanted)) is not None:
        raise UsageError(f"{wanted.name}: is not tried by itself: {why}", fix=_by_hand(trace))
    tried = _first_that_runs(graph, wanted, matches, trace)
    claim = place_promise(graph, wanted, tried.trial.matches, report.suggestions)
    claimed = Claim(saving_text(report.analysis, claim.suggestion), claim) if claim else None
    which = "the largest that can be rebuilt" if tried.refused else "the largest place"
    module = _of_module(graph, tried)
    lines = [*result_lines(tried.result, which, graph, claimed, tried.device)]
    if isinstance(module, Refused):
        lines += refusal_lines(module.what, module.why)
    elif module is not None:
        lines += module_lines(module, graph, tried.device)
    for refused in tried.refused[:_REFUSED]:
        lines += refusal_lines(refused.what, refused.why)
    if counters:
        lines += bytes_lines(moved(tried.trial))
    measured = None if isinstance(module, Refused) else module
    for line in (*lines, *verdict_lines(tried.result, measured, claimed, graph, tried.device)):
        click.echo(line)


class Refused(msgspec.Struct, frozen=True):
    """What could not be tried, and the reason."""

    what: str
    why: str


class Tried(msgspec.Struct, frozen=True):
    """The largest match that could be tried, what came of it, and the larger ones that could not."""

    trial: Trial
    result: Verified
    module: ModuleTrial | Refused | None  # None: compiling it is not the advice
    refused: tuple[Refused, ...]
    device: Device  # this machine
    floor_ns: float


def _by_hand(trace: str) -> str:
    """How to try what cannot be rebuilt; the text of UsageError's `fix`."""
    name = shlex.quote(trace) if trace != "-" else "BEFORE"
    snippet = "apply the snippet of the report in the script"
    return f"{snippet}, record again, then `traceanalyze diff {name} AFTER`"


def _first_that_runs(graph: StepGraph, wanted: Rule, matches: Sequence[Match], trace: str) -> Tried:
    """The largest match that can be tried: announced when it is rebuilt. UsageError where none can."""
    from traceanalyzer.cli.verify_lines import announced, chain, refusal_lines
    from traceanalyzer.device.calibrate_gpu import gpu_name
    from traceanalyzer.verify.verify import trial_of, verified

    threads, machine = _with_threads_of(graph), None
    refused: list[tuple[Match, Refused]] = []
    where = "cuda" if gpu_name() else "cpu"
    for match in distinct(matches):
        try:
            trial = trial_of(graph, wanted, match, where, _backward(graph, wanted, match, matches))
        except UsageError as error:
            refused.append((match, Refused(chain([node.name for node in match.nodes]), error.what)))
            continue
        module = _module_of(graph, trial, where)
        shown = None if isinstance(module, Refused) else module
        for line in (*threads, *announced(graph, trial, shown, on_gpu=where == "cuda")):
            click.echo(line, err=True)
        device, floor_ns = machine = machine or _this_machine()
        try:
            result = verified(trial, device, floor_ns)
        except UsageError as error:
            refused.append((match, Refused(chain([node.name for node in match.nodes]), error.what)))
            click.echo("\n".join(refusal_lines(refused[-1][1].what, refused[-1][1].why)), err=True)
            continue
        others = (
            each for other, each in refused if all(other is not of_trial for of_trial in trial.backward)
        )
        return Tried(trial, result, module, tuple(others), device, floor_ns)
    places = "its place" if len(matches) == 1 else f"none of its {len(matches):,} places"
    verb = "cannot be tried here" if len(matches) == 1 else "can be tried here"
    reason = refused[0][1].why.removeprefix(f"{wanted.name}: ")
    raise UsageError(f"{wanted.name}: {places} {verb}: {reason}", fix=_by_hand(trace))


def _module_of(graph: StepGraph, trial: Trial, where: str) -> ModuleTrial | Refused | None:
    """The module that holds what is tried, rebuilt; or why it is not tried."""
    from traceanalyzer.verify.modules import module_trial

    if trial.rule.replacement != "compiled":
        return None
    try:
        return module_trial(graph, trial.match, where)
    except UsageError as error:
        return Refused("its module as a whole", error.what)


def _of_module(graph: StepGraph, tried: Tried) -> VerifiedModule | Refused | None:
    """That module, compiled as a whole."""
    from traceanalyzer.verify.modules import verified_module

    if tried.module is None or isinstance(tried.module, Refused):
        return tried.module
    try:
        return verified_module(graph, tried.module, tried.device, tried.floor_ns)
    except UsageError as error:
        return Refused("its module as a whole", error.what)


def _rule(name: str) -> Rule:
    from traceanalyzer.fusion.rules import RULES, rule_named

    rule = rule_named(name)
    if rule is None:
        timed = ", ".join(each.name for each in RULES if each.replacement != "nothing")
        others = ", ".join(each.name for each in RULES if each.replacement == "nothing")
        every = f"use one of {timed}; of {others} it says how to try them"
        fix = guess(name, [each.name for each in RULES], every)
        raise UsageError(f"{name}: there is no such rule", fix=fix)
    return rule


def _largest_first(graph: StepGraph, wanted: Rule) -> list[Match]:
    """The rule's matches by time, the longest first."""
    from traceanalyzer.fusion.suggestions import applied

    matches = [match for rule, matches in applied(graph) for match in matches if rule.name == wanted.name]
    return sorted(matches, key=lambda match: -sum(node.time_ns for node in match.nodes))


def _backward(graph: StepGraph, wanted: Rule, match: Match, matches: Sequence[Match]) -> tuple[Match, ...]:
    """Of attention, which is one call forward and backward; generated regions are tried by themselves."""
    from traceanalyzer.verify.trained import backward_matches

    return backward_matches(graph, match, matches) if wanted.replacement == "attention" else ()


def distinct(matches: Sequence[Match]) -> list[Match]:
    """The first of each sequence of operators, in the order given."""
    by_names: dict[tuple[str, ...], Match] = {}
    for match in matches:
        by_names.setdefault(tuple(node.name for node in match.nodes), match)
    return list(by_names.values())


def _with_threads_of(graph: StepGraph) -> list[str]:
    """As many as the recording had: what one thread computes in bits another number does at once. A line
    that says so."""
    roofs = graph.recording.cpu_roofs if graph.recording else None
    count = (graph.recording.threads if graph.recording else None) or (roofs.threads if roofs else None)
    if not graph.trace.on_cpu or not count:
        return []
    from traceanalyzer.verify.verify import use_threads

    use_threads(count)
    return [f"traceanalyze: with {count} thread{'' if count == 1 else 's'}, as recorded"]


def _this_machine() -> tuple[Device, float]:
    """This machine's roofs and launch floor."""
    from traceanalyzer.device import cpu
    from traceanalyzer.device.calibrate import cpu_roofs
    from traceanalyzer.device.calibrate_gpu import gpu_name, measure_gpu
    from traceanalyzer.device.options import described
    from traceanalyzer.records.judged import Thresholds

    if gpu_name():
        spec = measure_gpu().spec
        return described(spec, "this machine"), float(spec.launch_floor_ns or Thresholds().floor_default_ns)
    roofs = cpu_roofs()
    return cpu(roofs), float(roofs.launch_floor_ns or Thresholds().floor_cpu_ns)
