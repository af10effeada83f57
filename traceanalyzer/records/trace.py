"""Trace: one file, read and linked, as numpy columns in integer nanoseconds.

A row index into another table is named after it (`op`, `launch`, `parent`, `call`, `name`);
-1 there means none. Nothing outside `trace/` knows a Kineto field name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records import Notice, OpCall, Recording, Salvaged
from traceanalyzer.records.call_sites import NO_CALL_SITES, CallSites
from traceanalyzer.records.collectives import NOT_DISTRIBUTED, CollectiveArgs, Distributed
from traceanalyzer.records.frames import NO_FRAMES, Frames
from traceanalyzer.records.vocabulary import Phase

Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]
Number = TypeVar("Number", bound=np.integer[Any])


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """The distinct values, ascending. `np.unique` hashes them first, which is 20 times slower on millions.

    Row numbers, which lie close together, are ticked off in a list of all that they could be.
    """
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if high - low < 4 * len(values):
        there = np.zeros(high - low + 1, bool)
        there[np.subtract(values, low, dtype=np.int64)] = True
        return (np.flatnonzero(there) + low).astype(values.dtype)
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def places(values: Ints) -> tuple[Ints, Ints]:
    """The distinct values, ascending, and the place of each value, from 0 on, among them."""
    size = int(values.max(initial=-1)) + 1
    if size > 4 * len(values):
        rows, each = np.unique(values, return_inverse=True)
        return rows, each.ravel()
    there = np.zeros(size, bool)
    there[values] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[values]


def passes(names: Sequence[str], column: Ids, test: Callable[[str], object]) -> Bools:
    """Whether each entry's name passes; every distinct name is looked at once. -1 does not pass."""
    used, good = (np.zeros(len(names) + 1, bool) for _ in range(2))  # -1 is the last entry
    used[column] = True
    for row in np.flatnonzero(used[:-1]).tolist():
        good[row] = bool(test(names[row]))
    passed: Bools = good[column]
    return passed


def nearest(parent: Ids, marked: Bools) -> Ids:
    """The innermost marked row among each row itself and its ancestors; -1 where none is. O(n log depth)."""
    if not marked.any():
        return np.full(len(parent), -1, np.int32)
    up = np.where(marked, np.arange(len(parent), dtype=np.int32), parent)
    active = np.flatnonzero(up >= 0)
    while True:
        active = active[~marked[up[active]]]
        if not len(active):
            return up
        up[active] = up[up[active]]  # what a row skips is never marked
        active = active[up[active] >= 0]


def above(parent: Ids, marked: Bools) -> Ids:
    """The innermost marked row among the proper ancestors of each row; -1 where none is."""
    near = np.append(nearest(parent, marked), np.int32(-1))
    return near[parent]  # a parent of -1 reads the last entry


# Index = the code stored in Ops.phase; -1 is null.
PHASES: tuple[Phase, ...] = ("forward", "backward", "optimizer", "recompute")


def phase_named(code: int) -> Phase | None:
    """Of a code as `Ops.phase` has it."""
    return PHASES[code] if code >= 0 else None


class OpKind(IntEnum):
    """What a host-side interval is; stored in `Ops.kind`."""

    OP = 0  # a framework operator
    ANNOTATION = 1  # record_function, ProfilerStep#N, DataLoader, Optimizer.step
    AUTOGRAD = 2  # autograd::engine::evaluate_function: X, and the node XBackward0 itself
    COMPILED = 3  # wrapper of a compiled region: CompiledFunction, Torch-Compiled Region, ...


class RecordKind(IntEnum):
    """What a record that takes device time is; stored in `Kernels.kind`."""

    KERNEL = 0
    MEMCPY = 1
    MEMSET = 2
    HOST = 3  # the self time of one op invocation, on a trace without GPU activity


# Index = the code stored in Kernels.unlinked; -1 is linked.
UNLINKED = ("no_correlation", "no_launch", "no_op", "cuda_graph", "compiled_region")


