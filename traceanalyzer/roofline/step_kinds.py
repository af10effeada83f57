"""Kinds of steps: those that run other operators, or take twice as long, are no repetition of each other.

Prefill and decode, generator and discriminator, a step that accumulates gradients and one that applies them,
one that saves a checkpoint: a figure averaged over them is of no step that was there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.records import OpRow, StepKind, StepTime
from traceanalyzer.records.times import typical_step
from traceanalyzer.records.trace import Bools, Ids, Ints, places
from traceanalyzer.records.units import digits, duration, whole_percent
from traceanalyzer.roofline.attribution import Attributed

_OTHERS = 0.02  # of a step's busy time, in operators that another step does not run: they are of two kinds
_SHAPES = 0.5  # of a step's busy time, in calls that another step makes too: below it they are of two kinds
_LONGER = 2  # times as long: of two kinds
_NAMED = 2  # operators that tell kinds apart
_SHOWN = 60  # characters of one


class _Column(msgspec.Struct, frozen=True, eq=False):
    """What every kind of work is known by; in a step, anything known by the same is run."""

    key: Ints  # of each kind of work
    shows: Bools  # whether it says that its key is run

    @classmethod
    def of(cls, texts: Sequence[str], shows: Bools) -> _Column:
        return cls(np.unique(np.array(texts, object), return_inverse=True)[1].ravel(), shows)


class _Work(msgspec.Struct, frozen=True, eq=False):
    """What steps run, and how two of them are compared: work of which a column agrees is run by both."""

    names: Sequence[str]  # of each kind of work
    border: Ints  # where each step's part of the next two begins, and the last one's ends
    item: Ids  # kinds of work, by step
    busy_ns: Ints  # of the step in it
    compared: Bools  # of each kind of work, whether it is; what is not is taken for shared
    columns: tuple[_Column, _Column]

    def of_step(self, step: int) -> tuple[Ids, Ints]:
        """Its kinds of work, and its busy time in each."""
        part = slice(int(self.border[step]), int(self.border[step + 1]))
        return self.item[part], self.busy_ns[part]

    def keys(self, step: int, column: _Column) -> set[int]:
        """By which a step's work is known."""
        items, _ = self.of_step(step)
        return set(column.key[items[column.shows[items]]].tolist())

    def missing(self, step: int, other: int) -> tuple[Ids, Ints]:
        """The work of `step` that `other` does not run, and the time in it."""
        items, busy_ns = self.of_step(step)
        either = [(column.key[items].tolist(), self.keys(other, column)) for column in self.columns]
        (first, in_first), (second, in_second) = either
        apart = np.array(
            [a not in in_first and b not in in_second for a, b in zip(first, second, strict=True)], bool
        )
        apart &= self.compared[items]
        return items[apart], busy_ns[apart]

    def only_in(self, step: int, other: int) -> float:
        """Share of the busy time of `step` in what `other` does not run."""
        total = int(self.of_step(step)[1].sum())
        return int(self.missing(step, other)[1].sum()) / total if total else 0.0

    def apart(self, step: int, other: int, share: float) -> bool:
        """Whether either runs for over this share of its busy time what the other does not."""
        return self.only_in(step, other) > share or self.only_in(other, step) > share

    def listed(self, step: int, other: int) -> str:
        """What takes most time of `step` and is not in `other`."""
        items, busy_ns = self.missing(step, other)
        longest = [self.names[at] for at in items[np.argsort(-busy_ns, kind="stable")].tolist()]
        return ", ".join(name[:_SHOWN] for name in list(dict.fromkeys(longest))[:_NAMED])


class _Groups:
    """Groups of steps that are not apart from the first of theirs.

    A step is held only against groups that run some of the rarest work which makes up more than the share of
    its time: from all others it is apart. So many groups cost no more than few, where they differ.
    """

    def __init__(self, work: _Work, share: float) -> None:
        self.groups: list[list[int]] = []
        self._work, self._share = work, share
        self._same: dict[bytes, int] = {}  # group of the same kinds of work
        self._running: tuple[dict[int, list[int]], ...] = ({}, {})  # of a key of each column: groups

    def add(self, step: int) -> None:
        same = self._work.of_step(step)[0].tobytes()
        at = self._same.get(same)
        if at is None:
            alike = (g for g in self._candidates(step) if not self._apart(step, g))
            at = next(alike, len(self.groups))
        if at == len(self.groups):
            self.groups.append([])
            for running, column in zip(self._running, self._work.columns, strict=True):
                for key in self._work.keys(step, column):
                    running.setdefault(key, []).append(at)
        self._same.setdefault(same, at)
        self.groups[at].append(step)

    def _apart(self, step: int, group: int) -> bool:
        return self._work.apart(step, self.groups[group][0], self._share)

    def _candidates(self, step: int) -> Sequence[int]:
        work = self._work
        items, busy_ns = work.of_step(step)
        limit = self._share * int(busy_ns.sum())
        keys = zip(*(column.key[items].tolist() for column in work.columns), strict=True)
        running = [
            [*self._running[0].get(first, ()), *self._running[1].get(second, ())] for first, second in keys
        ]
        candidates: set[int] = set()
        time_ns = 0
        for at in sorted(np.flatnonzero(work.compared[items]).tolist(), key=lambda at: len(running[at])):
            candidates.update(running[at])
            time_ns += int(busy_ns[at])
            if time_ns > limit:
                return sorted(candidates)
        return range(len(self.groups))


