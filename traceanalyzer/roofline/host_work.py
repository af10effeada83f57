"""What the host did while the device waited for it: launching, or work that has a name in the trace."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.trace import Ids, Ints, Trace
from traceanalyzer.roofline.host_names import Host
from traceanalyzer.roofline.intervals import Intervals, common, covered, disjoint, joined, without
from traceanalyzer.roofline.launching import (
    DISPATCH_NS,
    LONGEST_NS,
    Calls,
    calls_of,
    from_its_operator,
    launching_in,
    pauses_between,
)

# On an idle device a kernel starts 1 to 15 us after its launch call returns (99th percentiles in public
# traces of eight GPU models); one that starts later was held up by something the host did not do.
LATENCY_NS = 20_000


class Waits(msgspec.Struct, frozen=True, eq=False):
    """Idle stretches by what held the device up; together they are what was asked about."""

    launching: Intervals
    working: Intervals  # on the host; `row` is a name of the trace, -1 where it shows none
    elsewhere: Intervals  # neither: the kernel behind the gap had been launched before it


def waits(
    trace: Trace, members: Ids, gap_start: Ints, gap_end: Ints, open_ns: Intervals, held_up: Intervals
) -> Waits:
    """Sort `open_ns`, parts of the gaps, by what the host did.

    `members`: rows of Trace.kernels of the device; `held_up`: when something else held the host up. The host
    holds a gap up until the launch of the kernel that ends it has returned and arrived; a gap that no kernel
    ends, to its end.
    """
    calls, host = calls_of(trace, members), Host(trace, members)
    pauses = pauses_between(calls, held_up, _span(calls, held_up, gap_start, gap_end))
    held = host.held(calls, pauses.chosen(np.flatnonzero(pauses.length_ns < LONGEST_NS)))
    launching = launching_in(trace, calls, pauses, held)
    until, arriving = _held_up(trace, members, gap_start, gap_end)
    mine, _ = common(open_ns, until)
    others = pauses.chosen(np.flatnonzero(~launching))
    opened = from_its_operator(trace, calls, others)
    close = covered(
        calls.spans(),
        without(pauses.chosen(np.flatnonzero(launching)), held),
        Intervals(opened, others.end_ns, others.row),
        arriving,
    )
    rest = without(mine, close)
    at_work = without(Intervals(others.start_ns, opened, others.row), held)
    named, _ = common(rest, joined(held, _named(trace, host, calls, at_work, rest)))
    unnamed = without(rest, named).without_rows()
    return Waits(common(mine, close)[0], joined(named, unnamed), without(open_ns, until))


def _held_up(trace: Trace, members: Ids, gap_start: Ints, gap_end: Ints) -> tuple[Intervals, Intervals]:
    """Each gap as far as the host held it up; and from each launch that came too late until it arrived."""
    kernels, count = trace.kernels, len(gap_start)
    real = members[(kernels.end_ns > kernels.start_ns)[members]]
    following = np.searchsorted(kernels.start_ns[real], gap_end)  # members keep the order of their starts
    ended = following < len(real)
    kernel = real[following[ended]]
    call, launched = np.full(count, -1, np.int32), np.full(count, -1, np.int64)
    call[ended], launched[ended] = kernels.launch[kernel], kernels.launch_ns[kernel]
    until = np.where(ended, gap_start, gap_end)
    late = (call >= 0) & (launched >= gap_start)
    until[late] = np.minimum(gap_end[late], trace.launches.end_ns[call[late]] + LATENCY_NS)
    until[trace.on_cpu] = gap_end
    gap = np.arange(count, dtype=np.int32)
    held_up = np.flatnonzero(until > gap_start)
    arriving = disjoint(launched[late], until[late], gap[late])
    return Intervals(gap_start[held_up], until[held_up], gap[held_up]), arriving


def _span(calls: Calls, held_up: Intervals, gap_start: Ints, gap_end: Ints) -> tuple[int, int]:
    """From the first to the last that is known of the host or asked about."""
    starts, ends = np.concatenate((calls.start_ns, held_up.start_ns, gap_start)), np.concatenate((
        calls.end_ns, held_up.end_ns, gap_end))  # fmt: skip
    return (int(starts.min()), int(ends.max())) if len(starts) else (0, 0)


def _named(trace: Trace, host: Host, calls: Calls, pauses: Intervals, asked: Intervals) -> Intervals:
    """What the host did in these pauses, where something is asked; a row is a name, -1 where none is known.

    Of a long stretch what covers it is looked for, of a short one what covers the pause that it is part of.
    """
    every = Intervals(pauses.start_ns, pauses.end_ns, np.arange(len(pauses), dtype=np.int32))
    launches = np.bincount(trace.launches.thread) if len(trace.launches) else np.zeros(1, np.int64)
    threads = np.append(calls.thread, np.int32(launches.argmax()))[pauses.row].tolist()
    stretches, _ = common(asked, every)
    long = np.flatnonzero(stretches.length_ns >= LONGEST_NS)
    pieces = _pieces(host, stretches.chosen(long), threads)
    parts = without(stretches, pieces)
    around = np.unique(parts.row[pauses.length_ns[parts.row] >= DISPATCH_NS]) if len(calls) else ()
    covered = _pieces(host, every.chosen(np.array(around, np.int64)), threads)
    return joined(pieces, common(parts, covered)[0])


def _pieces(host: Host, stretches: Intervals, threads: list[int]) -> Intervals:
    """Cut where what the host did begins and ends; the row of a stretch is that of its thread."""
    pieces = [
        piece for start, end, row in zip(stretches.start_ns.tolist(), stretches.end_ns.tolist(),
                                         stretches.row.tolist(), strict=True)
        for piece in host.pieces(start, end, threads[row])
    ]  # fmt: skip
    columns = np.array(sorted(pieces), np.int64).reshape(-1, 3)
    return Intervals(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int32))
