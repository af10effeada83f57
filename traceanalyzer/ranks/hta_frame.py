"""A `Trace` as the table that HolisticTraceAnalysis computes on, in the columns of its own parser.

Times are microseconds with their fraction, as the file has them: HTA's parser rounds both ends to whole ones.
Rows are labelled from 1, since HTA takes a partner with label 0 for a missing one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from traceanalyzer.records.trace import Ids, Ints, OpKind, RecordKind, Step, Trace

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES = ("cpu_op", "user_annotation", "cuda_runtime", "kernel", "gpu_memcpy", "gpu_memset", "cuda_sync")
_OP, _ANNOTATION, _RUNTIME, _KERNEL, _MEMCPY, _MEMSET, _SYNC = range(len(CATEGORIES))
_OF_KIND = {RecordKind.KERNEL: _KERNEL, RecordKind.MEMCPY: _MEMCPY, RecordKind.MEMSET: _MEMSET}
HOST_PID = -1  # of host rows: kernels have their device's number there
NS_PER_US = 1000.0


class Labels(msgspec.Struct, frozen=True, eq=False):
    """The label of the first row of each table; they follow one another."""

    ops: int
    launches: int
    kernels: int
    syncs: int
    end: int  # behind the last

    @classmethod
    def of(cls, trace: Trace) -> Labels:
        """As `frame_of` lays the tables out. A CPU trace has operators and calls of a runtime only."""
        launches = 1 + len(trace.ops)
        kernels = launches + len(trace.launches)
        syncs = kernels + (0 if trace.on_cpu else len(trace.kernels))
        return cls(1, launches, kernels, syncs, syncs + len(trace.syncs))


class _Links(msgspec.Struct, frozen=True, eq=False):
    """Which rows are partners: the label of each one's, and the correlation that it keeps."""

    partner: Ints
    correlation: Ints


def frame_of(trace: Trace, symbols: dict[str, int], earliest_ns: int, threads: Ids | None = None) -> Any:
    """The DataFrame of one process. `symbols`: text -> number, of all names and `CATEGORIES`.

    Every row of the trace is there, also kernels without a launch and the last step. `earliest_ns`: what
    becomes time 0; `threads`: to whom each thread's rows are given, else each has its own.
    """
    import pandas as pd

    start, end, links = _start_ns(trace), _end_ns(trace), _links(trace)
    ts, stop = _microseconds(start - earliest_ns), _microseconds(end - earliest_ns)
    columns = {
        "index": np.arange(1, Labels.of(trace).end, dtype=np.int64),
        "cat": np.array([symbols.get(text, -1) for text in CATEGORIES], np.int64)[_categories(trace)],
        "name": np.array([symbols[text] for text in trace.names], np.int64)[_names(trace)],
        **_places(trace, threads),
        "ts": ts,
        "dur": stop - ts,
        "end": stop,
        "correlation": links.correlation,
        "index_correlation": links.partner,
        **_waits(trace),
        "memory_bw_gbps": _copy_rates(trace),
        "iteration": _iterations(trace, start),
    }
    return _labelled(pd.DataFrame(columns))


def _microseconds(ns: Ints) -> Any:
    """Integers where the clock counted whole ones."""
    whole, fraction = np.divmod(ns, 1000)
    return whole if not fraction.any() else ns / NS_PER_US


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    indexed = frame.set_index("index", drop=False)
    return indexed.rename_axis(index=None)


def _joined(trace: Trace, host: str, device: str, sync: str | None = None) -> Any:
    """One column over all rows."""
    kernels = [] if trace.on_cpu else [getattr(trace.kernels, device)]
    parts = [getattr(trace.ops, host), getattr(trace.launches, host), *kernels]
    return np.concatenate([*parts, getattr(trace.syncs, sync or device)])


def _start_ns(trace: Trace) -> Ints:
    start: Ints = _joined(trace, "start_ns", "start_ns")
    return start


def _end_ns(trace: Trace) -> Ints:
    end: Ints = _joined(trace, "end_ns", "end_ns")
    return end


def _names(trace: Trace) -> Ids:
    names: Ids = _joined(trace, "name", "name")
    return names


