"""Steps of a recording (ns)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import Bools, Ints, Step, passes
from traceanalyzer.records.units import duration
from traceanalyzer.trace.linking.named_steps import named_steps, steps_called
from traceanalyzer.trace.reading.raw import RawOps

_STEP = re.compile(r"ProfilerStep#(\d{1,18})$", re.ASCII)


def steps_of(path: str, names: Sequence[str], ops: RawOps, steps_by: str | None = None) -> tuple[Step, ...]:
    """Steps by start: what `steps_by` names, else the ProfilerStep annotations, else those of a list."""
    if steps_by:
        return steps_called(path, names, ops, steps_by)
    return _profiler_steps(names, ops) or named_steps(names, ops)


def _profiler_steps(names: Sequence[str], ops: RawOps) -> tuple[Step, ...]:
    """Of two of one name that overlap (nested, or on two threads) the longer."""
    rows = np.flatnonzero(ops.annotation & passes(names, ops.name, _STEP.match))
    steps: list[Step] = []
    last_of: dict[str, int] = {}  # of each name, the place of its last step
    for row in rows[np.lexsort((-ops.end_ns[rows], ops.start_ns[rows]))].tolist():
        text = names[ops.name[row]]
        step = Step(text, int(text.rpartition("#")[2]), int(ops.start_ns[row]), int(ops.end_ns[row]))
        twin = last_of.get(text)
        if twin is None or steps[twin].end_ns <= step.start_ns:
            last_of[text] = len(steps)
            steps.append(step)
        elif step.end_ns - step.start_ns > steps[twin].end_ns - steps[twin].start_ns:
            steps[twin] = step
    return tuple(sorted(steps, key=lambda s: (s.start_ns, s.end_ns)))


def step_warnings(steps: Sequence[Step]) -> tuple[Notice, ...]:
    """Notices about the numbering: repeated numbers, several recordings in one file."""
    notices = []
    numbers = [step.number for step in steps]
    repeated = len(numbers) - len(set(numbers))
    if repeated:
        text = "steps share their number with another step; a range selects all of that number"
        notices.append(Notice("repeated_steps", text, repeated))
    breaks = [(a, b) for a, b in zip(steps, steps[1:], strict=False) if b.number != a.number + 1]
    if breaks:
        apart = sum(max(b.start_ns - a.end_ns, 0) for a, b in breaks)
        text = (
            f"the steps were recorded in {len(breaks) + 1} runs with {duration(apart)} between them; a "
            f"window over several runs counts that time too, --steps A-B selects one ({listed(steps)})"
        )
        notices.append(Notice("step_gaps", text, len(breaks)))
    return tuple(notices)


def within(moment_ns: Ints, steps: Sequence[Step]) -> Bools:
    """Whether each moment lies in one of the steps, ends included."""
    if not steps:
        return np.zeros(len(moment_ns), bool)
    in_order = sorted(steps, key=lambda step: step.start_ns)
    start_ns = np.array([step.start_ns for step in in_order], np.int64)
    reach_ns = np.maximum.accumulate(np.array([step.end_ns for step in in_order], np.int64))
    begun = np.searchsorted(start_ns, moment_ns, side="right") - 1
    inside: Bools = (begun >= 0) & (moment_ns <= reach_ns[begun]) & (moment_ns >= 0)
    return inside


def is_profiler_step(name: str) -> bool:
    """Whether it is one of the profiler's own annotations."""
    return _STEP.match(name) is not None


def listed(steps: Sequence[Step]) -> str:
    """`3-5, 13-15`: the numbers in the order of time, runs joined."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step.number == runs[-1][1] + 1:
            runs[-1][1] = step.number
        else:
            runs.append([step.number, step.number])
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in runs)
