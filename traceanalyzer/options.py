"""What a user may choose about an analysis."""

from __future__ import annotations

from dataclasses import dataclass, fields

from traceanalyzer.records.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """What a user may choose about an analysis; the defaults are those of `traceanalyze report`.

    Sizes and rates are texts with units. Of a saved report, which is not analyzed again, only `what_if` can
    be chosen.
    """

    steps: str = "complete"  # "complete", "all", "A-B"
    steps_by: str | None = None  # annotations that are the steps, by a text in their names or an expression
    device: str | None = None  # name in the table
    device_file: str | None = None  # TOML
    peaks: tuple[str, ...] = ()  # "[ENGINE:]PREC=FLOPS"
    bandwidth: str | None = None  # "3.35TB/s"
    link: str | None = None  # "450GB/s" between the ranks, in one direction
    rank: int | None = None  # which one the report shows
    ranks: str | None = None  # "0,8,16-23": only their files are read
    gpu: int | None = None
    settings: tuple[str, ...] = ()  # "NAME=X": limits of the verdicts
    cost_files: tuple[str, ...] = ()  # Python files with formulas of the user's own; they are run
    assume_dtype: str | None = None  # "fp32": of inputs recorded with dims and without a type
    what_if: tuple[str, ...] = ()  # other devices' names in the table, or files that describe them
    capture: str | None = None  # a second trace, which knows the shapes of a graph's kernels
    critical_path: bool = False  # of the shown step, by HolisticTraceAnalysis: the extra `hta`
    jobs: int | None = None  # files analyzed at once; None: as many as cores and memory allow
    scheduler: str | None = None  # of a Dask cluster whose workers read the files: "tcp://host:8786"
    kernels: bool = True  # keep what the DataFrame `analysis.kernels` is made of

    def __post_init__(self) -> None:
        for name in ("peaks", "settings", "cost_files", "what_if"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise UsageError(f"AnalyzeOptions({name}={value!r}): is one text", fix=f"give ({value!r},)")

    def changed(self) -> tuple[str, ...]:
        """Names of the options that are not at their default."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return tuple(f.name for f in fields(self) if given[f.name] != f.default)
