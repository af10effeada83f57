"""Run a script under the profiler: composition of its execution, the capture and the saving."""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import msgspec

from traceanalyzer.collect import inductor
from traceanalyzer.collect.accelerator import in_use
from traceanalyzer.collect.capture import CaptureResult
from traceanalyzer.collect.counters import refused
from traceanalyzer.collect.disable_user_profiler import disable_user_profilers
from traceanalyzer.collect.evidence import evidence
from traceanalyzer.collect.imports import AfterImport
from traceanalyzer.collect.interrupts import SeenInterrupt, saving_on_sigterm
from traceanalyzer.collect.modules import exclude_from_dynamo
from traceanalyzer.collect.recording import recording_fields
from traceanalyzer.collect.roofs import RoofSource
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import Code, Script, exit_code, perform
from traceanalyzer.collect.session import Say, Session
from traceanalyzer.collect.stopping import Stopper
from traceanalyzer.collect.trace_writer import write
from traceanalyzer.records import CpuRoofs
from traceanalyzer.records.errors import UsageError

OLDEST_TORCH = (2, 1)
_SCRATCH = "traceanalyze-"


class ProfileRequest(msgspec.Struct, frozen=True):
    """One call of `profile`, checked: the output can be written, torch is there."""

    script: Script
    target: Path  # absolute: the script may change the folder
    schedule: Schedule
    command: str
    roofs: RoofSource | None  # of the CPU; None: not wanted
    counters: Path | None = None  # where the step with hardware counters goes, absolute


class Outcome(msgspec.Struct, frozen=True):
    """How the run of a script under the profiler ended."""

    code: Code  # what the script passed to sys.exit
    saved: bool
    result: CaptureResult | None
    steps: int  # whole steps seen
    anchor: str | None  # what ended the steps: "optimizer" or "forward"
    capture_ns: int
    torch_imported: bool
    stuck: bool = False  # the training thread continues, perhaps with a recording
    child: bool = False  # this process is one that the script forked
    stopped: int | None = None  # after so many steps, once all was captured; None: the script ended by itself

    @classmethod
    def of_child(cls, code: Code) -> Outcome:
        """Of a process that the script has forked: it has captured nothing of its own."""
        return cls(code, saved=False, result=None, steps=0, anchor=None, capture_ns=0, torch_imported=True,
                   child=True)  # fmt: skip


