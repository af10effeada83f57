"""What a report shows, as finished text: one View of one Analysis, shared by all formats for people."""

from __future__ import annotations

import msgspec

from traceanalyzer.records import Analysis, OpRow
from traceanalyzer.records.units import duration
from traceanalyzer.report import code_view, context, summary
from traceanalyzer.report.code_view import FunctionLine, ModuleLine, WaitLine
from traceanalyzer.report.context import PeakLine, SuggestionText
from traceanalyzer.report.critical_path import PathText, path_text
from traceanalyzer.report.headroom import HeadroomText, headroom_text, missing, unchanged
from traceanalyzer.report.jobs import CollectiveLine, RankLine, collective_lines, job_sentences, rank_lines
from traceanalyzer.report.lanes import Lane, step_lanes
from traceanalyzer.report.layers import LayerLine, layers, merged
from traceanalyzer.report.lines import OpLine, op_line
from traceanalyzer.report.report_marker import file_name
from traceanalyzer.report.rows import count_of, top_rows
from traceanalyzer.report.sanitize import TEXT, cut, visible
from traceanalyzer.report.self_check import (
    FormulaLine,
    RoofLine,
    above_roofs,
    formula_lines,
    verdict_of_check,
)
from traceanalyzer.report.sentence import Headline, headline, kernel_time, verdict_sentence, which
from traceanalyzer.report.shown import busy_words, is_of_the_host, rows_heading, shown
from traceanalyzer.report.strips import MemoryStrip, Strip, memory_strip, strip
from traceanalyzer.report.summary import ClassLine, Fact, PhaseLine, ReasonLine, TimePart

_LINKED = 0.5  # of kernel time: with less, a backward pass may not have been recorded
_SAID_BESIDE = ("outside_window",)  # warnings that a note beside the headline repeats

__all__ = ["View", "verdict_sentence", "view_of"]


class View(msgspec.Struct, frozen=True):
    """Every text and number of a report, in the order of their importance."""

    file: str
    subject: str  # "NVIDIA H100 80GB HBM3 · 3 steps, median 80.0 ms · training"
    version: str  # "PyTorch 2.9.0", where recorded
    command: str  # likewise
    headline: Headline
    facts: tuple[Fact, ...]
    times: tuple[Fact, ...]
    parts: tuple[TimePart, ...]  # six verdicts and idle: the window
    idle: tuple[TimePart, ...]
    coverage: tuple[Fact, ...]
    reasons: tuple[ReasonLine, ...]
    warnings: tuple[tuple[str, str, int], ...]  # (code, message, count)
    device: tuple[Fact, ...]
    peaks: tuple[PeakLine, ...]
    classes: tuple[ClassLine, ...]
    phases: tuple[PhaseLine, ...]
    layers: tuple[LayerLine, ...]
    modules: tuple[ModuleLine, ...]
    functions: tuple[FunctionLine, ...]
    waits: tuple[WaitLine, ...]
    where: tuple[tuple[str, str], ...]  # the largest module and the longest wait, where they are known
    rows: tuple[OpRow, ...]
    lines: tuple[OpLine, ...]
    total_rows: int
    suggestions: tuple[SuggestionText, ...] | None
    ranks: tuple[RankLine, ...]
    collectives: tuple[CollectiveLine, ...]
    job: tuple[str, ...]  # which rank the others wait for, and why
    what_if: tuple[tuple[str, ...], ...]
    critical_path: PathText | None
    headroom: HeadroomText | None
    library: str  # which places of suggestions are of libraries
    without_lines: str  # why no function, file or line is named
    unchanged: str  # why idle time that is seen has no change
    missing: str  # that too, and which rules found nothing, or could not be looked for
    strip: Strip | None
    lanes: tuple[Lane, ...]  # steps that differ
    memory: MemoryStrip | None
    recording: tuple[Fact, ...]
    thresholds: tuple[Fact, ...]
    window_ns: int  # what `parts` add up to
    heading: str  # over times of `parts` and `idle`: "per step", "ProfilerStep#7", "time"
    with_profiler: str  # behind it, where the profiler's own work is a visible part: ", profiler included"
    of_whole: str  # over their shares: "of window", "of step"
    rows_heading: str  # over those of rows: "per step", "all 4 steps", "time"
    busy: str  # what shares are of: "busy time", "the host's time in operators"
    of_busy: str  # over a column of them
    units: str  # of work: "kernels", or "records" of operators on a CPU
    whole: str  # "kernel time", "operator time"
    check: str  # the self-check in one sentence
    above: tuple[RoofLine, ...]
    formulas: tuple[FormulaLine, ...]


