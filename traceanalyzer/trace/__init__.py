"""Bytes of a profiler file in, linked columns (`records.trace.Trace`) out."""

from __future__ import annotations

from collections.abc import Callable

from traceanalyzer.records.trace import Trace
from traceanalyzer.trace.linking.assemble import trace_of
from traceanalyzer.trace.linking.captured import at_capture
from traceanalyzer.trace.linking.devices import devices_with_work, of_device
from traceanalyzer.trace.linking.processes import by_process
from traceanalyzer.trace.linking.window import select_window
from traceanalyzer.trace.reading.files import trace_files
from traceanalyzer.trace.reading.reader import read

__all__ = [
    "at_capture",
    "devices_with_work",
    "load",
    "load_processes",
    "of_device",
    "select_window",
    "trace_files",
]


def load_processes(
    path: str, *, progress: Callable[[int], None] | None = None, steps_by: str | None = None
) -> tuple[Trace, ...]:
    """Read and link the file at `path` ("-": standard input): one trace for each process in it.

    `progress` is called with the bytes of the file read so far; `steps_by` tells annotations that are
    steps, see `linking.steps`. Raises TraceFormatError for what is no PyTorch profiler trace.
    """
    waiting = list(by_process(read(path, progress=progress)))
    traces = []
    while waiting:
        traces.append(trace_of(waiting.pop(0), steps_by))  # which lets go of each while it links it
    return tuple(traces)


def load(path: str, *, progress: Callable[[int], None] | None = None) -> Trace:
    """The same for the first process of a file, which nearly always is the only one."""
    return load_processes(path, progress=progress)[0]
