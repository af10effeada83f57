"""The pipeline: traces in, one Job out. Composition only; the stages are imported when called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike, fspath
from typing import TYPE_CHECKING

from traceanalyzer.records import Analysis, Device, Job, Notice
from traceanalyzer.records.errors import TraceAnalyzerError, TraceFormatError, UsageError

if TYPE_CHECKING:
    from traceanalyzer.cost import Formulas
    from traceanalyzer.fusion.step_graph import StepGraph
    from traceanalyzer.records.judged import Judged
    from traceanalyzer.records.trace import Trace

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """What a user may choose about an analysis; the defaults are those of `traceanalyze report`.

    Sizes and rates are texts with units. Of a saved report, which is not analyzed again, only `what_if` can
    be chosen.
    """

    steps: str = "complete"  # "complete", "all", "A-B"
    device: str | None = None  # name in the table
    device_file: str | None = None  # TOML
    peaks: tuple[str, ...] = ()  # "[ENGINE:]PREC=FLOPS"
    bandwidth: str | None = None  # "3.35TB/s"
    rank: int | None = None  # which one the report shows
    gpu: int | None = None
    settings: tuple[str, ...] = ()  # "NAME=X": limits of the verdicts
    cost_files: tuple[str, ...] = ()  # Python files with formulas of the user's own; they are run
    what_if: tuple[str, ...] = ()  # other devices' names in the table, or files that describe them
    capture: str | None = None  # a second trace, which knows the shapes of a graph's kernels
    kernels: bool = True  # keep what the DataFrame `analysis.kernels` is made of

    def changed(self) -> tuple[str, ...]:
        """Names of the options that are not at their default."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != f.default)


def analyze(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    device: str | None = None,
    steps: str | None = None,
    cost_files: Sequence[str] | None = None,
    options: AnalyzeOptions | None = None,
    progress: Progress | None = None,
) -> Job:
    """Read, complete, price and judge one trace, or one trace a rank; or read a saved report.json back.

    `path` is a file (.json, .json.gz, a URL, "-"), a folder of traces or several; with several devices or
    files the busiest is chosen and each has an entry in `ranks`. Options are given one by one or together
    as `options`, never both. `progress` is called with the bytes of a file that are read so far.
    Times of the result are integer nanoseconds over its window, `window.step_count` is what to divide by.
    Errors, one line with the fix: TraceFormatError for what is no trace, DeviceError, UsageError for
    options that contradict each other, the input or a saved report; all are a TraceAnalyzerError.
    """
    from traceanalyzer.cost.user import user_formulas
    from traceanalyzer.ranks.job import job_of
    from traceanalyzer.trace import trace_files

    chosen = _chosen(options, device=device, steps=steps, cost_files=cost_files)
    given = [path] if isinstance(path, str | PathLike) else list(path)
    others = devices_named(chosen.what_if)  # a wrong name is an error before a long trace is read
    saved = _saved([fspath(item) for item in given], chosen, others)
    if saved is not None:
        return saved
    own = user_formulas(chosen.cost_files)
    files = trace_files([fspath(item) for item in given])
    formulas = own.catalog()
    analyses: list[Analysis] = []
    failed: list[TraceAnalyzerError] = []
    for file in files:
        try:
            analyses += _analyses(file, chosen, formulas, others, own.notices, progress)
        except TraceFormatError as error:
            failed.append(error)
    if not analyses:
        raise failed[0]
    notices = tuple(Notice("rank_failed", str(error)) for error in failed)
    return job_of(analyses, chosen.rank, chosen.gpu, notices)


def _chosen(options: AnalyzeOptions | None, **single: object) -> AnalyzeOptions:
    given = {name: value for name, value in single.items() if value is not None}
    if options is not None and given:
        names = " and ".join(sorted(given))
        raise UsageError(f"analyze() was given both options and {names}", fix=f"set {names} in the options")
    if options is not None:
        return options
    if "cost_files" in given:
        given["cost_files"] = tuple(given["cost_files"])  # type: ignore[arg-type]
    return AnalyzeOptions(**given)  # type: ignore[arg-type]


