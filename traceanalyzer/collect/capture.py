"""One recording by torch.profiler: prepared, started and stopped at step boundaries, exported.

The steps are annotated as torch.profiler does, with their number in the script counted from 0. No further
step is begun at the end, so that there is no stub.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from traceanalyzer.collect.accelerator import activities, synchronize
from traceanalyzer.collect.calling_lines import CallingLines, CallSites
from traceanalyzer.collect.disable_user_profiler import real_profilers
from traceanalyzer.collect.memory import fills_memory, trim_heap
from traceanalyzer.collect.process_use import ProcessUse
from traceanalyzer.collect.schedule import LONGEST_CAPTURE_NS, Schedule
from traceanalyzer.collect.stderr_filter import stderr_filtered
from traceanalyzer.collect.step_sizes import StepSizes

STEP_PREFIX = "ProfilerStep#"


class EvidenceStep(msgspec.Struct, frozen=True):
    """One recording of a step's operators with their storages, and the lines that call them."""

    trace: Path
    execution: Path  # the execution trace
    call_sites: CallSites  # what the marks in both are of


class FurtherSteps(msgspec.Struct):
    """What is recorded of steps behind the captured ones, one step each."""

    evidence: EvidenceStep | None = None
    counters: Path | None = None  # trace of the step whose bytes were counted

    @property
    def parts(self) -> list[str]:
        """What there is, for people."""
        parts = {
            "producer-consumer edges and calling lines": self.evidence,
            "hardware counters": self.counters,
        }
        return [name for name, recorded in parts.items() if recorded is not None]


class CaptureResult(msgspec.Struct):
    """What has been captured so far; times in ns."""

    raw: Path  # the trace, as the profiler wrote it
    steps: list[str] = msgspec.field(default_factory=list)  # whole steps in it
    unfinished: str | None = None  # the annotation of a step that the end cut off
    step_ns: list[int] = msgspec.field(default_factory=list)
    used: list[ProcessUse] = msgspec.field(default_factory=list)  # in the same steps as step_ns
    sizes: list[StepSizes] = msgspec.field(default_factory=list)  # of the same steps
    unprofiled_ns: list[int] = msgspec.field(default_factory=list)
    unprofiled_used: list[ProcessUse] = msgspec.field(default_factory=list)
    unprofiled_sizes: list[StepSizes | None] = msgspec.field(default_factory=list)  # None: not known
    further: FurtherSteps = msgspec.field(default_factory=FurtherSteps)
    autocast: str | None = None
    peak_memory_bytes: int | None = None  # before the profiler used any

    def add(self, step: str, took: ProcessUse, sizes: StepSizes) -> None:
        """A whole step, by the name of its annotation."""
        self.steps.append(step)
        self.step_ns.append(took.ns)
        self.used.append(took)
        self.sizes.append(sizes)

    @property
    def named_steps(self) -> str:
        """The whole steps for people: "steps 5 to 7"."""
        numbers = [name.removeprefix(STEP_PREFIX) for name in self.steps]
        if not numbers:
            return "no whole step"
        return f"step {numbers[0]}" if len(numbers) == 1 else f"steps {numbers[0]} to {numbers[-1]}"


def too_large(result: CaptureResult, records_bytes: int) -> str | None:
    """Why no further step should be recorded; `records_bytes`: what the records so far take."""
    captured_ns = sum(result.step_ns)
    if captured_ns >= LONGEST_CAPTURE_NS:
        return f"which took {captured_ns / 1e9:.0f} s: a trace of more would be too large"
    if fills_memory(records_bytes):
        return "whose records would fill the memory if it continued"
    return None


def is_recording() -> bool:
    """Whether a profiler is on, whose ever it is: no second one can be."""
    import torch

    return bool(torch._C._autograd._profiler_enabled())


class Capture:
    """A profiler and the annotation of the step in progress."""

    def __init__(
        self, schedule: Schedule, raw: Path, structure: Path | None = None,
        options: Mapping[str, Any] = MappingProxyType({}), lines: CallingLines | None = None,
    ) -> None:  # fmt: skip
        """`raw`: where the trace is exported to; `structure`: where an execution trace goes as well.

        `options`: more of what the profiler is made with; `lines`: marks the lines of its one step.
        """
        import torch
        from torch.profiler.profiler import _KinetoProfile

        self.raw = raw
        observer = None
        if structure is not None:
            observer = torch.profiler.ExecutionTraceObserver()
            observer.register_callback(str(structure))
        self._observer, self._lines = observer, lines
        self._step: Any = None
        self.step_name: str | None = None  # of the step in progress
        self._profiler = _KinetoProfile(
            activities=activities(), record_shapes=True, profile_memory=schedule.memory and observer is None,
            with_stack=schedule.stack and observer is None, execution_trace_observer=observer,
            **options,
        )  # fmt: skip

    def prepare(self) -> None:
        """Start the warm-up: the profiler is on, nothing is kept."""
        with real_profilers(), stderr_filtered():
            self._profiler.prepare_trace()

    def start(self, step: int) -> None:
        """Record from here on. Work queued earlier finishes first, so that this step does not include it."""
        import torch

        synchronize()
        earlier = torch.empty(1)
        with stderr_filtered():
            self._profiler.start_trace()
            del earlier  # torch warns, once, of the first free of an earlier allocation: filtered here
        self._begin(step)
        if self._lines is not None:
            self._lines.start()

    def next_step(self, step: int) -> None:
        """End one step's annotation and begin the next one's."""
        self._end()
        self._begin(step)

    def stop(self, *, unfinished: bool = False) -> None:
        """End the recording and export it; the annotation of an unfinished step stays open in it."""
        self._leave_lines()
        if not unfinished:
            self._end()
        synchronize()
        self._close()
        self._profiler.export_chrome_trace(str(self.raw))
        del self._profiler
        trim_heap()

    def abandon(self, *, started: bool) -> None:
        """Drop what was recorded; the profiler is free for another recording."""
        self._leave_lines()
        if not started:
            with stderr_filtered():
                self._profiler.start_trace()  # the only way to stop one that was prepared
        self._end()
        self._close()

    def _leave_lines(self) -> None:
        if self._lines is not None:
            self._lines.stop()

    def _close(self) -> None:
        with stderr_filtered():
            self._profiler.stop_trace()
            if self._observer is not None:
                self._observer.cleanup()

    def _begin(self, step: int) -> None:
        import torch

        self.step_name = f"{STEP_PREFIX}{step}"
        self._step = torch.autograd.profiler.record_function(self.step_name)
        self._step.__enter__()

    def _end(self) -> None:
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = self.step_name = None
