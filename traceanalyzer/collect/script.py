"""Run a script or module in this process, as `python SCRIPT ARGS` would; its exit code."""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import io
import os
import runpy
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import msgspec

from traceanalyzer.records.errors import UsageError
from traceanalyzer.startup import LOADED

_OURS = str(Path(__file__).resolve().parent)
INTERRUPTED = 130


class Script(msgspec.Struct, frozen=True):
    """What to run."""

    target: str  # path of a script, or name of a module
    arguments: tuple[str, ...]
    module: bool = False

    @property
    def stem(self) -> str:
        """For names of files: `train` of `runs/train.py` and of `package.train`."""
        return self.target.rpartition(".")[2] if self.module else Path(self.target).stem


def refuse_missing(script: Script) -> None:
    """UsageError where there is nothing to run; a module is looked for when it is run."""
    if script.module:
        return
    path = Path(script.target)
    if path.is_dir():
        raise UsageError(f"{path}: is a folder, not a script", fix="name the .py file, or use -m MODULE")
    if not path.exists():
        raise UsageError(f"{path}: no such script", fix="check the path; a module is run with -m MODULE")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path}: cannot be read", fix=f"chmod u+r {path}")


Code = int | str | None  # what a script passes to sys.exit


def execute(script: Script) -> Code:
    """Run it to its end; what it passed to sys.exit, else 0, 1 after an exception, 130 after Ctrl-C."""
    return exit_code(perform(script))


def perform(script: Script) -> BaseException | None:
    """Run it; the exception that ended it, SystemExit among them. Nothing is shown yet: see `exit_code`."""
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = main  # it stays: threads and atexit handlers of the script run after us
    sys.argv[:] = [script.target, *script.arguments]
    try:
        _run_module(script, main) if script.module else _run_file(script.target, main)
        wait_for_threads()
        return None
    except UsageError:
        raise
    except BaseException as error:
        return error


def exit_code(error: BaseException | None) -> Code:
    """The exit code of a script that ended so; sys.excepthook shows the traceback, without our frames.

    As Python does: what the hook passes to sys.exit counts, and what fails in it is shown as well.
    """
    if error is None or isinstance(error, SystemExit):
        return _code(error)
    error.__traceback__ = without_our_frames(error.__traceback__)  # the hook looks here first
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as end:
        return _code(end)
    except BaseException as failure:
        sys.stderr.write("Error in sys.excepthook:\n")
        failure.__traceback__ = without_our_frames(failure.__traceback__)
        sys.__excepthook__(type(failure), failure, failure.__traceback__)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def _code(end: SystemExit | None) -> Code:
    if end is None:
        return 0
    code: Any = end.code
    return code if code is None or isinstance(code, int) else str(code)


def _run_file(target: str, main: ModuleType) -> None:
    path = os.path.abspath(target)
    _first_on_path(os.path.dirname(os.path.realpath(path)))
    _forget_what_siblings_replace(sys.path[0])
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    main.__file__, main.__loader__, main.__spec__ = path, loader, None
    main.__dict__["__cached__"] = None
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    exec(code, main.__dict__)


def _run_module(script: Script, main: ModuleType) -> None:
    _first_on_path(os.getcwd())
    _forget_what_siblings_replace(sys.path[0])
    if not _is_there(script.target):
        fix = f"check the name; a file is run without -m: traceanalyze profile {script.target}"
        raise UsageError(f"{script.target}: no such module", fix=fix)
    # What `python -m` itself calls; it runs in sys.modules["__main__"], unlike runpy.run_module.
    runpy._run_module_as_main(script.target)  # type: ignore[attr-defined]


def _is_there(module: str) -> bool:
    """False only where the module, or a package that it is in, does not exist."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        return not f"{module}.".startswith(f"{error.name}.")  # else what is missing is its own import
    except ValueError:
        return False
    except Exception:  # whatever its package raises will be raised again, where the script's is shown
        return True


def _forget_what_siblings_replace(folder: str) -> None:
    """A module beside the script goes before one of the same name that only we have imported so far."""
    try:
        names = {name.partition(".")[0] for name in os.listdir(folder)}
    except OSError:
        return
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] in names and loaded not in LOADED:
            file = getattr(sys.modules[loaded], "__file__", None) or ""
            if os.path.dirname(file) != folder and not loaded.startswith("traceanalyzer"):
                del sys.modules[loaded]  # our own references stay


def _first_on_path(folder: str) -> None:
    """As Python does for a script, in place of what it put there for us."""
    if sys.flags.safe_path:
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder


def wait_for_threads() -> None:
    """What Python does first when it ends: executors finish their work, other threads are joined.

    A second call, when Python really ends, does nothing (Lib/threading.py, _shutdown).
    """
    threading._shutdown()  # type: ignore[attr-defined]


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The same traceback without the frames of this package and of runpy in front of the script's."""
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    kept: TracebackType | None = None
    for each in reversed(frames):
        file = each.tb_frame.f_code.co_filename
        ours = file.startswith(_OURS) or file == "<frozen runpy>"
        if not ours:
            kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept


def exit_status(code: int | str | None) -> int:
    """The status of a process that calls sys.exit(code)."""
    return 0 if code is None else 1 if isinstance(code, str) else code & 0xFF


def launcher_line(words: Sequence[str]) -> str | None:
    """The command that profiles what a launcher starts; None where the words name no launcher.

    A launcher only starts processes: the profiler belongs into those.
    """
    name = Path(words[0]).name if words else ""
    if name in ("torchrun", "torch.distributed.run", "torch.distributed.launch"):
        start, flag = (["torchrun"] if name == "torchrun" else ["python", "-m", name]), "--no-python"
    elif name in ("accelerate", "accelerate.commands.launch"):
        start, flag = ["accelerate", "launch"], "--no_python"
        words = words[1:] if list(words[1:2]) == ["launch"] else words
    elif name.startswith("python") and "." not in name.removeprefix("python3."):
        start, flag = [], ""
    else:
        return None
    at = next((i for i, word in enumerate(words) if word.endswith(".py")), len(words))
    options = [] if not start else list(words[1:at])
    rest = list(words[at:]) or ["train.py"]
    return " ".join([*start, *options, *filter(None, [flag]), "traceanalyze", "profile", *rest])
