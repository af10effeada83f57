"""The same capture for code that can be edited: `with profile() as p: ... p.step()`."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.collect.capture import CaptureResult
from traceanalyzer.collect.roofs import RoofSource
from traceanalyzer.collect.run import ProfileRequest, TraceSaver, require_torch, scratch_folder
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import Script
from traceanalyzer.collect.session import Session
from traceanalyzer.files import short
from traceanalyzer.records.analyzer import analyzer
from traceanalyzer.records.errors import UsageError

if TYPE_CHECKING:
    from traceanalyzer.records import Job

_KERNELS = ("ipykernel_launcher", "colab_kernel_launcher")  # what a notebook's process was started as
_SUFFIX = ".trace.json.gz"


class profile:  # noqa: N801 - used as torch.profiler.profile is
    """Capture a few steps of a loop; `path` holds the trace afterwards, `report()` analyzes it.

        with traceanalyzer.profile("run.trace.json.gz") as p:
            for batch in loader:
                train(batch)
                p.step()
        p.report()

    `wait` steps are waited for, `warmup` warm the profiler up, `active` are captured; later steps run
    without the profiler. `stack`, `memory` and `evidence` say what is recorded. `roofs`: a CPU's bandwidth
    and peaks are those kept from an earlier run, else measured at the end, which takes a few seconds;
    "fresh" measures again, a path is a file of `traceanalyze calibrate --cpu`, False leaves them out. A line
    on stderr says where the trace is, unless `quiet`. A second `with` of the same object writes another
    file, `run.2.trace.json.gz`. Errors: UsageError where the file exists and `force` is not given, or its
    folder does not exist. Warning where the loop ends too early.
    """

    _open: ClassVar[profile | None] = None  # the one that captures; torch has one profiler

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
        roofs: bool | str | os.PathLike[str] = True,
        force: bool = False,
        quiet: bool = False,
    ) -> None:
        if wait < 0 or warmup < 0 or active < 1:
            raise UsageError(
                f"profile(wait={wait}, warmup={warmup}, active={active}): captures nothing",
                fix="give wait and warmup of 0 or more, active of 1 or more",
            )
        require_torch()
        self._schedule = Schedule(wait, warmup, active, stack, memory, evidence)
        self._script = Script(sys.argv[0] or "python", ())
        self._quiet, self._force, self._captures = quiet, force, 0
        self._roofs: RoofSource | None = None
        if roofs is not False:
            wanted = None if roofs is True else os.fspath(roofs)
            self._roofs = RoofSource.of(wanted, dict(os.environ), _warn, self._inform)
        self.path = _free(self._script) if path is None else Path(path).absolute()
        self._first = self.path
        if not self.path.parent.is_dir():
            raise UsageError(f"{self.path}: the folder does not exist", fix=f"mkdir -p {self.path.parent}")
        if self.path.exists() and not force:
            raise UsageError(f"{self.path}: exists already", fix="give another path, or force=True")
        self._session: Session | None = None

    def __enter__(self) -> profile:
        if Session.current is not None:
            _warn("`traceanalyze profile` captures this process already, so this profile() is disabled")
            return self
        if profile._open is not None:
            _warn(f"the profile() into {short(profile._open.path)} is not over, so this one is disabled")
            return self
        if self._captures and not self._force:
            self.path = next(path for path in _numbered(self._first, self._captures) if not path.exists())
        self._captures += 1
        self._folder = scratch_folder()
        request = ProfileRequest(
            self._script, self.path, self._schedule, "traceanalyzer.profile()", self._roofs
        )
        self._saver = TraceSaver(request, _warn, lambda result: None)
        self._session = Session(self._schedule, self._folder, self._saver.keep, _warn)
        self._session.begin()
        profile._open = self
        atexit.register(self.close)  # a recording that nobody stops would crash torch at exit
        return self

    def step(self) -> None:
        """A step has ended; call it once a step, in the thread that trains."""
        if self._session is not None:
            self._session.step()
        elif Session.current is None and profile._open is None:
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
        session, result = self._session, self.close(hurry=isinstance(error, KeyboardInterrupt))
        if raised is None and (result is None or result.unfinished is not None):
            done = 0 if result is None else len(result.steps)
            where = (
                f"in {short(self.path)}" if self._saver.saved else f"and {short(self.path)} is not written"
            )
            _warn(f"{done} of {self._schedule.active} steps were captured, {where}: the loop made "
                  f"{session.steps} steps, {self._schedule.steps} are needed")  # fmt: skip

    def close(self, *, hurry: bool = False) -> CaptureResult | None:
        """End the capture, if one is in progress, and save it: what leaving the `with` does.

        `hurry`: without measuring what takes seconds.
        """
        session, self._session = self._session, None
        if session is None:
            return None
        atexit.unregister(self.close)
        profile._open = None
        session.finish()
        if session.result is not None:
            self._saver.complete(session.result, hurry=hurry)
        shutil.rmtree(self._folder, ignore_errors=True)
        if session.result is not None and self._saver.saved:
            self._inform(f"captured {session.result.named_steps} (counted from 0), wrote {short(self.path)}")
        return session.result

    def report(self) -> Job:
        """The analysis of the trace; in a notebook it shows itself. Writes no file and opens nothing.

        UsageError before the capture is over, and where it has captured nothing.
        """
        if self._session is not None:
            raise UsageError("profile.report(): the capture is in progress", fix="call it after the `with`")
        if not self._captures or not self._saver.saved:
            fix = f"call p.step() {self._schedule.steps} times inside `with profile() as p:`"
            raise UsageError(f"profile.report(): nothing is captured in {short(self.path)}", fix=fix)
        return analyzer()(self.path)

    def _inform(self, text: str) -> None:
        if not self._quiet:
            sys.stderr.write(f"traceanalyze: {text}\n")


def _free(script: Script) -> Path:
    """`train.1234.trace.json.gz` in the current folder, of a second capture `train.1234.2.trace.json.gz`."""
    stem = "notebook" if script.stem in _KERNELS else script.stem or "python"
    path = Path(f"{stem}.{os.getpid()}{_SUFFIX}").absolute()
    return next(each for each in itertools.chain([path], _numbered(path, 1)) if not each.exists())


def _numbered(path: Path, number: int) -> Iterator[Path]:
    """`run.2.trace.json.gz` and so on, of captures after so many."""
    stem, dot, suffix = path.name.partition(".trace.json")
    stem, dot, suffix = (stem, dot, suffix) if dot else path.name.partition(".json")
    return (path.with_name(f"{stem}.{n}{dot}{suffix}") for n in itertools.count(number + 1))


def _warn(text: str) -> None:
    """A warning; where warnings are errors a line on stderr, so that the user's loop does not fail."""
    try:
        warnings.warn(f"traceanalyze: {text}", stacklevel=3)
    except Warning as error:
        sys.stderr.write(f"{error}\n")