def step_kinds(
    steps: Sequence[StepTime],
    attributed: Attributed,
    kernels: Ids,
    row: Ids,
    table: Sequence[OpRow],
    names: Sequence[str],
) -> tuple[StepKind, ...]:
    """The kinds of the window's steps, that of the step of median length first; () where all are alike.

    Of each record, `kernels` is its name, a row of `names`, and `row` its place in `table`. Where every step
    has shapes of its own, as with batches that are not padded, shapes tell no kinds apart.
    """
    if len(steps) < 2:
        return ()
    operators, calls = _work(len(steps), attributed, kernels, row, table, names)
    groups = []
    for alike in _grouped(range(len(steps)), operators, _OTHERS):
        by_shape = _grouped(alike, calls, 1 - _SHAPES)
        for same in by_shape if len(by_shape) < len(alike) else [alike]:
            groups += _by_length(same, [step.length_ns for step in steps])
    if len(groups) == 1:
        return ()
    return _told(groups, steps, operators, calls)


def _work(
    steps: int, attributed: Attributed, kernels: Ids, row: Ids, table: Sequence[OpRow], names: Sequence[str]
) -> tuple[_Work, _Work]:
    """By operator, where a kernel of the same name is one too, for its launch may be missing; and by call."""
    record = attributed.record
    distinct, pair = places(row[record] * np.int64(len(names)) + kernels[record])
    cell = attributed.step * np.int64(len(distinct)) + pair
    cells, at = places(cell[attributed.time_ns > 0])
    busy_ns = np.zeros(len(cells), np.int64)
    np.add.at(busy_ns, at, attributed.time_ns[attributed.time_ns > 0])
    border = np.searchsorted(cells, np.arange(steps + 1) * np.int64(len(distinct)))
    item = (cells % max(len(distinct), 1)).astype(np.int32)
    rows = [table[at] for at in (distinct // len(names)).tolist()]
    ran = [names[at] for at in (distinct % len(names)).tolist()]
    operators, calls = [each.name for each in rows], list(map(_call, rows))
    every = np.ones(len(rows), bool)
    with_shapes = np.array([bool(each.input_dims) for each in rows], bool)
    unknown = _Column.of(ran, ~with_shapes)  # of which the shapes could be the same
    by_operator = (_Column.of(operators, every), _Column.of(ran, every))
    return (
        _Work(operators, border, item, busy_ns, every, by_operator),
        _Work(calls, border, item, busy_ns, with_shapes, (_Column.of(calls, every), unknown)),
    )


def _call(row: OpRow) -> str:
    sizes = [str(list(dims)) for dims in row.input_dims or () if isinstance(dims, tuple | list) and dims]
    return " ".join((row.name, *sizes))


def _grouped(steps: Sequence[int], work: _Work, share: float) -> list[list[int]]:
    """Each step with the first group whose first step it is not apart from."""
    groups = _Groups(work, share)
    for step in steps:
        groups.add(step)
    return groups.groups


def _by_length(steps: Sequence[int], length_ns: Sequence[int]) -> list[list[int]]:
    """Those that take twice as long as the shortest of a group begin another."""
    groups: list[list[int]] = []
    for step in sorted(steps, key=lambda at: length_ns[at]):
        if groups and length_ns[step] < _LONGER * length_ns[groups[-1][0]]:
            groups[-1].append(step)
        else:
            groups.append([step])
    return [sorted(group) for group in groups]


def _told(
    groups: Sequence[Sequence[int]], steps: Sequence[StepTime], operators: _Work, calls: _Work
) -> tuple[StepKind, ...]:
    shown = list(map(id, steps)).index(id(typical_step(steps)))
    ordered = sorted(groups, key=lambda group: (shown not in group, group[0]))
    kinds = [StepKind(_names(ordered[0], steps), f"those like {steps[shown].name}, the step that is shown")]
    for group in ordered[1:]:
        of_median = typical_step([steps[at] for at in group])
        first = next(at for at in group if steps[at] is of_median)
        kinds.append(StepKind(_names(group, steps), _why(first, shown, steps, operators, calls)))
    return tuple(kinds)


def _names(group: Sequence[int], steps: Sequence[StepTime]) -> tuple[str, ...]:
    return tuple(steps[at].name for at in group)


def _why(step: int, shown: int, steps: Sequence[StepTime], operators: _Work, calls: _Work) -> str:
    """What tells it from the one that is shown."""
    parts = [_how_long(steps[step].length_ns, steps[shown].length_ns)]
    if operators.only_in(step, shown) > _OTHERS:
        parts.append(f"runs other operators: {operators.listed(step, shown)}")
    if operators.only_in(shown, step) > _OTHERS:
        parts.append(f"does not run {operators.listed(shown, step)}")
    if not any(parts[1:]) and calls.apart(step, shown, 1 - _SHAPES):
        parts.append(f"runs other shapes: {calls.listed(step, shown)}")
    return "; ".join(filter(None, parts)) or f"takes {duration(steps[step].length_ns)}"


def _how_long(one_ns: int, shown_ns: int) -> str:
    """Nothing where neither takes over 1.5 times as long as the other."""
    if one_ns > 1.5 * shown_ns > 0:
        times = digits(one_ns / shown_ns, 2)
        return "twice as long" if times == "2.0" else f"{times} times as long"
    if shown_ns > 1.5 * one_ns > 0:
        times = digits(shown_ns / one_ns, 2)
        return "half as long" if times == "2.0" else f"{whole_percent(one_ns / shown_ns)} as long"
    return ""
