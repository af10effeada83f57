"""The roofline alone as an SVG image that follows the reader's color scheme."""

from __future__ import annotations

from traceanalyzer.records import Analysis
from traceanalyzer.report.assets import asset, templates
from traceanalyzer.report.chart import OUTLINE_OF, chart, outline
from traceanalyzer.report.labels import VERDICT_LABELS
from traceanalyzer.report.report_marker import mark
from traceanalyzer.report.view import view_of

_ROWS = 400


def render(analysis: Analysis, top: int | None = None) -> str:
    """The chart of the `top` largest rows with a legend; no scripts, no references."""
    view = view_of(analysis, _ROWS if top is None else top)
    drawn = chart(analysis, view.rows, view.lines)
    present = {point.verdict for point in drawn.points}
    legend = [
        {"key": verdict, "label": VERDICT_LABELS[verdict], "x": 160 + 130 * i,
         "path": outline(OUTLINE_OF[verdict], 0, 0, 5)}
        for i, verdict in enumerate(v for v in VERDICT_LABELS if v in present)
    ]  # fmt: skip
    template = templates().get_template("roofline.svg.j2")
    style = asset("roofline.css") + asset("chart.css")
    body = template.render(view=view, chart=drawn, standalone=True, style=style, legend=legend)
    head, _, rest = body.partition("\n")
    return f"{head}\n<!-- {mark(analysis)} -->\n{rest}"
