"""Bytes of a profiler file in, linked columns out."""

from __future__ import annotations

from collections.abc import Callable

from traceanalyzer.columns import Trace
from traceanalyzer.trace.assemble import trace_of
from traceanalyzer.trace.captured import at_capture
from traceanalyzer.trace.devices import devices_with_work, of_device
from traceanalyzer.trace.files import trace_files
from traceanalyzer.trace.reader import read
from traceanalyzer.trace.steps import select_window

__all__ = ["at_capture", "devices_with_work", "load", "of_device", "select_window", "trace_files"]


def load(path: str, *, progress: Callable[[int], None] | None = None) -> Trace:
    """Read and link the trace at `path` ("-": standard input).

    `progress` is called with the bytes of the file read so far. Raises TraceFormatError for what is no
    PyTorch profiler trace.
    """
    return trace_of(read(path, progress=progress))
