"""Steps of a recording, and the window that is analyzed (ns)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

import numpy as np

from traceanalyzer.records import Notice
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.trace import Bools, Ints, Step, Trace, Window
from traceanalyzer.records.units import duration
from traceanalyzer.trace.linking.kinds import passes
from traceanalyzer.trace.reading.raw import RawOps

_STEP = re.compile(r"ProfilerStep#(\d{1,18})$", re.ASCII)
_RANGE = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", re.ASCII)
_STUB = 0.1  # a last step shorter than this part of the median is what `profiler.step()` left open
_LAUNCH = re.compile(r"launch|memcpy|memset", re.IGNORECASE)


def steps_of(names: Sequence[str], ops: RawOps) -> tuple[Step, ...]:
    """Step annotations by start. Of two of one name that overlap (nested, or on two threads) the longer."""
    rows = np.flatnonzero(ops.annotation & passes(names, ops.name, _STEP.match))
    steps: list[Step] = []
    for row in rows[np.lexsort((-ops.end_ns[rows], ops.start_ns[rows]))].tolist():
        text = names[ops.name[row]]
        step = Step(text, int(text.rpartition("#")[2]), int(ops.start_ns[row]), int(ops.end_ns[row]))
        twin = next((i for i, s in enumerate(steps) if s.name == text and s.end_ns > step.start_ns), None)
        if twin is None:
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
            f"window over several runs counts that time too, --steps A-B selects one ({_listed(steps)})"
        )
        notices.append(Notice("step_gaps", text, len(breaks)))
    return tuple(notices)


def select_window(trace: Trace, device_index: int, steps: str = "complete") -> Window:
    """The window of one device: `steps` is "complete", "all", "A-B" or "A" (numbers of ProfilerStep#N).

    From the first start to the last end of the device's activity launched in the selected steps, gaps
    included; on a CPU trace from the first to the last instant of the step annotations themselves.
    "complete" leaves out a last stub; "all", and "complete" without steps, take the whole trace, and
    then `Window.steps` is (). Raises UsageError for steps that are not there.
    """
    mine = trace.kernels.device == device_index
    wish = steps.strip().lower()
    if wish not in ("complete", "all"):
        return _window(trace, mine, _in_range(trace, steps), asked=steps)
    if wish == "all" or not trace.steps:
        return _whole(trace, mine)
    return _window(trace, mine, _complete(trace))


def _whole(trace: Trace, mine: Bools) -> Window:
    start, end = trace.kernels.start_ns[mine], trace.kernels.end_ns[mine]
    if not len(start):
        return Window(0, 0, ())
    return Window(int(start.min()), int(end.max()), ())


def _window(trace: Trace, mine: Bools, chosen: tuple[Step, ...], asked: str = "") -> Window:
    if trace.on_cpu:
        return Window(chosen[0].start_ns, max(step.end_ns for step in chosen), chosen)
    rows = mine & within(trace.kernels.launch_ns, chosen)
    if rows.any():
        return Window(int(trace.kernels.start_ns[rows].min()), int(trace.kernels.end_ns[rows].max()), chosen)
    if not asked:
        return _whole(trace, mine)
    raise UsageError(
        f"{trace.path}: no GPU activity was launched in the steps asked for, --steps {asked}",
        fix="give other steps, or --steps all for the whole trace",
    )


def within(moment_ns: Ints, steps: Sequence[Step]) -> Bools:
    """Whether each moment lies in one of the steps, ends included."""
    inside = np.zeros(len(moment_ns), bool)
    for step in steps:
        inside |= (moment_ns >= step.start_ns) & (moment_ns <= step.end_ns)
    return inside & (moment_ns >= 0)


def _complete(trace: Trace) -> tuple[Step, ...]:
    """All steps but a last stub: without launches though others have some, or under 10 % of their median.

    All of them where the recording says that it is complete.
    """
    *others, last = trace.steps
    recording = trace.recording
    wanted = recording.active if recording is not None and recording.complete else None
    if not others or len(trace.steps) == wanted:
        return trace.steps
    launches, kernels = trace.launches, trace.kernels
    started = launches.start_ns[passes(trace.names, launches.name, _LAUNCH.search)]
    moments = np.concatenate((started, kernels.launch_ns[kernels.launch_ns >= 0]))
    idle = not trace.on_cpu and not within(moments, [last]).any() and within(moments, others).any()
    typical = median(step.end_ns - step.start_ns for step in others)
    short = last.end_ns - last.start_ns < _STUB * typical
    return tuple(others) if idle or short else trace.steps


def _in_range(trace: Trace, steps: str) -> tuple[Step, ...]:
    match = _RANGE.fullmatch(steps)
    if match is None:
        raise UsageError(f"--steps {steps}: is not complete, all or A-B", fix="give for example --steps 3-5")
    if not trace.steps:
        raise UsageError(
            f"{trace.path}: has no ProfilerStep annotations to select {steps} from",
            fix="leave out --steps: the whole trace is then taken",
        )
    first, last = int(match[1]), int(match[2] or match[1])
    there = {step.number for step in trace.steps}
    if first > last or first not in there or last not in there:
        raise UsageError(
            f"{trace.path}: has no steps {steps}", fix=f"choose from its steps: {_listed(trace.steps)}"
        )
    return tuple(step for step in trace.steps if first <= step.number <= last)


def _listed(steps: Sequence[Step]) -> str:
    """`3-5, 13-15`: the numbers in the order of time, runs joined."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step.number == runs[-1][1] + 1:
            runs[-1][1] = step.number
        else:
            runs.append([step.number, step.number])
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in runs)
