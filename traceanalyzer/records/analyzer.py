"""The protocol that makes an Analysis of a trace just captured: declared here, implemented by `analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from traceanalyzer.records.job import Job


class Analyzer(Protocol):
    """Reads, prices and judges one trace."""

    def __call__(self, path: Path) -> Job:
        """TraceAnalyzerError where it cannot be read."""
        ...


_joined: list[Analyzer] = []


def join_analyzer(analyze: Analyzer) -> None:
    """The package says once, when it is imported, who analyzes."""
    _joined[:] = [analyze]


def analyzer() -> Analyzer:
    """The one that was joined."""
    return _joined[0]
