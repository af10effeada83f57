"""Where in the code, as text: the tree of modules, the functions with most time, and the waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from traceanalyzer.records import Analysis, Job, OpRow, Suggestion
from traceanalyzer.records.code import CodePlace, FunctionTime, ModuleTime, Wait
from traceanalyzer.records.units import duration, percent
from traceanalyzer.records.vocabulary import OF_CONFIGURATION, LineIs
from traceanalyzer.report.labels import CAUSE_LABELS
from traceanalyzer.report.sanitize import cut, visible
from traceanalyzer.report.shown import busy_words, per_step

_FUNCTIONS = 6
_WAITS = 8
_INSIDE = 12  # modules of one that are listed
_SHARE = 0.005  # of busy time, or of idle time, from which on something is listed
_PASSED_ON = 0.01  # of a module's time at most its own, for it to be named with the only one inside it
_LONGEST_NAME = 90
_PLACES = 5
_MODULE = 36  # characters of a module's path beside other columns
NO_MODULE = "in no module"
_NO_LINE = ", no known line"


class ModuleLine(msgspec.Struct, frozen=True):
    """One module, or a chain of modules that each hold but the next one."""

    label: str
    repeat: str  # "×24"; "" of one
    time: str  # with all modules inside it; per step where there are steps
    of_busy: str
    self_share: str  # share of busy time in none of those
    inside: tuple[ModuleLine, ...]


class FunctionLine(msgspec.Struct, frozen=True):
    """One function that launched work."""

    where: str  # "modeling_owlv2.py:410"
    name: str
    time: str
    of_busy: str
    line_is: LineIs  # of most lines of the table


class WaitLine(msgspec.Struct, frozen=True):
    """Idle stretches of one cause in one function."""

    cause: str
    where: str
    name: str  # with the library's function that it called
    module: str
    count: str
    time: str
    longest: str
    of_idle: str


def module_lines(analysis: Analysis) -> tuple[ModuleLine, ...]:
    """The tree, the longest first; () where no modules are known."""
    modules = analysis.module_rows or ()
    if not any(module.path for module in modules):
        return ()
    inside: dict[tuple[str | None, str | None], list[ModuleTime]] = {}
    for module in modules:
        inside.setdefault((module.parent, module.how if module.parent else None), []).append(module)
    return tuple(_lines(analysis, inside, inside.get((None, None), ())))


_Tree = dict[tuple[str | None, str | None], list[ModuleTime]]


def _lines(analysis: Analysis, tree: _Tree, modules: Sequence[ModuleTime]) -> Iterator[ModuleLine]:
    busy = analysis.time.busy_ns or 1
    shown = sorted(modules, key=lambda module: -module.inclusive_ns)[:_INSIDE]
    for module in shown:
        if module.inclusive_ns < _SHARE * busy:
            continue
        names, last = [_own_name(module)], module
        held = tree.get((last.path, last.how), ()) if last.path else ()
        while len(held) == 1 and last.self_ns <= _PASSED_ON * last.inclusive_ns:
            last = held[0]
            names.append(_own_name(last))
            held = tree.get((last.path, last.how), ())
        yield ModuleLine(
            label=cut(visible(" › ".join(names)), 2 * _LONGEST_NAME),
            repeat=f"×{last.repeat:,}" if last.repeat > 1 else "",
            time=duration(per_step(analysis, module.inclusive_ns)),
            of_busy=percent(module.inclusive_ns / busy), self_share=percent(last.self_ns / busy),
            inside=tuple(_lines(analysis, tree, held)),
        )  # fmt: skip


def _own_name(module: ModuleTime) -> str:
    """Without that of the module round it."""
    if module.path is None:
        return NO_MODULE
    return module.path.removeprefix(f"{module.parent}.") if module.parent else module.path


def function_lines(analysis: Analysis) -> tuple[FunctionLine, ...]:
    """Those with most time, or lines of them; of what has no known line that is said, where others have."""
    busy = analysis.time.busy_ns or 1
    named = [function for function in analysis.function_rows or () if function.function is not None]
    by_line = any(function.line_is == "call" for function in named)
    return tuple(
        FunctionLine(
            where=_at(function), line_is="call" if by_line else "function",
            name=_name(function.function) + _library(function) + _no_line(function, by_line),
            time=duration(per_step(analysis, function.time_ns)), of_busy=percent(function.time_ns / busy),
        ) for function in named[:_FUNCTIONS]
    )  # fmt: skip


def _no_line(function: FunctionTime, by_line: bool) -> str:
    return _NO_LINE if by_line and function.line_is != "call" else ""


def wait_lines(analysis: Analysis) -> tuple[WaitLine, ...]:
    """Those with most time that a function is known of, or else their cause's."""
    idle = analysis.time.idle_ns or 1
    long = [wait for wait in analysis.wait_rows if wait.time_ns >= _SHARE * idle]
    return tuple(wait_line(analysis, wait) for wait in long[:_WAITS])


