"""What was measured of each row inside the window: calls, kernels, times, the median call."""

from __future__ import annotations

import msgspec
import numpy as np

from traceanalyzer.records.trace import Bools, Ids, Ints, Trace, places
from traceanalyzer.roofline.attribution import Extent
from traceanalyzer.roofline.invocations import (
    Groups,
    longest_by_group,
    median_by_group,
    union_by_group,
)


class Measured(msgspec.Struct, frozen=True, eq=False):
    """One entry a row; `complete` calls lie wholly inside the window."""

    calls: Ints
    kernels: Ints
    time_ns: Ints  # sum of kernel durations, clipped
    attributed_ns: Ints
    complete_calls: Ints
    complete_time_ns: Ints  # of those calls that facts rest on: sum of the unions of their kernels
    priced_calls: Ints  # calls that did work of their own (see Priced.overhead)
    complete_priced_calls: Ints  # facts rest on these; where there are none, on all complete calls
    median_call_ns: Ints  # lower median of those calls; 0 where there is none
    longest_record: Ids  # the longest kernel of that call; -1
    counted_bytes: Ints  # that hardware counters saw of all kernels; -1: not of all
    cut_calls: int  # calls left out of efficiency and verdict, over all rows


def measure(trace: Trace, groups: Groups, overhead: Bools, extent: Extent, attributed_ns: Ints) -> Measured:
    """Sums by row in numpy; a call is the union of its kernels, whatever their streams."""
    kernels = trace.kernels
    runs, rows = len(groups.invocation_row), len(groups.first_record)
    here = extent.inside
    run_inside = any_of(groups.invocation[here], runs)
    run_cut = any_of(groups.invocation[extent.cut | ~extent.inside], runs)
    run_time = call_times(trace, groups, runs)
    complete = run_inside & ~run_cut
    priced = ~any_of(groups.invocation[overhead], runs)
    of_run = groups.invocation_row
    works = any_of(of_run[complete & priced], rows)
    telling = complete & (priced | ~works[of_run])
    median = median_by_group(of_run, run_time, telling, rows)
    return Measured(
        calls=_count(of_run[run_inside], rows),
        kernels=_count(groups.row[here], rows),
        time_ns=_sum(groups.row, extent.duration_ns, rows),
        attributed_ns=_sum(groups.row, attributed_ns, rows),
        complete_calls=_count(of_run[complete], rows),
        complete_time_ns=_sum(of_run[telling], run_time[telling], rows),
        priced_calls=_count(of_run[run_inside & priced], rows),
        complete_priced_calls=_count(of_run[complete & priced], rows),
        median_call_ns=np.where(median >= 0, run_time[median], 0),
        longest_record=_longest_record(groups.invocation, kernels.duration_ns, median, runs),
        counted_bytes=_counted(groups.row[here], kernels.counted_bytes[here], rows),
        cut_calls=int((run_inside & run_cut).sum()),
    )


def _longest_record(invocation: Ids, duration_ns: Ints, run: Ids, runs: int) -> Ids:
    """The longest record of each of these calls; -1 of none."""
    asked = any_of(run[run >= 0], runs)
    records = np.flatnonzero(asked[invocation])
    place = np.cumsum(asked) - 1  # of each call among those that are asked about
    longest = longest_by_group(place[invocation[records]], duration_ns[records], int(asked.sum()))
    return np.append(records[longest], -1)[np.where(run >= 0, place[run], -1)].astype(np.int32)


def call_times(trace: Trace, groups: Groups, runs: int) -> Ints:
    """Union of each call's kernels; host records of one call never overlap, so they add."""
    kernels = trace.kernels
    if trace.on_cpu:
        return _sum(groups.invocation, kernels.duration_ns, runs)
    return union_by_group(groups.invocation, kernels.start_ns, kernels.end_ns, runs)


def _counted(row: Ids, counted: Ints, rows: int) -> Ints:
    total = np.full(rows, -1, np.int64)
    if (counted >= 0).any():
        whole = ~any_of(row[counted < 0], rows)
        total[whole] = _sum(row, counted, rows)[whole]
    return total


def any_of(members: Ids, size: int) -> Bools:
    """Whether each of `size` numbers is among the members."""
    is_member = np.zeros(size, bool)
    is_member[members] = True
    return is_member


def _count(members: Ids, size: int) -> Ints:
    return np.bincount(members, minlength=size).astype(np.int64)


def _sum(group: Ids | Ints, value: Ints, size: int) -> Ints:
    """Exact integer sums by group (bincount's weights would go through float64)."""
    total = np.zeros(size, np.int64)
    np.add.at(total, group, value)
    return total


def kernel_times(trace: Trace, groups: Groups, duration_ns: Ints, inside: Bools) -> tuple[Ids, Ids, Ints]:
    """(row, kernel name, time) of every distinct pair."""
    width = len(trace.names) + 1
    number = groups.row[inside] * np.int64(width)
    number += trace.kernels.name[inside]
    pair, index = places(number)
    time = _sum(index, duration_ns[inside], len(pair))
    return (pair // width).astype(np.int32), (pair % width).astype(np.int32), time
