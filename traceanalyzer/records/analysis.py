"""The Analysis that every report shows, and its parts; the JSON report field by field.

Units are in the names: `_ns`, `_bytes`, `_per_s`, `_share` (0 to 1). One fused multiply-add is 2 FLOPs
(torch's convention). Bytes are compulsory traffic: every distinct tensor read once, every output written
once; a lower bound of the memory traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from traceanalyzer.records.calls import Engine, Reason
from traceanalyzer.records.code import CodePlace, FunctionTime, ModuleTime, Wait
from traceanalyzer.records.critical_path import CriticalPath
from traceanalyzer.records.device import Device, Peak
from traceanalyzer.records.exporter import exporter
from traceanalyzer.records.kernel_table import KernelTable
from traceanalyzer.records.memory_use import MemoryUse
from traceanalyzer.records.notice import Notice
from traceanalyzer.records.presenter import presenter
from traceanalyzer.records.recording import Recording
from traceanalyzer.records.suggestion import Headroom, RuleCheck, Suggestion
from traceanalyzer.records.svg import Svg
from traceanalyzer.records.timeline import StepTimeline
from traceanalyzer.records.times import NamedTime, StepTime, TimeInfo, WindowInfo
from traceanalyzer.records.vocabulary import Bound, Flag, Limiter, OperatorClass, Phase, Verdict

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = "1.1"


class Tool(msgspec.Struct, frozen=True):
    """The program that wrote a report."""

    name: str
    version: str


class SourceFile(msgspec.Struct, frozen=True):
    """One trace file, and the rank and device of it that is shown."""

    path: str
    bytes: int  # of decompressed text
    events: int
    rank: int | None
    device_index: int | None


class Salvaged(msgspec.Struct, frozen=True):
    """What was kept of a damaged file."""

    kept_events: int
    dropped_events: int
    at_byte: int | None


class Source(msgspec.Struct, frozen=True):
    """Where an Analysis comes from, and every notice about it."""

    files: tuple[SourceFile, ...]
    dialect: str
    salvaged: Salvaged | None
    warnings: tuple[Notice, ...]


class VerdictPart(msgspec.Struct, frozen=True):
    """Attributed time of all rows with one verdict; the six add up to busy time."""

    verdict: Verdict
    time_ns: int
    share_of_busy: float
    share_of_window: float
    kernels: int
    at_roof_ns: int | None = None  # of rows that run at a roof; None: not known


class MemoryBound(msgspec.Struct, frozen=True, kw_only=True):
    """The headline: memory-bound time with its shares; each share names its denominator.

    `share_of_busy` is `at_roof_share_of_busy`, won back by moving fewer bytes, and
    `below_roof_share_of_busy`, won back also by a better kernel, layout or alignment.
    """

    time_ns: int
    share_of_busy: float
    share_of_window: float
    at_roof_share_of_busy: float | None = None  # None: not known, or an older report does not say
    below_roof_share_of_busy: float | None = None
    memory_side_share_of_busy: float
    non_contraction_share_of_busy: float


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """FLOPs of the window and their rate over it, idle time included; utilization of one dense peak.

    Contractions are matmuls, convolutions and attention. Utilizations are None where `peak` is not known, or
    less than 90 % of the contractions' time has known FLOPs.
    """

    flops: int
    flop_per_s: float
    mfu_share: float | None  # FLOPs of contractions without `recomputed_flops`, of the peak
    hardware_utilisation_share: float | None  # with it
    recompute_share: float  # of all FLOPs
    contraction_flop_per_s: float = 0.0  # without recomputation
    contraction_coverage_share: float = 0.0  # of the time of contractions, with known FLOPs
    peak: Peak | None = None  # of the engine and precision that most FLOPs of contractions run in


class ReasonPart(msgspec.Struct, frozen=True):
    """Kernel time that is not modelled for one reason, with the largest example."""

    reason: Reason
    time_ns: int
    share: float
    example: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of kernel time (without communication and copies) that are linked, have shapes, are modelled."""

    modelled_share: float
    linked_share: float
    shaped_share: float
    modelled_of_shaped_share: float
    reasons: tuple[ReasonPart, ...]


class ClassPart(msgspec.Struct, frozen=True):
    """FLOPs and attributed time of one operator class; the six add up to all FLOPs and to busy time."""

    operator_class: OperatorClass
    flops: int
    flops_share: float
    time_ns: int
    time_share: float