def wait_line(analysis: Analysis, wait: Wait) -> WaitLine:
    """One wait of the analysis."""
    idle = analysis.time.idle_ns or 1
    name = _name(wait.function)
    if wait.library_function:
        name += f" → {_name(wait.library_function)}"
    return WaitLine(
        cause=CAUSE_LABELS[wait.cause], where=_at(wait), name=name,
        module=tail(visible(wait.module or ""), _MODULE),
        count=f"{wait.count:,}", time=duration(per_step(analysis, wait.time_ns)),
        longest=duration(wait.longest_ns), of_idle=percent(wait.time_ns / idle),
    )  # fmt: skip


def _at(where: FunctionTime | Wait | CodePlace) -> str:
    """`net.py:41`, as editors and terminals link it."""
    if where.file is None:
        return ""
    return cut(visible(where.file), _LONGEST_NAME) + (f":{where.line}" if where.line is not None else "")


def _library(where: FunctionTime | Wait | CodePlace) -> str:
    """` (transformers)` of what is not the user's own."""
    return f" ({cut(visible(where.library), _LONGEST_NAME)})" if where.library else ""


def _name(function: str | None) -> str:
    return cut(visible(function or ""), _LONGEST_NAME)


def library_sentence(suggestions: Sequence[Suggestion]) -> str:
    """Which places of all suggestions are no code of the user's, said once; "" where all are, or may be."""
    files: dict[str, dict[str, None]] = {}
    of_code = (each for each in suggestions if each.rule not in OF_CONFIGURATION)
    for at in chain.from_iterable(each.places[:_PLACES] for each in of_code):
        if at.library is not None and at.function is not None:
            files.setdefault(_name(at.library), {})[_name(at.file)] = None
    if not files:
        return ""
    named = [f"{_listed(list(of))} {'is' if len(of) == 1 else 'are'} of the library {library}"
             for library, of in files.items()]  # fmt: skip
    return f"{'; '.join(named)}: change it there, or replace the module that calls it."


def _listed(names: Sequence[str]) -> str:
    shown, more = names[:_PLACES], len(names) - _PLACES
    last = f"{more} more files" if more > 0 else shown[-1]
    others = shown if more > 0 else shown[:-1]
    return f"{', '.join(others)} and {last}" if others else last


def place_texts(places: Sequence[CodePlace]) -> tuple[str, ...]:
    """`net.py:41 forward` of the first places that have a function."""
    named = [each for each in places if each.function is not None]
    texts = [f"{_at(each)} {_name(each.function)}" for each in named]
    return tuple(dict.fromkeys(texts))[:_PLACES]


def code_of(row: OpRow) -> str:
    """`net.py:41` of the function of most of a row; "" where it is not known."""
    return _at(row.places[0]) if row.places else ""


def tail(module: str, width: int) -> str:
    """The innermost modules of a long path: those round them are the same in many lines."""
    if len(module) <= width:
        return module
    parts = module[-width:].partition(".")
    return f"…{parts[2] or parts[0]}"


def largest_module(analysis: Analysis) -> str:
    """The module with most time of its own, in one sentence; "" where none is known."""
    modules = [module for module in analysis.module_rows or () if module.path]
    if not modules or not analysis.time.busy_ns:
        return ""
    most = max(modules, key=lambda module: module.self_ns)
    count = f" ({most.repeat:,} of them)" if most.repeat > 1 else ""
    share = percent(most.self_ns / analysis.time.busy_ns)
    return f"{share} of {busy_words(analysis)} is {tail(visible(most.path or ''), 44)}'s own{count}"


def without_lines(analysis: Analysis) -> str:
    """Why no function, file or line is named, and how to have them; "" where one is, or none could be."""
    named = any(each.function for each in analysis.function_rows or ())
    if (
        named
        or any(each.function for each in analysis.wait_rows)
        or not analysis.coverage.linked_share
        or not analysis.suggestions
    ):
        return ""
    return "unknown: record with stacks (`traceanalyze profile`, with_stack=True)"


def largest_wait(analysis: Analysis) -> str:
    """The longest wait in a function, in one sentence; "" where none takes a notable part of the window."""
    named = [wait for wait in analysis.wait_rows if wait.function is not None]
    if not named or named[0].time_ns < _SHARE * analysis.window.window_ns:
        return ""
    line = wait_line(analysis, named[0])
    cause = "idle time of unknown cause" if named[0].cause == "unknown" else line.cause
    return f"{line.time} of {cause} in {line.where} {line.name}, {line.count} times, longest {line.longest}"


def without_code_places(analysis: Job) -> Job:
    """The same, to be shown shorter: rows do not name their functions. A suggestion says where, always."""
    rows = tuple(msgspec.structs.replace(row, places=()) for row in analysis.op_rows)
    return msgspec.structs.replace(analysis, op_rows=rows)
