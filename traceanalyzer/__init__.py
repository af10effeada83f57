"""Where a PyTorch trace's GPU time goes: what is memory-bound, why, and how surely it is known."""

from __future__ import annotations

import traceanalyzer.startup  # noqa: F401 - first: it notes what was imported before

# isort: split
import traceanalyzer.analyze  # noqa: F401 - the module of older versions, before the function of its name

# isort: split
from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzing import analyze
from traceanalyzer.comparing import compare
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Analysis, Comparison, Device, Job
from traceanalyzer.records.analyzer import join_analyzer
from traceanalyzer.records.errors import DeviceError, TraceAnalyzerError, TraceFormatError, UsageError
from traceanalyzer.records.exporter import join_exporter
from traceanalyzer.records.presenter import join

if TYPE_CHECKING:
    from traceanalyzer.collect.library import profile
    from traceanalyzer.cost.user import op_cost
    from traceanalyzer.records.exporter import Exporter
    from traceanalyzer.records.presenter import Presenter

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "AnalyzeOptions",
    "Comparison",
    "Device",
    "DeviceError",
    "Job",
    "TraceAnalyzerError",
    "TraceFormatError",
    "UsageError",
    "__version__",
    "analyze",
    "compare",
    "op_cost",
    "profile",
]


join_analyzer(analyze)


def _presenter() -> Presenter:
    """What shows an Analysis, imported when one is first shown."""
    from traceanalyzer.report import presenter

    return presenter


join(_presenter)


def _exporter() -> Exporter:
    """What hands an Analysis to other tools, imported when one is first handed on."""
    from traceanalyzer.ranks import exporter

    return exporter


join_exporter(_exporter)


def __getattr__(name: str) -> Any:
    """`profile` needs the collector, which `report` does without; `op_cost` what only formulas need."""
    if name == "op_cost":
        from traceanalyzer.cost.user import op_cost

        return op_cost
    if name == "profile":
        from traceanalyzer.collect.library import profile

        return profile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
