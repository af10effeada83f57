"""The window that is analyzed, and where its steps cut it: as the device saw them (ns)."""

from __future__ import annotations

import re
from statistics import median

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records import Notice
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.trace import Bools, Step, Trace, Window, passes
from traceanalyzer.records.units import duration, percent
from traceanalyzer.trace.linking.cycles import one_cycle
from traceanalyzer.trace.linking.step_borders import step_borders, step_ends
from traceanalyzer.trace.linking.steps import is_profiler_step, listed, within

_RANGE = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", re.ASCII)
_STUB = 0.1  # a last step shorter than this part of the median is what `profiler.step()` left open
_LAUNCH = re.compile(r"launch|memcpy|memset", re.IGNORECASE)
_UNLIKE = 0.1  # of the mean annotation, that window / steps may differ from it


def select_window(trace: Trace, device_index: int, steps: str = "complete") -> Window:
    """The window of one device: `steps` is "complete", "all", "A-B" or "A" (numbers of the steps).

    It starts at the first step's annotation, or where the last activity launched before it ends, if that is
    later: a host that runs ahead is no idle device. It ends at the last step's annotation, or where the last
    activity launched in the steps ends, if that is later. `step_borders` cuts it by the same rule, so that
    the wait for data before a step's first kernel is the step's. On a CPU trace the annotations themselves.
    "complete" leaves out a last stub; "all", and "complete" without steps, take the whole trace, from the
    first start to the last end of activity, and then `Window.steps` is (). UsageError for steps that are not
    there.
    """
    mine = trace.kernels.device == device_index
    wish = steps.strip().lower()
    if wish not in ("complete", "all"):
        return _window(trace, mine, _in_range(trace, steps), asked=steps)
    if wish == "all" or not trace.steps:
        return _whole(trace, mine)
    cycle, cycle_notices = one_cycle(trace)
    complete, stub_notices = _complete(trace, cycle)
    chosen, notices = _recorded(trace, mine, complete)
    return _window(trace, mine, chosen, notices=(*cycle_notices, *stub_notices, *notices))


def _whole(trace: Trace, mine: Bools) -> Window:
    start, end = trace.kernels.start_ns[mine], trace.kernels.end_ns[mine]
    if not len(start):
        return Window((0, 0), ())
    return Window((int(start.min()), int(end.max())), ())


def _window(
    trace: Trace, mine: Bools, chosen: tuple[Step, ...], asked: str = "", notices: tuple[Notice, ...] = ()
) -> Window:
    if trace.on_cpu:
        ends = tuple(step.end_ns for step in chosen)
        return _with_notices(Window((*(step.start_ns for step in chosen), max(ends)), chosen, notices, ends))
    kernels = trace.kernels
    launched = mine & within(kernels.launch_ns, chosen)
    if launched.any():
        last = max(max(step.end_ns for step in chosen), int(kernels.end_ns[launched].max()))
        starts, overlap = step_borders(kernels, mine, chosen)
        cuts = (*starts, max(last, starts[-1]))
        ends = step_ends(kernels, mine, chosen)
        return _with_notices(Window(cuts, chosen, (*notices, *overlap), ends))
    if not asked:
        return _whole(trace, mine)
    raise UsageError(
        f"{trace.path}: no GPU activity was launched in the steps asked for, --steps {asked}",
        fix="give other steps, or --steps all for the whole trace",
    )


def _with_notices(window: Window) -> Window:
    """With the ends of steps cut by the next one, and a notice where steps are not as long as annotated."""
    bounds = zip(window.cuts, window.cuts[1:], window.step_ends, strict=False)
    ends = tuple(min(max(start, last), end) for start, end, last in bounds)
    cut = replace(window, step_ends=ends)
    return replace(cut, notices=(*window.notices, *_unlike(cut)))


def _unlike(window: Window) -> tuple[Notice, ...]:
    """A notice where a step of the window is not as long as the steps' annotations are on average."""
    cuts, steps = window.cuts, window.steps
    device = (cuts[-1] - cuts[0]) / len(steps)
    between = sum(end - last for end, last in zip(cuts[1:], window.step_ends, strict=True)) / len(steps)
    host = sum(step.end_ns - step.start_ns for step in steps) / len(steps)
    if not host or abs(device / host - 1) <= _UNLIKE:
        return ()
    text = (
        f"a step of the window takes {duration(round(device))} on average, its annotation on the host "
        f"{duration(round(host))}: {percent(device / host)} of it"
    )
    if between > _UNLIKE * host:
        text += f"; {duration(round(between))} of it lie between one step's end and the next step"
    text += ". Times per step here are those of the window; `--steps A-B` chooses its steps"
    return (Notice("window_unlike_steps", text),)


