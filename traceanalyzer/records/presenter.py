"""The protocol that shows an Analysis: declared here, implemented in report/, joined by the package."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from traceanalyzer.records.analysis import Analysis


class Presenter(Protocol):
    """Renders a finished Analysis."""

    def text(self, analysis: Analysis, format_name: str) -> str:
        """The whole report in one of the formats."""
        ...

    def save(self, analysis: Analysis, path: str | PathLike[str], *, force: bool) -> None:
        """Write it to `path`, whose suffix is the format."""
        ...

    def notebook(self, analysis: Analysis) -> str:
        """A fragment of HTML for a notebook's cell."""
        ...


_joined: list[Presenter] = []


def join(presenter: Presenter) -> None:
    """Make `presenter` the one that every Analysis asks; the package does so once, when it is imported."""
    _joined[:] = [presenter]


def presenter() -> Presenter:
    """The one that was joined."""
    return _joined[0]
