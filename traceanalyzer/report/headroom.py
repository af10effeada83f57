"""How short the step could become, in words and as bars; and what was looked for and not found."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from traceanalyzer.records import Analysis, Band, Headroom
from traceanalyzer.records.units import duration, percent, whole_percent
from traceanalyzer.records.vocabulary import IDLE_RULES, NEXT_TO_NOTHING
from traceanalyzer.report.change_words import cut_at_roofs, span
from traceanalyzer.report.largest import limited_by_nothing
from traceanalyzer.report.sanitize import visible
from traceanalyzer.report.shown import shown

_LITTLE, _MUCH = 0.1, 0.7  # of their roofs, that kernels reach
_LEAST_KNOWN = 0.5  # of busy time, whose roofs are known, for anything to be said of it
_OPEN = 0.01  # of the step, whose roof is not known, to be named
_MOSTLY_OPEN = 0.8  # of the time at the roofs, from which on that says nothing
_NAMED = 6  # rules


class HeadroomBar(msgspec.Struct, frozen=True):
    """One length of the step; `low_share`, `high_share`: of what it takes now."""

    label: str
    time: str
    low_share: float
    high_share: float


class HeadroomText(msgspec.Struct, frozen=True):
    """What the step could come to."""

    sentence: str
    bars: tuple[HeadroomBar, ...]


def headroom_text(analysis: Analysis) -> HeadroomText | None:
    """None where the report does not tell, or nothing ran."""
    room = analysis.headroom
    if room is None or not room.now_ns:
        return None
    proved = not _same(room.proved_ns, room.now_ns)
    possible = room.all_ns != room.proved_ns
    sentence = f"{_whole(analysis)} takes {duration(room.now_ns, 2)} now"
    if proved:
        sentence += f", {_between(room.proved_ns)} with the changes that are proved"
    possible = possible and duration(room.all_ns.low, 2) != duration(room.now_ns, 2)
    if possible:
        cut_off = ", cut off at what its roofs allow" if cut_at_roofs(analysis) else ""
        sentence += f", {_between(room.all_ns)} with all that may help{cut_off}"
    if (proved or possible) and limited_by_nothing(analysis, shown(analysis)):
        sentence += ", if nothing slows what is left (far_below_roofs)"
    if any(each.saving_of == "mean_step" for each in analysis.suggestions or ()) and room.now_ns:
        sentence += ", without what is averaged over steps that differ"
    words = [f"{sentence}; {_at_roofs(room, possible or proved)}.", *_reach(analysis)]
    return HeadroomText(" ".join(words), tuple(_bars(analysis)))


def _at_roofs(room: Headroom, changed: bool) -> str:
    """What is left where nothing idles and all runs at its roof, if enough has one.

    `changed`: by suggestions.
    """
    unknown = duration(room.not_bounded_ns, 2)
    if room.not_bounded_ns > _MOSTLY_OPEN * room.at_roofs_ns:
        return f"what it would take at its roofs is not known: {unknown} of its work has no known roof"
    included = ", changes included," if changed else ""
    text = f"at its roofs{included} it would take {duration(room.at_roofs_ns, 2)}"
    return (
        f"{text}, {unknown} of it with no known roof" if room.not_bounded_ns > _OPEN * room.now_ns else text
    )


def missing(analysis: Analysis) -> str:
    """One line: how many rules found nothing, and which could not be looked for, by reason."""
    if not analysis.checks:
        return ""
    absent = sum(check.outcome == "not_found" for check in analysis.checks)
    reasons: dict[str, list[str]] = {}
    for check in analysis.checks:
        if check.outcome == "not_checkable":
            reasons.setdefault(check.reason or "", []).append(check.rule)
    text = (
        f"{unchanged(analysis)} Looked for and not found: {absent} of {len(analysis.checks)} rules.".lstrip()
    )
    for reason, rules in reasons.items():
        more = f" and {len(rules) - _NAMED} more" if len(rules) > _NAMED else ""
        text += f" Not looked for ({visible(reason)}): {', '.join(map(visible, rules[:_NAMED]))}{more}."
    return text


def unchanged(analysis: Analysis) -> str:
    """Why there is no change for idle time that is seen in the step; "" where that is no matter."""
    reasons = [
        check.reason for check in analysis.checks or ()
        if check.outcome == "not_found" and check.reason and check.reason != NEXT_TO_NOTHING
    ]  # fmt: skip
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in map(visible, reasons))


def _whole(analysis: Analysis) -> str:
    figures = shown(analysis)
    if figures.step:
        return f"The step {figures.name}"
    return "The trace" if figures.step_count is None else "A step"


def _same(band: Band, now_ns: int) -> bool:
    return band.low >= now_ns


def _between(band: Band) -> str:
    return span(band.low, band.high)


def _reach(analysis: Analysis) -> list[str]:
    """How near to their roofs the kernels come, and what follows from it."""
    rows = [row for row in analysis.op_rows if row.efficiency is not None]
    known_ns, busy_ns = sum(row.attributed_ns for row in rows), analysis.time.busy_ns
    if not known_ns or known_ns < _LEAST_KNOWN * busy_ns:
        return []
    reached = sum(row.attributed_ns * min(1.0, row.efficiency or 0.0) for row in rows) / known_ns
    what = "These kernels" if analysis.device.kind == "gpu" else "These operators"
    text = f"{what} reach {whole_percent(reached)} of their roofs"
    latency_ns = sum(row.attributed_ns for row in rows if row.verdict == "latency_bound")
    if reached < _LITTLE and 2 * latency_ns > known_ns:
        return [f"{text}: the work is too small."]
    faster = any(each.rule not in IDLE_RULES for each in analysis.suggestions or ())
    if reached >= _MUCH and analysis.device.kind == "gpu" and not faster:
        return [f"{text}: leave the kernels alone."]
    return [f"{text}."]


def _bars(analysis: Analysis) -> Iterator[HeadroomBar]:
    room = analysis.headroom
    if room is None:
        return
    now, bounded = room.now_ns, room.not_bounded_ns <= _MOSTLY_OPEN * room.at_roofs_ns
    lengths = [("now", Band(now, now, now)), ("with what is proved", room.proved_ns),
               ("with all that may help", room.all_ns),
               ("at its roofs", Band(room.at_roofs_ns, room.at_roofs_ns, room.at_roofs_ns))]  # fmt: skip
    for label, band in lengths if bounded else lengths[:-1]:
        low, high = whole_percent(band.low / now), whole_percent(band.high / now)
        share = percent(band.mid / now) if low == high else f"{low.removesuffix(' %')} to {high}"
        yield HeadroomBar(label, f"{_between(band)}, {share}", band.low / now, band.high / now)
