"""The pipeline: one file in, a result for each of its devices out.

Composition only; the stages are imported when called.
"""

from __future__ import annotations

import dataclasses
import gc
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Device, Notice
from traceanalyzer.records.file_result import Failure

if TYPE_CHECKING:
    from traceanalyzer.cost import Formulas
    from traceanalyzer.fusion.step_graph import StepGraph
    from traceanalyzer.ranks.leading import Leading
    from traceanalyzer.records import Analysis
    from traceanalyzer.records.annotations import Annotations
    from traceanalyzer.records.critical_path import CriticalPath
    from traceanalyzer.records.file_result import FileResult
    from traceanalyzer.records.judged import Judged, Thresholds
    from traceanalyzer.records.memory_use import MemoryUse
    from traceanalyzer.records.rank_result import RankResult
    from traceanalyzer.records.suggestion import Suggestions
    from traceanalyzer.records.trace import Trace

Progress = Callable[[int], None]


@contextmanager
def _collector_off() -> Iterator[None]:
    """Millions of objects and no cycles: the garbage collector only costs time, a fifteenth of it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _guarded(label: str, failed: list[Failure]) -> Iterator[None]:
    """What fails of one file, process or device is kept with its label; the others' report arrives."""
    try:
        yield
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # columns that were read go with it
        failed.append(Failure(label, error))


def devices_named(names: Sequence[str]) -> list[Device]:
    """Devices to project onto, by their names or from files that describe them."""
    from traceanalyzer.device import from_file, named

    return [from_file(name) if name.endswith(".toml") else named(name) for name in names]


class Setup(msgspec.Struct, frozen=True):
    """What the files of one analysis have in common: its options as the stages take them, read once."""

    options: AnalyzeOptions
    formulas: Formulas
    thresholds: Thresholds
    notices: tuple[Notice, ...] = ()  # of formulas that are not used
    others: tuple[Device, ...] = ()  # to project onto
    donors: tuple[Trace, ...] = ()  # that know the shapes of a graph's kernels
    progress: Progress | None = None

    @classmethod
    def of(cls, options: AnalyzeOptions, progress: Progress | None = None) -> Setup:
        """Errors: DeviceError, UsageError for an option that can be of use to no trace."""
        from traceanalyzer.cost.user import user_formulas
        from traceanalyzer.device.resolve import check
        from traceanalyzer.inference.kernel_dtypes import check_dtype
        from traceanalyzer.roofline.thresholds import from_settings

        if options.critical_path:
            from traceanalyzer.ranks.hta import require_hta

            require_hta()
        check_dtype(options.assume_dtype)
        check(options.device, options.device_file, options.peaks, options.bandwidth)
        others = devices_named(options.what_if)
        own = user_formulas(options.cost_files)
        return cls(
            options, own.catalog(), from_settings(options.settings), own.notices, tuple(others),
            tuple(donors_of(options.capture, progress)) if options.capture else (), progress,
        )  # fmt: skip


class FileRecipe(msgspec.Struct, frozen=True):
    """What another process needs to analyze files of this analysis; it is sent there, and called once."""

    options: AnalyzeOptions
    donors: tuple[Trace, ...] | None  # None: read where the files are

    def __call__(self) -> Callable[[str, Leading, Progress | None], FileResult]:
        if self.donors is None:
            return partial(analyzed_file, Setup.of(self.options))
        setup = Setup.of(dataclasses.replace(self.options, capture=None))
        return partial(analyzed_file, replace(setup, options=self.options, donors=self.donors))


def analyzed_file(setup: Setup, file: str, leading: Leading, progress: Progress | None) -> FileResult:
    """One result for each device of each process of `file` that worked; of the others the error is kept.

    Suggestions are looked for where a device leads those before it.
    """
    from traceanalyzer.records.file_result import FileResult
    from traceanalyzer.trace import shown_name

    results: list[RankResult] = []
    failed: list[Failure] = []
    with _guarded(shown_name(file), failed), _collector_off():
        for trace, index in _working(file, replace(setup, progress=progress), failed):
            with _guarded(_label(trace, index), failed):
                results.append(_result(_judged(trace, index, setup), setup, leading.after(tuple(results))))
    return FileResult(tuple(results), tuple(failed))


