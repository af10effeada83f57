"""One recording by torch.profiler: prepared, started at a step's boundary, stopped at another, exported.

The steps are annotated as torch.profiler does, with their number in the script counted from 0. No further
step is begun at the end, so that there is no stub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traceanalyzer.collect.accelerator import activities, synchronize
from traceanalyzer.collect.disable_user_profiler import real_profilers
from traceanalyzer.collect.memory import give_back
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.stderr_filter import hushed


class Capture:
    """A profiler and the annotation of the step in progress."""

    def __init__(self, plan: Schedule, raw: Path, structure: Path | None = None) -> None:
        """`raw`: where the trace is exported to; `structure`: where an execution trace goes as well."""
        import torch
        from torch.profiler.profiler import _KinetoProfile

        self.raw = raw
        observer = None
        if structure is not None:
            observer = torch.profiler.ExecutionTraceObserver()
            observer.register_callback(str(structure))
        self._observer = observer
        self._step: Any = None
        self.step_name: str | None = None  # of the step in progress
        self._profiler = _KinetoProfile(
            activities=activities(), record_shapes=True, profile_memory=plan.memory and observer is None,
            with_stack=plan.stack and observer is None, execution_trace_observer=observer,
        )  # fmt: skip

    def prepare(self) -> None:
        """Start the warm-up: the profiler is on, nothing is kept."""
        with real_profilers(), hushed():
            self._profiler.prepare_trace()

    def start(self, step: int) -> None:
        """Record from here on; what was queued before has run, else it would look like this step's."""
        import torch

        synchronize()
        earlier = torch.empty(1)
        with hushed():
            self._profiler.start_trace()
            del earlier  # torch warns, once, of the first free of what was allocated before: here, unheard
        self._begin(step)

    def next_step(self, step: int) -> None:
        self._end()
        self._begin(step)

    def stop(self, *, unfinished: bool = False) -> None:
        """End the recording and export it; the annotation of an unfinished step stays open in it."""
        if not unfinished:
            self._end()
        synchronize()
        self._close()
        self._profiler.export_chrome_trace(str(self.raw))
        del self._profiler
        give_back()

    def abandon(self, *, started: bool) -> None:
        """Drop what was recorded; the profiler is free for another recording."""
        if not started:
            with hushed():
                self._profiler.start_trace()  # the only way to stop one that was prepared
        self._end()
        self._close()

    def _close(self) -> None:
        with hushed():
            self._profiler.stop_trace()
            if self._observer is not None:
                self._observer.cleanup()

    def _begin(self, step: int) -> None:
        import torch

        self.step_name = f"ProfilerStep#{step}"
        self._step = torch.autograd.profiler.record_function(self.step_name)
        self._step.__enter__()

    def _end(self) -> None:
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = self.step_name = None
