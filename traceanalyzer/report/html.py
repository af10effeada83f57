"""The page: one file under a megabyte that requests nothing and is complete without scripts."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from traceanalyzer.records import VERDICTS, Analysis, Job
from traceanalyzer.records.units import duration, percent
from traceanalyzer.report.assets import asset, templates
from traceanalyzer.report.chart import OUTLINE_OF, Chart, chart, outline
from traceanalyzer.report.critical_path import MEANING
from traceanalyzer.report.jobs import extremes
from traceanalyzer.report.labels import METHOD, TIER_MEANING, VERDICT_LABELS
from traceanalyzer.report.lanes import LANES, rank_lanes
from traceanalyzer.report.layers import merged
from traceanalyzer.report.notebook import notebook
from traceanalyzer.report.published import TRANSFORMER_2021, PublishedTable
from traceanalyzer.report.report_marker import mark
from traceanalyzer.report.rows import count_of, enough_rows, is_sum, shortened
from traceanalyzer.report.sanitize import ABSENT
from traceanalyzer.report.shown import counted, per_step, shown
from traceanalyzer.report.summary import ClassLine
from traceanalyzer.report.view import View, view_of

__all__ = ["notebook", "render"]

LIMIT = 1_000_000  # bytes of the page, whatever the trace
ROWS = 200
RANKS = 256


def render(analysis: Job, top: int | None = None) -> str:
    """The `top` largest rows and the sums of the others; fewer where the page would be too large.

    Without `top` those of 90 % of busy time; the data inside holds more of them.
    """
    lines = enough_rows(merged(analysis), ROWS) if top is None else top
    kept = ROWS if top is None else top
    while True:
        page = _page(analysis, min(lines, kept), kept)
        if len(page.encode("utf-8", "replace")) < LIMIT or not kept:
            return page
        kept //= 2


def _page(analysis: Job, lines: int, kept: int) -> str:
    """With so many lines in its tables, and the data of so many rows."""
    from markupsafe import Markup

    small, view = shortened(analysis, kept), view_of(analysis, lines)
    drawn = chart(analysis, view.rows, view.lines)
    style, script = asset("report.css") + asset("chart.css"), asset("report.js")
    return templates().get_template("report.html.j2").render(
        analysis=analysis, view=view, mark=mark(analysis), method=METHOD, standalone=False,
        chart=drawn,
        verdict_keys=_keys(drawn),
        style=Markup(style), style_hash=_hash(style), script=Markup(script), script_hash=_hash(script),
        data=Markup(_embedded(small)),
        **_headings(analysis, view), **_published(view, TRANSFORMER_2021),
        ranks=extremes(view.ranks, RANKS), rank_lanes=rank_lanes(extremes(view.ranks, LANES)),
        has_link=any(c.of_link != ABSENT for c in view.collectives),
    )  # fmt: skip


def _keys(drawn: Chart) -> list[tuple[str, str, str]]:
    """(verdict, label, shape) of the verdicts on the chart."""
    present = {point.verdict for point in drawn.points}
    return [(v, VERDICT_LABELS[v], OUTLINE_OF[v]) for v in VERDICTS if v in present]


def _headings(analysis: Analysis, view: View) -> dict[str, Any]:
    """What the templates say about the whole."""
    figures, steps = shown(analysis), analysis.window.step_count
    steps_in_all = f"{steps:,} step{'s' if steps != 1 else ''}" if steps else ""
    kernels = sum(p.kernels for p in analysis.verdicts)
    whole = duration(analysis.window.window_ns)
    outlines = {shape: outline(shape, 0, 0, 4.5) for shape in ("circle", "square", "triangle", "cross")}
    return {
        "per": _time(view.rows_heading),
        "per_part": _time(view.heading) + view.with_profiler,
        "window_time": duration(figures.each(figures.window_ns)),
        "window_about": f"{steps_in_all}, {whole} in all" if steps else "of the trace: it records no steps",
        "kernels": ABSENT if figures.step else counted(figures.each(kernels)),
        "lines": [line for line in view.lines if not line.is_sum],
        "rest": _rest(analysis, view),
        "tiers": TIER_MEANING,
        "outlines": outlines,
        "path_meaning": MEANING,
        "outline_of": OUTLINE_OF,
        "formula_of": {formula.op: formula.number for formula in view.formulas},
        "largest": max((line.share.value or 0 for line in view.lines), default=0) or 1,
        "hidden_rows": view.total_rows - sum(not line.is_sum for line in view.lines),
    }  # fmt: skip


def _time(heading: str) -> str:
    return "Time" if heading == "time" else f"Time {heading}"


class Rest(msgspec.Struct, frozen=True):
    """All rows that have no line, added up."""

    count: str
    time_ns: int
    time: str
    share: str


def _rest(analysis: Analysis, view: View) -> Rest | None:
    sums = [row for row in view.rows if is_sum(row)]
    if not sums:
        return None
    time_ns = sum(row.attributed_ns for row in sums)
    share = time_ns / analysis.time.busy_ns if analysis.time.busy_ns else 0.0
    count = f"{sum(map(count_of, sums)):,}"
    return Rest(count, time_ns, duration(per_step(analysis, time_ns)), percent(share))


def _published(view: View, table: PublishedTable) -> dict[str, Any]:
    """The classes of this trace, each beside its published line."""
    published = {c.operator_class: (percent(c.flops_share, 2), percent(c.time_share)) for c in table.classes}
    return {
        "published": table,
        "classes": [(line, _beside(line, published)) for line in view.classes],
    }


def _beside(line: ClassLine, published: dict[Any, tuple[str, str]]) -> tuple[str, str]:
    return published.get(line.key, (ABSENT, ABSENT))


def _embedded(analysis: Analysis) -> str:
    """JSON that no browser takes for markup."""
    shown = msgspec.structs.replace(analysis, kernel_table=msgspec.UNSET)
    return msgspec.json.encode(shown).decode().replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
