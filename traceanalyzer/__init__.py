"""Where a PyTorch trace's GPU time goes: what is memory-bound, what makes it so, how surely we know."""

from __future__ import annotations

from traceanalyzer.analyze import analyze
from traceanalyzer.errors import DeviceError, TraceAnalyzerError, TraceFormatError, UsageError
from traceanalyzer.model import Analysis, Device

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
]
