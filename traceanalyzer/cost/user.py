"""Formulas of the user's own: from files that are run, from installed packages, from the session itself."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from traceanalyzer.cost.registry import USER, Formula, Function, matching
from traceanalyzer.records import Notice
from traceanalyzer.records.errors import UsageError

GROUP = "traceanalyzer.formulas"  # of entry points
_NAMED = 8  # operators that a warning names
LINES = ("FLOPs =", "Bytes =", "Assumes")  # that a docstring must have
_EXAMPLE = "lines `FLOPs = ...`, `Bytes = ...` and `Assumes ...` below what it computes"

_reading: ContextVar[list[Formula] | None] = ContextVar("formulas of the file being read", default=None)
_of_session: dict[str, Formula] = {}  # by name: those that a session defines outside of any file given


@dataclass(frozen=True, slots=True)
class Added:
    """Formulas for one analysis, and what went wrong in finding them."""

    formulas: tuple[Formula, ...] = ()
    warnings: tuple[Notice, ...] = ()


def op_cost(*names: str, source: str = "") -> Callable[[Function], Function]:
    """Price operators of these names, or patterns with `*`, by the decorated function of an OpCall.

    In a file given with `--cost-file`, or in a package with an entry point of the group
    "traceanalyzer.formulas", it holds for the analyses that are given the file or run where the package is
    installed; in a session of its own for all that follow. It replaces a built-in formula of the same name.
    The docstring must have lines that begin with `FLOPs =`, `Bytes =` and `Assumes`. UsageError else.
    """

    def register(function: Function) -> Function:
        place = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
        doc = inspect.getdoc(function) or ""
        missing = [line for line in LINES if not any(x.strip().startswith(line) for x in doc.splitlines())]
        if missing or not names:
            lacks = " and ".join(f"`{line}`" for line in missing)
            what = f"its docstring lacks {lacks}" if names else "it names no operator"
            raise UsageError(f"{place}: the formula {function.__name__}: {what}", fix=f"give it {_EXAMPLE}")
        found = [Formula(name, function, source or place, "work") for name in names]
        reading = _reading.get()
        if reading is not None:
            reading.extend(found)
        else:
            _of_session.update({formula.name: formula for formula in found})
        return function

    return register


def added(files: Sequence[str]) -> Added:
    """The formulas of the session, of installed packages and of `files`, the later before the earlier.

    Files are code, and are run. UsageError, in one line, where one cannot be.
    """
    formulas, warnings = dict(_of_session), []
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            with _collecting() as found:
                entry.load()
        except Exception as error:  # of somebody else's package: said, not fatal
            text = f"formulas of {entry.value} are not used: {type(error).__name__}: {error}"
            warnings.append(Notice("broken_cost_package", text))
        else:
            formulas |= {one.name: one for one in found}
    for file in files:
        formulas |= {one.name: one for one in _of_file(Path(file))}
    return Added(tuple(formulas.values()), tuple(warnings))


def used(formulas: Sequence[Formula], names: Iterable[str]) -> tuple[Notice, ...]:
    """Which of the operators of a trace the user's formulas price, and where those are written."""
    own = {formula.name: formula for formula in formulas}
    priced = {name: formula.source for name in names if (formula := matching(name, own)) is not None}
    if not priced:
        return ()
    told = ", ".join(f"{name} ({source})" for name, source in sorted(priced.items())[:_NAMED])
    more = f" and {len(priced) - _NAMED} more" if len(priced) > _NAMED else ""
    return (Notice("user_formulas", f"priced by formulas of the user's own: {told}{more}", len(priced)),)


@contextmanager
def using(formulas: Iterable[Formula]) -> Iterator[None]:
    """Within it, in this thread, `formula_of` knows them."""
    token = USER.set({formula.name: formula for formula in formulas})
    try:
        yield
    finally:
        USER.reset(token)


def _of_file(path: Path) -> list[Formula]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{path}: cannot be read ({why})", fix="give --cost-file a Python file") from None
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        with _collecting() as found:
            exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{path}{_line(error, str(path))}: {type(error).__name__}: {error}", fix="mend the file"
        ) from None
    if not found:
        raise UsageError(
            f"{path}: defines no formula", fix='decorate a function with @traceanalyzer.op_cost("my::op")'
        )
    return found


@contextmanager
def _collecting() -> Iterator[list[Formula]]:
    found: list[Formula] = []
    token = _reading.set(found)
    try:
        yield found
    finally:
        _reading.reset(token)


def _line(error: Exception, file: str) -> str:
    """`:12`, where in the file it went wrong."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(sys.exc_info()[2]) if frame.filename == file]
    return f":{lines[-1]}" if lines else ""
