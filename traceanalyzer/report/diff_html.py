"""The comparison as a page: one file under a megabyte that requests nothing and needs no script."""

from __future__ import annotations

import base64
import hashlib

from traceanalyzer.records import Comparison
from traceanalyzer.records.units import percent
from traceanalyzer.report.assets import asset, templates
from traceanalyzer.report.diff_view import ChangeLine, DiffView, diff_view, whole_of
from traceanalyzer.report.report_marker import DIFF_MARK

LIMIT = 1_000_000  # bytes of the page, whatever is compared
_ROWS = 200
_FIRST = 30  # that stand open and are printed


def render(comparison: Comparison, top: int | None = None) -> str:
    """The `top` largest changes; fewer where the page would be too large."""
    rows = _ROWS if top is None else top
    while True:
        page = _page(comparison, diff_view(comparison, rows))
        if len(page.encode("utf-8", "replace")) < LIMIT or not rows:
            return page
        rows //= 2


def _page(comparison: Comparison, view: DiffView) -> str:
    from markupsafe import Markup

    style = asset("report.css") + asset("chart.css") + asset("diff.css")
    window = comparison.window_ns
    return templates().get_template("diff.html.j2").render(
        view=view, parts=_parts(view, comparison), whole=max(window.base, window.head, 1),
        unit=whole_of(comparison), first=_FIRST,
        title=" and ".join(text.split(":")[0] for _, text in view.sides),
        mark=f"{DIFF_MARK} {comparison.tool.version}", tool=f"traceanalyze {comparison.tool.version}",
        style=Markup(style), style_hash=_hash(style), method=_method(comparison),
    )  # fmt: skip


def _parts(view: DiffView, comparison: Comparison) -> list[ChangeLine]:
    """Verdicts, then idle time, which add up to the window."""
    idle = next(line for line in view.whole if line.key == "idle")
    return [*view.verdicts, idle]


def _method(comparison: Comparison) -> str:
    used = comparison.settings
    return (
        f"{percent(used.confidence, 0)} of {used.resamples:,} resamples of runs and of steps within them, "
        f"seed {used.seed}; faster and slower are said from {percent(used.minimum_change_share, 0)} on"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
