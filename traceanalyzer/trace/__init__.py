"""Bytes of a profiler file in, linked columns (`records.trace.Trace`) out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from traceanalyzer.records.trace import Trace
from traceanalyzer.trace.linking.assemble import trace_of
from traceanalyzer.trace.linking.captured import at_capture
from traceanalyzer.trace.linking.devices import devices_with_work, of_device, working_devices
from traceanalyzer.trace.linking.processes import by_process
from traceanalyzer.trace.linking.window import select_window
from traceanalyzer.trace.reading.files import may_name_several, trace_files
from traceanalyzer.trace.reading.names import shown_name
from traceanalyzer.trace.reading.raw import Raw
from traceanalyzer.trace.reading.reader import read

__all__ = [
    "at_capture",
    "devices_with_work",
    "load",
    "load_processes",
    "may_name_several",
    "of_device",
    "select_window",
    "shown_name",
    "trace_files",
    "unlinked_processes",
    "working_devices",
]


class UnlinkedProcess(msgspec.Struct):
    """One process of a file that is read, to be linked once."""

    _raw: list[Raw]
    _steps_by: str | None
    label: str  # the file, with the process where it holds several

    def linked(self) -> Trace:
        """Its trace; the rows are let go of. UsageError for steps that are not there."""
        return trace_of(self._raw.pop(), self._steps_by)


def unlinked_processes(
    path: str, *, progress: Callable[[int], None] | None = None, steps_by: str | None = None
) -> Iterator[UnlinkedProcess]:
    """Read the file at `path` ("-": standard input): every process in it, to be linked one by one.

    `progress` is called with the bytes of the file read so far; `steps_by` tells annotations that are
    steps, see `linking.steps`. Raises TraceFormatError for what is no PyTorch profiler trace.
    """
    waiting = list(by_process(read(path, progress=progress)))
    several = len(waiting) > 1
    while waiting:
        rank = waiting[0].rank if several else None
        label = waiting[0].path + (f" (rank {rank})" if rank is not None else "")
        yield UnlinkedProcess([waiting.pop(0)], steps_by, label)


def load_processes(
    path: str, *, progress: Callable[[int], None] | None = None, steps_by: str | None = None
) -> tuple[Trace, ...]:
    """The same, linked: one trace for each process."""
    return tuple(each.linked() for each in unlinked_processes(path, progress=progress, steps_by=steps_by))


def load(path: str, *, progress: Callable[[int], None] | None = None) -> Trace:
    """The same for the first process of a file, which nearly always is the only one."""
    return load_processes(path, progress=progress)[0]
