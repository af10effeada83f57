"""The self-check as text: rows that exceed a roof, and the formulas behind the largest rows."""

from __future__ import annotations

import msgspec

from traceanalyzer.records import Analysis
from traceanalyzer.records.units import duration, percent
from traceanalyzer.report.rows import count_of, is_sum
from traceanalyzer.report.sanitize import TEXT, cut, visible
from traceanalyzer.report.shown import busy_words, per_step

_ROOFS = {"bandwidth": "memory bandwidth", "compute": "compute peak"}


class RoofLine(msgspec.Struct, frozen=True):
    """Rows above one roof for one reason."""

    roof: str
    reason: str
    rows: str
    time: str  # per step where there are steps
    of_busy: str
    highest: str  # "110 % of the roof"
    example: str


class FormulaLine(msgspec.Struct, frozen=True):
    """A formula in words; `lines` as it is written."""

    number: int  # its anchor
    op: str
    lines: tuple[str, ...]
    source: str


def above_roofs(analysis: Analysis) -> tuple[RoofLine, ...]:
    """The self-check's table; empty where no row exceeds a roof."""
    return tuple(
        RoofLine(
            roof=_ROOFS[entry.roof], reason=cut(visible(entry.reason), TEXT), rows=f"{entry.rows:,}",
            time=duration(per_step(analysis, entry.time_ns)), of_busy=percent(entry.share_of_busy),
            highest=percent(entry.highest_efficiency, 0), example=cut(visible(entry.example), TEXT),
        )
        for entry in analysis.self_check[:20]
    )  # fmt: skip


def verdict_of_check(analysis: Analysis) -> str:
    """The self-check in one sentence."""
    compared = sum(count_of(row) for row in analysis.op_rows if row.efficiency is not None or is_sum(row))
    if not compared:
        return "No row could be compared with a roof."
    above = sum(entry.rows for entry in analysis.self_check)
    if not above:
        if compared == 1:
            return "The one row compared with a roof does not exceed it."
        return f"None of the {compared:,} rows compared with a roof exceeds it."
    share = sum(entry.share_of_busy for entry in analysis.self_check)
    exceed = "row exceeds its roof" if above == 1 else "rows exceed their roof"
    return f"{above:,} {exceed}, with {percent(share)} of {busy_words(analysis)}."


def formula_lines(analysis: Analysis) -> tuple[FormulaLine, ...]:
    """The formulas of the largest priced rows, each operator once."""
    return tuple(
        FormulaLine(
            number, cut(visible(entry.op), TEXT),
            tuple(cut(visible(line), TEXT) for line in entry.text.splitlines() if line.strip()),
            cut(visible(entry.source), TEXT),
        )
        for number, entry in enumerate(analysis.formulas[:20], 1)
    )  # fmt: skip
