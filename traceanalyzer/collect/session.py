"""One capture as a state machine: counts steps; prepares, starts and stops the profiler at step boundaries.

wait -> warm-up -> active -> (pause -> further)* -> (again -> active)? -> after -> done. A failure in here
never reaches the script: it ends the capture, with a message.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any, ClassVar

from traceanalyzer.collect.capture import Capture, CaptureResult, is_recording, too_large
from traceanalyzer.collect.capture_phase import OVER, CapturePhase
from traceanalyzer.collect.compiling import Compiling
from traceanalyzer.collect.further import FurtherRecordings
from traceanalyzer.collect.memory import peak_memory_bytes, resident_bytes
from traceanalyzer.collect.modules import ModuleCalls
from traceanalyzer.collect.optimizers import OptimizerSteps
from traceanalyzer.collect.process_use import ProcessUse
from traceanalyzer.collect.schedule import LONGEST_WAIT, Schedule
from traceanalyzer.collect.step_detector import StepDetector, Tick
from traceanalyzer.collect.step_sizes import MissedStep, SizesOfStep, StepSizes
from traceanalyzer.collect.step_timer import StepTimer
from traceanalyzer.collect.stopping import Stopper
from traceanalyzer.collect.thread_end import AtThreadEnd

Say = Callable[[str], None]

_TIMED_AFTER = 5  # steps timed after the capture
_PATIENCE = 2000  # steps, until one that came before the capture alone is not waited for any longer
_END_TIMEOUT_S = 10.0  # waited for the thread that trains to end its step


class Session:
    """Counts the steps of a script and captures some of them."""

    current: ClassVar[Session | None] = None  # the one that watches this process

    def __init__(
        self, schedule: Schedule, folder: Path, keep: Callable[[CaptureResult], None], say: Say,
        stopper: Stopper | None = None,
    ) -> None:  # fmt: skip
        """`keep` gets the result as soon as there is one, `say` a line for the user; `stopper`, which ends a
        script when all is captured, is told of each step."""
        self.schedule = schedule
        self.phase = CapturePhase.WAIT
        self.steps = 0  # whole steps since the detector found its anchor
        self.detector = StepDetector()
        self.result: CaptureResult | None = None
        self.capture_ns = 0  # spent in captured steps and round them
        self._folder = folder
        self._keep = keep
        self._say = say
        self._stopper = stopper
        self._over = False  # all is captured that was asked for
        self._pid = os.getpid()
        self.stuck = False  # the training thread continues, perhaps with a recording
        self._thread: threading.Thread | None = None  # whose steps count; only it can stop a recording
        self._of_thread = threading.local()
        self._asked = False  # the thread is to end the recording at its next step
        self._ended = threading.Event()
        self._captures = 0
        self._whole: CaptureResult | None = None  # the last capture of all the steps asked for
        self._notified = False
        self._further = FurtherRecordings(folder, say)
        self._capture: Capture | None = None
        self._modules = ModuleCalls(self._forward_returned, self._forward_called)
        self._sizes, self._missed = SizesOfStep(), MissedStep()
        self._optimizers = OptimizerSteps(self._optimizer_made, self._optimizer_returned)
        self._timer = StepTimer()
        self._last: ProcessUse | None = None  # at the last boundary
        self._armed_ns = 0
        self._compiling = Compiling()
        self._anchored: str | None = None  # the detector's anchor in the last capture
        self._resident = 0
        self._peak_memory_bytes: int | None = None
        self._watching = False  # else the caller says where steps end

    def watch(self) -> None:
        """Find the steps of a script: torch has just been imported."""
        Session.current = self
        self._watching = True
        self._optimizers.install()
        self._modules.install()

    def begin(self) -> None:
        """The caller says where steps end: `step`. The first begins now, and may be captured already."""
        self._modules.install()
        self._thread = threading.current_thread()
        if not self.schedule.wait:
            self._guarded(self._arm)
        self._last = ProcessUse.now()

    @property
    def busy(self) -> bool:
        """No other profiler may run: this one records, or will."""
        return self.phase not in OVER and os.getpid() == self._pid

    def step(self) -> None:
        """A boundary, said by the caller."""
        self._ticked(Tick.STEP)

    def finish(self) -> None:
        """Stop whatever is in progress, keep what there is, remove the wrappers."""
        if os.getpid() != self._pid:
            return
        if self._capture is None or self._thread is threading.current_thread():
            self._guarded(self._end)
        else:
            self._end_elsewhere()
        if self.result is not None:
            for text in filter(None, (self._missed.text(), self._further.lost(self.result))):
                self._say(text)
        others = self._thread not in (None, threading.current_thread())
        self.stuck |= others and self._thread is not None and self._thread.is_alive()
        self.phase, Session.current = CapturePhase.DONE, None
        self._capture = None
        self._modules.uninstall()
        self._optimizers.uninstall()

    def _end(self) -> None:
        if self._capture is not None and self.phase is CapturePhase.ACTIVE:
            self._stop_active(self._capture, unfinished=True)
        elif self._capture is not None:
            self._capture.abandon(started=self.phase is CapturePhase.FURTHER)
        self._capture = None
        self._timer.end()
        self._keep_timings()

    def _end_elsewhere(self) -> None:
        """Only the thread that started the profiler can stop it (torch/csrc/autograd/profiler_kineto.cpp)."""
        self._asked = True
        if not self._ended.wait(_END_TIMEOUT_S):
            self._say("the steps run in a thread that continues: the recording in progress is lost")

    def _thread_ended(self, thread: threading.Thread) -> None:
        """Called in `thread`, which comes to its end: another may make the steps from here on."""
        if self._thread is not thread or os.getpid() != self._pid:
            return
        if self._capture is not None:
            self._guarded(self._end)
            self.phase = CapturePhase.DONE
        self._ended.set()
        if self.phase is CapturePhase.WAIT:
            self._thread, self.steps, self._last = None, 0, None

    def _optimizer_made(self) -> None:
        self.detector.optimizer_exists = True

    def _optimizer_returned(self, owner: object) -> None:
        self._ticked(self.detector.optimizer(owner))

    def _forward_called(self, arguments: Any, named: Any) -> None:
        if self._thread in (None, threading.current_thread()) and self.phase is not CapturePhase.DONE:
            self._guarded(functools.partial(self._forward_begins, arguments, named))

    def _forward_begins(self, arguments: Any, named: Any) -> None:
        sizes = self._sizes.called(arguments, named)
        if self.phase is CapturePhase.AGAIN and self._missed.returns(sizes) and not is_recording():
            self._capture_again()

    def _forward_returned(self, owner: object) -> None:
        if self._watching:
            self._ticked(self.detector.forward(owner))

    def _ticked(self, tick: Tick) -> None:
        watched = self._stopper is not None or self.phase is not CapturePhase.DONE
        if tick is Tick.NOTHING or not watched and tick is Tick.STEP:
            return
        if os.getpid() != self._pid:  # a forked worker
            return
        if tick is Tick.RESTART:
            self._guarded(self._restart)
        self._guarded(self._boundary)
        if self._stopper is not None and self._thread is threading.current_thread():
            self._stopper.step(over=self._over)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Run `act`; a failure in here ends the capture, never the script."""
        try:
            act()
        except Exception as error:
            self._failed(error)

    def _restart(self) -> None:
        """Another anchor: what was counted, and what is being recorded, belongs to no step of it."""
        phases = (CapturePhase.PAUSE, CapturePhase.FURTHER, *OVER)
        if self.phase in phases and (self._anchored == "optimizer" or self.detector.kind != "optimizer"):
            return
        if self._capture is not None:
            self._capture.abandon(started=self.phase in (CapturePhase.ACTIVE, CapturePhase.FURTHER))
            self._capture = None
        self._modules.recording = self._over = False
        self.phase, self.steps, self._last, self._thread = CapturePhase.WAIT, 0, None, None
        self._timer = StepTimer()
        self._modules.install()
        if not self._notified:
            self._notified = True
            self._say("another optimizer or module ends the steps from here on; counting restarts")

    def _boundary(self) -> None:
        now = ProcessUse.now()
        if not self._is_ours():
            return
        if self._asked:
            self._end()
            self.phase = CapturePhase.DONE
            self._ended.set()
            return
        self.steps += 1
        took, sizes = None if self._last is None else now.since(self._last), self._sizes.ended()
        match self.phase:
            case CapturePhase.WAIT:
                self._waited(took, sizes)
            case CapturePhase.WARMUP:
                self._warmed(sizes)
            case CapturePhase.ACTIVE:
                self._recorded(took, sizes)
            case CapturePhase.PAUSE:
                self._paused(took, sizes)
            case CapturePhase.FURTHER:
                self._further_recorded()
            case CapturePhase.AGAIN | CapturePhase.AFTER:
                self._after(took, sizes)
            case CapturePhase.DONE:
                pass
        if self._armed_ns and self.phase in OVER:
            self.capture_ns += perf_counter_ns() - self._armed_ns
            self._armed_ns = 0
        self._last = ProcessUse.now()

    def _is_ours(self) -> bool:
        """Whether this thread is the one whose steps count; the first to make one is."""
        thread = threading.current_thread()
        if self._thread is None:
            self._thread = thread
            if thread is not threading.main_thread():
                self._of_thread.end = AtThreadEnd(functools.partial(self._thread_ended, thread))
        return self._thread is thread

    def _waited(self, took: ProcessUse | None, sizes: StepSizes) -> None:
        compiling = self._compiling.now()
        self._missed.before(sizes)
        if took is None or compiling:
            self._timer.begin()
        else:
            self._timer.step(took, sizes)
        if self.steps >= self.schedule.wait and not (
            compiling and self.steps < self.schedule.wait + LONGEST_WAIT
        ):
            self._arm()

    def _arm(self) -> None:
        self._timer.end()
        self._armed_ns = perf_counter_ns()
        self._peak_memory_bytes = peak_memory_bytes()
        self._further.plan(self.schedule)
        self._prepare(self.schedule)
        self._left = self.schedule.warmup
        self.phase = CapturePhase.WARMUP
        if not self._left:
            self._start()

    def _prepare(self, schedule: Schedule) -> None:
        self._captures += 1
        self._capture = Capture(schedule, self._folder / f"trace-{self._captures}.json")
        self._capture.prepare()

    def _warmed(self, sizes: StepSizes) -> None:
        self._missed.before(sizes)
        self._left -= 1
        if not self._left:
            self._start()

    def _start(self) -> None:
        assert self._capture is not None
        self.result = CaptureResult(self._capture.raw, further=self._further.recorded)
        self.result.peak_memory_bytes = self._peak_memory_bytes
        self._anchored = self.detector.kind
        self._modules.start()
        self._left = self.schedule.active
        self.phase = CapturePhase.ACTIVE
        self._resident = resident_bytes() or 0
        self._capture.start(self.steps)

    def _recorded(self, took: ProcessUse | None, sizes: StepSizes) -> None:
        assert self._capture is not None and self.result is not None and took is not None
        assert self._capture.step_name is not None
        self.result.add(self._capture.step_name, took, sizes)
        self._left -= 1
        why = too_large(self.result, (resident_bytes() or 0) - self._resident) if self._left else None
        if self._left and why is None:
            self._capture.next_step(self.steps)
            return
        if why:
            self._say(f"stopped after {len(self.result.steps)} of {self.schedule.active} steps, {why}")
        self._stop_active(self._capture)
        self._capture = None
        self.phase = CapturePhase.PAUSE
        self._timer.begin_after_capture()
        if not self._further:
            self._finished()

    def _stop_active(self, capture: Capture, *, unfinished: bool = False) -> None:
        assert self.result is not None
        self._modules.recording = False
        self.result.unfinished = capture.step_name if unfinished else None
        self.result.autocast = self._modules.autocast
        capture.stop(unfinished=unfinished)
        self._keep_timings()

    def _paused(self, took: ProcessUse | None, sizes: StepSizes) -> None:
        """A step between two recordings, for the recorded functions that were open when the first ended.

        They write into memory that it has freed when they close (torch/csrc/autograd/profiler_kineto.cpp).
        """
        if took is not None:
            self._timer.step(took, sizes)
        self._timer.end()
        self.phase = CapturePhase.FURTHER
        self._capture = self._further.begin()
        self._capture.prepare()
        self._capture.start(self.steps)

    def _further_recorded(self) -> None:
        assert self._capture is not None and self.result is not None
        self._capture.stop()
        self._capture = None
        self._further.ended()
        self._timer.begin_after_capture()
        if self._further:
            self.phase = CapturePhase.PAUSE
        else:
            self._finished()

    def _finished(self) -> None:
        """All is captured: unwrap the modules, and the optimizers once a few more steps are timed.

        An evaluation is not all where there is an optimizer: it may be about to step.
        """
        self._over = self.detector.kind == "optimizer" or not self.detector.optimizer_exists
        self._left = 0
        if self._watching and self.detector.kind == "forward" and self.result is not None:
            self._missed.captured(self.result.sizes)
            if self._missed.sizes is not None and self._stopper is None:
                self.phase = CapturePhase.AGAIN
                return
        if self._stopper is None:
            self._modules.uninstall()
        self.phase = CapturePhase.AFTER if self.detector.kind != "forward" else CapturePhase.DONE

    def _capture_again(self) -> None:
        """Record a step of the kind that was left out, which begins now, and those behind it."""
        self._missed = MissedStep()
        self._timer.end()
        self._prepare(self.schedule.alone)
        self._start()
        self._last = ProcessUse.now()

    def _after(self, took: ProcessUse | None, sizes: StepSizes) -> None:
        if took is not None:
            self._timer.step(took, sizes)
        self._left += 1
        if self._left >= (_TIMED_AFTER if self.phase is CapturePhase.AFTER else _PATIENCE):
            self._modules.uninstall()
            self._timer.end()
            self.phase = CapturePhase.DONE
            self._optimizers.over = self._stopper is None

    def _keep_timings(self) -> None:
        """A capture of all steps is never replaced by one of fewer."""
        if self.result is None:
            return
        if len(self.result.steps) >= self.schedule.active:
            self._whole = self.result
        elif self._whole is not None:
            self.result = self._whole
        self.result.unprofiled_ns, self.result.unprofiled_used = list(self._timer.ns), list(self._timer.used)
        self.result.unprofiled_sizes = list(self._timer.sizes)
        self._keep(self.result)

    def _failed(self, error: Exception) -> None:
        """Detach from the script; saved results stay. A recording that is never stopped would crash torch."""
        capture, started = self._capture, self.phase in (CapturePhase.ACTIVE, CapturePhase.FURTHER)
        self.phase, self._capture = CapturePhase.DONE, None
        if capture is not None:
            with contextlib.suppress(Exception):
                capture.abandon(started=started)
        self._modules.uninstall()
        self._optimizers.over = True
        self._over = True  # nothing more is captured, so that --stop has nothing to wait for
        self._say(f"the capture was abandoned: {type(error).__name__}: {error}")
