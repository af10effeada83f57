"""What lets a reader check the figures: rows that appear to beat a roof, and the formulas behind rows."""

from __future__ import annotations

from dataclasses import dataclass

from traceanalyzer.records import Analysis
from traceanalyzer.records.units import duration, percent
from traceanalyzer.report.rows import count_of, is_sum
from traceanalyzer.report.sanitize import TEXT, cut, visible
from traceanalyzer.report.sentence import per_step

_ROOFS = {"bandwidth": "memory bandwidth", "compute": "compute peak"}


@dataclass(frozen=True, slots=True)
class RoofLine:
    """Rows above one roof for one reason."""

    roof: str
    reason: str
    rows: str
    time: str  # a step where there are steps
    of_busy: str
    highest: str  # "110 % of the roof"
    example: str


@dataclass(frozen=True, slots=True)
class FormulaLine:
    """A formula in words; `lines` as it is written."""

    number: int  # its anchor
    op: str
    lines: tuple[str, ...]
    source: str


def above_roofs(analysis: Analysis) -> tuple[RoofLine, ...]:
    """The self-check's table; empty where no row beats a roof."""
    return tuple(
        RoofLine(
            roof=_ROOFS[one.roof], reason=cut(visible(one.reason), TEXT), rows=f"{one.rows:,}",
            time=duration(per_step(analysis, one.time_ns)), of_busy=percent(one.share_of_busy),
            highest=percent(one.highest_efficiency, 0), example=cut(visible(one.example), TEXT),
        )
        for one in analysis.self_check[:20]
    )  # fmt: skip


def verdict_of_check(analysis: Analysis) -> str:
    """The self-check in one sentence."""
    held = sum(count_of(row) for row in analysis.op_rows if row.efficiency is not None or is_sum(row))
    if not held:
        return "No row could be held against a roof."
    above = sum(one.rows for one in analysis.self_check)
    if not above:
        return f"None of the {held:,} rows held against a roof appears to beat it."
    share = sum(one.share_of_busy for one in analysis.self_check)
    are = "row appears" if above == 1 else "rows appear"
    return f"{above:,} {are} to beat a roof, with {percent(share)} of busy time."


def formula_lines(analysis: Analysis) -> tuple[FormulaLine, ...]:
    """The formulas of the largest priced rows, each operator once."""
    return tuple(
        FormulaLine(
            number, cut(visible(one.op), TEXT),
            tuple(cut(visible(line), TEXT) for line in one.text.splitlines() if line.strip()),
            cut(visible(one.source), TEXT),
        )
        for number, one in enumerate(analysis.formulas[:20], 1)
    )  # fmt: skip