class Ops(msgspec.Struct, frozen=True, eq=False):
    """Host-side intervals (ops and annotations), sorted by (thread, start, -duration, file order)."""

    start_ns: Ints
    end_ns: Ints  # clamped to the parent's end
    name: Ids  # row in Trace.names
    kind: Codes  # OpKind
    thread: Ids  # dense number of the (pid, tid)
    parent: Ids  # innermost enclosing interval on the same thread
    call: Ids  # row in Trace.calls: the distinct (name, dims, types, strides, concrete inputs)
    phase: Codes  # row in PHASES
    module: Ids  # row in Trace.names: dotted module name
    forward: Ids  # of a backward node: the forward op it differentiates; -1 elsewhere and where unknown

    def __len__(self) -> int:
        return len(self.start_ns)


class Launches(msgspec.Struct, frozen=True, eq=False):
    """Runtime and driver API calls on the host (launches, copies, synchronizations)."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    thread: Ids
    correlation: Ints
    kernel: Ids  # row in Trace.names: what it launches, where the runtime's record says so (AMD); -1

    def __len__(self) -> int:
        return len(self.start_ns)


class Kernels(msgspec.Struct, frozen=True, eq=False):
    """Records that take device time, sorted by (start, end, device, stream, correlation, name text)."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    kind: Codes  # RecordKind
    device: Ids  # device index in the trace; 0 on a CPU trace
    stream: Ints  # stream, or host thread number on a CPU trace
    correlation: Ints  # -1: absent
    launch: Ids  # row in Launches
    launch_ns: Ints  # its start; the op's own on a CPU trace, and where only the op is known; -1: neither
    op: Ids  # link op: row in Ops (also set where `unlinked` is cuda_graph, for the name)
    unlinked: Codes  # row in UNLINKED: why there is no link op
    blocks: Ints  # product of the grid; -1: not recorded
    threads: Ids  # threads a block; -1
    geometry: Ints  # equal where grid and block are, in every trace; -1: not recorded
    registers: Ids  # registers a thread; -1
    shared_bytes: Ints  # shared memory a block; -1
    copied_bytes: Ints  # memcpy and memset: the `bytes` argument; -1
    collective: Ids  # row in Trace.collectives: what the record says of its collective; -1
    counted_bytes: Ints  # of DRAM, that hardware counters saw; -1: not measured
    duration_ns: Ints  # end - start; the sum of its pieces for a HOST record
    file_row: Ids  # its number among the file's rows of GPU activity; of operators on a CPU trace

    def __len__(self) -> int:
        return len(self.start_ns)


class Memory(msgspec.Struct, frozen=True, eq=False):
    """Allocations and frees of tensors, where the profiler recorded them, by time."""

    time_ns: Ints
    thread: Ids  # as in Ops
    address: Ints  # -1: not recorded
    bytes: Ints  # below 0: freed
    device: Ids  # index of a GPU; -1: the CPU's; -2: not recorded
    allocated: Ints  # bytes in use on the device after it; -1: not recorded
    reserved: Ints  # by the allocator from the driver, likewise


class Spans(msgspec.Struct, frozen=True, eq=False):
    """What else the host did: the profiler's own work, and Python functions of 0.3 ms and more.

    Sorted by (thread, start, -duration).
    """

    start_ns: Ints
    end_ns: Ints
    name: Ids
    thread: Ids  # as in Ops
    profiler: Bools

    def __len__(self) -> int:
        return len(self.start_ns)


NO_SPANS = Spans(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32),
                 np.zeros(0, bool))  # fmt: skip


class Syncs(msgspec.Struct, frozen=True, eq=False):
    """Synchronizations as the device's tracing saw them, where it was asked to. They take no device time."""

    start_ns: Ints
    end_ns: Ints
    name: Ids  # row in Trace.names: "Stream Wait Event", "Event Sync", "Stream Sync", "Context Sync"
    device: Ids
    stream: Ints  # the one that waits; -1: the host
    correlation: Ints  # of the call; -1
    launch: Ids  # that call: row in Launches; -1
    waits_for_stream: Ints  # on which the event was recorded; -1
    waits_for_correlation: Ints  # of the call that recorded it; -1

    def __len__(self) -> int:
        return len(self.start_ns)


