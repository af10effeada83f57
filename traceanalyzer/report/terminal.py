"""The summary on a terminal: the sentence, the window as bars, the largest rows; plain without color."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from traceanalyzer.records import Analysis
from traceanalyzer.records.units import duration, percent, si
from traceanalyzer.report.code_view import tail
from traceanalyzer.report.context import SuggestionText
from traceanalyzer.report.jobs import extremes
from traceanalyzer.report.labels import HOW
from traceanalyzer.report.lines import OpLine
from traceanalyzer.report.report_marker import mark
from traceanalyzer.report.sanitize import cut, cut_apart, visible
from traceanalyzer.report.summary import TimePart
from traceanalyzer.report.view import View, view_of
from traceanalyzer.report.wrapping import left_out, wrapped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_COLORS = {
    "memory_bound": "red", "compute_bound": "blue", "latency_bound": "yellow", "communication": "cyan",
    "copy": "magenta", "unmodelled": "bright_black", "idle": "bright_black",
}  # fmt: skip
_BAR = 18
_BEFORE_NAME = 44  # columns of a row before the operator
_TIME = 8  # of them for its time
_CHANGES = 3
_CAUSES = 3  # of idle time
_WARNINGS = 3
_MISSING = 20  # files that are named, as none that is missing may go unnoticed
_MIN_INPUTS = 14  # characters; fewer are not worth showing
_HEADING = 17  # characters over a column of times: a step may be called anything
_LABEL = 10  # characters before what a line says
_WHERE = 30
_MODULE = 24
_RANKS = 9  # of more, the extremes
_WORTH_A_LINE = 0.05  # of the window, that the device waits for one cause
_WORTH_A_CHECK = 0.01  # of busy time, above a roof
_WARNING_TEXT = 480  # characters: the options that would help must not be cut out of a message


def summary(analysis: Analysis, *, width: int = 80, color: bool = False, top: int = 5) -> str:
    """About twenty lines, none longer than `width`; ends with a newline."""
    from rich.console import Console

    out = StringIO()
    console = Console(
        file=out, width=max(width, 60), force_terminal=color, no_color=not color,
        color_system="standard" if color else None, highlight=False, markup=False, emoji=False,
        legacy_windows=False,
    )  # fmt: skip
    view = view_of(analysis, top)
    _sentences(console, view)
    console.print(_window(view), no_wrap=True)
    if view.ranks:
        console.print()
        console.print(_ranks(view), no_wrap=True)
    console.print()
    _changes(console, view)
    _waits(console, view)
    for label, text in view.where:
        if label != "lines" or view.critical_path is None:  # whose modules say where, on as many lines
            _line(console, label, text)
    _when(console, view)
    if view.lines:
        console.print()
        console.print(_operators(view, top, console.width), no_wrap=True)
    _left_out(console, view, top)
    _critical_path(console, view)
    _projected(console, view)
    _basis(console, analysis, view)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def render(analysis: Analysis, top: int | None = None) -> str:
    """The summary as a text file, with more rows."""
    return f"{mark(analysis)}\n\n{summary(analysis, width=100, top=20 if top is None else top)}"


def _sentences(console: Console, view: View) -> None:
    from rich.text import Text

    console.print(Text("\n".join(wrapped(view.headline.lead, console.width)), style="bold"))
    for sentences in ((*view.headline.more, *view.headline.changes), view.headline.notes):
        if sentences:
            console.print(Text("\n".join(wrapped(" ".join(sentences), console.width))))
    console.print()


def grid(*right: bool) -> Table:
    """A borderless table; True for a column of numbers. The last column takes what is left."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    for number in right:
        table.add_column(justify="right" if number else "left", no_wrap=True, overflow="ellipsis")
    return table