class OpRow(msgspec.Struct, frozen=True, kw_only=True):
    """One op row: a distinct (name, dims, types, strides, concrete inputs, phase, module) on one device.

    Kernels without a priced op (unlinked, under a graph, communication, copies) have one row per kernel name.
    """

    name: str
    input_dims: tuple[Any, ...] | None
    input_types: tuple[str, ...] | None
    input_strides: tuple[Any, ...] | None  # only where rows differ in them
    concrete_inputs: tuple[str, ...] | None  # only where rows differ in them
    phase: Phase | None
    module: str | None
    calls: int
    kernels: int
    time_ns: int  # sum of its kernels' durations
    attributed_ns: int  # its share of busy time
    flops: int | None
    flops_range: tuple[int, int] | None = None  # least and most, where only these are known
    recomputed_flops: int | None = None  # among them; None: FLOPs are not known, or an older report
    read_bytes: int | None
    write_bytes: int | None
    bytes_range: tuple[int, int] | None = None  # read and written, least and most, likewise
    traffic_bytes: int | None = None  # that the kernels are known to move; None: no more than these is proved
    counter_bytes: int | None = None  # that hardware counters saw; None: not measured
    intensity: float | None  # FLOP per byte
    engine: Engine | None
    precision: str | None
    roof_ns: float | None
    efficiency: float | None
    bound: Bound | None
    limiter: Limiter | None = None  # the roof that it really reaches; None: not modelled, or not known
    verdict: Verdict
    operator_class: OperatorClass
    flags: tuple[Flag, ...]
    reason: Reason | None
    kernel_names: tuple[NamedTime, ...]  # all kernels of a name together, clipped to the window
    note: str = ""  # an assumption of the formula that a reader must know
    places: tuple[CodePlace, ...] = ()  # the functions of most of it; (): no stacks are recorded

    @property
    def is_priced(self) -> bool:
        """Whether what it costs is known, and not only that it is unknown or lies between two figures."""
        return self.verdict != "unmodelled" and self.flops_range is None and self.bytes_range is None

    @property
    def runs_at_a_roof(self) -> bool:
        """Whether it really reaches one. A memory-bound row can only reach that of the memory."""
        return self.limiter in ("memory", "compute")

    @property
    def roof_is_open(self) -> bool:
        """Whether it was measured, and what is known does not tell if it runs at a roof."""
        return self.limiter is None and (self.efficiency is not None or "bounded" in self.flags)


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """The step projected onto another device; see docs/what-if.md."""

    device: str
    busy_ns: int
    busy_low_ns: int | None = None  # between these the truth is expected; None: an older report
    busy_high_ns: int | None = None
    step_ns: int | None
    memory_bound_share_of_busy: float


