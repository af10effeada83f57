"""The course of one capture: steps are counted, the profiler is armed, started and stopped between them.

wait -> warm-up -> active -> evidence -> after: each is left at a step's boundary. Our own failure never
reaches the script: it ends the capture, and is said.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from time import perf_counter_ns
from typing import ClassVar

from traceanalyzer.collect.beat import Beat, Tick
from traceanalyzer.collect.capture import Capture
from traceanalyzer.collect.modules import ModuleCalls
from traceanalyzer.collect.optimizers import OptimizerSteps
from traceanalyzer.collect.plan import LONGEST_CAPTURE_NS, LONGEST_WAIT, Plan

_LATER = 5  # steps timed after the capture


class Phase(Enum):
    """Where a capture stands."""

    WAIT = auto()
    WARMUP = auto()
    ACTIVE = auto()
    EVIDENCE = auto()  # one step of its own for the execution trace, which slows what it watches
    AFTER = auto()     # a few steps are timed without the profiler
    DONE = auto()


@dataclass(slots=True)
class Taken:
    """What a capture has brought so far."""

    raw: Path                                    # the trace, as the profiler wrote it
    steps: list[str] = field(default_factory=list)  # whole steps in it
    unfinished: str | None = None                # the annotation of a step that the end cut off
    step_ns: list[int] = field(default_factory=list)
    unprofiled_ns: list[int] = field(default_factory=list)
    structure: tuple[Path, Path] | None = None   # trace and execution trace of the evidence step
    autocast: str | None = None


class Session:
    """Counts the steps of a script and captures some of them."""

    current: ClassVar[Session | None] = None  # the one that watches this process

    def __init__(
        self, plan: Plan, folder: Path, keep: Callable[[Taken], None], say: Callable[[str], None]
    ) -> None:
        """`keep` gets what was captured as soon as it is there; `say` takes a line for the user."""
        self.plan = plan
        self.phase = Phase.WAIT
        self.steps = 0  # whole steps since the beat began
        self.beat = Beat()
        self.taken: Taken | None = None
        self.capture_ns = 0  # spent in captured steps and round them
        self._folder = folder
        self._keep = keep
        self._say = say
        self._pid = os.getpid()
        self._thread: int | None = None
        self._capture: Capture | None = None
        self._modules = ModuleCalls(self._forward_returned)
        self._optimizers = OptimizerSteps(self._optimizer_made, self._optimizer_returned)
        self._unprofiled_ns: list[int] = []
        self._last_ns: int | None = None
        self._armed_ns = 0
        self._compiled = 0
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
        self._thread = threading.get_ident()
        if not self.plan.wait:
            self._guarded(self._arm)
        self._last_ns = perf_counter_ns()

    def step(self) -> None:
        """A boundary, said by the caller."""
        self._ticked(Tick.STEP)

    def finish(self) -> None:
        """Stop whatever is in progress, keep what there is, take our wrappers away."""
        if os.getpid() != self._pid:
            return
        self._guarded(self._end)
        self.phase, Session.current = Phase.DONE, None
        self._capture = None
        self._modules.uninstall()
        self._optimizers.uninstall()

    def _end(self) -> None:
        if self.phase is Phase.ACTIVE:
            self._stop_active(unfinished=True)
        elif self._capture is not None:
            self._capture.abandon(started=self.phase is Phase.EVIDENCE)
        self._keep_timings()

    def _optimizer_made(self) -> None:
        self.beat.optimizer_exists = True

    def _optimizer_returned(self, owner: object) -> None:
        self._ticked(self.beat.optimizer(owner))

    def _forward_returned(self, owner: object) -> None:
        if self._watching:
            self._ticked(self.beat.forward(owner))

    def _ticked(self, tick: Tick) -> None:
        if tick is Tick.NOTHING or self.phase is Phase.DONE and tick is Tick.STEP:
            return
        if os.getpid() != self._pid:  # a forked worker
            return
        if tick is Tick.RESTART:
            self._guarded(self._restart)
        self._guarded(self._boundary)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Our own failure is ours alone."""
        try:
            act()
        except Exception as error:
            self._failed(error)

    def _restart(self) -> None:
        """Another anchor: what was counted, and what is being recorded, belongs to no step of it."""
        superseded = self.phase in (Phase.DONE, Phase.AFTER)
        if superseded and self.beat.kind != "optimizer":
            return
        if self._capture is not None:
            self._capture.abandon(started=self.phase in (Phase.ACTIVE, Phase.EVIDENCE))
            self._capture = None
        self._modules.recording = False
        self.phase, self.steps, self._last_ns, self._thread = Phase.WAIT, 0, None, None
        self._unprofiled_ns.clear()
        self._modules.install()
        self._say("the steps are those of another optimizer or module from here on; counting starts again")

    def _boundary(self) -> None:
        now = perf_counter_ns()
        if self._thread is None:
            self._thread = threading.get_ident()
        elif self._thread != threading.get_ident():
            return
        self.steps += 1
        took = None if self._last_ns is None else now - self._last_ns
        match self.phase:
            case Phase.WAIT:
                self._waited(took)
            case Phase.WARMUP:
                self._warmed()
            case Phase.ACTIVE:
                self._recorded(took)
            case Phase.EVIDENCE:
                self._evident()
            case Phase.AFTER:
                self._after(took)
            case Phase.DONE:
                pass
        if self._armed_ns and self.phase in (Phase.AFTER, Phase.DONE):
            self.capture_ns += perf_counter_ns() - self._armed_ns
            self._armed_ns = 0
        self._last_ns = perf_counter_ns()

    def _waited(self, took: int | None) -> None:
        compiling = self._compiling()
        if took is not None and not compiling:
            self._unprofiled_ns.append(took)
        if self.steps >= self.plan.wait and not (compiling and self.steps < self.plan.wait + LONGEST_WAIT):
            self._arm()

    def _arm(self) -> None:
        self._armed_ns = perf_counter_ns()
        self._capture = Capture(self.plan, self._folder / "trace.json")
        self._capture.prepare()
        self._left = self.plan.warmup
        self.phase = Phase.WARMUP
        if not self._left:
            self._start()

    def _compiling(self) -> bool:
        """Whether torch.compile has worked since the last boundary: its counters have moved."""
        utils = sys.modules.get("torch._dynamo.utils")
        counted = 0 if utils is None else sum(sum(each.values()) for each in utils.counters.values())
        moved, self._compiled = counted != self._compiled, counted
        return moved

    def _warmed(self) -> None:
        self._left -= 1
        if not self._left:
            self._start()

    def _start(self) -> None:
        assert self._capture is not None
        self.taken = Taken(self._capture.raw)
        self._modules.start()
        self._left = self.plan.active
        self.phase = Phase.ACTIVE
        self._capture.start(self.steps)

    def _recorded(self, took: int | None) -> None:
        assert self._capture is not None and self.taken is not None and took is not None
        assert self._capture.step_name is not None
        self.taken.steps.append(self._capture.step_name)
        self.taken.step_ns.append(took)
        self._left -= 1
        captured_ns = sum(self.taken.step_ns)
        if self._left and captured_ns < LONGEST_CAPTURE_NS:
            self._capture.next_step(self.steps)
            return
        if self._left:
            self._say(f"stopped after {len(self.taken.steps)} of {self.plan.active} steps, which took "
                      f"{captured_ns / 1e9:.0f} s: a trace of more would be too large")  # fmt: skip
        self._stop_active()
        if not self.plan.evidence:
            self._finished()
            return
        self.phase = Phase.EVIDENCE
        self._structure = (self._folder / "structure.json", self._folder / "execution.json")
        self._capture = Capture(self.plan, *self._structure)
        self._capture.prepare()
        self._capture.start(self.steps)

    def _stop_active(self, *, unfinished: bool = False) -> None:
        assert self._capture is not None and self.taken is not None
        self._modules.recording = False
        self.taken.unfinished = self._capture.step_name if unfinished else None
        self.taken.autocast = self._modules.autocast
        self._capture.stop(unfinished=unfinished)
        self._capture = None
        self._keep_timings()

    def _evident(self) -> None:
        assert self._capture is not None and self.taken is not None
        self._capture.stop()
        self._capture = None
        self.taken.structure = self._structure
        self._finished()

    def _finished(self) -> None:
        """All is captured: the modules are let go of, and so are optimizers once a few steps are timed."""
        self._modules.uninstall()
        self.phase = Phase.AFTER if self.beat.kind != "forward" else Phase.DONE

    def _after(self, took: int | None) -> None:
        if took is not None:
            self._unprofiled_ns.append(took)
        self._left += 1
        if self._left >= _LATER:
            self.phase = Phase.DONE
            self._optimizers.over = True

    def _keep_timings(self) -> None:
        if self.taken is not None:
            self.taken.unprofiled_ns = list(self._unprofiled_ns)
            self._keep(self.taken)

    def _failed(self, error: Exception) -> None:
        """Let go of the script; what was kept stays kept."""
        self.phase = Phase.DONE
        self._capture = None
        self._modules.uninstall()
        self._optimizers.over = True
        self._say(f"the capture was given up, the script goes on: {type(error).__name__}: {error}")