def view_of(analysis: Analysis, top: int) -> View:
    """Everything shown of `analysis`, with its `top` largest rows and the sums of the others."""
    rows, figures = tuple(top_rows(merged(analysis), top)), shown(analysis)
    without_lines = code_view.without_lines(analysis)
    return View(
        file=visible(file_name(analysis)),
        subject=_subject(analysis), version=_recorded(analysis)[0], command=_recorded(analysis)[1],
        headline=_visible_headline(analysis),
        facts=tuple(summary.facts(analysis)),
        times=tuple(summary.times(analysis)),
        parts=tuple(summary.parts(analysis)),
        idle=tuple(summary.idle(analysis)),
        coverage=tuple(summary.coverage(analysis)),
        reasons=tuple(summary.reasons(analysis)),
        warnings=tuple((visible(w.code), cut(visible(w.message), 4 * TEXT), w.count)
                       for w in analysis.source.warnings if w.code not in _SAID_BESIDE),
        device=tuple(context.device(analysis)),
        peaks=tuple(context.peaks(analysis)),
        classes=tuple(summary.classes(analysis)),
        phases=tuple(summary.phases(analysis)),
        layers=tuple(layers(analysis)),
        modules=code_view.module_lines(analysis),
        functions=code_view.function_lines(analysis),
        waits=code_view.wait_lines(analysis),
        where=tuple((label, text) for label, text in (
            ("module", code_view.largest_module(analysis)), ("wait", code_view.largest_wait(analysis)),
            ("lines", without_lines),
        ) if text),
        rows=rows,
        lines=tuple(op_line(row, i, analysis) for i, row in enumerate(rows, 1)),
        total_rows=sum(map(count_of, rows)),
        suggestions=context.suggestion_texts(analysis),
        ranks=rank_lines(analysis),
        collectives=collective_lines(analysis),
        job=tuple(job_sentences(analysis)),
        what_if=tuple(context.what_if(analysis)),
        critical_path=path_text(analysis),
        headroom=headroom_text(analysis),
        library=code_view.library_sentence(context.suggestions_of(analysis)),
        without_lines=without_lines,
        unchanged=unchanged(analysis),
        missing=missing(analysis),
        strip=strip(analysis),
        lanes=step_lanes(analysis),
        memory=memory_strip(analysis),
        recording=tuple(context.recording(analysis)),
        thresholds=tuple(Fact(visible(k), f"{v:,g}") for k, v in analysis.thresholds.items()),
        window_ns=figures.window_ns,
        heading=figures.heading,
        with_profiler=", profiler included" if figures.profiler_ns else "",
        of_whole="of step" if figures.step else "of window",
        rows_heading=rows_heading(analysis),
        busy=busy_words(analysis),
        of_busy="of host" if is_of_the_host(analysis) else "of busy",
        units="kernels" if analysis.device.kind == "gpu" else "records",
        whole=kernel_time(analysis),
        check=verdict_of_check(analysis),
        above=above_roofs(analysis),
        formulas=formula_lines(analysis),
    )  # fmt: skip


def _visible_headline(analysis: Analysis) -> Headline:
    raw = headline(analysis)
    more, changes, notes = (tuple(map(visible, texts)) for texts in (raw.more, raw.changes, raw.notes))
    return Headline(visible(raw.lead), more, changes, notes)


def _subject(analysis: Analysis) -> str:
    """`NVIDIA H100 · 4 steps, median 81.9 ms · training`."""
    device = analysis.device.name or analysis.device.id
    parts = (visible(device), visible(which(analysis)), _steps(analysis), _kind_of_work(analysis))
    return " · ".join(filter(None, parts))


def _steps(analysis: Analysis) -> str:
    window = analysis.window
    if window.step_count is None:
        return f"not split into steps, {duration(window.window_ns)} in all"
    if window.step_count == 1:
        return f"1 step of {duration(window.window_ns)}"
    median = window.step_ns.median if window.step_ns else window.window_ns / (window.step_count or 1)
    return f"{window.step_count:,} steps, median {duration(median)}"


def _kind_of_work(analysis: Analysis) -> str:
    """`training` where anything runs backward; nothing where too little is linked to tell.

    Ranks that communicate may be in the middle of a pipeline's forward half.
    """
    if any(row.phase in ("backward", "optimizer", "recompute") for row in analysis.op_rows):
        return "training"
    if analysis.coverage.linked_share < _LINKED:
        return ""
    alone = not any(row.verdict == "communication" for row in analysis.op_rows)
    return "inference" if alone else "forward only"


def _recorded(analysis: Analysis) -> tuple[str, str]:
    """The version of PyTorch, and the command."""
    r = analysis.recording
    if r is None:
        return "", ""
    version = f"PyTorch {visible(r.torch)}" if r.torch else ""
    return cut(version, TEXT), cut(visible(r.command or r.script or ""), TEXT)
