"""A script under the profiler: composition of the script's run, the capture and the saving of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from traceanalyzer.collect import inductor
from traceanalyzer.collect.accelerator import in_use
from traceanalyzer.collect.disable_user_profiler import make_inert
from traceanalyzer.collect.evidence import evidence
from traceanalyzer.collect.imports import AfterImport
from traceanalyzer.collect.interrupts import saving_on_sigterm
from traceanalyzer.collect.modules import exclude_from_dynamo
from traceanalyzer.collect.recording import facts
from traceanalyzer.collect.schedule import Schedule
from traceanalyzer.collect.script import Code, Script, perform, told
from traceanalyzer.collect.session import CaptureResult, Session
from traceanalyzer.collect.trace_writer import write
from traceanalyzer.records.errors import UsageError

OLDEST_TORCH = (2, 1)
_SCRATCH = "traceanalyze-"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One call of `profile`, checked: the output can be written, torch is there."""

    script: Script
    target: Path  # absolute: the script may change the folder
    plan: Schedule
    command: str
    roofs: Callable[[int], Mapping[str, Any] | None] | None  # threads -> the CPU's roofs; None: not wanted


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    code: Code  # what the script passed to sys.exit
    saved: bool
    taken: CaptureResult | None
    steps: int  # whole steps seen
    beat: str | None  # "optimizer", "forward"
    capture_ns: int
    torch_imported: bool
    stuck: bool = False  # the thread that trains goes on, perhaps with a recording
    child: bool = False  # this process is one that the script forked

    @classmethod
    def of_child(cls, code: Code) -> Outcome:
        return cls(code, saved=False, taken=None, steps=0, beat=None, capture_ns=0, torch_imported=True,
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
        raise UsageError(f"torch {version} is too old to be profiled", fix="use torch 2.1 or later")


def run(request: Request, say: Say, saved: Callable[[CaptureResult], None]) -> Outcome:
    """Run the script to its end, save what was captured, tell how it went.

    `say` takes a line about what went otherwise than planned; `saved` is called when a whole capture is.
    """
    owner, folder = os.getpid(), scratch()
    keeper = TraceSaver(request, say, saved)
    session = Session(request.plan, folder, keeper.keep, say)

    def terminated() -> None:
        session.finish()
        shutil.rmtree(folder, ignore_errors=True)
        if keeper.saved:
            say(f"ended by SIGTERM, the trace is saved. Next: traceanalyze report {request.target}")

    try:
        with _watching(session, say), saving_on_sigterm(terminated):
            ended = perform(request.script)
        if os.getpid() != owner:  # a child that the script forked, and that has come to its own end
            return Outcome.of_child(told(ended))
        session.finish()
        code = told(ended)
        if session.taken is not None:
            keeper.complete(session.taken)
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
    return Outcome(
        code=code, saved=keeper.saved, taken=session.taken, steps=session.steps, beat=session.beat.kind,
        capture_ns=session.capture_ns, torch_imported="torch" in sys.modules, stuck=session.stuck,
    )  # fmt: skip


def scratch() -> Path:
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
    told: list[None] = []

    def used() -> None:
        if not told:
            told.append(None)
            say("the script's own torch.profiler is left idle while this one records: its results are empty")

    def torch_imported(module: ModuleType) -> None:
        session.watch()
        make_inert(lambda: session.busy, used)

    waiting = AfterImport(
        {"torch": torch_imported, "torch._dynamo.trace_rules": exclude_from_dynamo} | inductor.after_import()
    )
    waiting.install()
    try:
        yield
    finally:
        waiting.remove()


class TraceSaver:
    """Saves what a capture has brought: at once, in case the process is killed, and again at the end."""

    def __init__(self, request: Request, say: Say, first: Callable[[CaptureResult], None]) -> None:
        self._request = request
        self._say = say
        self._first = first
        self._told = False
        self.saved = False

    def keep(self, taken: CaptureResult) -> None:
        told = self.saved
        self._write(taken, None, None)
        if self.saved and not told and taken.unfinished is None:
            self._first(taken)

    def complete(self, taken: CaptureResult) -> None:
        """With what takes time: the CPU's roofs, the evidence. A failure leaves what was saved before."""
        import torch

        try:
            measured = self._request.roofs if in_use() is None else None
            roofs = measured(torch.get_num_threads()) if measured else None
            self._write(taken, roofs, _evidence(taken, self._say))
        except Exception as error:
            self._say(f"roofs and evidence are not added to the trace: {type(error).__name__}: {error}")

    def _write(self, taken: CaptureResult, roofs: Mapping[str, Any] | None, evidence: str | None) -> None:
        request = self._request
        record = facts(request.plan, taken, command=request.command, script=request.script.target,
                       cpu_roofs=roofs)  # fmt: skip
        sections = {"traceanalyze": json.dumps(record, separators=(",", ":"))}
        if evidence is not None:
            sections["traceanalyzeEvidence"] = evidence
        if not taken.raw.exists():
            self._once(f"the profiler wrote no trace into {taken.raw.parent}. Fix: free some space there")
            return
        try:
            write(request.target, taken.raw, sections, taken.unfinished)
            self.saved = True
        except OSError as error:
            self._rescue(taken, sections, error)

    def _rescue(self, taken: CaptureResult, sections: Mapping[str, str], error: OSError) -> None:
        """Beside the temporary folder, which goes; said once, and only where no trace is there yet."""
        if self.saved:
            return
        where = f"{self._request.target}: cannot be written ({error.strerror})"
        kept = Path(tempfile.gettempdir()) / f"{_SCRATCH}kept.{os.getpid()}.trace.json.gz"
        try:
            write(kept, taken.raw, sections, taken.unfinished)
        except OSError:
            self._once(f"{where}, nor can a copy be kept in {kept.parent}. Fix: free some space, run again")
        else:
            self._once(f"{where}; the trace is in {kept}. Fix: free some space, then "
                       f"traceanalyze report {kept}")  # fmt: skip

    def _once(self, text: str) -> None:
        """What is lost, the first time; not of what would be added to a trace that is there."""
        if not self.saved and not self._told:
            self._told = True
            self._say(text)


def _evidence(taken: CaptureResult, say: Say) -> str | None:
    if taken.structure is None:
        return None
    try:
        return evidence(*taken.structure)
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"which operator reads what another wrote is not known: {type(error).__name__}: {error}")
        return None
