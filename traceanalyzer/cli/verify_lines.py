"""What `verify` says: what it tries and for how long, then the times beside what the report promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import shorten

import msgspec

from traceanalyzer.fusion.cost_to_try import compile_ns
from traceanalyzer.fusion.place_promise import PlacePromise
from traceanalyzer.fusion.rules import Rule
from traceanalyzer.fusion.step_graph import Node, StepGraph
from traceanalyzer.records import Device
from traceanalyzer.records.units import digits, duration, si, whole_percent
from traceanalyzer.report.change_words import span
from traceanalyzer.report.wrapping import wrapped
from traceanalyzer.verify.measure import Timed, runs_of
from traceanalyzer.verify.modules import ModuleTrial, VerifiedModule
from traceanalyzer.verify.moved import Moved, NotCounted
from traceanalyzer.verify.verify import Trial, Verified

_WIDTH, _LABEL, _FIGURE = 80, 14, 9
_SHOWN = 6  # operators of a match
_ALIKE = 0.1  # by which times of two machines differ that are called the same
_FAR_APART = 4.0  # times of one thing, as often, that say little of each other
_REASON = 240  # characters of what was not tried, and why
_REPLACEMENTS = {
    "compiled": "torch.compile", "attention": "scaled_dot_product_attention", "optimizer": "fused=True",
}  # fmt: skip


class Claim(msgspec.Struct, frozen=True):
    """What the report says of the places that are tried."""

    saving: str  # as the report has it
    of: PlacePromise


def announced(graph: StepGraph, trial: Trial, module: ModuleTrial | None, *, on_gpu: bool) -> list[str]:
    """What is tried, and how long that may take, as far as the recording tells. `on_gpu`: this machine."""
    rule, nodes = trial.rule, list(trial.match.nodes)
    ways = f"op by op and by {_REPLACEMENTS[rule.replacement]}"
    text = f"traceanalyze: tries {chain([node.name for node in nodes])}, {ways}"
    runs = runs_of(trial.recorded_ns)
    ns = 2 * runs * trial.recorded_ns
    if module is not None:
        text += f"; then the module {module.path} ({len(module.nodes)} operators) likewise"
        nodes, ns = nodes + module.every, ns + 2 * runs_of(module.recorded_ns) * module.recorded_ns
    expected = "; ".join(_expected(graph, rule, runs, ns, nodes, on_gpu))
    return [*wrapped(f"{text}.", _WIDTH), *wrapped(f"traceanalyze: {expected}.", _WIDTH)]


def _expected(
    graph: StepGraph, rule: Rule, runs: int, ns: float, nodes: Sequence[Node], on_gpu: bool
) -> Iterator[str]:
    """How long, as far as it is known: `ns` of `runs` each way in the recording, and compiling `nodes`."""
    if on_gpu == graph.on_gpu:
        speed = f"takes about {duration(ns, 2)} at the recording's speed, longer beside other work"
        yield f"{speed}; {runs} runs each way"
    else:
        why = "a GPU's, and here is none" if graph.on_gpu else "a CPU's, and here is a GPU"
        yield f"how long the runs take is not known: the recording is {why}"
    if rule.replacement == "compiled":
        took = f"took {duration(compile_ns(nodes), 1)} for as much on a CPU with two cores"
        yield f"the compiler {took if not on_gpu else 'takes a time that is not known'}"
    yield "before that this machine's roofs are measured, which takes some seconds"


def result_lines(
    result: Verified, which: str, graph: StepGraph, claim: Claim | None, device: Device
) -> Iterator[str]:
    """The report's promise, the times here, and whether it held. `which` place; `device`: this machine."""
    yield shorten(f"{result.rule} on {device.name}: {chain(result.names)}", _WIDTH, placeholder=" …")
    if claim is None:
        yield from _line("the report", "suggests nothing by it here: too little of the step is sure to go")
    else:
        yield from _line("the report", _claimed(claim))
    passes = ", with its backward pass" if result.backward else ""
    taken = f"{duration(result.recorded_ns)} in the recording"
    yield from _line("tried", f"{which}, {taken}{passes}")
    yield from _times(result.timed, result.recorded_ns, graph, device, _REPLACEMENTS[result.replacement])
    yield from _predicted(result, "")


def _claimed(claim: Claim) -> str:
    """The saving, its places, and what of it those have that are tried."""
    of, part = claim.of.suggestion, claim.of.part
    places = "1 place" if of.count == 1 else f"{of.count:,} places"
    text = f"{claim.saving}: {places}{f' in {of.where}' if of.where else ''}"
    if part is None or claim.of.places >= of.count:
        return text
    ns = span(part.low, part.high) if part.low > 0 else f"at most {duration(part.high, 2)}"
    who = "the one that is tried has" if claim.of.places == 1 else f"the {claim.of.places} tried have"
    return f"{text}; {who} {ns} of that"


def module_lines(result: VerifiedModule, graph: StepGraph, device: Device) -> Iterator[str]:
    """One call of the module that holds the largest place."""
    passes = "forward and backward" if result.backward else "forward"
    text = f"its module {result.path} as a whole: {result.operators} operators, {passes}"
    yield shorten(text, _WIDTH, placeholder=" …")
    yield from _times(result.timed, result.recorded_ns, graph, device, "torch.compile of one call of it")
    saved_ns, band = result.timed.saved_ns, result.band
    other = "more was saved" if band is not None and saved_ns > band.high else "less was saved"
    yield from _predicted(result, ": inside" if result.inside else f": {other}")


