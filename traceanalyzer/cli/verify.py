"""`traceanalyze verify TRACE RULE`: the largest place where a rule applies, run both ways on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from textwrap import shorten
from typing import TYPE_CHECKING

import click

from traceanalyzer.records.errors import UsageError

if TYPE_CHECKING:
    from traceanalyzer.fusion.rules import Match, Rule
    from traceanalyzer.fusion.step_graph import StepGraph
    from traceanalyzer.records import Device
    from traceanalyzer.verify.verify import Verified


@click.command(short_help="Try a suggestion on this machine: predicted against measured.")
@click.argument("trace", type=click.Path())
@click.argument("rule")
@click.option("--steps", default="complete", show_default=True, metavar="WHICH", help="As for report.")
def command(trace: str, rule: str, steps: str) -> None:
    """Rebuild the largest place in TRACE where RULE applies, from the recorded sizes and types, and time it
    as it ran and as the rule has it. The prediction is for this machine, whose roofs are measured first.
    Needs PyTorch; the machine should do nothing else meanwhile.

    \b
    traceanalyze verify train.trace.json.gz pointwise_chain
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from traceanalyzer.pipeline import AnalyzeOptions, step_graph_of
    from traceanalyzer.verify.verify import verified

    known = _rule(rule)
    graph = step_graph_of(trace, AnalyzeOptions(steps=steps))
    places = _largest_first(graph, known) if graph is not None else []
    if graph is None or not places:
        raise UsageError(f"{trace}: {rule} applies nowhere in it",
                         fix="take a rule that the report of this trace suggests")  # fmt: skip
    device, floor_ns = _here()
    kinds = {tuple(node.name for node in place.nodes): place for place in reversed(places)}
    for place in reversed(kinds.values()):  # of each sequence of operators the largest
        try:
            found = verified(graph, known, place, device, floor_ns)
            break
        except UsageError as error:
            refused = error
    else:
        raise refused
    for line in _told(found, device):
        click.echo(line)


def _rule(name: str) -> Rule:
    from traceanalyzer.fusion.rules import RULES, rule_named

    found = rule_named(name)
    if found is None:
        tried = ", ".join(rule.name for rule in RULES if rule.replacement != "nothing")
        raise UsageError(f"{name}: there is no such rule", fix=f"one that can be tried is {tried}")
    return found


def _largest_first(graph: StepGraph, wanted: Rule) -> list[Match]:
    """The rule's places, by the time they take."""
    from traceanalyzer.fusion.suggestions import applied

    matches = [match for rule, matches in applied(graph) for match in matches if rule.name == wanted.name]
    return sorted(matches, key=lambda match: -sum(node.time_ns for node in match.nodes))


def _here() -> tuple[Device, float]:
    """This machine's roofs and launch floor."""
    from traceanalyzer.device import cpu
    from traceanalyzer.device.calibrate import cpu_roofs
    from traceanalyzer.device.calibrate_gpu import gpu_name, measure_gpu
    from traceanalyzer.device.options import described

    if gpu_name():
        spec = measure_gpu().spec
        return described(spec, "this machine"), float(spec.launch_floor_ns or 2000)
    roofs = cpu_roofs()
    return cpu(roofs), float(roofs.launch_floor_ns or 5000)


_INSTEAD = {
    "compiled": "torch.compile", "attention": "scaled_dot_product_attention", "optimizer": "fused=True",
}  # fmt: skip


def _told(found: Verified, device: Device) -> Iterator[str]:
    from traceanalyzer.records.units import duration

    timed, band = found.timed, found.band
    names = " → ".join(found.names[:6]) + (f" → {len(found.names) - 6} more" if len(found.names) > 6 else "")
    yield shorten(f"{found.rule} on {device.name}: {names}", 80, placeholder=" …")
    yield f"  as it ran   {duration(round(timed.eager_ns)):>10}   its largest place, one by one, here"
    yield f"  instead     {duration(round(timed.instead_ns)):>10}   {_INSTEAD[found.replacement]}"
    sign = "-" if timed.saved_ns < 0 else ""
    yield f"  saved       {sign + duration(round(abs(timed.saved_ns))):>10}"
    if band is None:
        yield "  predicted   no time: what may be saved is within the error of the prediction"
        return
    low, mid, high = (duration(round(end)) for end in (band.low, band.mid, band.high))
    yield f"  predicted   {mid:>10}, from {low} to {high}: {'inside' if found.inside else 'outside'}"
