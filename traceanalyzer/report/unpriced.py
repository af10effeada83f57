"""What a reader can do where the largest part of the step could not be judged: named, with the option."""

from __future__ import annotations

from collections import Counter

from traceanalyzer.records import Analysis, OpRow
from traceanalyzer.records.units import duration
from traceanalyzer.report.labels import BY_FORMULA
from traceanalyzer.report.largest import largest_verdict, short_names
from traceanalyzer.report.rows import is_sum
from traceanalyzer.report.shown import Shown, per_step

_NAMED = 3


def leads_unjudged(figures: Shown) -> bool:
    """Whether the first line is about what could not be judged."""
    return not figures.mostly_idle and largest_verdict(figures) == "unmodelled"


def unpriced(analysis: Analysis, figures: Shown, remedy: str) -> list[str]:
    """Which operators have no price, how much of the rest is judged, and what a user can do about it.

    `remedy`: of the reason that most of that time has, "" where nothing on the command line helps.
    """
    rows = [row for row in analysis.op_rows if row.verdict == "unmodelled" and not is_sum(row)]
    time_ns: Counter[str] = Counter()
    for row in rows:
        time_ns[row.name] += row.attributed_ns
    names = [name for name, ns in time_ns.most_common(_NAMED) if ns]
    if not names:
        return []
    short = short_names(analysis, names)
    # Rows are of all steps: of one that is not like the others they have no time.
    listed = [
        text if figures.step else f"{text} ({duration(per_step(analysis, time_ns[name]), 2)})"
        for text, name in zip(short, names, strict=True)
    ]
    busy, judged = figures.busy_ns, figures.busy_ns - figures.verdict_ns.get("unmodelled", 0)
    rest = f"{duration(figures.each(judged), 2)} of {duration(figures.each(busy), 2)} busy is judged"
    said = [f"No price is known of {_joined(listed)}; {rest}."]
    if remedy and analysis.coverage.reasons[0].reason not in BY_FORMULA:
        said.append(f"{remedy[0].upper()}{remedy[1:]}.")
    if any(_takes_a_formula(rows, name) for name in names):
        said.append("Where you know what one of them computes, give its formula: --cost-file F.py.")
    return said


def _takes_a_formula(rows: list[OpRow], name: str) -> bool:
    """Whether nothing but its formula is missing of most of its time."""
    mine = [row for row in rows if row.name == name]
    helped = sum(row.attributed_ns for row in mine if row.reason in BY_FORMULA)
    return 2 * helped > sum(row.attributed_ns for row in mine)


def _joined(texts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
