"""Counter tracks: FLOP/s and bytes/s over time, summed over the records that run at each moment."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records.annotations import Annotations, CallCost
from traceanalyzer.records.trace import Ids, Ints, Pieces

_TOTAL = 2**62  # that sums of rates stay below


class Track(msgspec.Struct, frozen=True, eq=False):
    """Where a rate changes, by the record that changes it, and its new value per second.

    `first[r]` to `first[r + 1]` are the changes of record `r`.
    """

    name: str
    first: Ints
    time_ns: Ints
    per_s: Ints


def tracks(annotations: Annotations) -> tuple[Track, Track]:
    """FLOP/s and B/s: what a call computes or moves is spread evenly over the time of its records.

    Records of 0 ns have no rate, and calls whose cost is not known count as none.
    """
    calls = annotations.costs.calls
    return (
        _track("FLOP/s", [call.flops or 0 for call in calls], annotations),
        _track("B/s", [_moved(call) for call in calls], annotations),
    )


def _moved(call: CallCost) -> int:
    return (call.read_bytes or 0) + (call.write_bytes or 0)


def _track(name: str, amounts: Sequence[int], annotations: Annotations) -> Track:
    costs, pieces = annotations.costs, annotations.pieces
    per_s = _rates(np.array([float(min(each, _TOTAL)) for each in amounts]), annotations)
    running = np.flatnonzero((pieces.end_ns > pieces.start_ns) & (per_s[pieces.record] > 0))
    time_ns, record, change = _changes(pieces, running, per_s)
    moment, first, group = np.unique(time_ns, return_index=True, return_inverse=True)
    total = np.zeros(len(moment), np.int64)
    np.add.at(total, group, change)
    value = np.cumsum(total)
    new = np.flatnonzero(total)
    by_record = new[np.argsort(record[first[new]], kind="stable")]
    owner = record[first[by_record]]
    bounds = np.searchsorted(owner, np.arange(len(costs.call) + 1))
    return Track(name, bounds, moment[by_record], value[by_record])


def _rates(amounts: npt.NDArray[np.float64], annotations: Annotations) -> Ints:
    """Of each record, a whole number, so that what begins and ends adds up to 0."""
    costs, pieces = annotations.costs, annotations.pieces
    runs = int(costs.run.max(initial=-1)) + 1
    total, time_ns = np.zeros(runs), np.zeros(runs)
    total[costs.run[costs.carries]] = amounts[costs.call[costs.carries]]
    np.add.at(time_ns, costs.run[pieces.record], pieces.end_ns - pieces.start_ns)
    rate = np.divide(total * 1e9, time_ns, out=np.zeros(runs), where=time_ns > 0)
    rounded: Ints = np.rint(np.minimum(rate, _TOTAL // _most_at_once(pieces))).astype(np.int64)
    return rounded[costs.run]


def _most_at_once(pieces: Pieces) -> int:
    """Records that run at one moment, at most."""
    start, end = np.sort(pieces.start_ns), np.sort(pieces.end_ns)
    begun = np.arange(1, len(start) + 1) - np.searchsorted(end, start)
    return max(1, int(begun.max(initial=1)))


def _changes(pieces: Pieces, running: Ints, per_s: Ints) -> tuple[Ints, Ids, Ints]:
    record = pieces.record[running]
    rate = per_s[record]
    return (
        np.concatenate((pieces.start_ns[running], pieces.end_ns[running])),
        np.concatenate((record, record)),
        np.concatenate((rate, -rate)),
    )
