"""`Raw`: the rows of one file as numpy columns in file order, times in ns, not linked yet.

A column may be one number, whatever its length, where all rows have that (`numpy.broadcast_to`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records import Notice, OpCall, Recording, Salvaged
from traceanalyzer.records.collectives import NOT_DISTRIBUTED, CollectiveArgs, Distributed
from traceanalyzer.records.trace import Bools, Codes, DeviceProperties, Ids, Ints

NO_BYTES = -2  # RawKernels.counted_bytes of a record that counted something else


def at_rows(column: npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """A column at these rows; one number stays one."""
    return np.broadcast_to(column[:1], len(rows)) if column.strides == (0,) else column[rows]


class RawOps(msgspec.Struct, frozen=True, eq=False):
    """Ops and annotations in file order."""

    start_ns: Ints
    end_ns: Ints
    name: Ids  # row in Raw.names
    annotation: Bools  # cat user_annotation
    thread: Ids  # dense number of (pid, tid)
    call: Ids  # row in Raw.calls; -1 for annotations
    module: Ids  # row in Raw.names; -1
    external: Ints  # External id; -1
    sequence: Ints  # Sequence number; -1
    forward_thread: Ints  # Fwd thread id; 0 where the op runs in the forward pass; -1 absent
    file_row: Ids  # its number among the file's rows of operators and annotations, dropped ones included


def _no_ops() -> RawOps:
    wide, narrow = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return RawOps(wide, wide, narrow, np.zeros(0, bool), narrow, narrow, narrow, wide, wide, wide, narrow)


NO_RAW_OPS = _no_ops()


class RawLaunches(msgspec.Struct, frozen=True, eq=False):
    """Runtime and driver calls in file order."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    thread: Ids
    correlation: Ints  # -1
    external: Ints  # -1
    kernel: Ids  # row in Raw.names; -1


def _no_launches() -> RawLaunches:
    wide, narrow = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return RawLaunches(wide, wide, narrow, narrow, wide, wide, narrow)


NO_RAW_LAUNCHES = _no_launches()


class RawMemory(msgspec.Struct, frozen=True, eq=False):
    """Allocations and frees in file order."""

    start_ns: Ints
    thread: Ids
    address: Ints
    size: Ints  # bytes; below 0: freed
    device: Ids  # -1: the CPU's; -2: not recorded
    allocated: Ints  # in all, after it; -1
    reserved: Ints


class RawSpans(msgspec.Struct, frozen=True, eq=False):
    """What else the host did, in file order: the profiler's work, and Python functions of 0.3 ms and more."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    thread: Ids
    profiler: Bools


class RawFrames(msgspec.Struct, frozen=True, eq=False):
    """Python functions of the user and calls of modules, of any length, in file order."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    thread: Ids

    @classmethod
    def none(cls) -> RawFrames:
        """Of a recording without stacks."""
        none, never = np.zeros(0, np.int32), np.zeros(0, np.int64)
        return cls(never, never, none, none)


class RawSyncs(msgspec.Struct, frozen=True, eq=False):
    """Synchronizations in file order."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    device: Ids
    stream: Ints  # -1
    correlation: Ints  # -1
    waits_for_stream: Ints  # -1
    waits_for_correlation: Ints  # -1


def _no_syncs() -> RawSyncs:
    wide, narrow = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return RawSyncs(wide, wide, narrow, narrow, wide, wide, wide, wide)


NO_RAW_SYNCS = _no_syncs()


class RawKernels(msgspec.Struct, frozen=True, eq=False):
    """GPU activity in file order; gpu_user_annotation rows are not among them."""

    start_ns: Ints
    end_ns: Ints
    name: Ids
    kind: Codes  # RecordKind
    device: Ids
    stream: Ints
    correlation: Ints  # -1: missing, 0 or negative
    external: Ints  # -1
    blocks: Ints
    threads: Ids
    geometry: Ints
    registers: Ids
    shared_bytes: Ints
    copied_bytes: Ints
    collective: Ids  # row in Raw.collectives; -1
    counted_bytes: (
        Ints  # that hardware counters saw of the kernel, whose time this is not; -1: a timed record
    )
    pid: Ids  # row in Raw.pids: a device of a process, by whatever name the writer gives it
    file_row: Ids  # its number among the file's rows of GPU activity, dropped ones included


class Raw(msgspec.Struct, frozen=True, eq=False):
    """One file, decoded: what reading/ produces and linking/ links."""

    path: str
    bytes: int
    events: int
    dialect: str
    integer_us: bool  # timestamps are whole microseconds
    names: Sequence[str]
    calls: Sequence[OpCall]  # distinct; parsed on first access
    ops: RawOps
    launches: RawLaunches
    kernels: RawKernels
    memory: RawMemory
    spans: RawSpans
    devices: tuple[DeviceProperties, ...]
    rank: int | None
    base_ns: int = 0
    amd: bool = False
    inclusive: bool = False  # device rows are ranges round operators, of the profiler before Kineto
    gpu_listed: bool = False  # deviceProperties names a device, whether or not it worked
    recording: Recording | None = None
    evidence: str | None = None
    salvaged: Salvaged | None = None
    warnings: tuple[Notice, ...] = msgspec.field(default=())
    # rows of devices that are not read, by category
    unread: Mapping[str, int] = msgspec.field(default_factory=dict)
    collectives: Sequence[CollectiveArgs] = ()  # distinct
    distributed: Distributed = NOT_DISTRIBUTED
    frames: RawFrames = msgspec.field(default_factory=RawFrames.none)
    pids: Sequence[int | str] = ()  # distinct, of host and device rows
    syncs: RawSyncs = NO_RAW_SYNCS
    thread_pid: Ids = msgspec.field(default_factory=lambda: np.zeros(0, np.int32))  # thread -> row in pids
