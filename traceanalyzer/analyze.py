"""The pipeline: traces in, one Analysis out. Composition only; the rooms are imported when called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    return [_one(of_device(trace, index), index, options) for index in devices_with_work(trace)]


def _one(trace: Trace, index: int, options: Options) -> Analysis:
    from traceanalyzer.cost.ownership import own
    from traceanalyzer.device import resolve
    from traceanalyzer.roofline.assemble import assemble
    from traceanalyzer.roofline.thresholds import from_settings
    from traceanalyzer.trace import select_window

    match = resolve(
        trace, index, name=options.device, file=options.device_file,
        peaks=options.peaks, bandwidth=options.bandwidth,
    )  # fmt: skip
    window = select_window(trace, index, options.steps)
    thresholds = from_settings(options.settings)
    return assemble(trace, index, window, own(trace), match, thresholds)
