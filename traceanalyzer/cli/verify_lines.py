"""What `verify` says: what it tries and for how long, then the times beside what the report promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import shorten

import msgspec

from traceanalyzer.fusion.cost_to_try import compile_ns
from traceanalyzer.fusion.promised import Promised, recorded_ns
from traceanalyzer.fusion.rules import Match, Rule
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Band, Device
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.units import digits, duration, si, whole_percent
from traceanalyzer.report.wrapping import wrapped
from traceanalyzer.verify.measure import Timed, runs_of
from traceanalyzer.verify.modules import MOST_OPERATORS, VerifiedModule, call_of_module
from traceanalyzer.verify.moved import Moved, NotCounted
from traceanalyzer.verify.trained import differentiated, differentiating
from traceanalyzer.verify.verify import Verified

_WIDTH, _LABEL, _FIGURE = 80, 14, 9
_SHOWN = 6  # operators of a match
_ALIKE = 0.1  # by which times of two machines differ that are called the same
_REPLACEMENTS = {
    "compiled": "torch.compile", "attention": "scaled_dot_product_attention", "optimizer": "fused=True",
}  # fmt: skip


class Told(msgspec.Struct, frozen=True):
    """What the report says of the places that are tried."""

    saving: str  # as the report has it
    of: Promised


def announced(
    graph: StepGraph, rule: Rule, match: Match, tried: Sequence[Match], *, on_gpu: bool
) -> list[str]:
    """What is tried, and how long that may take, as far as the recording tells. `on_gpu`: this machine."""
    ways = f"op by op and by {_REPLACEMENTS[rule.replacement]}"
    text = f"traceanalyze: tries {chain([node.name for node in match.nodes])}, {ways}"
    time_ns, nodes = recorded_ns(graph, tried), list(match.nodes)
    runs, ns = runs_of(time_ns), 2 * runs_of(time_ns) * time_ns
    if rule.replacement == "compiled":
        path, called = _module(graph, match)
        more = [*called, *differentiating(graph, called)]
        module_ns = graph.undisturbed_ns(more)
        text += f"; then the module {path} ({len(called)} operators) likewise" if more else ""
        nodes, ns = nodes + more, ns + (2 * runs_of(module_ns) * module_ns if more else 0)
    lines = wrapped(f"{text}.", _WIDTH)
    return [
        *lines,
        *wrapped(f"traceanalyze: {'; '.join(_expected(graph, rule, runs, ns, nodes, on_gpu))}.", _WIDTH),
    ]


def _expected(
    graph: StepGraph, rule: Rule, runs: int, ns: float, nodes: Sequence[Node], on_gpu: bool
) -> Iterator[str]:
    """How long, as far as it is known: `ns` of `runs` each way in the recording, and compiling `nodes`."""
    if on_gpu == graph.on_gpu:
        yield f"takes about {duration(ns, 2)} at the recording's speed, {runs} runs each way"
    else:
        why = "a GPU's, and here is none" if graph.on_gpu else "a CPU's, and here is a GPU"
        yield f"how long the runs take is not known: the recording is {why}"
    if rule.replacement == "compiled":
        took = f"took {duration(compile_ns(nodes), 1)} for as much on a CPU with two cores"
        yield f"the compiler {took if not on_gpu else 'takes a time that is not known'}"
    yield "before that this machine's roofs are measured, which takes some seconds"


def _module(graph: StepGraph, match: Match) -> tuple[str, list[Node]]:
    """The one that is tried as a whole, and what a call of it runs; nothing where it is not tried."""
    try:
        path, nodes = call_of_module(graph, differentiated(graph, match))
    except UsageError:
        return "", []
    return (path, nodes) if len(nodes) <= MOST_OPERATORS else ("", [])


def result_lines(
    result: Verified, which: str, graph: StepGraph, claim: Told | None, device: Device
) -> Iterator[str]:
    """The report's promise, the times here, and whether it held. `which` place; `device`: this machine."""
    yield shorten(f"{result.rule} on {device.name}: {chain(result.names)}", _WIDTH, placeholder=" …")
    if claim is None:
        yield from _line("the report", "suggests nothing by it here: too little of the step is sure to go")
    else:
        count, where = claim.of.suggestion.count, claim.of.suggestion.where
        places = "1 place" if count == 1 else f"{count:,} places"
        yield from _line("the report", f"{claim.saving}: {places}{f' in {where}' if where else ''}")
    passes = ", with its backward pass" if result.backward else ""
    taken = f"{duration(result.recorded_ns)} in the recording"
    yield from _line("tried", f"{which}, {taken}{passes}")
    yield from _times(result.timed, result.recorded_ns, graph, device, _REPLACEMENTS[result.replacement])
    yield from _predicted(result)
    if claim is not None:
        held = _held(claim.of.share, result.timed, graph, device)
        untimed = claim.of.suggestion.saving_per_step_ns is None
        yield from _line("promise", "the report predicts no time" if untimed else held)


