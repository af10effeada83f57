"""Where a PyTorch trace's GPU time goes: what is memory-bound, what makes it so, how surely we know."""

from __future__ import annotations

import traceanalyzer.startup  # noqa: F401 - first: it notes what was there before us

# isort: split
from typing import TYPE_CHECKING, Any

from traceanalyzer.pipeline import analyze
from traceanalyzer.records import Analysis, Device
from traceanalyzer.records.errors import DeviceError, TraceAnalyzerError, TraceFormatError, UsageError

if TYPE_CHECKING:
    from traceanalyzer.collect.library import profile
    from traceanalyzer.cost.user import op_cost

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "Device",
    "DeviceError",
    "TraceAnalyzerError",
    "TraceFormatError",
    "UsageError",
    "__version__",
    "analyze",
    "op_cost",
    "profile",
]


def __getattr__(name: str) -> Any:
    """`profile` needs the collector, which `report` does without; `op_cost` what only formulas need."""
    if name == "op_cost":
        from traceanalyzer.cost.user import op_cost

        return op_cost
    if name == "profile":
        from traceanalyzer.collect.library import profile

        return profile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
