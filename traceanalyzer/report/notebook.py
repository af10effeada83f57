"""The report in a notebook cell: a fragment that brings its own style and asks for nothing."""

from __future__ import annotations

from traceanalyzer.records import Analysis
from traceanalyzer.report.assets import templates
from traceanalyzer.report.view import view_of

_ROWS = 8


def notebook(analysis: Analysis, top: int = _ROWS) -> str:
    """The sentence, the window and the `top` largest rows; readable also where a notebook drops the style."""
    view = view_of(analysis, top)
    return templates().get_template("notebook.html.j2").render(
        view=view, analysis=analysis, lines=[line for line in view.lines if not line.is_sum]
    )  # fmt: skip
