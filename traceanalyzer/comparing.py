"""Two analyses in, one Comparison or Check out. Composition only, as in `pipeline`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING

from traceanalyzer.analyzing import analyze
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.pipeline import Progress
from traceanalyzer.records import Analysis, Baseline, Check, Comparison, ranks_of
from traceanalyzer.records.errors import UsageError

if TYPE_CHECKING:
    from traceanalyzer.ranks.cluster import Client

Run = str | PathLike[str] | Analysis


def compare(
    base: Run | Sequence[Run],
    head: Run | Sequence[Run],
    *,
    options: AnalyzeOptions | None = None,
    progress: Progress | None = None,
    client: Client | None = None,
) -> Comparison:
    """What changed from `base` to `head`, by how much and how surely; times in ns per step.

    A run is a trace, a folder of ranks, a saved report or an Analysis; several runs of a side tell what runs
    differ by anyhow. Of several ranks the same one is compared on both sides: that of `options`,
    else the one that the report of the first base run shows. Files of a folder are read as by `analyze`,
    which takes `client` too. Errors as of `analyze`.
    """
    from traceanalyzer.comparison.assemble import comparison_of

    chosen = replace(options or AnalyzeOptions(), kernels=False)
    analyses: list[list[Analysis]] = []
    for side in (base, head):
        runs = [side] if isinstance(side, str | PathLike | Analysis) else list(side)
        if not runs:
            raise UsageError("compare() was given a side without runs", fix="give a trace for each side")
        analyses.append([])
        for run in runs:
            analyses[-1].append(_run(run, chosen, progress, client))
            chosen = _like(analyses[0][0], chosen)
    return comparison_of(*analyses)


def check(
    trace: Run,
    requirements: Sequence[str],
    *,
    baseline: Run | None = None,
    options: AnalyzeOptions | None = None,
) -> Check:
    """Whether a trace, report or Analysis meets requirements such as `memory_bound.share_of_busy<=0.45`.

    UsageError for a requirement that is none, names no value, or is relative without a baseline, and where
    there is none; other errors as of `analyze`. Of a baseline of several ranks the one that `trace` shows is
    taken.
    """
    from traceanalyzer.comparison.requirements import evaluated, parsed, step_interval, values_of

    if not requirements:
        raise UsageError("nothing is required", fix="give --require 'memory_bound.share_of_busy<=0.45'")
    expressions = [parsed(text) for text in requirements]
    chosen = replace(options or AnalyzeOptions(), kernels=False)
    analysis = _run(trace, chosen, None)
    before = _run(baseline, _like(analysis, chosen), None) if baseline is not None else None
    return Check(
        tool=analysis.tool,
        source=analysis.source,
        baseline=Baseline(before.source.files) if before is not None else None,
        requirements=evaluated(
            expressions, values_of(analysis), values_of(before) if before is not None else None,
            step_interval(analysis, before),
        ),
    )  # fmt: skip


def _like(shown: Analysis, options: AnalyzeOptions) -> AnalyzeOptions:
    """`options` that choose the rank which a report of several shows; one that is chosen stays."""
    if options.rank is None and len(ranks_of(shown)) > 1:
        return replace(options, rank=shown.source.files[0].rank)
    return options


def _run(
    run: Run, options: AnalyzeOptions, progress: Progress | None, client: Client | None = None
) -> Analysis:
    """A saved report shows what it shows; of one file there is no choice of a rank.

    UsageError where options would change a saved report.
    """
    from traceanalyzer.report.saved import read_saved
    from traceanalyzer.trace import may_name_several

    if isinstance(run, Analysis):
        return run
    path = fspath(run)
    if read_saved(path) is not None:
        return analyze(path, options=replace(options, rank=None, ranks=None))
    if not may_name_several(path):
        options = replace(options, rank=None, ranks=None)
    return analyze(path, options=options, progress=progress, client=client)
