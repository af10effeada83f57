"""The critical path as text: what lies on it, and what shortening a row would give."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from traceanalyzer.records import Analysis
from traceanalyzer.records.critical_path import CriticalPath, PathOp
from traceanalyzer.records.units import duration, percent
from traceanalyzer.report.labels import PATH_PART_LABELS, VERDICT_LABELS
from traceanalyzer.report.sanitize import ABSENT, TEXT, cut, visible
from traceanalyzer.report.summary import Fact

_ROWS = 10
_MODULES = 8
MEANING = (
    "By HTA's graph of what waits for what. A row that takes no time at all makes the path shorter by at most"
    " its time on it; where another path takes over, by less. What is not on it does not make it shorter. "
    "Between operators the host counts nothing; inside them also what it waits there."
)


class PathText(msgspec.Struct, frozen=True):
    """The path of the step that is shown."""

    lead: str  # "critical path of ProfilerStep#6: 33.7 ms of 35.2 ms"
    parts: tuple[Fact, ...]  # verdicts and what else is on it, with their share of the path
    modules: tuple[Fact, ...]  # the longest
    ops: tuple[tuple[str, ...], ...]  # (row, verdict, kernels, time, at most saved), the longest
    ops_left_out: int


def path_text(analysis: Analysis) -> PathText | None:
    """None where it was not asked for, or not found."""
    path = analysis.critical_path
    if path is None:
        return None
    of = f" of {visible(path.step)}" if path.step else ""
    return PathText(
        lead=f"critical path{of}: {duration(path.length_ns)} of {duration(path.step_ns)}",
        parts=tuple(_parts(path)),
        modules=tuple(_fact(visible(part.module), part.time_ns, path)
                      for part in path.by_module if part.module)[:_MODULES],
        ops=tuple(_cells(row) for row in path.ops[:_ROWS]),
        ops_left_out=max(0, len(path.ops) - _ROWS),
    )  # fmt: skip


def _parts(path: CriticalPath) -> Iterable[Fact]:
    """The longest first."""
    times = [(part.time_ns, VERDICT_LABELS[part.verdict]) for part in path.by_verdict]
    times += [(part.time_ns, PATH_PART_LABELS[part.part]) for part in path.other]
    for time_ns, label in sorted(times, key=lambda part: -part[0]):
        if time_ns:
            yield _fact(label, time_ns, path)


def _fact(name: str, time_ns: int, path: CriticalPath) -> Fact:
    return Fact(name, duration(time_ns), percent(time_ns / path.length_ns) if path.length_ns else "")


def _cells(row: PathOp) -> tuple[str, ...]:
    name = " ".join(filter(None, (row.name, row.phase, row.module)))
    return (
        cut(visible(name), TEXT), VERDICT_LABELS[row.verdict] if row.verdict else "on the host",
        f"{row.kernels:,}" if row.kernels else ABSENT, duration(row.time_ns),
        ABSENT if row.gain_ns is None else duration(row.gain_ns),
    )  # fmt: skip