class AboveRoof(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that exceed one roof for one reason."""

    roof: Literal["bandwidth", "compute"]
    reason: str
    rows: int
    time_ns: int  # attributed
    share_of_busy: float
    highest_efficiency: float  # of its roof
    example: str  # the row of that efficiency


class FormulaText(msgspec.Struct, frozen=True):
    """An operator's formula in words (FLOPs, bytes, assumptions), and its source."""

    op: str
    text: str
    source: str


_IN_JSON = {
    "op_rows": "ops", "step_rows": "steps", "module_rows": "modules", "function_rows": "functions",
    "wait_rows": "waits", "step_timelines": "timeline",
}  # fmt: skip


class Analysis(msgspec.Struct, frozen=True, kw_only=True, dict=True, rename=_IN_JSON, eq=True):
    """One device of one process over its window: the object every report shows.

    `ops`, `steps`, `modules`, `functions`, `waits` and `kernels` are pandas DataFrames (built on first
    access), `op_rows`, `step_rows` and so on the records that they are made of; everything else is the JSON
    report, field by field: times in ns over the window, bytes, FLOPs, shares from 0 to 1. It is a value: it
    cannot be changed, two of the same trace are equal, and it can be pickled.
    """

    schema_version: str
    tool: Tool
    source: Source
    recording: Recording | None
    device: Device
    thresholds: dict[str, float]
    window: WindowInfo
    time: TimeInfo
    verdicts: tuple[VerdictPart, ...]
    step_rows: tuple[StepTime, ...] | None = None
    step_timelines: tuple[StepTimeline, ...] | None = None  # None: an older report, or not shown
    memory: MemoryUse | None = None  # None: no memory rows
    memory_bound: MemoryBound
    compute: Compute
    coverage: Coverage
    operator_classes: tuple[ClassPart, ...]
    op_rows: tuple[OpRow, ...]
    suggestions: tuple[Suggestion, ...] | None
    headroom: Headroom | None = None  # None: an older report, or of no device that is shown
    checks: tuple[RuleCheck, ...] = ()  # of every rule
    what_if: tuple[Projection, ...] | None
    critical_path: CriticalPath | None = None  # None: not asked for, or not found
    module_rows: tuple[ModuleTime, ...] | None = None  # None: the trace names none, or an older report
    function_rows: tuple[FunctionTime, ...] | None = None  # None: no stacks are recorded, or an older report
    wait_rows: tuple[Wait, ...] = ()
    self_check: tuple[AboveRoof, ...] = ()  # of all rows
    formulas: tuple[FormulaText, ...] = ()  # of the largest priced rows

    # Of `analyze` in Python, not of a saved report, and not in the JSON: what `kernels` is made of.
    kernel_table: Any = msgspec.UNSET

    @cached_property
    def ops(self) -> pd.DataFrame:
        """One line a row of the JSON's `ops` with its names, largest attributed time first.

        `attributed_ns` adds up to `time.busy_ns`; what is not known is None or NaN, with its `reason`.
        """
        return _frame(OpRow, self.op_rows)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One line a step of the window; `device_ns` adds up to it. Empty where the trace has no steps."""
        return _frame(StepTime, self.step_rows)

    @cached_property
    def modules(self) -> pd.DataFrame:
        """One line a module, or a group of layers alike; `self_ns` adds up to busy time.

        The line without a path is time in no known module. Empty where the trace names none.
        """
        return _frame(ModuleTime, self.module_rows)

    @cached_property
    def functions(self) -> pd.DataFrame:
        """One line a Python function that launched work; `time_ns` adds up to busy time.

        Empty where no stacks are recorded.
        """
        return _frame(FunctionTime, self.function_rows)

    @cached_property
    def waits(self) -> pd.DataFrame:
        """One line a cause of idle time and function; `time_ns` adds up to idle time."""
        return _frame(Wait, self.wait_rows)

    @cached_property
    def kernels(self) -> pd.DataFrame:
        """One line a kernel in the window: name, start_ns, time_ns, attributed_ns, stream, correlation,
        blocks; op, phase, verdict and operator_class of its row.

        In the order of their starts; `attributed_ns` adds up to `time.busy_ns`. Empty where the analysis was
        read back from JSON, or made with `AnalyzeOptions(kernels=False)`.
        """
        import pandas as pd

        return pd.DataFrame(self.kernel_table.columns() if isinstance(self.kernel_table, KernelTable) else {})

    def to_html(self) -> str:
        """The page: one file under a megabyte, without a network request."""
        return presenter().text(self, "html")

    def to_markdown(self) -> str:
        """The report for a comment on a pull request."""
        return presenter().text(self, "md")

    def roofline(self) -> Svg:
        """The chart of the operators under the device's roofs, as `-o roofline.svg` writes it."""
        return presenter().svg(self, "roofline")

    def timeline(self) -> Svg:
        """The step that the page shows, from left to right: verdicts, idle time and phases in up to 480 bins.

        UsageError where the report has none.
        """
        return presenter().svg(self, "timeline")

    def save(self, path: str | PathLike[str], *, force: bool = False) -> None:
        """Write it where the suffix is a format: .html .md .json .csv .svg .txt .prom .parquet.

        A `.parquet` holds the ops, or the kernels where its name ends in `kernels.parquet` (docs/parquet.md).
        UsageError where the suffix is none of them, the file exists and `force` is not given, or it cannot
        be written; what was there then stays.
        """
        presenter().save(self, path, force=force)

    def to_hta(self) -> Any:
        """The traces of all its ranks as an `hta.trace_analysis.TraceAnalysis`; see docs/hta.md.

        The files are read again. UsageError where the extra `hta` is missing, or a file is.
        """
        return exporter().hta(self)

    def __repr__(self) -> str:
        """Three lines: file, device and steps; the first sentence; the first change."""
        return presenter().lines(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return presenter().notebook(self)


def _frame(record: type[msgspec.Struct], rows: Sequence[msgspec.Struct] | None) -> pd.DataFrame:
    """A line a record, its columns those of the JSON and in their order, also where there is none."""
    import pandas as pd

    columns = [field.encode_name for field in msgspec.structs.fields(record)]
    return pd.DataFrame([msgspec.structs.astuple(row) for row in rows or ()], columns=columns)
