"""Strips: what the device did over the shown step, and how much memory was in use, as paths of an SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby

import msgspec

from traceanalyzer.records import Analysis, StepTimeline
from traceanalyzer.records.units import duration, percent, si
from traceanalyzer.report.labels import CAUSE_LABELS, VERDICT_LABELS
from traceanalyzer.report.rows import shown_timeline
from traceanalyzer.report.sanitize import cut, visible
from traceanalyzer.report.shown import MAX_NAME

HEIGHT = 40  # of a strip, in units of one bin
_HOLDERS = 8
_LABELS = {name: label for labels in (VERDICT_LABELS, CAUSE_LABELS) for name, label in labels.items()}


class StripPart(msgspec.Struct, frozen=True):
    """All bins of one verdict, or one cause of idleness."""

    key: str  # its class
    label: str
    time: str
    path: str


class PhaseSpan(msgspec.Struct, frozen=True):
    """Bins one behind the other of one phase."""

    label: str
    x: int
    width: int


class Strip(msgspec.Struct, frozen=True):
    """One step from left to right; each bin is as high as it is long."""

    title: str
    width: int
    length_ns: int
    parts: tuple[StripPart, ...]
    phases: tuple[PhaseSpan, ...]


class MemoryStrip(msgspec.Struct, frozen=True):
    """Memory in use over the step, of its highest."""

    sentence: str
    width: int
    path: str
    holders: tuple[tuple[str, str, str, str], ...]  # module, phase, what for, bytes


def strip(analysis: Analysis) -> Strip | None:
    """Of the step that is shown, one that is like all others, or the trace; None where no report tells."""
    entries = shown_timeline(analysis)
    if not entries or not entries[0].phase:
        return None
    entry = entries[0]
    count, parts = len(entry.phase), tuple(strip_parts(entry, 1))
    name = f"step {cut(visible(entry.step), MAX_NAME)}" if entry.step else "window"
    length_ns = sum(sum(part.time_ns) for part in entry.parts)
    title = f"The {name}, {count} bins of {duration(entry.bin_ns)}"
    return Strip(title, count, length_ns, parts, _phases(entry))


def strip_parts(entry: StepTimeline, coarser: int) -> Iterator[StripPart]:
    """Each verdict and cause over the bins, `coarser` of which are drawn as one."""
    times = {part.name: _sums(part.time_ns, coarser) for part in entry.parts}
    lengths = [max(1, sum(each)) for each in zip(*times.values(), strict=True)]
    lower = [0] * len(lengths)
    for name, time_ns in times.items():
        upper = [below + ns for below, ns in zip(lower, time_ns, strict=True)]
        if path := _bars(lower, upper, lengths):
            yield StripPart(name, _LABELS[name], duration(sum(time_ns)), path)
        lower = upper


def _sums(time_ns: Sequence[int], count: int) -> list[int]:
    return [sum(time_ns[at : at + count]) for at in range(0, len(time_ns), count)]


def memory_strip(analysis: Analysis) -> MemoryStrip | None:
    """None where the trace has no memory rows."""
    use = analysis.memory
    if use is None or not use.peak_bytes:
        return None
    points = (
        f"L{at} {HEIGHT - HEIGHT * used // use.peak_bytes}H{at + 1}" for at, used in enumerate(use.bins)
    )
    path = f"M0 {HEIGHT}{''.join(points)}V{HEIGHT}z"
    lines = tuple(
        (visible(h.module or ""), h.phase or "", (h.kind or "").replace("_", " "), si(h.bytes, "B"))
        for h in use.holders[:_HOLDERS]
    )
    return MemoryStrip(memory_sentence(analysis), len(use.bins), path, lines)


def memory_sentence(analysis: Analysis) -> str:
    """`Memory: 1.0 GB before the step, 2.7 GB at its peak, 132 ms into the host's 1.2 s, 3 % of the ...`

    Memory is handed out when the host asks for it: the step is the host's, which may end before the device's.
    """
    use = analysis.memory
    if use is None:
        return ""
    step = f"step {cut(visible(use.step), MAX_NAME)}" if use.step else "trace"
    moment = duration(use.peak_at_ns)
    host = next((each.host_ns for each in analysis.step_rows or () if each.name == use.step), None)
    of_host = f" into the host's {duration(host)}" if host and analysis.device.kind == "gpu" else " into it"
    if use.how != "totals":  # its peak is no share of a device, for what was there before is not known
        added = f"up to {si(use.peak_bytes, 'B')} beside what was there when the recording began"
        return f"Memory: the {step} holds {added}, most {moment}{of_host}."
    text = (
        f"Memory: {si(use.before_step_bytes, 'B')} before the {step}, {si(use.peak_bytes, 'B')} at its peak"
    )
    text += f", {moment}{of_host}"
    if use.device_bytes:
        text += f", {percent(use.peak_bytes / use.device_bytes)} of the device's {si(use.device_bytes, 'B')}"
    if use.reserved_bytes:
        text += f"; {si(use.reserved_bytes, 'B')} reserved"
    return f"{text}."


def _bars(lower: list[int], upper: list[int], lengths: list[int]) -> str:
    """One rectangle for bins one behind the other that look alike."""
    edges = [
        (HEIGHT - HEIGHT * top // whole, HEIGHT - HEIGHT * bottom // whole)
        for bottom, top, whole in zip(lower, upper, lengths, strict=True)
    ]
    path, at = "", 0
    for (top, bottom), same in groupby(edges):
        width = sum(1 for _ in same)
        if bottom > top:
            path += f"M{at} {top}h{width}v{bottom - top}h-{width}z"
        at += width
    return path


def _phases(entry: StepTimeline) -> tuple[PhaseSpan, ...]:
    runs = [(phase, sum(1 for _ in same)) for phase, same in groupby(entry.phase)]
    begins = accumulate((width for _, width in runs), initial=0)
    return tuple(
        PhaseSpan(phase, at, width) for (phase, width), at in zip(runs, begins, strict=False) if phase
    )
