"""Steps that are not called ProfilerStep: annotations that serving engines and scripts put round each step.

A closed list, for a recording without ProfilerStep annotations. What is called so is a step where it repeats
on one thread and never overlaps itself; of several such, that with most time. Everything else is for
`--steps-by` to name: a text that the names hold, or a regular expression found in them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.step_names import STEP_NAMES
from traceanalyzer.records.trace import Ids, Ints, Step, passes
from traceanalyzer.trace.reading.raw import RawOps

_STEM = re.compile(r"[ _#:=-]*\d+$")  # the number behind a name
_LISTED = 8  # names that an error offers
_SHOWN = 60  # characters of each


def named_steps(names: Sequence[str], ops: RawOps) -> tuple[Step, ...]:
    """Annotations of the list that repeat on one thread without overlapping; () where none do.

    Of nested ones the outermost; where those do not repeat, those of one name that do.
    """
    best: tuple[int, Ints] | None = None
    for pattern in STEP_NAMES:
        rows = np.flatnonzero(ops.annotation & passes(names, ops.name, pattern.fullmatch))
        for thread in np.unique(ops.thread[rows]).tolist():
            for series in _series(names, ops, _by_start(ops, rows[ops.thread[rows] == thread])):
                total = int((ops.end_ns[series] - ops.start_ns[series]).sum())
                if best is None or total > best[0]:
                    best = (total, series)
    return () if best is None else _numbered(names, ops, best[1])


def _series(names: Sequence[str], ops: RawOps, rows: Ints) -> list[Ints]:
    """What repeats of rows by start: the outermost of all, else those of each name, whatever its number."""
    outermost = _not_inside(ops, rows)
    if _repeats(ops, outermost):
        return [outermost]
    of_stem: dict[str, list[int]] = {}
    for row, name in zip(rows.tolist(), ops.name[rows].tolist(), strict=True):
        of_stem.setdefault(_STEM.sub("", names[name]), []).append(row)
    if len(of_stem) < 2:
        return []
    each = (_not_inside(ops, np.array(same, np.int64)) for same in of_stem.values())
    return [series for series in each if _repeats(ops, series)]


def _repeats(ops: RawOps, rows: Ints) -> bool:
    return len(rows) > 1 and not (ops.start_ns[rows[1:]] < ops.end_ns[rows[:-1]]).any()


def _not_inside(ops: RawOps, rows: Ints) -> Ints:
    """Of rows by start those that lie in no earlier one."""
    if not len(rows):
        return rows
    reach_ns = np.maximum.accumulate(ops.end_ns[rows])
    outside: Ints = rows[np.append(True, ops.end_ns[rows[1:]] > reach_ns[:-1])]
    return outside


def steps_called(path: str, names: Sequence[str], ops: RawOps, wanted: str) -> tuple[Step, ...]:
    """Annotations that `wanted` names, of the thread on which they take most time; the outermost of nested.

    Where it names no annotation, operators. UsageError where it names nothing.
    """
    test = _test(wanted)
    matching = passes(names, ops.name, test)
    for of_kind in (ops.annotation, ~ops.annotation):
        rows = np.flatnonzero(matching & of_kind)
        if len(rows):
            spent = np.bincount(ops.thread[rows], (ops.end_ns - ops.start_ns)[rows].astype(np.float64))
            on_thread = rows[ops.thread[rows] == int(spent.argmax())]
            return _numbered(names, ops, _outermost(ops, _by_start(ops, on_thread)))
    raise UsageError(
        f"{path}: --steps-by {wanted}: no annotation is called so ({_commonest(names, ops)})",
        fix="give a text that the names of the steps hold, or a regular expression",
    )


def _test(wanted: str) -> Callable[[str], bool]:
    """Names that hold the text, or match it as an expression where it is one."""
    try:
        expression = re.compile(wanted)
    except re.error:
        return lambda name: wanted in name
    return lambda name: wanted in name or expression.search(name) is not None


def _by_start(ops: RawOps, rows: Ints) -> Ints:
    ordered: Ints = rows[np.lexsort((-ops.end_ns[rows], ops.start_ns[rows]))]
    return ordered


def _outermost(ops: RawOps, rows: Ints) -> Ints:
    kept: list[int] = []
    for row in rows.tolist():
        if not kept or ops.start_ns[row] >= ops.end_ns[kept[-1]]:
            kept.append(row)
    return np.array(kept, np.int64)


def _numbered(names: Sequence[str], ops: RawOps, rows: Ints) -> tuple[Step, ...]:
    """Numbers from 0 by start; a name that several have gets its step's number behind it."""
    used = Counter(ops.name[rows].tolist())
    return tuple(
        Step(
            names[name] if used[name] == 1 else f"{names[name]}#{number}",
            number, int(ops.start_ns[row]), int(ops.end_ns[row]),
        )
        for number, (row, name) in enumerate(zip(rows.tolist(), ops.name[rows].tolist(), strict=True))
    )  # fmt: skip


def _commonest(names: Sequence[str], ops: RawOps) -> str:
    """What the annotations are called; operators where there are none."""
    rows: Ids = ops.name[ops.annotation] if ops.annotation.any() else ops.name
    counts = Counter(rows.tolist()).most_common(_LISTED)
    shown = [" ".join(names[name].split())[:_SHOWN] for name, _ in counts]
    listed = ", ".join(f"{text} ({count})" for text, (_, count) in zip(shown, counts, strict=True))
    what = "annotations" if ops.annotation.any() else "no annotations; operators"
    return f"{what}: {listed}" if listed else "the trace has none"
