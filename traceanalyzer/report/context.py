"""Method and inputs of a report: device, roofs, recording, ranks, what-if; and the suggestions as text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

import msgspec

from traceanalyzer.records import Analysis, Band, Projection, Suggestion
from traceanalyzer.records.times import typical_step
from traceanalyzer.records.units import digits, duration, percent, si
from traceanalyzer.records.vocabulary import RULES_TO_VERIFY, SHARING_ON_CPU
from traceanalyzer.report.change_words import by_certainty, is_lost, span
from traceanalyzer.report.code_view import place_texts
from traceanalyzer.report.jobs import has_all_ranks
from traceanalyzer.report.labels import HOW, TIER_MEANING
from traceanalyzer.report.sanitize import ABSENT, TEXT, cut, visible
from traceanalyzer.report.shown import per_saving, per_step, shown, steps_of_kind
from traceanalyzer.report.summary import Fact

_ASKS_FOR_RANKS = "exposed_communication"
_OF_ALL_RANKS = "of a folder with one trace a rank"  # in what that rule says
_EVERYWHERE = "the whole "  # step or trace: no place
_TITLE = 80  # characters of a suggestion's title
_CLAUSE = re.compile(r"[;:.](?:\s|$)| \(")
_SHAPE = re.compile(r"\s*\[[\d, ×…]*\]")


class PeakLine(msgspec.Struct, frozen=True):
    """One roof of the device."""

    engine: str
    precision: str
    rate: str
    ridge: str


class SuggestionText(msgspec.Struct, frozen=True):
    """One suggestion."""

    rule: str
    imperative: str  # "Pass fused=True to the optimizer"
    site: str  # its module, else its operators, as code; nothing where it is the whole step's
    title: str  # what was found
    tier: str
    tier_meaning: str
    saving: str  # "1.1 to 1.9 ms per step, proved", "at most 2 ms per step", or that no time is predicted
    share: str
    evidence: str
    action: str
    says_more: bool  # whether `action` says more than `imperative` and the place do
    snippet: str
    where: str
    count: str
    bytes: str
    peak: str  # "frees 1.2 GB at the peak"
    cost_to_try: str  # "one flag"; of what is compiled, how long that takes and when it pays back
    caveats: tuple[str, ...]
    commands: tuple[str, ...]  # that tell more of it, or try it
    docs: str
    has_saving: bool
    least: float  # of the step, 0 to 1, that it saves for certain
    most: float  # likewise, that it may save
    places: tuple[str, ...]  # "net.py:41 forward", most time first
    shares_time: bool = False  # with others, so that together they save less


def device(analysis: Analysis) -> Iterable[Fact]:
    """The device whose roofs the rows are compared with, and the origin of its figures."""
    d = analysis.device
    yield Fact("Device", visible(d.name or "unnamed"), visible(d.id))
    yield Fact("Roofs", HOW[d.how], visible(f"confidence: {d.confidence}") if d.confidence else "")
    yield Fact(
        "Memory bandwidth", si(d.bandwidth_bytes_per_s, "B/s") if d.bandwidth_bytes_per_s else "unknown"
    )
    if d.l2_bytes:
        yield Fact("L2 cache", si(d.l2_bytes, "B"))
    if d.multiprocessors:
        yield Fact("Multiprocessors", f"{d.multiprocessors:,}")
    if d.provenance:
        yield Fact("Source", cut(visible(d.provenance), 2 * TEXT))


def peaks(analysis: Analysis) -> Iterable[PeakLine]:
    """Every roof that rows are compared with, and its ridge."""
    bandwidth = analysis.device.bandwidth_bytes_per_s
    used = {(row.engine, row.precision) for row in analysis.op_rows}
    for p in analysis.device.peaks:
        if (p.engine, p.precision) not in used:
            continue
        ridge = f"{digits(p.flop_per_s / bandwidth)} FLOP/B" if bandwidth else ABSENT
        yield PeakLine(p.engine, visible(p.precision), si(p.flop_per_s, "FLOP/s"), ridge)


def suggestion_texts(analysis: Analysis) -> tuple[SuggestionText, ...] | None:
    """All suggestions as text; None where they were not looked for."""
    if analysis.suggestions is None:
        return None
    whole = "step" if analysis.window.step_count else "trace"
    return tuple(
        _suggestion_text(analysis, s, per_saving(analysis, s), whole) for s in suggestions_of(analysis)
    )


def saving_text(analysis: Analysis, s: Suggestion) -> str:
    """`1.1 to 1.9 ms per step, proved`, `at most 2 ms of ProfilerStep#7`, or that no time is predicted."""
    band = s.saving_per_step_ns
    if band is None:
        return "no time predicted"
    of, busy = per_saving(analysis, s), s.busy_saving_ns
    if busy is None:
        return f"{_saved(band)} {of}{', proved' if band.low else ''}"
    if is_lost(s):
        return f"no time of the step, whose pace the host sets: {_saved(busy)} of busy time {of}"
    proved = ", proved" if band.low else ""
    return f"{_saved(band)} {of}{proved}; {_saved(busy)} of busy time"


def suggestions_of(analysis: Analysis) -> tuple[Suggestion, ...]:
    """What is sure first, then by what is likely.

    One to report on all ranks is taken as followed where this report does.
    """
    suggestions = by_certainty(analysis.suggestions or ())
    if not has_all_ranks(analysis):
        return suggestions
    return tuple(_with_ranks(each) if each.rule == _ASKS_FOR_RANKS else each for each in suggestions)


def _with_ranks(suggestion: Suggestion) -> Suggestion:
    late = "where the others wait for one rank (see the ranks), find out first what makes it late"
    others = (text for text in suggestion.caveats if _OF_ALL_RANKS not in text)
    return msgspec.structs.replace(suggestion, caveats=(late, *others))


def imperative(action: str) -> str:
    """The first clause of what to do, as a title: `Call scaled_dot_product_attention`."""
    first = _CLAUSE.split(action, maxsplit=1)[0].rstrip(".")
    if len(first) > _TITLE:
        first = first.split(", ", maxsplit=1)[0]
    return cut(f"{first[:1].upper()}{first[1:]}", 2 * _TITLE)


def _of_step(analysis: Analysis, s: Suggestion) -> float:
    """What its saving is a part of, in ns."""
    window, figures = analysis.window, shown(analysis)
    if s.saving_of == "mean_step":
        return window.window_ns / (window.step_count or 1)
    if s.step_kind is not None:
        steps = steps_of_kind(analysis, s)
        return typical_step(steps).device_ns if steps else figures.each(figures.window_ns)
    return figures.each(figures.window_ns)


def _saved(band: Band) -> str:
    """`14 to 21 ms`; of what may be nothing `at most 21 ms`."""
    return span(band.low, band.high) if band.low else f"at most {duration(band.high, 2)}"


def _site(s: Suggestion) -> str:
    """Where it is known, else `bmm → _softmax → bmm` of evidence that begins with operators."""
    if s.where:
        return "" if s.where.startswith(_EVERYWHERE) else _text(s.where)
    chain = s.evidence.split(": ", maxsplit=1)[0]
    if ": " not in s.evidence or not _SHAPE.search(chain):
        return ""
    return _text(" → ".join(_SHAPE.sub("", part).strip() for part in chain.split(" → ")))


def _without_place(s: Suggestion) -> str:
    """What to do, without the name of the module: the place stands beside a title."""
    names = (f", {s.where}", f" in {s.where}") if s.where else ()
    return next((s.action.replace(name, "", 1) for name in names if name in s.action), s.action)


def _suggestion_text(analysis: Analysis, s: Suggestion, of: str, whole: str) -> SuggestionText:
    """One suggestion as text; `of` and `whole` say what its saving is of."""
    band = s.saving_per_step_ns
    step_ns = _of_step(analysis, s) or 1
    unnamed = _without_place(s)
    brief = imperative(_text(unnamed))
    if s.saving_of == "mean_step":
        whole = "average step"
    return SuggestionText(
        rule=visible(s.rule), imperative=brief,
        site="" if _text(s.where) in brief.split() else _site(s),  # a name that what to do has already
        title=_text(s.title),
        tier=s.tier, tier_meaning=TIER_MEANING[s.tier], saving=saving_text(analysis, s),
        share=f"{percent(s.share_of_step)} of the {whole}" if s.share_of_step is not None else "",
        evidence=_text(s.evidence), action=_text(s.action), says_more=unnamed.rstrip(".") != brief,
        snippet=cut("\n".join(map(visible, s.snippet.rstrip().splitlines())), 3 * TEXT), where=_text(s.where),
        count=f"{s.count:,}",
        bytes=f"{si(s.bytes_saved_per_step, 'B')} {of}" if s.bytes_saved_per_step else "",
        peak=f"frees {si(s.peak_bytes_saved, 'B')} at the peak" if s.peak_bytes_saved else "",
        cost_to_try=_text(s.cost_to_try),
        caveats=tuple(map(_text, s.caveats)),
        commands=tuple(_commands(analysis, s)), docs=_text(s.docs),
        has_saving=band is not None,
        least=min(band.low / step_ns, 1.0) if band else 0.0,
        most=min(band.high / step_ns, 1.0) if band else 0.0,
        places=place_texts(s.places),
        shares_time=analysis.device.kind == "cpu" and s.rule in SHARING_ON_CPU,
    )  # fmt: skip


def next_commands(analysis: Analysis) -> tuple[str, ...]:
    """What to type after a report: what its first change means or how it does here, and of the first change
    that can be tried by itself how that does."""
    commands: list[str] = []
    for suggestion in suggestions_of(analysis):
        explained, *verified = _commands(analysis, suggestion)
        if verified:
            return (*commands, verified[0])
        commands = commands or [explained]
    return tuple(commands)


def _commands(analysis: Analysis, s: Suggestion) -> Iterable[str]:
    """`traceanalyze explain RULE`; where it can be tried by itself, `traceanalyze verify FILE RULE`."""
    rule = visible(s.rule)
    yield f"traceanalyze explain {rule}"
    file = visible(analysis.source.files[0].path)
    if s.rule in RULES_TO_VERIFY and file != "-":
        yield f"traceanalyze verify {shlex.quote(file)} {rule}"


def _text(value: str) -> str:
    return cut(visible(value), 3 * TEXT)


def what_if(analysis: Analysis) -> Iterable[tuple[str, ...]]:
    """(device, busy time, step time, memory-bound share of busy)."""
    for p in analysis.what_if or ():
        yield (
            visible(p.device), _projected(analysis, p),
            duration(p.step_ns) if p.step_ns else ABSENT, percent(p.memory_bound_share_of_busy),
        )  # fmt: skip


def _projected(analysis: Analysis, p: Projection) -> str:
    """Busy time with its band."""
    busy = duration(per_step(analysis, p.busy_ns))
    if p.busy_low_ns is None or p.busy_high_ns is None or p.busy_low_ns == p.busy_high_ns:
        return busy
    return f"{busy} ({span(per_step(analysis, p.busy_low_ns), per_step(analysis, p.busy_high_ns))})"


def recording(analysis: Analysis) -> Iterable[Fact]:
    """The file, its steps, and what the collector recorded."""
    file = analysis.source.files[0]
    yield Fact("File", visible(file.path), f"{si(file.bytes, 'B')} of text, {file.events:,} events")
    yield Fact("Format", visible(analysis.source.dialect))
    if analysis.window.steps:
        names = analysis.window.steps
        yield Fact("Steps", visible(names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"))
    r = analysis.recording
    if r is None:
        yield Fact("Recorded with", "unknown")
        return
    texts = (("PyTorch", r.torch), ("CUDA or ROCm", r.cuda), ("Python", r.python), ("Script", r.script),
             ("Command", r.command))  # fmt: skip
    for name, text in texts:
        if text:
            yield Fact(name, cut(visible(text), TEXT))
    if r.tf32 is not None:
        yield Fact("TF32", "allowed for fp32 matmuls" if r.tf32 else "off")
    if r.active is not None:
        yield Fact("Schedule", f"wait {r.wait}, warm up {r.warmup}, record {r.active} steps")
    if r.unprofiled_step_ns is not None and r.profiled_step_ns is not None:
        is_loaded = any(each.code == "shorter_under_profiler" for each in analysis.source.warnings)
        why = ": other work on the machine, or a change of clocks" if is_loaded else ""
        yield Fact("Step without profiler", duration(r.unprofiled_step_ns),
                   f"{duration(r.profiled_step_ns)} with it{why}")  # fmt: skip
    if r.minor_faults_per_step is not None and r.system_ns_per_step is not None:
        yield Fact("Page faults", f"{r.minor_faults_per_step:,} per step",
                   f"{duration(r.system_ns_per_step)} of system time")  # fmt: skip
    if r.peak_memory_bytes is not None:
        yield Fact("Peak memory", si(r.peak_memory_bytes, "B"))
    if r.complete is False:
        yield Fact("Run", "ended before all steps were recorded")
