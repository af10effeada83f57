"""Names that stood here in 0.1: `Options` is `traceanalyzer.AnalyzeOptions` now."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    """The new home of an old name, with a DeprecationWarning."""
    from traceanalyzer import analyzing

    now = {"Options": "AnalyzeOptions", "analyze": "analyze"}.get(name)
    if now is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is traceanalyzer.{now} now", DeprecationWarning, stacklevel=2)
    return getattr(analyzing, now)
