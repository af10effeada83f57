"""Parts of an Analysis that say where in the code time goes: modules, functions and waits. Times in ns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from traceanalyzer.records.vocabulary import IdleCause, LineIs, Verdict


class VerdictTime(msgspec.Struct, frozen=True):
    """Attributed time of one verdict."""

    verdict: Verdict
    time_ns: int


class ModuleTime(msgspec.Struct, frozen=True, kw_only=True, rename={"class_name": "class"}):
    """Busy time in one module, or in layers that are built alike, as one; all `self_ns` add up to busy time.

    `path` is a dotted name (`blocks.*.mlp`) where modules are annotated, else the classes of the modules
    round it (`Model.Block.Linear`); None: in no module, or not known in which.
    """

    path: str | None
    class_name: str | None
    parent: str | None  # path of the module round it
    repeat: int  # modules that this stands for
    calls: int  # in the window
    self_ns: int  # in none of the modules inside it
    inclusive_ns: int
    verdicts: tuple[VerdictTime, ...]  # of `self_ns`
    how: Literal["annotation", "stack"] | None


class FunctionTime(msgspec.Struct, frozen=True, kw_only=True):
    """Busy time of what one Python function launched itself; None: of what none did that is known.

    It is the innermost outside PyTorch and the standard library; all `time_ns` add up to busy time.
    """

    file: str | None  # its last parts, as many as tell it from others
    line: int | None
    function: str | None
    line_is: LineIs | None
    time_ns: int
    verdicts: tuple[VerdictTime, ...]
    library: str | None = None  # the package that it is of, where that is known not to be the user's own


class WaitPlace(msgspec.Struct, frozen=True):
    """One idle stretch."""

    step: int | None  # its number in `Analysis.steps`, from 0; None: the trace has none
    at_ns: int  # from the step's start on the device, or the window's
    time_ns: int


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Idle stretches of one cause in which the host was in one function for most of each.

    All waits add up to idle time.
    """

    cause: IdleCause
    function: str | None
    file: str | None
    line: int | None
    module: str | None  # of the most time
    library_function: str | None = None  # that the function called, where that takes most of it
    count: int
    time_ns: int
    longest_ns: int
    places: tuple[WaitPlace, ...]  # the longest, by their start
    line_is: LineIs | None = None
    library: str | None = None


def in_one_function(waits: Sequence[Wait], least: float) -> Wait | None:
    """What has at least this share of the time of `waits`, the longest first: a line, else a whole function.

    Of a function of several lines no line is named.
    """
    named = [wait for wait in waits if wait.function is not None]
    total = least * sum(wait.time_ns for wait in waits)
    if not named or named[0].time_ns >= total:
        return named[0] if named else None
    functions: dict[tuple[str | None, str | None], list[Wait]] = {}
    for wait in named:
        functions.setdefault((wait.file, wait.function), []).append(wait)
    longest = max(functions.values(), key=lambda each: sum(wait.time_ns for wait in each))
    time_ns = sum(wait.time_ns for wait in longest)
    if time_ns < total:
        return None
    count, single = sum(wait.count for wait in longest), max(wait.longest_ns for wait in longest)
    return msgspec.structs.replace(
        longest[0], line=None, line_is=None, time_ns=time_ns, count=count, longest_ns=single
    )  # fmt: skip


class CodePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Operators, or waits, of one function in one module."""

    module: str | None
    file: str | None
    line: int | None
    function: str | None
    count: int  # of operators, or of waits
    time_ns: int
    line_is: LineIs | None = None
    library: str | None = None
