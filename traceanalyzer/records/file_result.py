"""What comes back of one analyzed file, from this process or another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from traceanalyzer.records.errors import TraceAnalyzerError
from traceanalyzer.records.notice import Notice

if TYPE_CHECKING:
    from traceanalyzer.records.rank_result import RankResult


class FailedFile(msgspec.Struct, frozen=True):
    """A file, or a process or device of it, that could not be analyzed, and why."""

    file: str
    message: str


class Failure(msgspec.Struct, frozen=True, eq=False):
    """What failed, a file or a part of it, and with what error."""

    label: str  # the file, with the process or device where a part of it failed
    error: Exception

    @property
    def notice(self) -> Notice:
        """For the report's warnings."""
        return Notice("rank_failed", self.message)

    @property
    def listed(self) -> FailedFile:
        """For the job's list of files that failed."""
        return FailedFile(self.label.rpartition(" (rank ")[0] or self.label, self.message)

    @property
    def message(self) -> str:
        """An error of ours names its file itself; the label also says which process of several it was."""
        label, error = self.label, self.error
        if isinstance(error, TraceAnalyzerError):
            file, said = label.rpartition(" (rank ")[0], str(error)
            return label + said[len(file) :] if said.startswith(f"{file}: ") else said
        if isinstance(error, MemoryError):
            return f"{label}: memory ran out. Fix: give --jobs 1, or analyze it where there is more memory"
        return f"{label}: internal error: {type(error).__name__}: {error}. Fix: report it with this line"


class FileResult(msgspec.Struct, frozen=True, eq=False):
    """One result for each device of each process of a file that worked, and what of it failed."""

    results: tuple[RankResult, ...]
    failed: tuple[Failure, ...] = ()
