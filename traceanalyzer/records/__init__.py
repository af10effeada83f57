"""The records that pass between the stages: Trace, Priced, Judged, Suggestions, Analysis, Job.

Frozen dataclasses with numpy columns inside; msgspec structs for what is in the JSON. Times are integer
nanoseconds, units are in the names.
"""

from __future__ import annotations

from traceanalyzer.records.analysis import (
    MODULE_ANNOTATION,
    SCHEMA_VERSION,
    AboveRoof,
    Analysis,
    ClassPart,
    Compute,
    Coverage,
    CpuRoofs,
    Device,
    FormulaText,
    MemoryBound,
    OpRow,
    Peak,
    Projection,
    ReasonPart,
    Recording,
    Salvaged,
    Source,
    SourceFile,
    Tool,
    VerdictPart,
)
from traceanalyzer.records.calls import Cost, Dims, Engine, OpCall, Reason, Shape, Unpriced
from traceanalyzer.records.job import Job, RankEntry, ranks_of
from traceanalyzer.records.kernel_table import KernelTable
from traceanalyzer.records.notice import Notice
from traceanalyzer.records.suggestion import Band, Suggestion, Tier
from traceanalyzer.records.times import (
    IdlePart,
    NamedTime,
    Spread,
    StepKind,
    StepPart,
    StepTime,
    TimeInfo,
    WindowInfo,
)
from traceanalyzer.records.vocabulary import (
    IDLE_CAUSES,
    OPERATOR_CLASSES,
    VERDICTS,
    Bound,
    Flag,
    IdleCause,
    OperatorClass,
    Phase,
    Verdict,
)

__all__ = [
    "AboveRoof",
    "Analysis",
    "Band",
    "Bound",
    "ClassPart",
    "Compute",
    "Cost",
    "Coverage",
    "CpuRoofs",
    "Device",
    "Dims",
    "Engine",
    "Flag",
    "FormulaText",
    "IDLE_CAUSES",
    "IdleCause",
    "IdlePart",
    "Job",
    "KernelTable",
    "NamedTime",
    "MODULE_ANNOTATION",
    "MemoryBound",
    "Notice",
    "OPERATOR_CLASSES",
    "OpCall",
    "OpRow",
    "OperatorClass",
    "Peak",
    "Phase",
    "Projection",
    "RankEntry",
    "Reason",
    "ReasonPart",
    "Recording",
    "SCHEMA_VERSION",
    "Salvaged",
    "Shape",
    "Source",
    "SourceFile",
    "Spread",
    "StepKind",
    "StepPart",
    "StepTime",
    "Suggestion",
    "Tier",
    "TimeInfo",
    "Tool",
    "Unpriced",
    "VERDICTS",
    "Verdict",
    "VerdictPart",
    "WindowInfo",
    "ranks_of",
]
