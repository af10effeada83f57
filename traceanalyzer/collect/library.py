"""The same capture for code that can be edited: `with profile() as p: ... p.step()`."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from traceanalyzer.collect.capture import CaptureResult
from traceanalyzer.collect.roofs import measured
from traceanalyzer.collect.run import ProfileRequest, TraceSaver, require_torch, scratch_folder
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import Script
from traceanalyzer.collect.session import Session
from traceanalyzer.records.errors import UsageError


class profile:  # noqa: N801 - used as torch.profiler.profile is
    """Capture a few steps of a loop; `path` holds the trace afterwards.

        with traceanalyzer.profile("run.trace.json.gz") as p:
            for batch in loader:
                train(batch)
                p.step()
        traceanalyzer.analyze(p.path)

    `wait` steps are waited for, `warmup` warm the profiler up, `active` are captured; later steps run
    without the profiler. `stack`, `memory` and `evidence` say what is recorded; `roofs` whether a CPU's
    bandwidth and peaks are measured at the end, which takes a few seconds. Errors: UsageError where the
    file exists and `force` is not given, or its folder does not exist. Warning where the loop ends too early.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        wait: int = 3,
        warmup: int = 2,
        active: int = 3,
        stack: bool = False,
        memory: bool = True,
        evidence: bool = True,
        roofs: bool = True,
        force: bool = False,
    ) -> None:
        if wait < 0 or warmup < 0 or active < 1:
            raise UsageError(
                f"profile(wait={wait}, warmup={warmup}, active={active}): captures nothing",
                fix="give wait and warmup of 0 or more, active of 1 or more",
            )
        require_torch()
        self._schedule = Schedule(wait, warmup, active, stack, memory, evidence)
        script = Script(sys.argv[0] or "python", ())
        self.path = Path(path or f"{script.stem or 'python'}.{os.getpid()}.trace.json.gz").absolute()
        if not self.path.parent.is_dir():
            raise UsageError(f"{self.path}: the folder does not exist", fix=f"mkdir -p {self.path.parent}")
        if self.path.exists() and not force:
            raise UsageError(f"{self.path}: exists already", fix="give another path, or force=True")
        measure: Callable[[int], Mapping[str, Any] | None] | None = None
        if roofs:
            environment = dict(os.environ)
            measure = lambda threads: measured(threads, environment)  # noqa: E731
        self._request = ProfileRequest(script, self.path, self._schedule, "traceanalyzer.profile()", measure)
        self._session: Session | None = None

    def __enter__(self) -> profile:
        if Session.current is not None:
            _warn("`traceanalyze profile` captures this process already, so this profile() is disabled")
            return self
        self._folder = scratch_folder()
        self._saver = TraceSaver(self._request, _warn, lambda result: None)
        self._session = Session(self._schedule, self._folder, self._saver.keep, _warn)
        self._session.begin()
        atexit.register(self.close)  # a recording that nobody stops would crash torch at exit
        return self

    def step(self) -> None:
        """A step has ended; call it once a step, in the thread that trains."""
        if self._session is not None:
            self._session.step()
        elif Session.current is None:
            raise UsageError("profile.step(): nothing is being captured",
                             fix="call it inside `with profile() as p:`")  # fmt: skip

    def __exit__(
        self,
        raised: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is None:
            return
        session, result = self._session, self.close()
        if raised is None and (result is None or result.unfinished is not None):
            done = 0 if result is None else len(result.steps)
            _warn(f"{done} of {self._schedule.active} steps were captured: the loop made {session.steps} "
                  f"steps, {self._schedule.steps} are needed")  # fmt: skip

    def close(self) -> CaptureResult | None:
        """End the capture, if one is in progress, and save it: what leaving the `with` does."""
        session, self._session = self._session, None
        if session is None:
            return None
        atexit.unregister(self.close)
        session.finish()
        if session.result is not None:
            self._saver.complete(session.result)
        shutil.rmtree(self._folder, ignore_errors=True)
        return session.result


def _warn(text: str) -> None:
    """A warning; where warnings are errors a line on stderr, so that the user's loop does not fail."""
    try:
        warnings.warn(f"traceanalyze: {text}", stacklevel=3)
    except Warning as error:
        sys.stderr.write(f"{error}\n")