def module_lines(result: VerifiedModule, graph: StepGraph, device: Device) -> Iterator[str]:
    """One call of the module that holds the largest place."""
    passes = "forward and backward" if result.backward else "forward"
    text = f"its module {result.path} as a whole: {result.operators} operators, {passes}"
    yield shorten(text, _WIDTH, placeholder=" …")
    yield from _times(result.timed, result.recorded_ns, graph, device, "torch.compile of one call of it")
    yield from _predicted(result)


def refusal_line(what: str, why: str) -> str:
    """What could not be tried."""
    return next(_line("not tried", shorten(f"{what}: {why}", _WIDTH - _LABEL, placeholder=" …")))


def chain(names: Sequence[str]) -> str:
    """`mul → add`, cut."""
    return " → ".join(names[:_SHOWN]) + (f" → {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _times(
    timed: Timed, recorded: float, graph: StepGraph, device: Device, replacement: str
) -> Iterator[str]:
    yield from _figure(
        "before", timed.eager_ns, f"op by op{_beside(recorded / timed.eager_ns, graph, device)}"
    )
    yield from _figure("after", timed.replacement_ns, replacement)
    share = timed.saved_ns / timed.eager_ns
    yield from _figure(
        "saved", timed.saved_ns, f"{whole_percent(share)} of it" if share >= 0 else "it is slower"
    )


def _beside(times: float, graph: StepGraph, device: Device) -> str:
    """`: 3.1 times faster than in the recording`; nothing where that is not known."""
    if not times:
        return ""
    elsewhere = graph.device.how != "unknown" and device.name != graph.device.name
    there = f"on {graph.device.name}" if elsewhere else "in the recording"
    if abs(times - 1) <= _ALIKE:
        return f": as long as {there}"
    how = f"{digits(times, 2)} times faster" if times > 1 else f"{digits(1 / times, 2)} times slower"
    return f": {how} than {there}"


def _predicted(result: Verified | VerifiedModule) -> Iterator[str]:
    band, eager_ns = result.band, result.timed.eager_ns
    if band is None:
        error = "no saving here: it would be within the error of the prediction"
        yield from _line(
            "predicted", error if result.predicts else "no time: what it would save is not known"
        )
        return
    ends = _percents(band.low / eager_ns, band.high / eager_ns)
    outcome = "inside" if result.inside else "outside"
    yield from _figure("predicted", band.mid, f"{ends} of it, by this machine's roofs: {outcome}")


def _percents(low: float, high: float) -> str:
    """`30 to 55 %`; of what may be nothing `at most 55 %`."""
    most = whole_percent(min(1.0, high))
    return f"{whole_percent(low).removesuffix(' %')} to {most}" if low > 0 else f"at most {most}"


def _held(share: Band | None, timed: Timed, graph: StepGraph, device: Device) -> str:
    """Whether the share that was saved is one that the report predicts of the same place."""
    if share is None:
        return "the report predicts no time for this place alone"
    saved = timed.saved_ns / timed.eager_ns
    promise = f"{_percents(share.low, share.high)} promised by the report"
    measured = f"{whole_percent(saved)} saved here" if saved >= 0 else f"{whole_percent(-saved)} slower here"
    if device.kind != graph.device.kind:
        return f"not of this device: {measured}, {promise} for {graph.device.name}"
    kept = "held" if saved <= share.high else "more than held"
    return f"{kept if saved >= max(0.0, share.low) else 'not held'}: {measured}, {promise}"


def _figure(label: str, ns: float, text: str) -> Iterator[str]:
    sign = "-" if ns < 0 else ""
    yield from _line(label, f"{sign + duration(round(abs(ns))):>{_FIGURE}}   {text}", _FIGURE + 3)


def _line(label: str, text: str, indent: int = 0) -> Iterator[str]:
    """Wrapped behind its label, further lines by `indent` more."""
    head, tail = text[:indent], text[indent:]
    parts = wrapped(tail, _WIDTH - _LABEL - indent)
    yield f"  {label:{_LABEL - 2}}{head}{parts[0]}"
    yield from (" " * (_LABEL + indent) + part for part in parts[1:])


def bytes_lines(counted: Moved | NotCounted) -> Iterator[str]:
    """What memory moved, beside what is predicted."""
    if not isinstance(counted, Moved):
        why = f"not counted: {counted.reason}"
        yield from _line("moved", shorten(why, _WIDTH - _LABEL, placeholder=" …"))
        return
    bound = "at least " if counted.counter.lower_bound else ""
    yield from _line(
        "moved", f"{bound}{si(counted.before, 'B')} before, {bound}{si(counted.after, 'B')} after"
    )
    yield from _line("", f"counted: {counted.counter.how}")
    before, after = counted.predicted_before, counted.predicted_after
    then = f", {si(after, 'B')} after" if after else ""
    yield from _line("", f"compulsory: {si(before, 'B')} before{then}")
    if counted.read_first:
        more = si(before + counted.read_first, "B")
        yield from _line("", f"{more} before with the lines read before they are overwritten")