def devices_named(names: Sequence[str]) -> list[Device]:
    """Devices to project onto, by their names or from files that describe them."""
    from traceanalyzer.device import from_file, named

    return [from_file(name) if name.endswith(".toml") else named(name) for name in names]


def _saved(paths: Sequence[str], options: AnalyzeOptions, others: Sequence[Device]) -> Job | None:
    """A saved report, if that is what the one path is."""
    from traceanalyzer.assembly.what_if import projected
    from traceanalyzer.report.saved import read_saved

    saved = read_saved(paths[0]) if len(paths) == 1 else None
    if saved is None:
        return None
    changing = [_FLAGS.get(name, name) for name in options.changed() if name not in ("what_if", "kernels")]
    if changing:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in changing)
        raise UsageError(
            f"{paths[0]}: is a saved report, which {flags} cannot change",
            fix="give the trace instead, or leave the option out",
        )
    return projected(saved, others)


_FLAGS = {"peaks": "peak", "settings": "set", "cost_files": "cost-file"}


def _analyses(
    file: str,
    options: AnalyzeOptions,
    formulas: Formulas,
    others: Sequence[Device],
    notices: Sequence[Notice],
    progress: Progress | None,
) -> Iterator[Analysis]:
    """One for each device of `file` that worked."""
    from traceanalyzer.assembly.assemble import assemble
    from traceanalyzer.fusion.suggestions import suggest

    for judged in judge_file(file, options, formulas, progress, notices):
        yield assemble(judged, suggest(judged), others, keep_kernels=options.kernels)


def judge_file(
    file: str,
    options: AnalyzeOptions,
    formulas: Formulas,
    progress: Progress | None = None,
    notices: Sequence[Notice] = (),
) -> Iterator[Judged]:
    """Read and complete one file, then price and judge each device of it that worked."""
    from traceanalyzer.cost.price import price
    from traceanalyzer.device import resolve
    from traceanalyzer.roofline.judge import judge
    from traceanalyzer.roofline.thresholds import from_settings
    from traceanalyzer.trace import at_capture, devices_with_work, of_device, select_window

    thresholds = from_settings(options.settings)
    whole = loaded(file, progress)
    whole = replace(whole, warnings=(*whole.warnings, *notices))
    donors = _donors(options.capture, progress) if options.capture else []
    for index in devices_with_work(whole):
        trace = of_device(whole, index)
        captured = at_capture(trace)
        priced = price(trace, formulas, [*donors, *([captured] if captured else [])], options.capture)
        device = resolve(
            trace,
            index,
            name=options.device,
            file=options.device_file,
            peaks=options.peaks,
            bandwidth=options.bandwidth,
        )
        yield judge(priced, index, select_window(trace, index, options.steps), device, thresholds)


def loaded(file: str, progress: Progress | None = None) -> Trace:
    """Read, link and complete one file. Errors: TraceFormatError."""
    from traceanalyzer.inference.complete import complete
    from traceanalyzer.trace import load

    return complete(load(file, progress=progress))


def _donors(file: str, progress: Progress | None) -> list[Trace]:
    """The busiest device of a second trace, and what was launched there while a graph was captured."""
    from traceanalyzer.trace import at_capture, devices_with_work, of_device

    trace = loaded(file, progress)
    busy = devices_with_work(trace)
    captured = at_capture(trace)
    return [of_device(trace, max(busy, key=lambda index: busy[index])), *([captured] if captured else [])]


def step_graph_of(path: str | PathLike[str], options: AnalyzeOptions | None = None) -> StepGraph | None:
    """The step of one trace's busiest device in which suggestions are looked for."""
    from traceanalyzer.cost.user import user_formulas
    from traceanalyzer.fusion.step_graph import step_graph

    chosen = options or AnalyzeOptions()
    formulas = user_formulas(chosen.cost_files).catalog()
    every = judge_file(fspath(path), chosen, formulas)
    return step_graph(max(every, key=lambda judged: judged.time.busy_ns))
