"""What comes back of one analyzed file, from this process or another."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from traceanalyzer.records.rank_result import RankResult


class FailedFile(msgspec.Struct, frozen=True):
    """A file, or a process or device of it, that could not be analyzed, and why."""

    file: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """What failed, a file or a part of it, and with what error."""

    label: str  # the file, with the process or device where a part of it failed
    error: Exception


@dataclass(frozen=True, slots=True, eq=False)
class FileResult:
    """One result for each device of each process of a file that worked, and what of it failed."""

    results: tuple[RankResult, ...]
    failed: tuple[Failure, ...] = ()
