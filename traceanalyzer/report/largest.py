"""The first line: the largest one or two parts of the step, busy or idle, in time of that step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from traceanalyzer.records import VERDICTS, Analysis, OpRow, Verdict
from traceanalyzer.records.code import in_one_function
from traceanalyzer.records.units import duration, no_less_than
from traceanalyzer.records.vocabulary import BEYOND_RATE, FEWER_PRODUCTS
from traceanalyzer.report.code_view import wait_line
from traceanalyzer.report.rows import is_sum
from traceanalyzer.report.sanitize import cut, visible
from traceanalyzer.report.shown import Shown
from traceanalyzer.report.waits import aside, largest_cause, waiting

EXACT = 0.005  # of busy time not modelled: below it, a whole percent is the same either way
TOO_MUCH_ABOVE = 0.1  # of busy time, above a roof
_SECOND_SHARE = 0.2  # of the window, from which on a second part is named
_MOST = 0.5  # of a verdict's time, from which on operators are named
_AT_A_ROOF = 0.1  # of busy time: from it on, a roof limits some of what runs
_NAME = 48
_ARGUMENTS = re.compile(r"\(.*")  # of a kernel's signature
_SAID: Mapping[Verdict, str] = {
    "compute_bound": "is compute-bound",
    "memory_bound": "is memory-bound",
    "latency_bound": "goes to kernels too small to use the device (latency-bound)",
    "communication": "is communication that no compute hides",
    "copy": "goes to memory copies",
    "unmodelled": "could not be judged",
}
_OPEN_ENDED = ("compute_bound", "memory_bound", "latency_bound")  # what is not modelled may belong to them


def largest_verdict(figures: Shown) -> Verdict:
    """The verdict that takes most of busy time."""
    return max(VERDICTS, key=lambda verdict: figures.verdict_ns.get(verdict, 0))


def names_verdict(analysis: Analysis, figures: Shown) -> bool:
    """Whether the first line names the largest verdict: beside idle time no roof that limits nothing."""
    if not figures.mostly_idle:
        return True
    largest = largest_verdict(figures)
    bare = largest in ("memory_bound", "compute_bound") and limited_by_nothing(analysis, figures)
    return not bare and _is_second(figures, figures.verdict_ns.get(largest, 0))


def limited_by_nothing(analysis: Analysis, figures: Shown) -> bool:
    """The notice is of all steps: of the one that is shown, a notable part may run at a roof."""
    at_roof = sum(ns or 0 for ns in figures.at_roof_ns.values())
    far_below = any(notice.code == "far_below_roofs" for notice in analysis.source.warnings)
    near = max(at_roof, _roofs_of_a_step(analysis) if figures.step else 0.0)
    return far_below and near < _AT_A_ROOF * figures.busy_ns


def _roofs_of_a_step(analysis: Analysis) -> float:
    """What the work of the mean step takes at its roofs, in ns: a fast one of the same work may come near."""
    rows = [row for row in analysis.op_rows if row.verdict in ("compute_bound", "memory_bound")]
    roofs = sum(row.attributed_ns * min(1.0, row.efficiency or 0.0) for row in rows)
    return roofs / (analysis.window.step_count or 1)


def largest_parts(analysis: Analysis, figures: Shown) -> str:
    """`The GPU waits 619 ms of the 1.2 s step for data loading; 519 ms is memory-bound.`"""
    largest = largest_verdict(figures)
    if figures.mostly_idle:
        first = waiting(figures, analysis.device.kind, _waiting_function(analysis, figures))
        second = _verdict(analysis, figures, largest) if names_verdict(analysis, figures) else ""
    else:
        first = _verdict(analysis, figures, largest, whole=True)
        second = _second(analysis, figures, largest)
    return f"{first}; {second}." if second else f"{first}."


def _is_second(figures: Shown, ns: int) -> bool:
    return ns >= _SECOND_SHARE * (figures.window_ns - figures.profiler_ns)


def _second(analysis: Analysis, figures: Shown, first: Verdict) -> str:
    """The next largest part, where it is large; nothing else."""
    others = {v: figures.verdict_ns.get(v, 0) for v in VERDICTS if v != first}
    verdict = max(others, key=lambda v: others[v])
    if figures.waiting_ns > others[verdict] and _is_second(figures, figures.waiting_ns):
        return aside(figures, analysis.device.kind)
    return _verdict(analysis, figures, verdict) if _is_second(figures, others[verdict]) else ""


def _verdict(analysis: Analysis, figures: Shown, verdict: Verdict, *, whole: bool = False) -> str:
    """`519 ms is memory-bound, most of it in aten::_softmax`; `whole` says of what as well."""
    ns = figures.verdict_ns.get(verdict, 0)
    open_ended = is_open_ended(figures, verdict)
    least = f"{lower_bound(analysis, whole=whole)} " if open_ended else ""
    part = no_less_than(figures.each(ns)) if open_ended else duration(figures.each(ns), 2)
    amount = figures.amount(ns, at_least=open_ended) if whole else part
    # Rows are of all steps: of one that is not like the others they say nothing.
    most = "" if figures.step else _operators(analysis, verdict)
    return f"{least}{amount} {_SAID[verdict]}{most}"


def is_open_ended(figures: Shown, verdict: Verdict) -> bool:
    """Whether a verdict may have more time than is known: then its time is rounded down everywhere."""
    return verdict in _OPEN_ENDED and figures.share("unmodelled") >= EXACT


def lower_bound(analysis: Analysis, *, whole: bool) -> str:
    """`At least`, or `at least` inside a sentence; where much exceeds its roof it depends on these roofs."""
    if above_roofs_share(analysis) > TOO_MUCH_ABOVE:
        return "By these roofs at least" if whole else "by these roofs at least"
    return "At least" if whole else "at least"


def above_roofs_share(analysis: Analysis) -> float:
    """Of busy time, what takes less than its roof time: with a higher roof its verdict may be another.

    Without convolutions that take a shorter way than is counted, which no roof is to blame for, and functions
    that beat a rate of their own, which judges nothing else.
    """
    blameless = (FEWER_PRODUCTS, BEYOND_RATE)
    return sum(entry.share_of_busy for entry in analysis.self_check if entry.reason not in blameless)


def _short(name: str) -> str:
    """Without what a template is filled with: a first line is no place for it."""
    head, bracket, _ = _ARGUMENTS.sub("", visible(name)).removeprefix("void ").partition("<")
    return cut(f"{head}<…>" if bracket else head, _NAME)


def _told_apart(name: str, others: Iterable[str]) -> str:
    """As `_short`; with what fills its template where that alone tells it from another name."""
    short = _short(name)
    if all(other == name or _short(other) != short for other in others):
        return short
    head, bracket, inside = visible(name).removeprefix("void ").partition("<")
    return cut(f"{head.rpartition('::')[2]}{bracket}{inside}", _NAME)


def short_names(analysis: Analysis, names: Iterable[str]) -> list[str]:
    """Names of operators as a sentence has them."""
    every_name = {row.name for row in analysis.op_rows}
    return [_told_apart(name, every_name) for name in names]


def _waiting_function(analysis: Analysis, figures: Shown) -> str:
    """`, most of it in resize (image_processing_owlv2.py:301)`, where the largest wait is in one function."""
    cause = largest_cause(figures)
    if cause is None or figures.step or analysis.device.kind == "cpu":  # waits are of all steps
        return ""
    # Where no cause is named, the line is about all idle time.
    whole = sum(w.time_ns for w in analysis.wait_rows if cause in (w.cause, "unknown"))
    wait = in_one_function([wait for wait in analysis.wait_rows if wait.cause == cause], _MOST)
    if wait is None or wait.time_ns < _MOST * whole:
        return ""
    name = cut(visible(wait.function or ""), _NAME)
    during = "while the host is in" if cause == "unknown" else "in"
    return f", most of it {during} {name} ({wait_line(analysis, wait).where})"


def _operators(analysis: Analysis, verdict: Verdict) -> str:
    """The one or two operators of most of a verdict's time, and the module of most of that where known."""
    rows = [row for row in analysis.op_rows if row.verdict == verdict]
    whole = sum(row.attributed_ns for row in rows)
    named = _most_time((row.name, row.attributed_ns) for row in rows if not is_sum(row))
    modules = _most_time((_leaf(row), row.attributed_ns) for row in rows)
    for count in (1, 2):
        part = sum(ns for _, ns in named[:count])
        if len(named) >= count and part >= _MOST * whole:
            names = {name for name, _ in named[:count]}
            leaf, of_leaf = _most_time((_leaf(row), row.attributed_ns) for row in rows if row.name in names)[
                0
            ]
            module = f" of {_short(leaf)}" if leaf and of_leaf >= _MOST * whole else ""
            every = "all" if (of_leaf if module else part) == whole else "most"
            shown_names = " and ".join(short_names(analysis, [name for name, _ in named[:count]]))
            return f", {every} of it in {shown_names}{module}"
    return f", most of it in {_short(modules[0][0])}" if modules and modules[0][0] and (
        modules[0][1] >= _MOST * whole) else ""  # fmt: skip


def _most_time(times: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The two names with most time, if they have any."""
    total: Counter[str] = Counter()
    for name, ns in times:
        total[name] += ns
    return [(name, ns) for name, ns in total.most_common(2) if ns]


def _leaf(row: OpRow) -> str:
    """`Owlv2Attention`: its innermost module; "" where none is known."""
    return (row.module or "").rpartition(".")[2]
