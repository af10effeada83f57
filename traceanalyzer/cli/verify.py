"""`traceanalyze verify TRACE RULE`: the largest match of a rule, timed before and after on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import completion
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess

if TYPE_CHECKING:
    from traceanalyzer.fusion.rules import Match, Rule
    from traceanalyzer.fusion.step_graph import StepGraph
    from traceanalyzer.records import Device
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
    Needs PyTorch; the machine should do nothing else meanwhile.

    \b
    traceanalyze verify train.trace.json.gz pointwise_chain
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from traceanalyzer.cli.verify_lines import (
        Told,
        announced,
        bytes_lines,
        chain,
        refusal_line,
        result_lines,
    )
    from traceanalyzer.device.calibrate_gpu import gpu_name
    from traceanalyzer.fusion.promised import promised
    from traceanalyzer.options import AnalyzeOptions
    from traceanalyzer.pipeline import reported
    from traceanalyzer.report.context import saving_text
    from traceanalyzer.trace.reading.names import shown_name
    from traceanalyzer.verify.moved import moved

    wanted = _rule(rule)
    report = reported(trace, AnalyzeOptions(steps=steps, kernels=False))
    applying = ((each, some) for each in report.graphs if (some := _largest_first(each, wanted)))
    graph, matches = next(applying, (None, []))
    if graph is None:
        raise UsageError(f"{shown_name(trace)}: {rule} applies nowhere in it",
                         fix="take a rule that the report of this trace suggests")  # fmt: skip
    _with_threads_of(graph)
    first = (matches[0], *_backward(graph, wanted, matches[0], matches))
    for line in announced(graph, wanted, matches[0], first, on_gpu=gpu_name() is not None):
        click.echo(line, err=True)
    device, floor_ns = _this_machine()
    trial, result, refused = _first_that_runs(graph, wanted, matches, device, floor_ns)
    claim = promised(graph, wanted, trial.matches, report.suggestions)
    saving = Told(saving_text(report.analysis, claim.suggestion), claim) if claim else None
    which = "the largest that can be rebuilt" if refused else "the largest place"
    for line in result_lines(result, which, graph, saving, device):
        click.echo(line)
    for match, refusal in refused[:_REFUSED]:
        click.echo(refusal_line(chain([node.name for node in match.nodes]), refusal.what))
    if wanted.replacement == "compiled":
        for line in _of_module(graph, matches[0], device, floor_ns):
            click.echo(line)
    if counters:
        for line in bytes_lines(moved(trial)):
            click.echo(line)


def _first_that_runs(
    graph: StepGraph, wanted: Rule, matches: Sequence[Match], device: Device, floor_ns: float
) -> tuple[Trial, Verified, list[tuple[Match, UsageError]]]:
    """The largest match that can be tried, and why larger ones could not. UsageError where none can."""
    from traceanalyzer.verify.verify import trial_of, verified

    refused: list[tuple[Match, UsageError]] = []
    for match in distinct(matches):
        try:
            trial = trial_of(graph, wanted, match, device, _backward(graph, wanted, match, matches))
            return trial, verified(trial, device, floor_ns), refused
        except UsageError as error:
            refused.append((match, error))
    raise refused[0][1]


def _of_module(graph: StepGraph, match: Match, device: Device, floor_ns: float) -> Iterator[str]:
    """The module that holds the largest match, compiled as a whole; or why it is not tried."""
    from traceanalyzer.cli.verify_lines import module_lines, refusal_line
    from traceanalyzer.verify.modules import verified_module

    try:
        yield from module_lines(verified_module(graph, match, device, floor_ns), graph, device)
    except UsageError as error:
        yield refusal_line("its module as a whole", error.what)


def _rule(name: str) -> Rule:
    from traceanalyzer.fusion.rules import RULES, rule_named

    rule = rule_named(name)
    if rule is None:
        tried = ", ".join(rule.name for rule in RULES if rule.replacement != "nothing")
        fix = guess(name, [rule.name for rule in RULES], f"use one of {tried}")
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


def _with_threads_of(graph: StepGraph) -> None:
    """As many as the recording had: what one thread computes in bits another number does at once."""
    roofs = graph.recording.cpu_roofs if graph.recording else None
    count = (graph.recording.threads if graph.recording else None) or (roofs.threads if roofs else None)
    if graph.trace.on_cpu and count:
        from traceanalyzer.verify.verify import use_threads

        use_threads(count)
        threads = f"{count} thread{'' if count == 1 else 's'}"
        click.echo(f"traceanalyze: with {threads}, as recorded", err=True)


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
