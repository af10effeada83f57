"""One side of a comparison as it is given, read into the Analyses of its runs."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from traceanalyzer.analyzing import analyze
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import Progress
from traceanalyzer.records import Analysis, Job, Notice, ranks_of
from traceanalyzer.records.errors import UsageError

if TYPE_CHECKING:
    from traceanalyzer.ranks.cluster import Client

Run = str | PathLike[str] | Analysis
Given = Run | Sequence[Run]


def given_runs(side: Given, name: str) -> list[Run]:
    """The items of a side. UsageError where there are none, or one is there twice: noise would look small."""
    runs = [side] if isinstance(side, str | PathLike | Analysis) else list(side)
    if not runs:
        raise UsageError(f"the {name} was given without runs", fix="give a trace for each side")
    for run, other in combinations(runs, 2):
        if same_run(run, other):
            raise _twice(run, other, name)
    return runs


def same_run(run: Run, other: Run) -> bool:
    """The same object, the same file, or a copy of it."""
    if isinstance(run, Analysis) or isinstance(other, Analysis):
        return run is other
    first, second = Path(run), Path(other)
    if fspath(run) == fspath(other) or not (first.exists() and second.exists()):
        return fspath(run) == fspath(other)
    if first.is_file() and second.is_file():
        return filecmp.cmp(first, second, shallow=False)
    return first.samefile(second)


def _twice(run: Run, other: Run, name: str) -> UsageError:
    if isinstance(other, Analysis) or isinstance(run, Analysis):
        what = "an Analysis is given twice"
    elif Path(run).exists() and not Path(run).samefile(other):
        what = f"{fspath(other)}: holds the same as {fspath(run)}, byte for byte, and is given"
    else:
        what = f"{fspath(other)}: is given twice"
    fix = "give each run once; record several to tell noise"
    return UsageError(f"{what} as a run of the {name}", fix=fix)


class Reading(msgspec.Struct, frozen=True):
    """How runs are read: as `analyze` takes it."""

    options: AnalyzeOptions
    progress: Progress | None = None
    client: Client | None = None

    def analysis(self, path: str, rank: int | None, ranks: str | None = None) -> Job:
        """Of one run, of these ranks of it."""
        options = replace(self.options, rank=rank, ranks=ranks)
        return analyze(path, options=options, progress=self.progress, client=self.client)


def read_runs(
    runs: Sequence[Run], reading: Reading, name: str, shown: Analysis | None = None
) -> list[Analysis]:
    """An Analysis a run, or several of a folder of runs.

    Of folders of ranks the same rank: that of the options, else that of `shown` or the first run. Errors as
    of `analyze`.
    """
    analyses: list[Analysis] = []
    for run in runs:
        analyses += _read(run, reading, name, shown or next(iter(analyses), None))
    return analyses


def _read(run: Run, reading: Reading, name: str, shown: Analysis | None) -> Iterator[Analysis]:
    from traceanalyzer.report.saved import read_saved
    from traceanalyzer.trace import may_name_several

    if isinstance(run, Analysis):
        yield run
        return
    path, rank = fspath(run), reading.options.rank
    if may_name_several(path):
        follows = rank is None and shown is not None and len(ranks_of(shown)) > 1
        followed = shown.source.files[0].rank if follows and shown is not None else rank
        yield from _of_several(path, reading, name, followed)
        return
    saved = read_saved(path)
    if saved is not None and saved.source.files[0].rank == rank:
        rank = None  # it shows what was asked for
    yield reading.analysis(path, rank)


def _of_several(path: str, reading: Reading, name: str, rank: int | None) -> Iterator[Analysis]:
    """One rank of one job; or, where several files are of the same rank or of none, a run each."""
    from traceanalyzer.report.saved import is_saved
    from traceanalyzer.trace import trace_files

    files = trace_files([path], failed=[], ranks=reading.options.ranks)  # what fails, `analyze` says
    if files and all(map(is_saved, files)):
        given_runs(files, name)
        for file in files:
            yield from _read(file, reading, name, None)
        return
    job = reading.analysis(path, rank, reading.options.ranks)
    shown = job.source.files[0].rank
    runs = list(dict.fromkeys(entry.file for entry in ranks_of(job) if entry.rank == shown))
    if len(runs) < 2 or not set(runs) <= set(files):
        yield job
        return
    if shown is None and _simultaneous(job):
        raise UsageError(
            f"{path}: its traces are of ranks that communicate with each other, and name none",
            fix="name the files rank0.json.gz and so on, so that the same rank is compared",
        )
    given_runs(runs, name)
    of = "name no ranks" if shown is None else f"are all of rank {shown}"
    notice = Notice("runs_in_a_folder", f"{len(runs)} traces in {path} {of}: each is taken for a run of "
                    "the same program", len(runs))  # fmt: skip
    for file in runs:
        analysis = reading.analysis(file, rank)
        yield Job.of(analysis, analysis.ranks, [notice], analysis.job)


def _simultaneous(job: Job) -> bool:
    """Whether collectives match across the files, by clocks that differ by less than the recordings last.

    Runs of one program match as well, and are hours or seconds apart.
    """
    info = job.job
    if info is None or not info.collectives:
        return False
    offsets = [rank.clock_offset_ns for rank in info.ranks]
    return all(offset is not None and abs(offset) < job.window.window_ns for offset in offsets)