def refusal_lines(what: str, why: str) -> Iterator[str]:
    """What could not be tried, with the reason."""
    yield from _line("not tried", shorten(f"{what}: {why}", _REASON, placeholder=" …"))


def verdict_lines(
    result: Verified, module: VerifiedModule | None, claim: Claim | None, graph: StepGraph, device: Device
) -> Iterator[str]:
    """One sentence: whether the promise held, beside what this machine's roofs predicted; or why this run
    says little of it."""
    saved = _share_saved(result.timed)
    measured = f"{whole_percent(saved)} saved here" if saved >= 0 else f"{whole_percent(-saved)} slower here"
    share = claim.of.share if claim else None
    doubt = doubtful(result, module, graph, device)
    promise = f", {_percents(share.low, share.high)} promised by the report" if share else ""
    if doubt:
        of = " of the promise" if share else ""
        text = f"this run says little{of}: {doubt}; {measured}{promise}"
    elif claim is None:
        text = f"nothing was promised: {measured}{_by_roofs(result)}"
    elif claim.of.suggestion.saving_per_step_ns is None:
        text = f"no promise to compare with: the report predicts no time; {measured}{_by_roofs(result)}"
    elif share is None:
        alone = "the report predicts no time for this place alone"
        text = f"no promise to compare with: {alone}; {measured}{_by_roofs(result)}"
    elif device.kind != graph.device.kind:
        text = f"promise not of this device: {measured}{promise} for {graph.device.name}"
    else:
        kept = "held" if saved <= share.high else "more than held"
        held = kept if saved >= max(0.0, share.low) else "not held"
        text = f"promise {held}: {measured}{promise}{_by_roofs(result)}"
    yield from wrapped(f"{text}.", _WIDTH)


def _by_roofs(result: Verified) -> str:
    """The last clause of a verdict: what was predicted from the roofs that were measured here."""
    band, eager_ns = result.band, result.timed.eager_ns
    if band is None:
        return "; by this machine's roofs no saving was sure" if result.predicts else ""
    if result.inside:
        return "; as this machine's roofs predicted"
    which = "more" if result.timed.saved_ns < band.low else "less"
    return f"; this machine's roofs predicted {which}: {_percents(band.low / eager_ns, band.high / eager_ns)}"


def doubtful(result: Verified, module: VerifiedModule | None, graph: StepGraph, device: Device) -> str:
    """Why times of this run say little of the recording's; "" where they may be compared."""
    if device.kind != graph.device.kind:
        return ""
    here, eager_ns = result.recorded_ns / result.timed.eager_ns, result.timed.eager_ns
    if here > _FAR_APART:
        roofs = graph.recording.cpu_roofs if graph.recording else None
        busy = f"{roofs.load:.1f} others ran meanwhile" if roofs and roofs.load else "as under load"
        why = f"{busy}, or with its tensors in memory, which may lie in the cache here"
        return f"the place took {digits(here, 2)} times as long in the recording ({why})"
    if here and 1 / here > _FAR_APART:
        why = "a slower machine, or others keep it busy now"
        return f"the place takes {digits(eager_ns / result.recorded_ns, 2)} times as long here ({why})"
    if module is None:
        return ""
    whole = module.recorded_ns / module.timed.eager_ns
    if here and whole and not 1 / _FAR_APART <= here / whole <= _FAR_APART:
        return f"the place ran {_speed(here)} recorded, its module {_speed(whole)} recorded"
    saved, of_module = _share_saved(result.timed), _share_saved(module.timed)
    if min(saved, of_module) < -_ALIKE and max(saved, of_module) > _ALIKE:
        which = (
            "the place is faster and its module slower" if saved > 0 else "its module is faster and it slower"
        )
        return f"compiled, {which}"
    return ""


def _share_saved(timed: Timed) -> float:
    return timed.saved_ns / timed.eager_ns


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
    return f": {_speed(times)} {there}"


def _speed(times: float) -> str:
    """`3.1 times faster than`."""
    return (
        f"{digits(times, 2)} times faster than" if times > 1 else f"{digits(1 / times, 2)} times slower than"
    )


def _predicted(result: Verified | VerifiedModule, outcome: str) -> Iterator[str]:
    """`outcome`: `: inside`; of what a verdict follows nothing."""
    band, eager_ns = result.band, result.timed.eager_ns
    if band is None:
        error = "nothing sure: a saving would be within the error of the prediction"
        yield from _line(
            "predicted", error if result.predicts else "no time: what it would save is not known"
        )
        return
    ends = _percents(band.low / eager_ns, band.high / eager_ns)
    yield from _figure("predicted", band.mid, f"{ends} of it, by this machine's roofs{outcome}")


def _percents(low: float, high: float) -> str:
    """`30 to 55 %`; of what may be nothing `at most 55 %`."""
    most = whole_percent(min(1.0, high))
    return f"{whole_percent(low).removesuffix(' %')} to {most}" if low > 0 else f"at most {most}"


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
