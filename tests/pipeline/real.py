"""Real traces, each analyzed once for all the tests that look at what comes out."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import traceanalyzer
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Analysis

PEAKS = ("fp32=20T", "fp64=10T", "matrix:fp32=20T", "bf16=100T", "fp16=100T")
ROOFS = AnalyzeOptions(bandwidth="1TB/s", peaks=PEAKS)


def files(folder: Path) -> list[Path]:
    """All that is a trace; what is none, and is refused, says so in its name."""
    found = [path for path in sorted(folder.rglob("*.json.gz")) if not path.name.startswith("not_")]
    assert found
    return found


@cache
def analyzed(file: Path) -> Analysis:
    """As it comes, with no option."""
    return traceanalyzer.analyze(file)


@cache
def with_roofs(file: Path) -> Analysis:
    """With roofs where its device is not known."""
    found = analyzed(file)
    if found.device.bandwidth_bytes_per_s is None:
        return traceanalyzer.analyze(file, options=ROOFS)
    return found
