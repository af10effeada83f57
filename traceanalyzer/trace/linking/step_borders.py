"""Where the steps cut the window, as the device saw them (ns)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from traceanalyzer.records import Notice
from traceanalyzer.records.trace import Bools, Ints, Kernels, RecordKind, Step
from traceanalyzer.trace.linking.steps import listed

_NEVER = np.iinfo(np.int64).max


class _Activity(msgspec.Struct, frozen=True, eq=False):
    """Records of one device, in an order of their own."""

    launch_ns: Ints  # `_NEVER` where the launch was not recorded
    start_ns: Ints
    end_ns: Ints
    stream: Ints  # numbered from 0
    kernel: Bools

    @classmethod
    def of(cls, kernels: Kernels, mine: Bools) -> _Activity:
        stream = np.unique(kernels.stream[mine], return_inverse=True)[1].ravel()
        launch_ns = np.where(kernels.launch_ns >= 0, kernels.launch_ns, _NEVER)[mine]
        kernel = kernels.kind[mine] == RecordKind.KERNEL
        return cls(launch_ns, kernels.start_ns[mine], kernels.end_ns[mine], stream, kernel)

    def at(self, rows: Ints) -> _Activity:
        return _Activity(
            self.launch_ns[rows], self.start_ns[rows], self.end_ns[rows], self.stream[rows], self.kernel[rows]
        )

    def last_end(self, until: int, begin: int, first: int) -> int:
        """Of records by end the last one up to `until` that is launched before `begin`.

        Or, where the launch was not recorded, that starts before `first`. Most often one of the last few.
        """
        stop, count = int(np.searchsorted(self.end_ns, until, side="right")), 16
        while stop > 0:
            rows = slice(max(stop - count, 0), stop)
            launch_ns = self.launch_ns[rows]
            before = np.flatnonzero(
                (launch_ns < begin) | ((launch_ns == _NEVER) & (self.start_ns[rows] < first))
            )
            if len(before):
                return int(self.end_ns[rows][before[-1]])
            stop, count = rows.start, 2 * count
        return -_NEVER


class _Reach(msgspec.Struct, frozen=True, eq=False):
    """How far activity reaches that began before a moment."""

    moment_ns: Ints  # ascending
    reach_ns: Ints  # last end so far

    @classmethod
    def of(cls, moment_ns: Ints, end_ns: Ints) -> _Reach:
        order = np.argsort(moment_ns, kind="stable")
        return cls(moment_ns[order], np.maximum.accumulate(end_ns[order]))

    def before(self, moment: int) -> int:
        count = int(np.searchsorted(self.moment_ns, moment))
        return int(self.reach_ns[count - 1]) if count else -_NEVER


class _StepWork(msgspec.Struct, frozen=True):
    """What one step launched."""

    first_ns: int  # its first start on any stream
    main_first_ns: int  # of its main stream, on which most of its kernels run
    main_last_ns: int
    last_ns: int
    main_stream: int

    @classmethod
    def of(cls, launched: _Activity, step: Step) -> _StepWork | None:
        """Of activity by launch."""
        before, after = np.searchsorted(launched.launch_ns, (step.start_ns, step.end_ns + 1))
        if before == after:
            return None
        rows = slice(before, after)
        start_ns, end_ns, stream = launched.start_ns[rows], launched.end_ns[rows], launched.stream[rows]
        kernels = stream[launched.kernel[rows]]
        main = int(np.bincount(kernels if len(kernels) else stream).argmax())
        on_main = stream == main
        return cls(
            int(start_ns.min()), int(start_ns[on_main].min()), int(end_ns[on_main].max()),
            int(end_ns.max()), main,
        )  # fmt: skip


def step_borders(
    kernels: Kernels, mine: Bools, steps: Sequence[Step]
) -> tuple[list[int], tuple[Notice, ...]]:
    """Where each step begins, never before the one before it: O(n log n), and O(log n) a step.

    At its annotation, or where the last activity launched before it ends, if that is later. What still
    runs on another stream when the step's own work begins on its main stream has not delayed it.
    """
    work = _Activity.of(kernels, mine)
    by_launch = work.at(np.argsort(work.launch_ns, kind="stable"))
    launched = [_StepWork.of(by_launch, step) for step in steps]
    starts = _starts(work, launched, steps)
    following = (*starts[1:], _NEVER)
    empty = [
        step
        for step, each, start, end in zip(steps, launched, starts, following, strict=True)
        if each and each.last_ns > each.first_ns and end <= start
    ]
    if not empty:
        return starts, ()
    text = (
        f"the work of {listed(empty)} runs on the device beside that of the next step: the steps are cut at "
        "their annotations"
    )
    return [step.start_ns for step in steps], (Notice("steps_overlap", text, len(empty)),)


def step_ends(kernels: Kernels, mine: Bools, steps: Sequence[Step]) -> tuple[int, ...]:
    """Where each step's own work ends: its annotation, or the last activity launched in it, if later."""
    rows = np.flatnonzero(mine & (kernels.launch_ns >= 0))
    rows = rows[np.argsort(kernels.launch_ns[rows], kind="stable")]
    moments, end_ns = kernels.launch_ns[rows], kernels.end_ns[rows]
    first = np.searchsorted(moments, [step.start_ns for step in steps])
    last = np.searchsorted(moments, [step.end_ns for step in steps], side="right")
    return tuple(
        max(step.end_ns, int(end_ns[a:b].max(initial=0)))
        for step, a, b in zip(steps, first, last, strict=True)
    )


def _starts(work: _Activity, launched: Sequence[_StepWork | None], steps: Sequence[Step]) -> list[int]:
    anywhere = work.at(np.argsort(work.end_ns, kind="stable"))
    reaches = {stream: _reaches(work, stream) for stream in {each.main_stream for each in launched if each}}
    following = next((each for each in launched if each), None)
    previous: _StepWork | None = None
    starts: list[int] = []
    for step, of_step in zip(steps, launched, strict=True):
        begin = max((*starts[-1:], step.start_ns))
        if previous:
            begin = max(begin, previous.main_last_ns)
        if reference := of_step or (None if previous else following):
            begin = max(begin, anywhere.last_end(reference.main_first_ns, step.start_ns, reference.first_ns))
        if of_step:
            by_launch, by_start = reaches[of_step.main_stream]
            begin = max(begin, by_launch.before(step.start_ns), by_start.before(of_step.first_ns))
            previous = of_step
        starts.append(begin)
    return starts


def _reaches(work: _Activity, stream: int) -> tuple[_Reach, _Reach]:
    """Of one stream: by launch, and by start what was recorded without one."""
    mine = work.at(np.flatnonzero(work.stream == stream))
    alone = mine.launch_ns == _NEVER
    return (
        _Reach.of(mine.launch_ns[~alone], mine.end_ns[~alone]),
        _Reach.of(mine.start_ns[alone], mine.end_ns[alone]),
    )