def _result(judged: Judged, setup: Setup, leading: Leading) -> RankResult:
    from traceanalyzer.assembly.activity import activity_of
    from traceanalyzer.assembly.assemble import assemble
    from traceanalyzer.assembly.rank_work import rank_work
    from traceanalyzer.records.rank_result import RankResult
    from traceanalyzer.roofline.judge import of_shown_step

    activity, work = activity_of(judged), rank_work(judged)
    if not leading.leads(work):
        return RankResult(work, activity)
    shown, suggestions = of_shown_step(judged), _suggestions(judged)
    path = _critical_path(shown) if setup.options.critical_path else None
    analysis = assemble(judged, suggestions, setup.others, memory=_memory(shown),
                        keep_kernels=setup.options.kernels, critical_path=path)  # fmt: skip
    return RankResult(work, activity, analysis)


def _suggestions(judged: Judged) -> Suggestions:
    """Of the step that is shown, then of other kinds."""
    from traceanalyzer.fusion.each_kind import suggest_each_kind
    from traceanalyzer.fusion.suggestions import NOT_LOOKED_FOR
    from traceanalyzer.roofline.judge import of_other_kinds, of_shown_step

    lost = judged.priced.trace.device_lost  # a host's dispatch is no device's time
    shown, others = of_shown_step(judged), of_other_kinds(judged)
    return NOT_LOOKED_FOR if lost else suggest_each_kind(shown, judged, others)


def _critical_path(shown: Judged) -> CriticalPath | Notice:
    """By HTA's graph; whatever fails in there, the report arrives and says so."""
    from traceanalyzer.ranks.critical_path import critical_path

    try:
        return critical_path(shown)
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        return Notice("critical_path_failed", f"there is no critical path: {why}")


def _memory(shown: Judged) -> MemoryUse | Notice | None:
    """Of the shown step; whatever its rows hold, the report arrives and says so."""
    from traceanalyzer.assembly.memory_use import memory_use

    try:
        return memory_use(shown)
    except Exception as error:
        return Notice(
            "memory_failed", f"memory: {type(error).__name__}: {error}; the rest of the report stands"
        )


def _label(trace: Trace, index: int) -> str:
    """The file, and of several processes in it the rank that is known; else the path says the process."""
    if not any(notice.code == "several_processes" for notice in trace.warnings) or trace.rank is None:
        return trace.path
    return f"{trace.path} (rank {trace.rank}, GPU {index})"


def annotations_of(file: str, options: AnalyzeOptions) -> tuple[list[Annotations], list[Notice]]:
    """What `annotate` writes into one trace, for each device of each process of it that worked.

    Errors: as of `analyze`; a device that fails is left out, which a notice says, unless all do.
    """
    from traceanalyzer.assembly.annotations import annotations_for
    from traceanalyzer.fusion.each_kind import suggest_each_kind
    from traceanalyzer.roofline.judge import of_other_kinds, of_shown_step
    from traceanalyzer.trace import shown_name

    devices: list[Annotations] = []
    failed: list[Failure] = []
    setup = Setup.of(options)
    name = shown_name(file)
    with _guarded(name, failed), _collector_off():
        for trace, index in _working(file, setup, failed):
            label = _label(trace, index).removeprefix(name).strip(" ()")
            device = "CPU" if trace.on_cpu else f"GPU {index}"
            with _guarded(label, failed):
                judged = _judged(trace, index, setup)
                shown = of_shown_step(judged)
                title = label if label.endswith(device) else ", ".join(filter(None, (label, device)))
                suggested = suggest_each_kind(shown, judged, of_other_kinds(judged))
                devices.append(annotations_for(judged, suggested, shown, title))
    if not devices:
        raise failed[0].error
    return devices, [each.notice for each in failed]


def judge_file(file: str, setup: Setup) -> Iterator[Judged]:
    """Read and complete one file, then price and judge each device of it that worked."""
    yield from (_judged(trace, index, setup) for trace, index in _working(file, setup))


