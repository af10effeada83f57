"""One trace, or many, in, one Job out: which files are read where, and what is made of their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING

from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import FileRecipe, Progress, Setup, analyzed_file, devices_named, donors_of
from traceanalyzer.records import Analysis, Job, Notice
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.file_result import Failure

if TYPE_CHECKING:
    from subprocess import Popen

    from traceanalyzer.ranks.cluster import Client
    from traceanalyzer.ranks.job_info import Compared
    from traceanalyzer.ranks.leading import Leading
    from traceanalyzer.ranks.progress import Total
    from traceanalyzer.records.file_result import FileResult
    from traceanalyzer.records.rank_result import RankResult


def analyze(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    device: str | None = None,
    steps: str | None = None,
    cost_files: Sequence[str] | None = None,
    options: AnalyzeOptions | None = None,
    progress: Progress | None = None,
    client: Client | None = None,
) -> Job:
    """Read, complete, price and judge one trace, or one trace a rank; or read a saved report.json back.

    `path` is a file (.json, .json.gz, a URL, "-"), a folder, pattern or archive of traces, or several; of
    several devices or files the one that the others wait for is chosen, else the busiest, and each has an
    entry in `ranks`. Options are given one by one or together as `options`, never both. `progress` is called
    with the bytes of all files that are read so far. Several files are read at once, in processes of this
    machine (`options.jobs`) or by the workers of a Dask cluster: of `client`, or of the scheduler that
    `options.scheduler` names.
    Times of the result are integer nanoseconds over its window, `window.step_count` is what to divide by.
    Errors, one line with the fix: TraceFormatError for what is no trace, DeviceError, UsageError for
    options that contradict each other, the input or a saved report; all are a TraceAnalyzerError.
    """
    from traceanalyzer.ranks.pool import started_early

    chosen = _chosen(options, device=device, steps=steps, cost_files=cost_files)
    paths = [fspath(item) for item in ([path] if isinstance(path, str | PathLike) else path)]
    if not paths:
        raise UsageError("analyze() was given no trace", fix="give a file, a folder or several files")
    elsewhere = client is not None or chosen.scheduler is not None
    with started_early([] if elsewhere else paths, chosen.jobs) as spare:
        return _analyzed(paths, chosen, progress, client, spare)


def _analyzed(
    paths: Sequence[str], options: AnalyzeOptions, progress: Progress | None, client: Client | None,
    spare: list[Popen[bytes]],
) -> Job:  # fmt: skip
    from traceanalyzer.device.options import link_rate
    from traceanalyzer.ranks.leading import Leading
    from traceanalyzer.ranks.progress import Total
    from traceanalyzer.trace import trace_files
    from traceanalyzer.trace.reading.files import can_be_read_again

    saved = _saved(paths, options)
    if saved is not None:
        return saved
    link = link_rate(options.link)  # a wrong one is an error before a long trace is read
    unopened: list[tuple[str, Exception]] = []
    files = trace_files(paths, failed=unopened, ranks=options.ranks)
    leading = Leading(options.rank, options.gpu, every=not all(map(can_be_read_again, files)))
    read = partial(_file_results, options=options, client=client, spare=spare)
    results = read(files, leading, total=Total(progress))
    return _job(files, results, [Failure(*each) for each in unopened], options, link, read)


def _file_results(
    files: Sequence[str], leading: Leading, options: AnalyzeOptions, total: Total, client: Client | None,
    spare: list[Popen[bytes]],
) -> list[FileResult]:  # fmt: skip
    """Each file analyzed: on a cluster, in processes of this machine, or here."""
    from traceanalyzer.ranks.pool import in_turn, in_workers, jobs_for
    from traceanalyzer.ranks.results import Results

    cluster = client if client is not None else options.scheduler
    if cluster is not None:
        from traceanalyzer.ranks.cluster import on_cluster

        return on_cluster(files, FileRecipe(options, None), leading, total, cluster)
    capture = options.capture
    # What is wrong with an option is said by whoever reads files, before the first of them.
    jobs = jobs_for(files, options.jobs) if capture != "-" else 1
    read = total.of(capture) if capture else None
    if jobs == 1:
        return in_turn(files, partial(analyzed_file, Setup.of(options, read)), Results(leading), total)
    recipe = FileRecipe(options, tuple(donors_of(capture, read)) if capture else ())
    return in_workers(files, recipe, jobs, leading, total, spare)


def _job(
    files: Sequence[str], read: Sequence[FileResult], failed: Sequence[Failure], options: AnalyzeOptions,
    link: float | None, reader: Callable[..., list[FileResult]],
) -> Job:  # fmt: skip
    """The device on top with its Analysis: where that was let go of, its file is read again.

    `failed`: what was to be read and is not among `files`.
    """
    from traceanalyzer.ranks.job import by_choice, job_of

    results = [each for file in read for each in file.results]
    file_of = [path for path, file in zip(files, read, strict=True) for _ in file.results]
    failed = [*failed, *(each for file in read for each in file.failed)]
    if not results:
        raise failed[0].error
    ranks, uncompared = _compared(results, failed, link)
    notices = [*(each.notice for each in failed), *uncompared]
    for at in by_choice(results, options.rank, options.gpu, notices, ranks):
        shown = results[at].analysis or _read_again(file_of[at], results[at], notices, reader)
        if shown is not None:
            break
    assert shown is not None, "the busiest has its Analysis"
    return job_of(results, shown, notices, ranks)


def _read_again(
    file: str, result: RankResult, notices: list[Notice], reader: Callable[..., list[FileResult]]
) -> Analysis | None:
    """The Analysis of a device that did not lead; None where that fails now, which a notice says."""
    from traceanalyzer.ranks.leading import Leading
    from traceanalyzer.ranks.progress import Total

    (again,) = reader([file], Leading(every=True), total=Total())
    notices += [each.notice for each in again.failed if each.notice not in notices]
    return next((r.analysis for r in again.results if r.work.entry == result.work.entry), None)


def _compared(
    results: Sequence[RankResult], failed: Sequence[Failure], link: float | None
) -> tuple[Compared | None, tuple[Notice, ...]]:
    """What several ranks wait for; where that fails, why, and each rank's own report arrives."""
    from traceanalyzer.ranks.job_info import compared

    if len(results) + len(failed) < 2:
        return None, ()
    try:
        return compared(results, [each.listed for each in failed], link), ()
    except Exception as error:
        why = f"internal error: {type(error).__name__}: {error}"
        text = f"the ranks are not compared: {why}. Fix: report it with this line"
        return None, (Notice("ranks_not_compared", text),)


def _chosen(options: AnalyzeOptions | None, **single: object) -> AnalyzeOptions:
    given = {name: value for name, value in single.items() if value is not None}
    if options is not None and given:
        names = " and ".join(sorted(given))
        raise UsageError(f"analyze() was given both options and {names}", fix=f"set {names} in the options")
    if options is not None:
        return options
    return AnalyzeOptions(**given)  # type: ignore[arg-type]


def _saved(paths: Sequence[str], options: AnalyzeOptions) -> Job | None:
    """A saved report, if that is what the one path is."""
    from traceanalyzer.assembly.what_if import projected
    from traceanalyzer.report.saved import read_saved

    saved = read_saved(paths[0]) if len(paths) == 1 else None
    if saved is None:
        return None
    changing = [
        _FLAGS.get(name, name)
        for name in options.changed()
        if name not in ("what_if", "kernels", "jobs", "scheduler")
    ]
    if changing:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in changing)
        raise UsageError(
            f"{paths[0]}: is a saved report, which {flags} cannot change",
            fix="give the trace instead, or leave the option out",
        )
    return projected(saved, devices_named(options.what_if))


_FLAGS = {"peaks": "peak", "settings": "set", "cost_files": "cost-file"}
