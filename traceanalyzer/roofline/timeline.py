"""The window in bins: where they lie, and what the device did in each, exact to the nanosecond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from traceanalyzer.records import IDLE_CAUSES, VERDICTS, OpRow
from traceanalyzer.records.judged import IdleTimes
from traceanalyzer.records.timeline import MOST_BINS, MOST_STEPS, StepTimeline, TimelinePart
from traceanalyzer.records.trace import PHASES, Codes, Ids, Ints, Window, distinct, phase_named
from traceanalyzer.roofline.attribution import Attributed, by_step


class Bins(msgspec.Struct, frozen=True, eq=False):
    """The window, cut where a bin or a step begins; `bin`, `step`: one entry a stretch between cuts."""

    cuts: Ints
    bin: Ids  # numbered through all entries of the timeline
    step: Ids  # row in Window.steps
    names: tuple[str | None, ...]  # of each entry: its step
    bin_ns: tuple[int, ...]  # of each entry
    counts: tuple[int, ...]  # bins of each entry

    @classmethod
    def of(cls, window: Window) -> Bins:
        """Bins of each step; of the window where it has none, or more than a timeline shows."""
        each = 0 < len(window.steps) <= MOST_STEPS
        edges = np.array(window.cuts if each else (window.start_ns, window.end_ns), np.int64)
        widths = np.maximum(1, -(-np.diff(edges) // MOST_BINS))
        counts = -(-np.diff(edges) // widths)
        begins = [np.arange(n) * width + edge for n, width, edge in zip(counts, widths, edges, strict=False)]
        steps = np.array(window.cuts, np.int64)
        cuts = distinct(np.concatenate((*begins, edges, steps)))
        left = cuts[:-1]
        entry = np.searchsorted(edges, left, side="right") - 1
        number = (np.cumsum(counts) - counts)[entry] + (left - edges[entry]) // widths[entry]
        names = tuple(step.name for step in window.steps) if each else (None,)
        return cls(
            cuts, number.astype(np.int32), (np.searchsorted(steps, left, side="right") - 1).astype(np.int32),
            names, tuple(widths.tolist()), tuple(counts.tolist()),
        )  # fmt: skip

    def by_step(self, attributed: Attributed) -> Attributed:
        """What is attributed between cuts, by the steps that these lie in."""
        return replace(attributed, step=self.step[attributed.step])


def timeline(
    bins: Bins, attributed: Attributed, verdict: Codes, phase: Codes, idle: IdleTimes
) -> tuple[StepTimeline, ...]:
    """One entry a step, or the window's.

    `attributed`: between the bins' cuts; `verdict`, `phase`: of each record, rows in VERDICTS and PHASES, -1
    for no phase.
    """
    total, record = sum(bins.counts), attributed.record
    at = bins.bin[attributed.step]
    busy = _summed(at, verdict[record], attributed.time_ns, (total, len(VERDICTS)))
    in_phase = _summed(at, phase[record] + 1, attributed.time_ns, (total, len(PHASES) + 1))
    start, end, cause, stretch = by_step(idle.start_ns, idle.end_ns, idle.cause.astype(np.int32), bins.cuts)
    waited = _summed(bins.bin[stretch], cause, end - start, (total, len(IDLE_CAUSES)))
    most = np.argmax(in_phase, axis=1) - 1
    ends = np.cumsum(bins.counts).tolist()
    return tuple(
        StepTimeline(
            step=name,
            bin_ns=width,
            parts=tuple(_parts(busy[end - count : end], waited[end - count : end])),
            phase=tuple(map(phase_named, most[end - count : end].tolist())),
        )
        for name, width, count, end in zip(bins.names, bins.bin_ns, bins.counts, ends, strict=True)
    )


def verdict_codes(table: Sequence[OpRow], row: Ids) -> Codes:
    """Of each record the row in VERDICTS of its op row's; `row`: of each record its place in `table`."""
    codes = np.array([VERDICTS.index(each.verdict) for each in table] or [0], np.int8)
    of_record: Codes = codes[row]
    return of_record


def _parts(busy: Ints, waited: Ints) -> Iterator[TimelinePart]:
    """Verdicts, then causes, in their orders; one line a bin. Those without any time are left out."""
    yield from (
        TimelinePart("verdict", VERDICTS[column], tuple(busy[:, column].tolist()))
        for column in np.flatnonzero(busy.any(axis=0)).tolist()
    )
    yield from (
        TimelinePart("idle", IDLE_CAUSES[column], tuple(waited[:, column].tolist()))
        for column in np.flatnonzero(waited.any(axis=0)).tolist()
    )


def _summed(line: Ids, column: Ids | Codes, value: Ints, shape: tuple[int, int]) -> Ints:
    total = np.zeros(shape, np.int64)
    np.add.at(total, (line, column), value)
    return total
