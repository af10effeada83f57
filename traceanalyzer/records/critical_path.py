"""The critical path of one step: the longest chain of what waits for one another. Times in ns."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from traceanalyzer.records.vocabulary import Phase, Verdict

PathPartName = Literal["host", "launch", "between_kernels"]
PATH_PARTS: tuple[PathPartName, ...] = ("host", "launch", "between_kernels")


class PathVerdict(msgspec.Struct, frozen=True):
    """Kernels of one verdict on the path."""

    verdict: Verdict
    time_ns: int
    kernels: int


class PathPart(msgspec.Struct, frozen=True):
    """What else is on it: operators on the host, from launches to their kernels, from kernel to kernel."""

    part: PathPartName
    time_ns: int


class PathModule(msgspec.Struct, frozen=True):
    """Time on the path of what belongs to one module; None: to none."""

    module: str | None
    time_ns: int


class PathOp(msgspec.Struct, frozen=True, kw_only=True):
    """Kernels of one op row on the path, or the host's own time in operators of one name (verdict None)."""

    name: str
    input_dims: tuple[Any, ...] | None
    phase: Phase | None
    module: str | None
    verdict: Verdict | None
    kernels: int  # 0 for the host's
    time_ns: int  # on the path
    gain_ns: int | None  # by how much the path is shorter where all of the row's time is 0; None: not asked


class CriticalPath(msgspec.Struct, frozen=True, kw_only=True):
    """`length_ns` = verdicts + other parts = modules; = ops + launch + between_kernels. At most `step_ns`."""

    step: str | None  # whose it is; None: of a trace without steps
    step_ns: int  # as the device saw it
    length_ns: int
    by_verdict: tuple[PathVerdict, ...]  # all six
    other: tuple[PathPart, ...]  # all three
    by_module: tuple[PathModule, ...]  # the longest first
    ops: tuple[PathOp, ...]  # the longest first
