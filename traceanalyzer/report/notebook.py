"""The report in a notebook cell, a fragment that asks for nothing; and in three lines of plain text."""

from __future__ import annotations

from traceanalyzer.records import Analysis
from traceanalyzer.report.assets import templates
from traceanalyzer.report.view import View, view_of
from traceanalyzer.report.wrapping import left_out

_ROWS = 8


def notebook(analysis: Analysis, top: int = _ROWS) -> str:
    """The sentence, the window and the `top` largest rows; readable also where a notebook drops the style."""
    view = view_of(analysis, top)
    return templates().get_template("notebook.html.j2").render(
        view=view, analysis=analysis, left_out=left_out,
        lines=[line for line in view.lines if not line.is_sum],
    )  # fmt: skip


def lines(analysis: Analysis) -> str:
    """File, device and steps; the first sentence; the first change, or that there is none."""
    view = view_of(analysis, 0)
    lead = view.headline.lead
    if "memory-bound" in lead:  # never without how much of it runs at the memory roof
        lead += "".join(f" {each}" for each in view.headline.more if "memory-bound" in each)
    text = f"{view.file} · {view.subject}\n {lead}\n {_first_change(view)}"
    return f"<{type(analysis).__name__} {text}>"


def _first_change(view: View) -> str:
    """As the terminal lists it."""
    if view.suggestions is None:
        return "Changes: not looked for."
    first = next((each for each in view.suggestions if each.has_saving), None)
    if first is None:
        return "Changes: none found that would save time."
    return f"Change: {first.imperative}{f' in {first.site}' if first.site else ''}: {first.saving}."