def _categories(trace: Trace) -> Ids:
    host = np.where(trace.ops.kind == OpKind.ANNOTATION, _ANNOTATION, _OP)
    device = [_OF_KIND.get(each, _KERNEL) for each in RecordKind]
    kernels = np.zeros(0, np.int64) if trace.on_cpu else np.array(device)[trace.kernels.kind]
    runtime, sync = np.full(len(trace.launches), _RUNTIME), np.full(len(trace.syncs), _SYNC)
    return np.concatenate((host, runtime, kernels, sync)).astype(np.int32)


def _places(trace: Trace, threads: Ids | None) -> dict[str, Ints]:
    """Where each row ran: process or device, thread or stream. HTA takes a thread 0 for none."""
    thread = _joined(trace, "thread", "stream").astype(np.int64)
    host = len(trace.ops) + len(trace.launches)
    tid, stream, pid = thread.copy(), thread.copy(), np.full(len(thread), HOST_PID, np.int64)
    tid[:host] = (thread[:host] if threads is None else threads[thread[:host]]) + 1
    stream[:host] = -1
    devices = [] if trace.on_cpu else [trace.kernels.device]
    pid[host:] = np.concatenate([*devices, trace.syncs.device])
    return {"pid": pid, "tid": tid, "stream": stream}


def _links(trace: Trace) -> _Links:
    """A launch is the partner of its first kernel; a synchronization is that of the call that waits.

    HTA finds partners by correlation, so another call that has the same one loses it.
    """
    labels = Labels.of(trace)
    correlation = np.concatenate((np.full(len(trace.ops), -1), trace.launches.correlation,
                                  *([] if trace.on_cpu else [trace.kernels.correlation]),
                                  trace.syncs.correlation)).astype(np.int64)  # fmt: skip
    partner = np.minimum(correlation, 0)
    device = np.arange(labels.kernels, labels.end)
    launch = np.concatenate((*([] if trace.on_cpu else [trace.kernels.launch]), trace.syncs.launch))
    linked = launch >= 0
    partner[device[linked] - 1] = launch[linked] + labels.launches
    partner[(launch[linked] + labels.launches - 1)[::-1]] = device[linked][::-1]  # the first one stays
    calls = slice(labels.launches - 1, labels.kernels - 1)
    shared = np.isin(correlation[calls], correlation[device[linked] - 1]) & (partner[calls] <= 0)
    correlation[calls] = np.where(shared, -1, correlation[calls])
    partner[calls] = np.where(shared, -1, partner[calls])
    return _Links(partner, correlation)


def _waits(trace: Trace) -> dict[str, Ints]:
    """What a synchronization waits for: the stream, and the record of the event on it."""
    before = np.full(Labels.of(trace).syncs - 1, -1, np.int64)
    columns = {"wait_on_stream": trace.syncs.waits_for_stream,
               "wait_on_cuda_event_record_corr_id": trace.syncs.waits_for_correlation}  # fmt: skip
    return {name: np.concatenate((before, values)) for name, values in columns.items()}


def _copy_rates(trace: Trace) -> Any:
    """GB/s of copies, which is bytes over ns; -1 of other rows."""
    labels, kernels = Labels.of(trace), trace.kernels
    rates = np.full(labels.end - 1, -1.0)
    if not trace.on_cpu:
        copied = kernels.copied_bytes >= 0
        rate = kernels.copied_bytes / np.maximum(kernels.duration_ns, 1)
        rates[labels.kernels - 1 : labels.syncs - 1] = np.where(copied, rate, -1.0)
    return rates


def _iterations(trace: Trace, start_ns: Ints) -> Ints:
    """The number of the step in which a host row starts, and a kernel was launched; -1 outside of steps."""
    labels = Labels.of(trace)
    moment = start_ns.copy()
    moments = [] if trace.on_cpu else [trace.kernels.launch_ns]
    moment[labels.kernels - 1 :] = np.concatenate([*moments, trace.syncs.start_ns])
    return _step_numbers(trace.steps, moment)


def _step_numbers(steps: Sequence[Step], moment_ns: Ints) -> Ints:
    number = np.full(len(moment_ns), -1, np.int64)
    for step in steps:
        number[(moment_ns >= step.start_ns) & (moment_ns < step.end_ns)] = step.number
    return number
