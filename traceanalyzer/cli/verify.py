"""`traceanalyze verify TRACE RULE`: the largest match of a rule, timed before and after on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import completion
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess

if TYPE_CHECKING:
    from traceanalyzer.fusion.rules import Match, Rule
    from traceanalyzer.fusion.step_graph import StepGraph
    from traceanalyzer.records import Band, Device
    from traceanalyzer.verify.measure import Timed
    from traceanalyzer.verify.moved import Moved, NotCounted
    from traceanalyzer.verify.verify import Verified


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
    from traceanalyzer.options import AnalyzeOptions
    from traceanalyzer.pipeline import step_graphs_of
    from traceanalyzer.trace.reading.names import shown_name
    from traceanalyzer.verify.moved import moved
    from traceanalyzer.verify.verify import trial_of, verified

    wanted = _rule(rule)
    graphs = step_graphs_of(trace, AnalyzeOptions(steps=steps))
    applying = ((each, some) for each in graphs if (some := _largest_first(each, wanted)))
    graph, matches = next(applying, (None, []))
    if graph is None:
        raise UsageError(f"{shown_name(trace)}: {rule} applies nowhere in it",
                         fix="take a rule that the report of this trace suggests")  # fmt: skip
    _with_threads_of(graph)
    device, floor_ns = _this_machine()
    refused: list[tuple[Match, UsageError]] = []
    for match in distinct(matches):
        try:
            trial = trial_of(graph, wanted, match, device, _backward(graph, wanted, match, matches))
            result = verified(trial, device, floor_ns)
            break
        except UsageError as error:
            refused.append((match, error))
    else:
        raise refused[0][1]
    for line in _lines(result, device):
        click.echo(line)
    for match, refusal in refused[:_REFUSED]:
        names = _chain([node.name for node in match.nodes])
        click.echo(f"  not tried   {shorten(f'{names}: {refusal.what}', 66, placeholder=' …')}")
    if wanted.replacement == "compiled":
        for line in _module_lines(graph, matches[0], device, floor_ns):
            click.echo(line)
    if counters:
        for line in _bytes(moved(trial)):
            click.echo(line)


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


_SHOWN = 6  # operators of a match
_REFUSED = 3  # matches that are named although they were not tried
_REPLACEMENTS = {
    "compiled": "torch.compile", "attention": "scaled_dot_product_attention", "optimizer": "fused=True",
}  # fmt: skip


def _lines(result: Verified, device: Device) -> Iterator[str]:
    from traceanalyzer.records.units import duration

    timed, band = result.timed, result.band
    yield shorten(f"{result.rule} on {device.name}: {_chain(result.names)}", 80, placeholder=" …")
    passes = ", forward and backward" if result.backward else ""
    yield f"  before      {duration(round(timed.eager_ns)):>10}   its largest match, op by op{passes}"
    yield f"  after       {duration(round(timed.replacement_ns)):>10}   {_REPLACEMENTS[result.replacement]}"
    yield from _saved(timed, band, result.inside)


def _module_lines(graph: StepGraph, match: Match, device: Device, floor_ns: float) -> Iterator[str]:
    """The module that holds the largest match, compiled as a whole; or why it is not tried."""
    from traceanalyzer.records.units import duration
    from traceanalyzer.verify.modules import verified_module

    try:
        result = verified_module(graph, match, device, floor_ns)
    except UsageError as error:
        yield f"  not tried   {shorten(f'the module as a whole: {error.what}', 66, placeholder=' …')}"
        return
    passes = "forward and backward" if result.backward else "forward"
    yield shorten(f"the module {result.path}: {result.operators} operators, {passes}", 80, placeholder=" …")
    yield f"  before      {duration(round(result.timed.eager_ns)):>10}   one call of it, op by op"
    yield f"  after       {duration(round(result.timed.replacement_ns)):>10}   torch.compile of it"
    yield from _saved(result.timed, result.band, result.inside)


def _saved(timed: Timed, band: Band | None, inside: bool) -> Iterator[str]:
    from traceanalyzer.records.units import duration

    sign = "-" if timed.saved_ns < 0 else ""
    yield f"  saved       {sign + duration(round(abs(timed.saved_ns))):>10}"
    if band is None:
        yield "  predicted   no saving: it would be within the error of the prediction"
        return
    low, mid, high = (duration(round(end)) for end in (band.low, band.mid, band.high))
    yield f"  predicted   {mid:>10}, from {low} to {high}: {'inside' if inside else 'outside'}"


def _chain(names: Sequence[str]) -> str:
    """`mul → add`, cut."""
    return " → ".join(names[:_SHOWN]) + (f" → {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _bytes(counted: Moved | NotCounted) -> Iterator[str]:
    from traceanalyzer.records.units import si
    from traceanalyzer.verify.moved import Moved

    if not isinstance(counted, Moved):
        yield f"  moved       {shorten(f'not counted: {counted.reason}', 66, placeholder=' …')}"
        return
    bound = "at least " if counted.counter.lower_bound else ""
    yield f"  moved       {bound}{si(counted.before, 'B')} before, {bound}{si(counted.after, 'B')} after"
    yield f"              counted: {counted.counter.how}"
    before, after = counted.predicted_before, counted.predicted_after
    yield f"              compulsory: {si(before, 'B')} before" + (
        f", {si(after, 'B')} after" if after else ""
    )
    if counted.read_first:
        more = si(before + counted.read_first, "B")
        yield f"              {more} before with the lines read before they are overwritten"
