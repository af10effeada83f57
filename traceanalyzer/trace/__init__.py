"""Bytes of a profiler file in, linked columns (`records.trace.Trace`) out."""

from __future__ import annotations

from collections.abc import Callable

from traceanalyzer.records.trace import Trace
from traceanalyzer.trace.linking.assemble import trace_of
from traceanalyzer.trace.linking.captured import at_capture
from traceanalyzer.trace.linking.devices import devices_with_work, of_device
from traceanalyzer.trace.linking.window import select_window
from traceanalyzer.trace.reading.files import trace_files
from traceanalyzer.trace.reading.reader import read

__all__ = ["at_capture", "devices_with_work", "load", "of_device", "select_window", "trace_files"]


def load(path: str, *, progress: Callable[[int], None] | None = None) -> Trace:
    """Read and link the trace at `path` ("-": standard input).

    `progress` is called with the bytes of the file read so far. Raises TraceFormatError for what is no
    PyTorch profiler trace.
    """
    return trace_of(read(path, progress=progress))
