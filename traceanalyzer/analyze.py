"""The pipeline: traces in, one Analysis out. Composition only; the rooms are imported when called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from typing import TYPE_CHECKING

from traceanalyzer.model import Analysis

if TYPE_CHECKING:
    from traceanalyzer.columns import Trace

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about an analysis; the defaults are the contract's."""

    steps: str = "complete"           # "complete", "all", "A-B"
    device: str | None = None         # name in the table
    device_file: str | None = None    # TOML
    peaks: tuple[str, ...] = ()       # "[ENGINE:]PREC=FLOPS"
    bandwidth: str | None = None      # "3.35TB/s"
    rank: int | None = None           # which one is on top
    gpu: int | None = None
    settings: tuple[str, ...] = ()    # "NAME=X": limits of the verdicts
    capture: str | None = None        # a second trace, which knows the shapes of a graph's kernels


def analyze(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    device: str | None = None,
    steps: str = "complete",
    options: Options | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Read, link, price and judge one trace, or one trace a rank.

    `path` is a file, a folder of traces or several; with several devices or files the busiest is
    on top and each has an entry in `ranks`. Errors: TraceAnalyzerError, one line with its fix.
    """
    from traceanalyzer.roofline.ranks import on_top
    from traceanalyzer.trace import trace_files

    chosen = options or Options(steps=steps, device=device)
    given = [path] if isinstance(path, str | PathLike) else list(path)
    files = trace_files([fspath(item) for item in given])
    analyses = [one for file in files for one in _devices_of(file, chosen, progress)]
    return on_top(analyses, chosen.rank, chosen.gpu)


def _devices_of(file: str, options: Options, progress: Progress | None) -> list[Analysis]:
    """One Analysis for each device of `file` that worked."""
    from traceanalyzer.trace import devices_with_work, load, of_device

    trace = load(file, progress=progress)
    lenders = _lenders(options.capture, progress) if options.capture else []
    return [_one(of_device(trace, index), index, options, lenders) for index in devices_with_work(trace)]


def _lenders(file: str, progress: Progress | None) -> list[Trace]:
    """The busiest device of a second trace, and what was launched there while a graph was captured."""
    from traceanalyzer.trace import at_capture, devices_with_work, load, of_device

    trace = load(file, progress=progress)
    busy = devices_with_work(trace)
    captured = at_capture(trace)
    return [of_device(trace, max(busy, key=lambda index: busy[index])), *([captured] if captured else [])]


def _one(trace: Trace, index: int, options: Options, lenders: Sequence[Trace]) -> Analysis:
    from traceanalyzer.cost.borrow import borrow, loan_warnings
    from traceanalyzer.cost.ownership import own
    from traceanalyzer.device import resolve
    from traceanalyzer.roofline.assemble import assemble
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
    warnings = (*trace.warnings, *loan_warnings(trace, ownership, options.capture))
    return assemble(replace(trace, warnings=warnings), index, window, ownership, match, thresholds)
