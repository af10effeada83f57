"""Columns that grow by batches, and values interned to row numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from traceanalyzer.records.trace import Ids, Ints
from traceanalyzer.trace.reading.read_stats import ReadStats

Array = npt.NDArray[Any]
_INITIAL_ROWS = 1 << 14  # rows that a column can hold at first
_PACKED = 64  # batches kept apart before their arrays are joined
_LATEST_US = 9.2e15  # beyond it, nanoseconds leave 63 bits
_LONGEST_US = 1e12  # over 11 days: no row of a recording lasts so long
_DIGITS = re.compile(r"-?\d{1,400}", re.ASCII)


class Interned(dict[Any, int]):
    """Value -> its row in `values`, dense in the order of first appearance."""

    def __init__(self, canonical: Callable[[Any], Any] | None = None) -> None:
        self.values_seen: list[Any] = []
        self._canonical = canonical

    def __missing__(self, value: Any) -> int:
        canonical = value if self._canonical is None else self._canonical(value)
        row = self.get(canonical)
        if row is None:
            row = self[canonical] = len(self.values_seen)
            self.values_seen.append(canonical)
        self[value] = row
        return row


def rows_of(row_of: dict[Any, int], keys: Iterable[Any], count: int) -> Ids:
    """`row_of[key]` for each of `count` keys, without a step of Python for keys that have a row."""
    return np.fromiter(map(row_of.__getitem__, keys), np.int32, count)


class Columns:
    """Named columns that grow by batches. Rows without a usable time or name are dropped and counted.

    `whole_us` stays true while every ts and dur is a whole number of microseconds.
    """

    def __init__(self, stats: ReadStats) -> None:
        self.whole_us = True
        self.latest_us = 0.0
        self._stats = stats
        self._packed: dict[str, Array] = {}  # longer than `_count`, or of one value that all rows have
        self._count = 0
        self._loose: dict[str, list[Array]] = {}
        self._batches = 0

    def append(self, ts: Array, dur: Array, **columns: Array) -> None:
        """One batch: ts and dur in microseconds; every column of the same length."""
        columns["ts"], columns["dur"] = ts, dur
        for name, values in columns.items():
            self._loose.setdefault(name, []).append(values)
        self._batches += 1
        if self._batches >= _PACKED:
            self.pack()

    def pack(self) -> None:
        """Join the loose batches, drop unusable rows, turn microseconds into nanoseconds."""
        if not self._batches:
            return
        joined = {name: np.concatenate(parts) for name, parts in self._loose.items()}
        self._loose.clear()
        self._batches = 0
        ts, dur = joined["ts"], joined["dur"]
        usable = (np.abs(ts) + np.abs(dur) < _LATEST_US) & (joined["name"] >= 0)  # false for NaN
        backwards = usable & (dur < 0)
        endless = usable & (dur > _LONGEST_US)
        if not usable.all() or backwards.any() or endless.any():
            self._stats.add("missing_fields", np.count_nonzero(~usable))
            self._stats.add("negative_duration", np.count_nonzero(backwards))
            self._stats.add("impossible_times", np.count_nonzero(endless))
            kept = usable & ~backwards & ~endless
            joined = {name: values[kept] for name, values in joined.items()}
        ts, dur = joined.pop("ts"), joined.pop("dur")
        self.whole_us = self.whole_us and bool((ts == np.floor(ts)).all() and (dur == np.floor(dur)).all())
        self.latest_us = max(self.latest_us, float(ts.max(initial=0.0)))
        joined["start_ns"] = nanoseconds(ts)
        joined["end_ns"] = joined["start_ns"] + nanoseconds(dur)
        self._store(joined)

    def _store(self, joined: dict[str, Array]) -> None:
        """Behind the rows so far. Resizing in place lets the system move pages instead of copying."""
        end = self._count + len(joined["start_ns"])
        if end == self._count:
            return
        for name, values in joined.items():
            column = self._packed.setdefault(name, values[:1].copy())
            if len(column) == 1:
                if (values == column).all():
                    continue  # what a recording does not say is the same in all rows
                column = self._packed[name] = np.full(max(_INITIAL_ROWS, self._count), column[:1])
            if end > len(column):
                column.resize(max(end, len(column) * 5 // 4), refcheck=False)
            column[self._count : end] = values
        self._count = end

    def take(self, name: str, dtype: type) -> Array:
        """One column of all packed rows; the builder lets go of it. One number, if all rows have it."""
        column = self._packed.pop(name, np.empty(0, dtype))
        if len(column) == 1:
            return np.broadcast_to(column.astype(dtype), self._count)
        column.resize(self._count, refcheck=False)
        return column.astype(dtype, copy=False)


def nanoseconds(us: npt.NDArray[np.float64]) -> Ints:
    """round(us * 1000), exactly: the fraction apart, for 1e15 µs * 1000 lies beyond 2**53."""
    whole = np.floor(us)
    return whole.astype(np.int64) * 1000 + np.rint((us - whole) * 1000).astype(np.int64)


def whole_numbers(values: list[Any]) -> Ints:
    """int64 column of integers or digits in text; what is neither, or too large for the other end, is -1."""
    try:
        return np.fromiter(values, np.int64, len(values))
    except (OverflowError, ValueError, TypeError):
        return np.array([_whole_number(value) for value in values], np.int64)


def _whole_number(value: Any) -> int:
    """A Python integer beyond 64 bits keeps its low 63: correlations are only compared for equality."""
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value) else -1
    return int(value) if -(2**63) <= value < 2**63 else int(value) & (2**63 - 1)