def _window(view: View) -> Table:
    from rich.text import Text

    table = grid(False, False, True, True, True, True)
    dim = "dim"
    table.add_row(
        Text(view.subject if len(view.subject) < 24 else "", style=dim),
        Text(view.with_profiler.removeprefix(", "), style=dim),
        *(Text(t, style=dim) for t in (cut(view.heading, _HEADING), view.of_busy, view.of_whole, "at roof")),
    )  # fmt: skip
    for part in view.parts:
        if not part.time_ns and part.key not in ("memory_bound", "idle"):
            continue
        bar = Text(_bar(part.window_share), style=_COLORS[part.key])
        table.add_row(Text(part.label), bar, Text(part.time), Text(part.of_busy), Text(part.of_window),
                      Text(part.at_roof))  # fmt: skip
    return table


def _bar(share: float) -> str:
    """Eighths of a block, at least a sliver of what is not nothing."""
    eighths = max(round(share * _BAR * 8), 1 if share > 0 else 0)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(_BAR)


def _operators(view: View, top: int, width: int) -> Table:
    from rich.text import Text

    table = grid(True, True, True, False, False)
    lines = [line for line in view.lines if not line.is_sum][:top]
    heads = (view.of_busy, view.rows_heading, "of roof", "verdict", "operator")
    table.add_row(*(Text(t, style="dim") for t in heads))
    left = width - _BEFORE_NAME - max(0, len(view.rows_heading) - _TIME)
    for line, name in zip(lines, _names(lines, left), strict=True):
        table.add_row(
            Text(line.share.text), Text(line.time.text), Text(line.efficiency.text),
            Text(line.verdict_label, style=_COLORS[line.verdict]),
            Text(name),
        )  # fmt: skip
    return table


def _ranks(view: View) -> Table:
    """Who waited; of many ranks the extremes."""
    from rich.text import Text

    table = grid(False, True, True, True, True, True)
    heads = ("", "rank", "busy", "exposed comm.", "waited", "waited for")
    table.add_row(*(Text(t, style="dim") for t in heads))
    lines = extremes(view.ranks, _RANKS)
    for line in lines:
        cells = (cut(line.name, _WHERE), line.busy, line.exposed, line.waited, line.waited_for)
        table.add_row(Text("▸" if line.shown else " "), *map(Text, cells))
    if len(lines) < len(view.ranks):
        table.add_row(Text(""), Text(f"and {len(view.ranks) - len(lines)} more"))
    return table


def _names(lines: Sequence[OpLine], width: int) -> list[str]:
    """What fits of each line's name, place and inputs; inputs before the place where only they differ."""
    names = [_name(line, width) for line in lines]
    alike = {name for name, count in Counter(names).items() if count > 1}
    told_apart = [
        f"{cut(line.name, 32)} {line.inputs}" if name in alike and line.inputs else name
        for line, name in zip(lines, names, strict=True)
    ]
    return cut_apart(told_apart, width)


def _name(line: OpLine, width: int) -> str:
    """In full, but where the place is known: it says more than the inputs, which then take what is left."""
    where = line.code or tail(line.module, _MODULE)
    if not where:
        return " ".join(filter(None, (cut(line.name, 48), line.inputs, line.phase)))
    text = cut(" ".join(filter(None, (cut(line.name, 32), where, line.phase))), width)
    left = width - len(text) - 1
    return f"{text} {cut(line.inputs, left)}" if line.inputs and left >= _MIN_INPUTS else text


def _changes(console: Console, view: View) -> None:
    for change in _listed_changes(view):
        where = f" in {cut(change.site, _WHERE)}" if change.site else ""
        where += "".join(f" at {each}" for each in change.places[:1])
        effort = f"; to try it: {change.cost_to_try}" if change.cost_to_try else ""
        _line(console, "change", f"{change.imperative}{where}: {change.saving} ({change.rule}){effort}")


def _listed_changes(view: View) -> list[SuggestionText]:
    return [each for each in view.suggestions or () if each.has_saving][:_CHANGES]


def _left_out(console: Console, view: View, top: int) -> None:
    """What is cut above, in the place of a blank line."""
    rows = view.total_rows - min(top, sum(not line.is_sum for line in view.lines))
    page = left_out(
        change=len(view.suggestions or ()) - len(_listed_changes(view)), cause=len(_causes(view)[_CAUSES:])
    )
    # A page has the rows of most time, and the others added up.
    more = f"{rows:,} more row{'s' if rows > 1 else ''}; all: -o report.csv"
    console.print(". ".join(text for text in (page, more if rows else "") if text), style="dim")


