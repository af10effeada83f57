"""The pipeline: traces in, one Analysis out. Composition only; the rooms are imported when called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import TYPE_CHECKING

from traceanalyzer.records import Analysis, Device

if TYPE_CHECKING:
    from traceanalyzer.cost.user import Added
    from traceanalyzer.fusion.step_graph import StepGraph
    from traceanalyzer.records.trace import Trace

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about an analysis; the defaults are the contract's."""

    steps: str = "complete"  # "complete", "all", "A-B"
    device: str | None = None  # name in the table
    device_file: str | None = None  # TOML
    peaks: tuple[str, ...] = ()  # "[ENGINE:]PREC=FLOPS"
    bandwidth: str | None = None  # "3.35TB/s"
    rank: int | None = None  # which one is on top
    gpu: int | None = None
    settings: tuple[str, ...] = ()  # "NAME=X": limits of the verdicts
    cost_files: tuple[str, ...] = ()  # Python files with formulas of the user's own; they are run
    what_if: tuple[str, ...] = ()  # other devices' names in the table, or files that describe them
    capture: str | None = None  # a second trace, which knows the shapes of a graph's kernels


def analyze(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    device: str | None = None,
    steps: str = "complete",
    cost_files: Sequence[str] = (),
    options: Options | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Read, link, price and judge one trace, or one trace a rank.

    `path` is a file, a folder of traces or several; with several devices or files the busiest is
    on top and each has an entry in `ranks`. Errors: TraceAnalyzerError, one line with its fix.
    """
    from traceanalyzer.cost.user import added, using
    from traceanalyzer.ranks.job import on_top
    from traceanalyzer.trace import trace_files

    chosen = options or Options(steps=steps, device=device, cost_files=tuple(cost_files))
    given = [path] if isinstance(path, str | PathLike) else list(path)
    _others(chosen.what_if)  # a name that is none is told before a long trace is read
    own = added(chosen.cost_files)
    files = trace_files([fspath(item) for item in given])
    with using(own.formulas):
        judged = [one for file in files for one in _devices_of(file, chosen, own, progress)]
    top = on_top([one.analysis for one in judged], chosen.rank, chosen.gpu)
    return projected(top, chosen.what_if)


def projected(analysis: Analysis, names: Sequence[str]) -> Analysis:
    """With what other devices would make of it, by their names or from files that describe them."""
    from msgspec.structs import replace

    from traceanalyzer.assembly.what_if import projections
    from traceanalyzer.records import Notice

    others = _others(names)
    unlike = [other.name for other in others if other.kind != analysis.device.kind]
    if unlike:
        told = f"a {analysis.device.kind.upper()} and {', '.join(unlike)} run other kernels: the projection "
        told += "holds between devices of one kind, and what has no peak there takes as long as here"
        warnings = (*analysis.source.warnings, Notice("what_if_unlike", told, len(unlike)))
        analysis = analysis.updated(source=replace(analysis.source, warnings=warnings))
    return analysis.updated(what_if=projections(analysis, others)) if others else analysis


def _others(names: Sequence[str]) -> list[Device]:
    from traceanalyzer.device import from_file, named

    return [from_file(name) if name.endswith(".toml") else named(name) for name in names]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One device's analysis, and the step that its suggestions were found in; None without operators."""

    analysis: Analysis
    step: StepGraph | None


def judged_step(path: str | PathLike[str], options: Options) -> StepGraph | None:
    """The step of one trace's busiest device in which suggestions are looked for."""
    from traceanalyzer.cost.user import added, using

    own = added(options.cost_files)
    with using(own.formulas):
        every = _devices_of(fspath(path), options, own, None)
    return max(every, key=lambda one: one.analysis.time.busy_ns).step


def _devices_of(file: str, options: Options, own: Added, progress: Progress | None) -> list[_Judged]:
    """One for each device of `file` that worked."""
    from traceanalyzer.trace import devices_with_work, load, of_device

    trace = load(file, progress=progress)
    lenders = _lenders(options.capture, progress) if options.capture else []
    devices = devices_with_work(trace)
    return [_one(of_device(trace, index), index, options, own, lenders) for index in devices]


def _lenders(file: str, progress: Progress | None) -> list[Trace]:
    """The busiest device of a second trace, and what was launched there while a graph was captured."""
    from traceanalyzer.trace import at_capture, devices_with_work, load, of_device

    trace = load(file, progress=progress)
    busy = devices_with_work(trace)
    captured = at_capture(trace)
    return [of_device(trace, max(busy, key=lambda index: busy[index])), *([captured] if captured else [])]


def _one(
    trace: Trace, index: int, options: Options, own_formulas: Added, lenders: Sequence[Trace]
) -> _Judged:
    from traceanalyzer.assembly.assemble import assemble
    from traceanalyzer.cost.price import own
    from traceanalyzer.cost.user import used
    from traceanalyzer.device import resolve
    from traceanalyzer.fusion.step_graph import step_graph
    from traceanalyzer.fusion.suggestions import suggestions
    from traceanalyzer.inference.borrowed_shapes import borrow, loan_warnings
    from traceanalyzer.records.trace import distinct
    from traceanalyzer.roofline.thresholds import from_settings
    from traceanalyzer.trace import at_capture, select_window

    match = resolve(
        trace, index, name=options.device, file=options.device_file,
        peaks=options.peaks, bandwidth=options.bandwidth,
    )  # fmt: skip
    window = select_window(trace, index, options.steps)
    thresholds = from_settings(options.settings)
    captured = at_capture(trace)
    others = [*lenders, *([captured] if captured else [])]
    ownership = borrow(trace, own(trace), [(other, own(other)) for other in others])
    names = {trace.names[row] for row in distinct(trace.ops.name).tolist()}
    warnings = (
        *trace.warnings, *loan_warnings(trace, ownership, options.capture), *own_formulas.warnings,
        *used(own_formulas.formulas, names),
    )  # fmt: skip
    analysis = assemble(replace(trace, warnings=warnings), index, window, ownership, match, thresholds)
    step = step_graph(trace, ownership, window, analysis)
    return _Judged(analysis.updated(suggestions=suggestions(step) if step else None), step)
