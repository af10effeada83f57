"""How an Analysis shows itself, where Python code asks it to: `records.presenter` declares these."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from traceanalyzer.records import Analysis
from traceanalyzer.records.presenter import Picture
from traceanalyzer.records.svg import Svg
from traceanalyzer.report import content, render
from traceanalyzer.report.target import (
    check_content,
    check_place,
    check_writable,
    format_of,
    would_replace,
    write_file,
)


def text(analysis: Analysis, format_name: str) -> str:
    """The whole report in one of the formats."""
    return render(analysis, format_name)


def save(analysis: Analysis, path: str | PathLike[str], *, force: bool) -> None:
    """Write it to `path`, whose suffix is the format."""
    target, name = Path(path), format_of(path)
    check_place(target)
    if target.exists() and not force:
        raise would_replace(target, "give force=True, or another name")
    check_writable(target, name)
    check_content(analysis, target, name)
    write_file(target, content(analysis, name))


def svg(analysis: Analysis, picture: Picture) -> Svg:
    """One picture of it, standing alone."""
    from traceanalyzer.report.svg import render as roofline
    from traceanalyzer.report.svg import timeline

    return Svg(roofline(analysis) if picture == "roofline" else timeline(analysis))


def lines(analysis: Analysis) -> str:
    """What an interactive session shows of it: three lines."""
    from traceanalyzer.report.notebook import lines as three

    return three(analysis)


def notebook(analysis: Analysis) -> str:
    """A fragment of HTML for a notebook's cell."""
    from traceanalyzer.report.notebook import notebook as fragment

    return fragment(analysis)
