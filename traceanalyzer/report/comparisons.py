"""One finished Comparison in, one text out: a renderer for each format."""

from __future__ import annotations

from traceanalyzer.records import Comparison
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess

FORMATS = ("html", "md", "json", "txt", "prom")


def check_format(format: str) -> None:
    """UsageError where a comparison has no such format."""
    if format not in FORMATS:
        fix = guess(format, FORMATS, f"use one of {', '.join(FORMATS)}")
        raise UsageError(f"a comparison has no format {format!r}", fix=fix)


def render(
    comparison: Comparison, format: str, top: int | None = None, comment_key: str | None = None
) -> str:
    """`comparison` as one of FORMATS. `top`: changes in tables that people read; JSON holds all.

    `comment_key`: of the marker by which Markdown is found again as a comment.

    UsageError where a comparison has no such format.
    """
    check_format(format)
    if format == "html":
        from traceanalyzer.report.diff_html import render as html

        return html(comparison, top)
    if format == "md":
        from traceanalyzer.report.diff_markdown import render as markdown

        return markdown(comparison, top, key=comment_key)
    if format == "json":
        from traceanalyzer.report.diff_json import render as as_json

        return as_json(comparison, top)
    if format == "txt":
        from traceanalyzer.report.diff_terminal import render as text

        return text(comparison, top)
    from traceanalyzer.report.diff_openmetrics import render as openmetrics

    return openmetrics(comparison, top)
