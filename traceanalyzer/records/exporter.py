"""The protocol that hands an Analysis' traces to other tools: declared here, implemented in ranks/."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from traceanalyzer.records.analysis import Analysis


class Exporter(Protocol):
    """Reads the traces of an Analysis again, for a tool of others."""

    def hta(self, analysis: Analysis) -> Any:
        """HolisticTraceAnalysis over them."""
        ...


_joined: list[Callable[[], Exporter]] = []


def join_exporter(load: Callable[[], Exporter]) -> None:
    """What `load` gives is asked by every Analysis; the package says so once, when it is imported."""
    _joined[:] = [load]


def exporter() -> Exporter:
    """The one that was joined, loaded when an Analysis is first handed on."""
    return _joined[0]()