def _recorded(
    trace: Trace, mine: Bools, steps: tuple[Step, ...]
) -> tuple[tuple[Step, ...], tuple[Notice, ...]]:
    """Without steps whose activity is missing: of first ones in a session, of last ones in a cut file."""
    if trace.on_cpu:
        return steps, ()
    kernels = trace.kernels
    moments = np.sort(np.where(kernels.launch_ns >= 0, kernels.launch_ns, kernels.start_ns)[mine])
    opens = np.searchsorted(moments, [step.start_ns for step in steps])
    there = np.searchsorted(moments, [step.end_ns for step in steps], side="right") > opens
    first = int(np.argmax(there)) if there.any() else 0
    kept, notices = steps[first:], []
    if first:
        text = f"no activity of the GPU was recorded in {listed(steps[:first])}: those steps are left out"
        notices.append(Notice("steps_not_recorded", text, first))
    whole = tuple(step for step in kept if len(moments) and step.end_ns <= moments[-1])
    if whole and len(whole) < len(kept) and trace.is_cut_off:
        lost = listed(kept[len(whole) :])
        text = f"the file ends before the GPU's activity in {lost} does: those steps are left out"
        notices.append(Notice("steps_not_recorded", text, len(kept) - len(whole)))
        kept = whole
    return kept, tuple(notices)


def _complete(trace: Trace, steps: tuple[Step, ...]) -> tuple[tuple[Step, ...], tuple[Notice, ...]]:
    """All steps but a last stub: without launches though others have some, or under 10 % of their median.

    The latter only of ProfilerStep annotations, of which `profiler.step()` leaves the last one open: a short
    last step of an engine was one. All of them where the recording says that it is complete.
    """
    *others, last = steps
    recording = trace.recording
    wanted = recording.active if recording is not None and recording.complete else None
    if not others or len(steps) == wanted:
        return steps, ()
    launches, kernels = trace.launches, trace.kernels
    started = launches.start_ns[passes(trace.names, launches.name, _LAUNCH.search)]
    moments = np.concatenate((started, kernels.launch_ns[kernels.launch_ns >= 0]))
    ran = bool(within(moments, [last]).any())
    idle = not trace.on_cpu and not ran and within(moments, others).any()
    typical = median(step.end_ns - step.start_ns for step in others)
    length = last.end_ns - last.start_ns
    left_open = is_profiler_step(last.name) and length < _STUB * typical
    if not idle and not left_open:
        return steps, ()
    if left_open and not ran:
        return tuple(others), ()  # as nearly every recording ends
    why = "it launched nothing" if idle else f"it takes {duration(length)}, others {duration(typical)}"
    text = f"the last step, {last.name}, is left out: {why}; --steps A-B selects it"
    return tuple(others), (Notice("last_step_left_out", text),)


def _in_range(trace: Trace, steps: str) -> tuple[Step, ...]:
    match = _RANGE.fullmatch(steps)
    if match is None:
        raise UsageError(f"--steps {steps}: is not complete, all or A-B", fix="give for example --steps 3-5")
    if not trace.steps:
        raise UsageError(
            f"{trace.path}: has no ProfilerStep annotations, or the like, to select {steps} from",
            fix="name them with --steps-by, or leave out --steps: the whole trace is then taken",
        )
    first, last = int(match[1]), int(match[2] or match[1])
    there = {step.number for step in trace.steps}
    if first > last:
        forward = f"give --steps {last}-{first}, or " if {first, last} <= there else ""
        raise UsageError(
            f"{trace.path}: --steps {steps} ends before it begins",
            fix=f"{forward}choose from its steps: {listed(trace.steps)}",
        )
    if first not in there or last not in there:
        raise UsageError(
            f"{trace.path}: has no steps {steps}", fix=f"choose from its steps: {listed(trace.steps)}"
        )
    return tuple(step for step in trace.steps if first <= step.number <= last)
