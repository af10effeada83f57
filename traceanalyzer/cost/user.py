"""Formulas of the user's own: from files that are run, from installed packages, from the session itself."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec

from traceanalyzer.cost.catalog import Formulas
from traceanalyzer.cost.registry import Function, matching
from traceanalyzer.records import Notice
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.priced import Formula, Fusible

GROUPS = ("traceanalyzer.formulas", "traceanalyzer.costs")  # of entry points; the second is the older name
_NAMED = 8  # operators that a notice names
LINES = ("FLOPs =", "Bytes =", "Assumes")  # that a docstring must have
_EXAMPLE = "lines `FLOPs = ...`, `Bytes = ...` and `Assumes ...` below what it computes"

_registered: list[Formula] = []  # in this session, outside of any file or package that is being loaded
_of_packages: dict[str, tuple[Formula, ...]] = {}  # by entry point: Python runs a package's modules once
_LOADING = threading.RLock()


class UserFormulas(msgspec.Struct, frozen=True):
    """Formulas of the user's own for one analysis, and what went wrong in finding them."""

    formulas: tuple[Formula, ...] = ()
    notices: tuple[Notice, ...] = ()

    def catalog(self) -> Formulas:
        """These before the built-in ones."""
        return Formulas(self.formulas)


def op_cost(*names: str, source: str = "", fusible: Fusible = "opaque") -> Callable[[Function], Function]:
    """Price operators of these names, or patterns with `*`, by the decorated function of an OpCall.

    In a file given with `--cost-file`, or in a package with an entry point of the group
    "traceanalyzer.formulas", it holds for the analyses that are given the file or run where the package is
    installed; in a session of its own for all that follow. It replaces a built-in formula of the same name.
    `fusible` says what a compiler can make of the operator: "element", "reduction" or "opaque".
    The docstring must have lines that begin with `FLOPs =`, `Bytes =` and `Assumes`. UsageError else.
    """

    def register(function: Function) -> Function:
        code = getattr(function, "__code__", None)
        defined_at = f"{code.co_filename}:{code.co_firstlineno}" if code else "a formula that is no function"
        wrong = _wrong(names, fusible, inspect.getdoc(function) or "")
        if wrong:
            what, fix = wrong
            name = getattr(function, "__name__", type(function).__name__)
            raise UsageError(f"{defined_at}: the formula {name}: {what}", fix=fix)
        with _LOADING:
            _registered.extend(
                Formula(name, function, source or defined_at, "work", fusible) for name in names
            )
        return function

    return register


def _wrong(names: Sequence[object], fusible: object, doc: str) -> tuple[str, str] | None:
    """What is wrong with a formula that is to be registered, and what to do; None where nothing is."""
    lines = [line.strip() for line in doc.splitlines()]
    missing = [wanted for wanted in LINES if not any(line.startswith(wanted) for line in lines)]
    if not names or not all(isinstance(name, str) and name for name in names):
        return "it names no operator", 'decorate it with @traceanalyzer.op_cost("my::op")'
    if fusible not in get_args(Fusible):
        return f"fusible is {fusible!r}", f"give one of {', '.join(map(repr, get_args(Fusible)))}"
    if missing:
        return f"its docstring lacks {' and '.join(f'`{line}`' for line in missing)}", f"give it {_EXAMPLE}"
    return None


def user_formulas(files: Sequence[str]) -> UserFormulas:
    """The formulas of installed packages, of the session and of `files`, the later before the earlier.

    Files are code, and are run. UsageError, in one line, where one cannot be.
    """
    formulas: dict[str, Formula] = {}
    notices = []
    for entry in _entry_points():
        try:
            formulas |= {formula.name: formula for formula in _of_package(entry)}
        except (Exception, SystemExit) as error:  # of somebody else's package: said, not fatal
            text = f"formulas of {entry.value} are not used: {_said(error)}"
            notices.append(Notice("broken_cost_package", text))
    formulas |= {formula.name: formula for formula in _registered}
    for file in files:
        formulas |= {formula.name: formula for formula in _of_file(Path(file))}
    return UserFormulas(tuple(formulas.values()), tuple(notices))


def used(formulas: Sequence[Formula], names: Iterable[str]) -> tuple[Notice, ...]:
    """Which of the operators of a trace the user's formulas price, and where those are written."""
    formula_of = {formula.name: formula for formula in formulas}
    priced = {name: formula.source for name in names if (formula := matching(name, formula_of)) is not None}
    if not priced:
        return ()
    shown = ", ".join(f"{name} ({source})" for name, source in sorted(priced.items())[:_NAMED])
    more = f" and {len(priced) - _NAMED} more" if len(priced) > _NAMED else ""
    return (Notice("user_formulas", f"priced by formulas of the user's own: {shown}{more}", len(priced)),)


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    """What installed packages offer; a package may stand in both groups, for both versions of this one."""
    current, older = (list(importlib.metadata.entry_points(group=group)) for group in GROUPS)
    values = {entry.value for entry in current}
    late = [entry for entry in older if entry.value not in values]
    for entry in late:
        text = f"{entry.value}: entry points of {GROUPS[1]!r} belong to the group {GROUPS[0]!r} now"
        warnings.warn(text, DeprecationWarning, stacklevel=3)
    return [*late, *current]


def _of_package(entry: importlib.metadata.EntryPoint) -> tuple[Formula, ...]:
    if entry.value not in _of_packages:
        _of_packages[entry.value] = tuple(_registered_by(entry.load))
    return _of_packages[entry.value]


def _of_file(path: Path) -> list[Formula]:
    try:
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"{path}: cannot be read ({why})", fix="give --cost-file a Python file") from None
    try:
        formulas = _registered_by(lambda: _run(path, content))
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}{_line(error, str(path))}: {_said(error)}", fix="fix the file") from None
    if not formulas:
        raise UsageError(
            f"{path}: defines no formula", fix='decorate a function with @traceanalyzer.op_cost("my::op")'
        )
    return formulas


def _run(path: Path, content: bytes) -> None:
    """Run a file as a module of its own. dataclasses and others look it up in sys.modules by its name."""
    module = ModuleType(f"traceanalyzer_cost_file_{abs(hash(str(path)))}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        with _importing_from(path.resolve().parent):
            exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    finally:
        del sys.modules[module.__name__]


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Files in `folder` can be imported, after everything that is installed.

    Modules from there are forgotten at the end: another cost file's folder may have some of the same names.
    """
    before, finder = set(sys.modules), _Folder(folder)
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in sys.modules.keys() - before:
            if name.partition(".")[0] in finder.found:
                del sys.modules[name]


class _Folder(MetaPathFinder):
    """Finds modules beside a cost file, and those inside packages that lie there."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.found: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None where it is not there; submodules are found by Python itself, through their package."""
        spec = PathFinder.find_spec(fullname, [self._folder]) if path is None else None
        if spec is not None:
            self.found.add(fullname)
        return spec


def _registered_by(load: Callable[[], object]) -> list[Formula]:
    """What `load` registers, taken out of what the session has registered."""
    with _LOADING:
        before = len(_registered)
        try:
            load()
            return _registered[before:]
        finally:
            del _registered[before:]


def _said(error: BaseException) -> str:
    """`KeyError: 'x'`, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _line(error: BaseException, file: str) -> str:
    """`:12`, where in the file it went wrong, also where something that the file imports did."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f":{error.lineno}" if error.lineno else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f":{lines[-1]}" if lines else ""
