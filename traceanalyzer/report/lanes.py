"""Steps that differ, or the ranks of a job, under each other on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from traceanalyzer.records import Analysis, RankEntry
from traceanalyzer.records.times import shown_step
from traceanalyzer.records.units import duration
from traceanalyzer.report.jobs import RankLine
from traceanalyzer.report.labels import VERDICT_LABELS
from traceanalyzer.report.sanitize import cut, visible
from traceanalyzer.report.shown import MAX_NAME
from traceanalyzer.report.strips import HEIGHT, StripPart, strip_parts

LANES = 12  # under each other
_COARSER = 4  # bins of a step that are drawn as one
_UNITS = 1000  # of the longest rank


class Lane(msgspec.Struct, frozen=True):
    """One step or rank."""

    name: str
    time: str
    shown: bool  # the report is about it
    scale: int  # the width of the longest, in units of this one's parts
    parts: tuple[StripPart, ...]


def step_lanes(analysis: Analysis) -> tuple[Lane, ...]:
    """The first of steps that differ; nothing where one is like all others."""
    steps, timelines = analysis.step_rows or (), analysis.step_timelines or ()
    shown = shown_step(steps, analysis.window.kinds)
    if shown is None or len(steps) != len(timelines) or len(steps) < 2:
        return ()
    longest_ns = max(step.device_ns for step in steps[:LANES])
    return tuple(
        Lane(
            cut(visible(step.name), MAX_NAME), duration(step.device_ns), step is shown,
            max(1, round(longest_ns / (entry.bin_ns * _COARSER))), tuple(strip_parts(entry, _COARSER)),
        ) for step, entry in zip(steps[:LANES], timelines, strict=False)
    )  # fmt: skip


def rank_lanes(lines: Sequence[RankLine]) -> tuple[Lane, ...]:
    """Each with what of its window is memory-bound, other work, exposed communication and idle."""
    longest_ns = max((line.entry.window_ns for line in lines), default=0)
    return tuple(
        Lane(line.name, line.window, line.shown, _UNITS, tuple(_rank_parts(line.entry, longest_ns)))
        for line in lines if longest_ns
    )  # fmt: skip


def _rank_parts(entry: RankEntry, longest_ns: int) -> Iterator[StripPart]:
    share = entry.memory_bound_share_of_busy
    memory_ns = round(entry.busy_ns * share) if share == share else 0  # nan: not known
    exposed_ns = entry.exposed_communication_ns
    parts = (
        ("memory_bound", VERDICT_LABELS["memory_bound"], memory_ns),
        ("unmodelled", "other work", entry.busy_ns - memory_ns - exposed_ns),
        ("communication", "exposed communication", exposed_ns),
        ("idle", "idle", entry.window_ns - entry.busy_ns),
    )
    edges = [0]
    for _, _, ns in parts:
        edges.append(edges[-1] + max(ns, 0))
    drawn = [_UNITS * edge // longest_ns for edge in edges]
    for (key, label, ns), (left, right) in zip(parts, pairwise(drawn), strict=True):
        if right > left:
            yield StripPart(key, label, duration(ns), f"M{left} 0h{right - left}v{HEIGHT}h-{right - left}z")
