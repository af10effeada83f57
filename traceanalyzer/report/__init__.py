"""One finished Analysis in, one text or table out, by format; and reading a saved report back."""

from __future__ import annotations

from collections.abc import Callable

from traceanalyzer.records import Analysis, Job
from traceanalyzer.report.json import read_back
from traceanalyzer.report.redact import redacted
from traceanalyzer.report.report_marker import GENERATOR_MARK, is_own_report

__all__ = [
    "GENERATOR_MARK", "RENDERERS", "TABLES", "content", "is_own_report", "read_back", "redacted", "render",
]  # fmt: skip


# A format is imported when it is asked for: jinja2 and rich are slow to import.


def _html(analysis: Job, top: int | None = None) -> str:
    from traceanalyzer.report.html import render

    return render(analysis, top)


def _markdown(analysis: Job, top: int | None = None) -> str:
    from traceanalyzer.report.markdown import render

    return render(analysis, top)


def _json(analysis: Job, top: int | None = None) -> str:
    from traceanalyzer.report.json import render

    return render(analysis, top)


def _csv(analysis: Job, top: int | None = None) -> str:
    from traceanalyzer.report.csv import render

    return render(analysis, top)


def _svg(analysis: Job, top: int | None = None) -> str:
    from traceanalyzer.report.svg import render

    return render(analysis, top)


def _terminal(analysis: Job, top: int | None = None) -> str:
    from traceanalyzer.report.terminal import render

    return render(analysis, top)


def _openmetrics(analysis: Job, top: int | None = None) -> str:
    from traceanalyzer.report.openmetrics import render

    return render(analysis, top)


RENDERERS: dict[str, Callable[..., str]] = {
    "html": _html, "md": _markdown, "json": _json, "csv": _csv, "svg": _svg, "txt": _terminal,
    "prom": _openmetrics,
}  # fmt: skip


def _ops_table(analysis: Job) -> bytes:
    from traceanalyzer.report.parquet import ops

    return ops(analysis)


def _kernels_table(analysis: Job) -> bytes:
    from traceanalyzer.report.parquet import kernels

    return kernels(analysis)


TABLES: dict[str, Callable[[Job], bytes]] = {"parquet": _ops_table, "kernels.parquet": _kernels_table}


def content(analysis: Analysis, format: str, top: int | None = None) -> str | bytes:
    """`analysis` as one of RENDERERS, a text, or of TABLES, bytes of a file."""
    if format in TABLES:
        return TABLES[format](analysis if isinstance(analysis, Job) else Job.of(analysis))
    return render(analysis, format, top)


def render(analysis: Analysis, format: str, top: int | None = None) -> str:
    """`analysis` as one of RENDERERS. `top`: rows in tables that people read; data formats hold all.

    ValueError where there is no such format.
    """
    if format not in RENDERERS:
        raise ValueError(f"no format {format!r}; there are {', '.join(RENDERERS)}")
    return RENDERERS[format](analysis if isinstance(analysis, Job) else Job.of(analysis), top=top)
