"""Two analyses in, one Comparison or Check out. Composition only, as in `pipeline`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import Progress
from traceanalyzer.records import Analysis, Baseline, Check, Comparison, Source
from traceanalyzer.records.errors import UsageError
from traceanalyzer.runs import Given, Reading, given_runs, read_runs, same_run

if TYPE_CHECKING:
    from traceanalyzer.ranks.cluster import Client


def compare(
    base: Given,
    head: Given,
    *,
    options: AnalyzeOptions | None = None,
    progress: Progress | None = None,
    client: Client | None = None,
) -> Comparison:
    """What changed from `base` to `head`, by how much and how surely; times in ns per step.

    A run is a trace, a folder of ranks, a saved report or an Analysis; several runs of a side, also those in
    one folder, tell what runs differ by anyhow. Of several ranks the same one is compared on both sides: that
    of `options`, else the one that the report of the first base run shows. Files of a folder are read as by
    `analyze`, which takes `client` too. Errors as of `analyze`; UsageError for a run that is given twice.
    """
    from traceanalyzer.comparison.assemble import comparison_of

    chosen = replace(options or AnalyzeOptions(), kernels=False)
    given = given_runs(base, "base"), given_runs(head, "head")
    reading = Reading(chosen, progress, client)
    before = read_runs(given[0], reading, "base")
    after = read_runs(given[1], reading, "head", before[0])
    shared = any(same_run(mine, theirs) for mine in given[0] for theirs in given[1])
    return comparison_of(before, after, shared=shared)


def check(
    trace: Given,
    requirements: str | Sequence[str],
    *,
    baseline: Given | None = None,
    options: AnalyzeOptions | None = None,
) -> Check:
    """Whether a trace, report or Analysis meets requirements such as `memory_bound.share_of_busy<=0.45`.

    Several runs of one program, of the trace as of the baseline, tell a change of the step from noise; other
    numbers are the median of theirs. UsageError for a requirement that is none, names no value, or is
    relative without a baseline, and where there is none; other errors as of `analyze`. Of a baseline of
    several ranks the one that `trace` shows is taken.
    """
    wanted = [requirements] if isinstance(requirements, str) else requirements
    if not wanted:
        raise UsageError("nothing is required", fix="give --require 'memory_bound.share_of_busy<=0.45'")
    return held_against(trace, wanted, baseline, options)


def held_against(
    trace: Given, requirements: Sequence[str], baseline: Given | None, options: AnalyzeOptions | None = None
) -> Check:
    """`check`, which may require nothing: of a trace that is the first, say."""
    from traceanalyzer.comparison.expressions import parsed
    from traceanalyzer.comparison.requirements import checked

    expressions = [parsed(text) for text in requirements]
    reading = Reading(replace(options or AnalyzeOptions(), kernels=False))
    runs = read_runs(given_runs(trace, "trace"), reading, "trace")
    before: list[Analysis] = []
    if baseline is not None and baseline not in ((), []):
        before = read_runs(given_runs(baseline, "baseline"), reading, "baseline", runs[0])
    return Check(
        tool=runs[0].tool,
        source=_source(runs, before),
        baseline=Baseline(tuple(file for run in before for file in run.source.files)) if before else None,
        requirements=checked(expressions, runs, before),
    )


def _source(runs: Sequence[Analysis], baseline: Sequence[Analysis]) -> Source:
    """Of all runs, warned of where they or the baseline's are of several programs.

    What else is told of a file is that of the first.
    """
    from traceanalyzer.comparison.one_program import other_program

    files = tuple(file for run in runs for file in run.source.files)
    of_files = [notice for run in runs for notice in run.source.warnings]
    of_programs = [notice for side in (runs, baseline) if (notice := other_program(side))]
    warnings = tuple(dict.fromkeys((*of_files, *of_programs)))
    return structs.replace(runs[0].source, files=files, warnings=warnings)