def _judged(whole: Trace, index: int, setup: Setup) -> Judged:
    from traceanalyzer.cost.price import price
    from traceanalyzer.device import resolve
    from traceanalyzer.inference.kernel_dtypes import with_dtypes
    from traceanalyzer.roofline.judge import judge
    from traceanalyzer.trace import at_capture, of_device, select_window, shown_name

    options = setup.options
    trace = with_dtypes(of_device(whole, index), options.assume_dtype)
    captured = at_capture(trace)
    donors = [*setup.donors, *([captured] if captured else [])]
    priced = price(trace, setup.formulas, donors, options.capture and shown_name(options.capture))
    device = resolve(
        trace,
        index,
        name=options.device,
        file=options.device_file,
        peaks=options.peaks,
        bandwidth=options.bandwidth,
    )
    window = select_window(trace, index, options.steps)
    return judge(priced, index, window, device, setup.thresholds)


def _working(file: str, setup: Setup, failed: list[Failure] | None = None) -> Iterator[tuple[Trace, int]]:
    """Each process of a file with each device it worked on."""
    from traceanalyzer.trace import working_devices

    for trace in loaded_processes(file, setup.progress, setup.options.steps_by, failed):
        noted = replace(trace, warnings=(*trace.warnings, *setup.notices))
        yield from ((noted, index) for index in working_devices(noted))


def loaded_processes(
    file: str,
    progress: Progress | None = None,
    steps_by: str | None = None,
    failed: list[Failure] | None = None,
) -> Iterator[Trace]:
    """Each process of a file; one that fails is left out where `failed` takes its error.

    Errors: TraceFormatError, UsageError for steps that are not there.
    """
    from traceanalyzer.inference.complete import complete
    from traceanalyzer.trace import unlinked_processes

    for process in unlinked_processes(file, progress=progress, steps_by=steps_by):
        if failed is None:
            yield complete(process.linked())
            continue
        traces: list[Trace] = []
        with _guarded(process.label, failed):
            traces.append(complete(process.linked()))
        while traces:
            yield traces.pop()  # nothing else holds it


def donors_of(file: str, progress: Progress | None) -> list[Trace]:
    """The busiest device of a second trace, and what was launched there while a graph was captured."""
    from traceanalyzer.trace import at_capture, devices_with_work, of_device

    busy = [(ns, index, trace) for trace in loaded_processes(file, progress)
            for index, ns in devices_with_work(trace).items()]  # fmt: skip
    _, index, trace = max(busy, key=lambda each: each[0])
    captured = at_capture(trace)
    return [of_device(trace, index), *([captured] if captured else [])]


def step_graph_of(path: str | PathLike[str], options: AnalyzeOptions | None = None) -> StepGraph | None:
    """The step of one trace's busiest device in which suggestions are looked for first."""
    return next(step_graphs_of(path, options), None)


def step_graphs_of(path: str | PathLike[str], options: AnalyzeOptions | None = None) -> Iterator[StepGraph]:
    """That step, then one of each further kind that is looked at; none without operators."""
    return _step_graphs(_busiest(path, options))


class Reported(msgspec.Struct, frozen=True):
    """What a report says of a trace's busiest device, and the steps that its suggestions were found in."""

    analysis: Analysis
    suggestions: Suggestions  # with the operators that each begins with
    graphs: Iterator[StepGraph]


def reported(path: str | PathLike[str], options: AnalyzeOptions | None = None) -> Reported:
    """For who tries a suggestion, and holds it against what was promised."""
    from traceanalyzer.assembly.assemble import assemble

    busiest = _busiest(path, options)
    suggestions = _suggestions(busiest)
    return Reported(assemble(busiest, suggestions), suggestions, _step_graphs(busiest))


def _busiest(path: str | PathLike[str], options: AnalyzeOptions | None) -> Judged:
    every = judge_file(fspath(path), Setup.of(options or AnalyzeOptions()))
    return max(every, key=lambda judged: judged.time.busy_ns)


def _step_graphs(busiest: Judged) -> Iterator[StepGraph]:
    from traceanalyzer.fusion.step_graph import step_graph
    from traceanalyzer.roofline.judge import of_other_kinds, of_shown_step

    for judged in (of_shown_step(busiest), *of_other_kinds(busiest)):
        graph = step_graph(judged, busiest)
        if graph is not None:
            yield graph