def _no_syncs() -> Syncs:
    wide, narrow = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return Syncs(wide, wide, narrow, narrow, wide, wide, narrow, wide, wide)


NO_SYNCS = _no_syncs()


class Pieces(msgspec.Struct, frozen=True, eq=False):
    """The intervals in which records run; a HOST record is cut by its children into several."""

    start_ns: Ints
    end_ns: Ints
    record: Ids  # row in Kernels


class DeviceProperties(msgspec.Struct, frozen=True):
    """One entry of `deviceProperties`, as recorded; None where the key is absent."""

    index: int
    name: str
    memory_bytes: int | None = None
    multiprocessors: int | None = None
    compute_capability: str | None = None
    warp_size: int | None = None
    max_threads_per_multiprocessor: int | None = None
    registers_per_multiprocessor: int | None = None
    shared_bytes_per_multiprocessor: int | None = None


class Step(msgspec.Struct, frozen=True):
    """One ProfilerStep annotation, or another that is a step; times in ns, as on the host."""

    name: str  # "ProfilerStep#7"; another annotation's text, with its number where that repeats
    number: int
    start_ns: int
    end_ns: int


class Window(msgspec.Struct, frozen=True):
    """The analyzed window, and where its steps cut it, as the device saw them (ns)."""

    cuts: tuple[int, ...]  # where each step begins, ascending, and where the last one ends
    steps: tuple[Step, ...]  # () where the trace has none: then it is the whole trace
    notices: tuple[Notice, ...] = ()
    step_ends: tuple[int, ...] = ()  # of each step, where its own work ends; (): where the next one begins

    @property
    def start_ns(self) -> int:
        """Where it begins."""
        return self.cuts[0]

    @property
    def end_ns(self) -> int:
        """Where it ends."""
        return self.cuts[-1]


class Trace(msgspec.Struct, frozen=True, eq=False):
    """One file, read and linked; `inference` completes its calls, `cost` prices them."""

    path: str  # as the user gave it; "-" for stdin
    bytes: int  # of decompressed text
    events: int  # rows in traceEvents
    dialect: str  # "integer_us_capitalised" | "integer_us" | "float_epoch" | "nanosecond"
    names: Sequence[str]
    calls: Sequence[OpCall]
    ops: Ops
    launches: Launches
    kernels: Kernels
    pieces: Pieces | None  # None: every kernel is its own single piece
    steps: tuple[Step, ...]
    devices: tuple[DeviceProperties, ...]
    rank: int | None
    on_cpu: bool  # kernels are HOST records
    device_lost: bool = False  # a device worked, and nothing of its activity was recorded or read
    collectives: Sequence[CollectiveArgs] = ()
    distributed: Distributed = NOT_DISTRIBUTED
    base_ns: int = 0  # baseTimeNanoseconds, to compare ranks; times above do not include it
    amd: bool = False  # any sign of AMD: warpSize 64, hip_* or roctracer keys at top level
    recording: Recording | None = None
    memory: Memory | None = None
    spans: Spans = NO_SPANS
    syncs: Syncs = NO_SYNCS
    frames: Frames = NO_FRAMES
    call_sites: CallSites = NO_CALL_SITES
    evidence: str | None = None  # JSON of collect/evidence.py: producer-consumer edges of one more step
    salvaged: Salvaged | None = None
    warnings: tuple[Notice, ...] = msgspec.field(default=())

    @property
    def is_cut_off(self) -> bool:
        """Whether the file ends early. Rows of a GPU come last in it: idle time may be rows that are lost."""
        return any(notice.code in ("truncated", "corrupt_gzip") for notice in self.warnings)
