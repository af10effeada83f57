"""Trace files as tests read them."""

from __future__ import annotations

from traceanalyzer.pipeline import loaded_processes
from traceanalyzer.records.trace import Trace


def loaded(file: str) -> Trace:
    """One file, or its first process, read, linked and completed."""
    return next(loaded_processes(file))
