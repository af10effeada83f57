"""Kinds of steps: those that run other operators, or take twice as long, are no repetition of each other.

Prefill and decode, generator and discriminator, a step that accumulates gradients and one that applies them,
one that saves a checkpoint: a figure averaged over them is of no step that was there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from traceanalyzer.records import OpRow, StepKind, StepTime
from traceanalyzer.records.times import typical_step
from traceanalyzer.records.trace import Bools, Ids, Ints
from traceanalyzer.records.units import digits, duration, whole_percent
from traceanalyzer.roofline.attribution import Attributed

_OTHERS = 0.02  # of a step's busy time, in operators that another step does not run: they are of two kinds
_SHAPES = 0.5  # of a step's busy time, in calls that another step makes too: below it they are of two kinds
_LONGER = 2  # times as long: of two kinds
_NAMED = 2  # operators that tell kinds apart
_SHOWN = 60  # characters of one


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """What every kind of work is known by, and in which steps anything known by the same is run."""

    key: Ints  # of each kind of work
    there: Bools  # [step, key]

    @classmethod
    def of(cls, texts: Sequence[str], busy_ns: Ints) -> _Column:
        distinct, key = np.unique(np.array(texts, object), return_inverse=True)
        there = np.zeros((len(distinct), len(busy_ns)), bool)
        np.logical_or.at(there, key, busy_ns.T > 0)
        return cls(key, there.T)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What steps run, and how two of them are compared: work of which a column agrees is run by both."""

    names: Sequence[str]  # of each kind of work
    busy_ns: Ints  # [step, kind of work]
    compared: Bools  # whether it is; what is not is taken for shared
    columns: Sequence[_Column]

    def missing_ns(self, step: int, other: int) -> Ints:
        """Busy time of `step` in each kind of work that `other` does not run."""
        missing = self.compared.copy()
        for column in self.columns:
            missing &= ~column.there[other][column.key]
        return np.where(missing, self.busy_ns[step], 0)

    def only_in(self, step: int, other: int) -> float:
        """Share of the busy time of `step` in what `other` does not run."""
        total = int(self.busy_ns[step].sum())
        return int(self.missing_ns(step, other).sum()) / total if total else 0.0

    def apart(self, step: int, other: int, share: float) -> bool:
        """Whether either runs for over this share of its busy time what the other does not."""
        return max(self.only_in(step, other), self.only_in(other, step)) > share

    def told(self, step: int, other: int) -> str:
        """What takes most time of `step` and is not in `other`."""
        missing = self.missing_ns(step, other)
        most = [self.names[at] for at in np.argsort(-missing, kind="stable").tolist() if missing[at]]
        return ", ".join(name[:_SHOWN] for name in list(dict.fromkeys(most))[:_NAMED])


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
    for alike in _grouped(range(len(steps)), lambda a, b: operators.apart(a, b, _OTHERS)):
        by_shape = _grouped(alike, lambda a, b: calls.apart(a, b, 1 - _SHAPES))
        for same in by_shape if len(by_shape) < len(alike) else [alike]:
            groups += _by_length(same, [step.device_ns for step in steps])
    if len(groups) == 1:
        return ()
    return _told(groups, steps, operators, calls)


def _work(
    steps: int, attributed: Attributed, kernels: Ids, row: Ids, table: Sequence[OpRow], names: Sequence[str]
) -> tuple[_Work, _Work]:
    """By operator, where a kernel of the same name is one too, for its launch may be missing; and by call."""
    both = np.stack((row, kernels), axis=1)[attributed.record]
    distinct, column = np.unique(both, axis=0, return_inverse=True)
    busy = np.zeros((steps, len(distinct)), np.int64)
    np.add.at(busy, (attributed.step, column.ravel()), attributed.time_ns)
    rows = [table[at] for at in distinct[:, 0].tolist()]
    ran = [names[at] for at in distinct[:, 1].tolist()]
    operators, calls = [each.name for each in rows], list(map(_call, rows))
    with_shapes = np.array([bool(each.input_dims) for each in rows], bool)
    unknown = _Column.of(ran, np.where(with_shapes, 0, busy))  # of which the shapes could be the same
    return (
        _Work(
            operators, busy, np.ones(len(rows), bool), (_Column.of(operators, busy), _Column.of(ran, busy))
        ),
        _Work(calls, busy, with_shapes, (_Column.of(calls, busy), unknown)),
    )


def _call(row: OpRow) -> str:
    sizes = [str(list(dims)) for dims in row.input_dims or () if isinstance(dims, tuple | list) and dims]
    return " ".join((row.name, *sizes))


def _grouped(steps: Sequence[int], apart: Callable[[int, int], bool]) -> list[list[int]]:
    """Each step with the first group whose first step it is not apart from."""
    groups: list[list[int]] = []
    for step in steps:
        home = next((group for group in groups if not apart(step, group[0])), None)
        if home is None:
            groups.append([step])
        else:
            home.append(step)
    return groups


def _by_length(steps: Sequence[int], device_ns: Sequence[int]) -> list[list[int]]:
    """Those that take twice as long as the shortest of a group begin another."""
    groups: list[list[int]] = []
    for step in sorted(steps, key=lambda at: device_ns[at]):
        if groups and device_ns[step] < _LONGER * device_ns[groups[-1][0]]:
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
    parts = [_how_long(steps[step].device_ns, steps[shown].device_ns)]
    if operators.only_in(step, shown) > _OTHERS:
        parts.append(f"runs other operators: {operators.told(step, shown)}")
    if operators.only_in(shown, step) > _OTHERS:
        parts.append(f"does not run {operators.told(shown, step)}")
    if not any(parts[1:]) and calls.apart(step, shown, 1 - _SHAPES):
        parts.append(f"runs other shapes: {calls.told(step, shown)}")
    return "; ".join(filter(None, parts)) or f"takes {duration(steps[step].device_ns)}"


def _how_long(one_ns: int, shown_ns: int) -> str:
    """Nothing where neither takes over 1.5 times as long as the other."""
    if one_ns > 1.5 * shown_ns > 0:
        times = digits(one_ns / shown_ns, 2)
        return "twice as long" if times == "2.0" else f"{times} times as long"
    if shown_ns > 1.5 * one_ns > 0:
        times = digits(shown_ns / one_ns, 2)
        return "half as long" if times == "2.0" else f"{whole_percent(one_ns / shown_ns)} as long"
    return ""
