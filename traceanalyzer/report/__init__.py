"""One finished Analysis in, one text out: a renderer for each format, and reading a saved report back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from traceanalyzer.records import Analysis, Job
from traceanalyzer.report.json import read_back
from traceanalyzer.report.redact import redacted
from traceanalyzer.report.report_marker import GENERATOR_MARK, is_own_report

__all__ = ["GENERATOR_MARK", "RENDERERS", "is_own_report", "read_back", "redacted", "render"]


def _lazily(module: str) -> Callable[..., str]:
    """The `render` of a module that is imported when it is called: jinja2 and rich are slow to import."""

    def run(analysis: Analysis, top: int | None = None) -> str:
        return str(import_module(f"traceanalyzer.report.{module}").render(analysis, top))

    return run


RENDERERS: dict[str, Callable[..., str]] = {
    "html": _lazily("html"),
    "md": _lazily("markdown"),
    "json": _lazily("json"),
    "csv": _lazily("csv"),
    "svg": _lazily("svg"),
    "txt": _lazily("terminal"),
}


def render(analysis: Analysis, format: str, top: int | None = None) -> str:
    """`analysis` as one of RENDERERS. `top`: rows in tables that people read; data formats hold all.

    ValueError where there is no such format.
    """
    if format not in RENDERERS:
        raise ValueError(f"no format {format!r}; there are {', '.join(RENDERERS)}")
    return RENDERERS[format](analysis if isinstance(analysis, Job) else Job.of(analysis), top=top)