def _causes(view: View) -> list[TimePart]:
    """Of idle time, those that are worth a word."""
    worth = [part for part in view.idle if part.window_share >= _WORTH_A_LINE]
    return sorted(worth, key=lambda part: -part.time_ns)


def _line(console: Console, label: str, text: str) -> None:
    """Under its label, wrapped behind it."""
    from rich.text import Text

    width = console.width - _LABEL
    for number, part in enumerate(wrapped(text, width)):
        console.print(Text(f"{label if number == 0 else '':{_LABEL}}{part}"))


def _projected(console: Console, view: View) -> None:
    if view.what_if:
        projections = ", ".join(f"{busy} on {device}" for device, busy, *_ in view.what_if)
        _line(console, "what-if", f"busy{_over(view)}: {projections}")
    for _, message, _ in (each for each in view.warnings if each[0] == "what_if_withheld"):
        _line(console, "what-if", cut(message, _WARNING_TEXT))  # it was asked for


def _when(console: Console, view: View) -> None:
    """How short the step could become, and the memory at its peak."""
    if view.headroom:
        _line(console, "headroom", view.headroom.sentence)
    if view.memory:
        _line(console, "memory", view.memory.sentence.removeprefix("Memory: "))


def _critical_path(console: Console, view: View) -> None:
    path = view.critical_path
    if path is None:
        return
    largest = ", ".join(f"{fact.name} {fact.text}" for fact in path.parts[:3])
    saving = ", ".join(f"{cut(name, _WHERE)} {gain}" for name, _, _, _, gain in path.ops[:2])
    lead = path.lead.removeprefix("critical ")
    _line(console, "critical", f"{lead}: {largest}; shorter by at most: {saving}" if saving else lead)


def _over(view: View) -> str:
    return {"per step": " per step", "time": ""}.get(view.rows_heading, f" in {view.rows_heading}")


def _waits(console: Console, view: View) -> None:
    """What the device waits for, where that is worth a line."""
    texts = [f"{part.label} {part.time}" for part in _causes(view)[:_CAUSES]]
    if texts:
        _line(console, "idle", ". ".join(filter(None, (", ".join(texts), view.unchanged))))


def _basis(console: Console, analysis: Analysis, view: View) -> None:
    """Coverage, device and warnings."""
    modelled = f"{percent(analysis.coverage.modelled_share)} of {view.whole} modelled"
    rest = "".join(f"{r.reason} {r.share}" for r in view.reasons[:1])
    _line(console, "coverage", f"{modelled}{f'; most of the rest: {rest}' if rest else ''}")
    device = analysis.device
    bandwidth = device.bandwidth_bytes_per_s
    memory = si(bandwidth, "B/s") if bandwidth else "bandwidth unknown"
    _line(console, "device", f"{visible(device.name or device.id)}, {memory} ({HOW[device.how]})")
    recorded = analysis.recording
    if recorded is not None and recorded.unprofiled_step_ns and recorded.profiled_step_ns:
        within, without = duration(recorded.profiled_step_ns), duration(recorded.unprofiled_step_ns)
        is_loaded = any(each.code == "shorter_under_profiler" for each in analysis.source.warnings)
        why = ": other work on the machine, or its clocks" if is_loaded else ""
        _line(console, "step", f"{within} under the profiler, {without} without it{why}")
    if sum(entry.share_of_busy for entry in analysis.self_check) > _WORTH_A_CHECK:
        _line(console, "check", view.check)
    missing = [each for each in view.warnings if each[0] == "rank_failed"][:_MISSING]
    others = [each for each in view.warnings if each[0] != "rank_failed"][:_WARNINGS]
    for code, message, count in (*missing, *others):
        times = f" ×{count:,}" if count > 1 else ""
        _line(console, "warning", cut(f"{code}{times}: {message}", _WARNING_TEXT))
    if rest := left_out(warning=len(view.warnings) - len(missing) - len(others)):
        _line(console, "", rest)