def require_torch() -> None:
    """UsageError where torch is missing or too old; it is not imported."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            f"torch is not installed in {sys.prefix}",
            fix="install it there, such as with: pip install 'torch-traceanalyzer[profile]'",
        )
    version = importlib.metadata.version("torch")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST_TORCH:
        raise UsageError(f"torch {version} is too old", fix="use torch 2.1 or later")


def run(
    request: ProfileRequest, say: Say, saved: Callable[[CaptureResult], None], stopper: Stopper | None = None
) -> Outcome:
    """Run the script to its end, or to where `stopper` ends it, and save what was captured.

    `say` takes a line about anything unexpected; `saved` is called when a complete capture has been saved.
    """
    owner, folder = os.getpid(), scratch_folder()
    saver = TraceSaver(request, say, saved)
    session = Session(request.schedule, folder, saver.keep, say, stopper)

    def terminated() -> None:
        session.finish()
        shutil.rmtree(folder, ignore_errors=True)
        if saver.saved:
            say(f"ended by SIGTERM, the trace is saved. Next: traceanalyze report {request.target}")

    try:
        with SeenInterrupt() as interrupted, _watching(session, say), saving_on_sigterm(terminated):
            ended = perform(request.script)
            hurry = bool(interrupted)
        if os.getpid() != owner:  # a child that the script forked, and that has come to its own end
            return Outcome.of_child(exit_code(ended))
        session.finish()
        if stopper is not None:
            ended = stopper.ended(ended)
            gc.collect()  # loaders of the script's frames end their workers
        stopped = stopper.steps if stopper is not None and stopper.stopped and ended is None else None
        code = exit_code(ended)
        if session.result is not None:
            saver.complete(session.result, hurry=hurry and stopped is None)
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
    return Outcome(
        code=code, saved=saver.saved, result=session.result, steps=session.steps,
        anchor=session.detector.kind, capture_ns=session.capture_ns,
        torch_imported="torch" in sys.modules, stuck=session.stuck, stopped=stopped,
    )  # fmt: skip


def scratch_folder() -> Path:
    """A new temporary folder; those of processes that were killed are removed."""
    base = Path(tempfile.gettempdir())
    for left in base.glob(f"{_SCRATCH}*-*"):
        pid = left.name.removeprefix(_SCRATCH).partition("-")[0]
        if pid.isdecimal() and left.is_dir() and not _is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


@contextmanager
def _watching(session: Session, say: Say) -> Iterator[None]:
    """Wait for the script to import torch, then watch it."""
    notified: list[None] = []

    def used() -> None:
        if not notified:
            notified.append(None)
            say("the script's own torch.profiler is disabled while this one records: its results are empty")

    def torch_imported(module: ModuleType) -> None:
        session.watch()
        disable_user_profilers(lambda: session.busy, used)

    waiting = AfterImport(
        {"torch": torch_imported, "torch._dynamo.trace_rules": exclude_from_dynamo} | inductor.after_import()
    )
    waiting.install()
    try:
        yield
    finally:
        waiting.remove()


class TraceSaver:
    """Saves a capture at once, in case the process is killed; at the end again with roofs and evidence."""

    def __init__(self, request: ProfileRequest, say: Say, first: Callable[[CaptureResult], None]) -> None:
        self._request = request
        self._say = say
        self._first = first
        self._notified = False
        self.saved = False

    def keep(self, result: CaptureResult) -> None:
        """Save a capture at once; the first whole one is handed to `first` as well."""
        before = self.saved
        self._write(result, None, None)
        if self.saved and not before and result.unfinished is None:
            self._first(result)

    def complete(self, result: CaptureResult, *, hurry: bool = False) -> None:
        """Save it again with the CPU's roofs and the evidence. A failure leaves what was saved before.

        `hurry`: nothing is measured, since the user waits for the end.
        """
        import torch

        try:
            source, roofs = self._request.roofs, None
            if source is not None and in_use() is not None:
                source.unused()
            elif source is not None:
                roofs = source.roofs(torch.get_num_threads(), str(torch.__version__), hurry=hurry)
            self._write(result, roofs, _evidence(result, self._say))
        except Exception as error:
            self._say(f"roofs and evidence are not added to the trace: {type(error).__name__}: {error}")
        self._write_counters(result)

    def _write_counters(self, result: CaptureResult) -> None:
        """Their own trace: what takes how long is not to be seen in it."""
        target, counted = self._request.counters, result.further.counters
        if target is None or counted is None:
            return
        try:
            why = refused(counted)
            if why is None:
                write(target, counted, {})
        except OSError as error:
            why = f"{target}: {error.strerror}"
        if why is None:
            self._say(f"wrote the bytes that each kernel moved. Next: traceanalyze report {target}")
        else:
            self._say(f"hardware counters are not recorded: {why}")

    def _write(self, result: CaptureResult, roofs: CpuRoofs | None, evidence: str | None) -> None:
        request = self._request
        record = recording_fields(
            request.schedule, result,
            command=request.command, script=request.script.target, cpu_roofs=roofs,
        )  # fmt: skip
        sections = {"traceanalyze": json.dumps(record, separators=(",", ":"))}
        if evidence is not None:
            sections["traceanalyzeEvidence"] = evidence
        if not result.raw.exists():
            self._once(f"the profiler wrote no trace into {result.raw.parent}. Fix: free disk space there")
            return
        try:
            write(request.target, result.raw, sections, result.unfinished)
            self.saved = True
        except OSError as error:
            self._rescue(result, sections, error)

    def _rescue(self, result: CaptureResult, sections: dict[str, str], error: OSError) -> None:
        """Beside the temporary folder, which goes; said once, and only where no trace is there yet."""
        if self.saved:
            return
        where = f"{self._request.target}: cannot be written ({error.strerror})"
        kept = Path(tempfile.gettempdir()) / f"{_SCRATCH}kept.{os.getpid()}.trace.json.gz"
        try:
            write(kept, result.raw, sections, result.unfinished)
        except OSError:
            self._once(f"{where}, nor can a copy be kept in {kept.parent}. Fix: free disk space, run again")
        else:
            self._once(f"{where}; the trace is in {kept}. Fix: free disk space, then "
                       f"traceanalyze report {kept}")  # fmt: skip

    def _once(self, text: str) -> None:
        """What is lost, the first time; not of what would be added to a trace that is there."""
        if not self.saved and not self._notified:
            self._notified = True
            self._say(text)


def _evidence(result: CaptureResult, say: Say) -> str | None:
    step = result.further.evidence
    if step is None:
        return None
    try:
        return evidence(step.trace, step.execution, step.call_sites)
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"the producer-consumer edges are unknown: {type(error).__name__}: {error}")
        return None
