"""The pictures of a report alone, as SVG images that follow the reader's color scheme."""

from __future__ import annotations

import msgspec

from traceanalyzer.records import Analysis
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.units import duration
from traceanalyzer.report.assets import asset, templates
from traceanalyzer.report.chart import OUTLINE_OF, Tick, chart, outline
from traceanalyzer.report.labels import VERDICT_LABELS
from traceanalyzer.report.report_marker import file_name, mark
from traceanalyzer.report.strips import Strip
from traceanalyzer.report.view import view_of

_ROWS = 400
_LEFT, _WIDTH = 24, 1024  # of the timeline, in SVG units
_QUARTERS = 4
_COLUMNS, _LEGEND_TOP, _LEGEND_LINE = 4, 166, 20


class LegendEntry(msgspec.Struct, frozen=True):
    """One color of the timeline, and what it stands for."""

    key: str  # its class
    text: str
    x: int
    y: int


def render(analysis: Analysis, top: int | None = None) -> str:
    """The roofline of the `top` largest rows with a legend; no scripts, no references."""
    view = view_of(analysis, _ROWS if top is None else top)
    drawn = chart(analysis, view.rows, view.lines)
    present = {point.verdict for point in drawn.points}
    legend = [
        {"key": verdict, "label": VERDICT_LABELS[verdict], "x": 160 + 130 * i,
         "path": outline(OUTLINE_OF[verdict], 0, 0, 5)}
        for i, verdict in enumerate(v for v in VERDICT_LABELS if v in present)
    ]  # fmt: skip
    template = templates().get_template("roofline.svg.j2")
    return _marked(
        analysis,
        template.render(view=view, chart=drawn, standalone=True, style=_style(), legend=legend),
    )


def timeline(analysis: Analysis) -> str:
    """The strip of the step that the page shows, with its times and a legend.

    UsageError where the report holds no timeline.
    """
    view = view_of(analysis, 0)
    if view.strip is None:
        raise UsageError(
            f"{file_name(analysis)}: its report holds no timeline",
            fix="analyze the trace again; a saved report of an older version has none",
        )
    legend = _legend(view.strip)
    text = templates().get_template("timeline.svg.j2").render(
        view=view, strip=view.strip, style=_style(), ticks=_ticks(view.strip), legend=legend,
        height=max((entry.y for entry in legend), default=_LEGEND_TOP) + _LEGEND_LINE,
    )  # fmt: skip
    return _marked(analysis, text)


def _ticks(strip: Strip) -> list[Tick]:
    """At each quarter of its length."""
    return [
        Tick(_LEFT + _WIDTH * i // _QUARTERS, duration(strip.length_ns * i / _QUARTERS) if i else "0")
        for i in range(_QUARTERS + 1)
    ]


def _legend(strip: Strip) -> list[LegendEntry]:
    """Verdicts and causes of idle time with their times, then phases; four a line."""
    entries = [(part.key, f"{'' if part.key in VERDICT_LABELS else 'idle: '}{part.label} {part.time}")
               for part in strip.parts]  # fmt: skip
    entries += {(phase.label, f"phase: {phase.label}"): None for phase in strip.phases}
    return [
        LegendEntry(key, text, _LEFT + i % _COLUMNS * (_WIDTH // _COLUMNS),
                    _LEGEND_TOP + i // _COLUMNS * _LEGEND_LINE)
        for i, (key, text) in enumerate(entries)
    ]  # fmt: skip


def _style() -> str:
    return asset("picture.css") + asset("chart.css")


def _marked(analysis: Analysis, picture: str) -> str:
    """With the mark of this program behind its first line."""
    head, _, rest = picture.partition("\n")
    return f"{head}\n<!-- {mark(analysis)} -->\n{rest}"
