"""The protocol that shows an Analysis: declared here, implemented in report/, joined by the package."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from traceanalyzer.records.analysis import Analysis
    from traceanalyzer.records.svg import Svg

Picture = Literal["roofline", "timeline"]


class Presenter(Protocol):
    """Renders a finished Analysis."""

    def text(self, analysis: Analysis, format_name: str) -> str:
        """The whole report in one of the formats."""
        ...

    def save(self, analysis: Analysis, path: str | PathLike[str], *, force: bool) -> None:
        """Write it to `path`, whose suffix is the format."""
        ...

    def svg(self, analysis: Analysis, picture: Picture) -> Svg:
        """One picture of it, standing alone."""
        ...

    def lines(self, analysis: Analysis) -> str:
        """What an interactive session shows of it: three lines."""
        ...

    def notebook(self, analysis: Analysis) -> str:
        """A fragment of HTML for a notebook's cell."""
        ...


_joined: list[Callable[[], Presenter]] = []


def join(load: Callable[[], Presenter]) -> None:
    """What `load` gives is asked by every Analysis; the package says so once, when it is imported."""
    _joined[:] = [load]


def presenter() -> Presenter:
    """The one that was joined, loaded when an Analysis first shows itself."""
    return _joined[0]()
