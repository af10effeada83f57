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

from traceanalyzer.collect.roofs import measured
from traceanalyzer.collect.run import Request, TraceSaver, require_torch, scratch
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import Script
from traceanalyzer.collect.session import CaptureResult, Session
from traceanalyzer.records.errors import UsageError


class profile:  # noqa: N801 - used as torch.profiler.profile is
    """Capture a few steps of a loop; `path` holds the trace afterwards.

        with traceanalyzer.profile("run.trace.json.gz") as p:
            for batch in loader:
                train(batch)
                p.step()
        traceanalyzer.analyze(p.path)

    `wait` steps go by, `warmup` warm the profiler up, `active` are captured; what comes after runs on
    undisturbed. `stack`, `memory` and `evidence` say what is recorded; `roofs` whether a CPU's bandwidth
    and peaks are measured at the end, which takes a few seconds. Errors: UsageError where the file exists
    and `force` is not given, or its folder does not exist. A loop that ends too early is warned of.
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
        self._plan = Schedule(wait, warmup, active, stack, memory, evidence)
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
        self._request = Request(script, self.path, self._plan, "traceanalyzer.profile()", measure)
        self._session: Session | None = None

    def __enter__(self) -> profile:
        if Session.current is not None:
            _warn("`traceanalyze profile` captures this process already, so this profile() stays idle")
            return self
        self._folder = scratch()
        self._keeper = TraceSaver(self._request, _warn, lambda taken: None)
        self._session = Session(self._plan, self._folder, self._keeper.keep, _warn)
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
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is None:
            return
        session, taken = self._session, self.close()
        if kind is None and (taken is None or taken.unfinished is not None):
            done = 0 if taken is None else len(taken.steps)
            _warn(f"{done} of {self._plan.active} steps were captured: the loop made {session.steps} steps, "
                  f"{self._plan.steps} are needed")  # fmt: skip

    def close(self) -> CaptureResult | None:
        """End the capture, if one is in progress, and save it: what leaving the `with` does."""
        session, self._session = self._session, None
        if session is None:
            return None
        atexit.unregister(self.close)
        session.finish()
        if session.taken is not None:
            self._keeper.complete(session.taken)
        shutil.rmtree(self._folder, ignore_errors=True)
        return session.taken


def _warn(text: str) -> None:
    """A warning; where the script has made errors of warnings, a line: its loop is not to fail by ours."""
    try:
        warnings.warn(f"traceanalyze: {text}", stacklevel=3)
    except Warning as told:
        sys.stderr.write(f"{told}\n")
