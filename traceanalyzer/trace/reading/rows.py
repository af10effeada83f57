"""Events in, tables out: each batch is taken apart at once and none of its objects is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from traceanalyzer.records import MODULE_ANNOTATION
from traceanalyzer.records.frame_names import is_module_call, is_of_a_user
from traceanalyzer.records.trace import Ids, Ints, RecordKind
from traceanalyzer.trace.reading.calls import call_keys
from traceanalyzer.trace.reading.collectives import collective_key
from traceanalyzer.trace.reading.column_builder import Array, Columns, Interned, rows_of, whole_numbers
from traceanalyzer.trace.reading.cpp_kernels import annotated
from traceanalyzer.trace.reading.events import (
    MEMORY,
    NO_ARGS,
    Args,
    Event,
    Row,
    RowOf,
    adopt_bare,
    adopt_mtia,
    is_unread_device,
)
from traceanalyzer.trace.reading.flows import ARROW, Flows
from traceanalyzer.trace.reading.grids import Geometries, Volumes
from traceanalyzer.trace.reading.raw import NO_BYTES
from traceanalyzer.trace.reading.read_stats import ReadStats

_DIGITS = re.compile(r"\d{1,9}", re.ASCII)
_DEVICES = 1 << 20  # more than any machine has
_MEMORY = 1 << 44  # bytes, more than any device has: so that sums of them stay far below 64 bits
SHORTEST_FRAME_US = 300.0  # of a Python function that is kept: shorter ones explain no wait
ENDLESS_US = 1e11  # over a day: of a frame whose end is not recorded
_BUILT_IN = ("<built-in ", "<method ", "<frozen ", "<slot wrapper")
_INSTANCE = re.compile(r"(\w+)\([^()]*\)")
_KINDS: dict[int, int] = {
    Row.KERNEL: RecordKind.KERNEL, Row.MEMCPY: RecordKind.MEMCPY, Row.MEMSET: RecordKind.MEMSET,
    Row.RANGE: RecordKind.KERNEL,
}  # fmt: skip


class Rows:
    """The tables of one file while it is read: `ops` (with annotations), `launches`, `kernels`."""

    def __init__(self, stats: ReadStats) -> None:
        self.row_of = RowOf()
        self.names = Interned()
        self.names[None] = -1
        self.threads = Interned(same_thread)
        self.pids = Interned(_same_number)
        self.calls: Interned = Interned()
        self.collectives: Interned = Interned()
        self.collectives[None] = -1
        self.ops, self.launches, self.kernels = Columns(stats), Columns(stats), Columns(stats)
        self.memory, self.spans, self.syncs = Columns(stats), Columns(stats), Columns(stats)
        self.frames = Columns(stats)
        self.flows = Flows()
        self.unread: Counter[str] = Counter()  # rows of devices that are not read, by category
        self.bare = 0  # rows without a category that were adopted
        self.bare_ranges = 0  # of those, of a device
        self._op_rows = self._gpu_rows = 0  # so far, dropped ones included
        self._stats = stats
        self._places = _Places()
        self._volumes = Volumes()
        self._geometries = Geometries()

    def add(self, events: list[Event]) -> None:
        """Take a batch of decoded events apart."""
        ops: list[Event] = []
        launches: list[Event] = []
        kernels: list[Event] = []
        memory: list[Event] = []
        spans: list[Event] = []
        syncs: list[Event] = []
        frames: list[Event] = []
        places = self._places
        arrows: list[Event] = []
        annotations: list[int] = []

        def annotate(event: Event) -> None:
            annotations.append(len(ops))
            ops.append(event)

        def frame(event: Event) -> None:
            if event.dur >= SHORTEST_FRAME_US:
                spans.append(event)
            if places[event.name]:
                frames.append(event)

        gpu = kernels.append
        adopted: tuple[Callable[[Event], None], ...] = (
            ops.append, annotate, launches.append, gpu, gpu, gpu, _ignore, spans.append, frame,
            gpu, syncs.append, self._other,
        )  # fmt: skip

        def adopt(event: Event) -> None:
            row = adopt_bare(event)
            self.bare += row != Row.OTHER
            self.bare_ranges += row == Row.KERNEL
            adopted[row](event)

        def adopt_accelerator(event: Event) -> None:
            adopted[adopt_mtia(event)](event)

        # `adopt` must not refer to itself: its events would stay until a collector ran, and it is off.
        takers = (*adopted[: Row.BARE], adopt, *adopted[Row.BARE + 1 :], adopt_accelerator)
        row_of = self.row_of
        for event in events:
            if event.ph == "X":
                takers[row_of[event.cat]](event)
            elif event.name == MEMORY:
                memory.append(event)
            elif event.cat == ARROW:
                arrows.append(event)
        self.flows.add(arrows)
        if ops:
            self._add_ops(ops, annotations)
        if launches:
            self._add_launches(launches)
        if kernels:
            self._add_kernels(kernels)
        self._add_others(memory, spans, syncs, frames)

    def _add_others(
        self, memory: list[Event], spans: list[Event], syncs: list[Event], frames: list[Event]
    ) -> None:
        """What is neither an operator nor launched nor work of a device."""
        if memory:
            self._add_memory(memory)
        if spans:
            self._add_spans(spans)
        if syncs:
            self._add_syncs(syncs)
        if frames:
            self._add_frames(frames)

    def thread_of(self, event: Event) -> int:
        """The number of its thread; -1 where no row was read of that."""
        return self.threads.get(same_thread((event.pid, event.tid)), -1)

    def stream_of(self, event: Event) -> tuple[int, int]:
        """The row of its pid among those of the device's rows (-1), and the stream that its tid names."""
        return self.pids.get(_same_number(event.pid), -1), _number_in(event.tid, 0)

    def _other(self, event: Event) -> None:
        """Count what some device did that is not read."""
        if event.dur > 0 and is_unread_device(event):
            self.unread[event.cat] += 1

    def _add_ops(self, events: list[Event], annotations: list[int]) -> None:
        events = [annotated(event) for event in events]
        file_row = np.arange(self._op_rows, self._op_rows + len(events), dtype=np.int32)
        self._op_rows += len(events)
        args = [event.args or NO_ARGS for event in events]
        if False in {each.finished for each in args}:
            file_row = file_row[[each.finished is not False for each in args]]
            annotations = _without_unfinished(events, args, annotations)
            self._stats.add("unfinished_rows", len(args) - len(events))
            args = [event.args or NO_ARGS for event in events]
        common = self._common(events, args)
        keys = zip(common["name"].tolist(), call_keys(args), strict=True)
        call = rows_of(self.calls, keys, len(args))
        annotation = np.zeros(len(events), bool)
        if annotations:
            annotation[annotations] = True
            call[annotations] = -1
        self.ops.append(
            **common,
            annotation=annotation,
            call=call,
            module=self._modules(events, args, annotations),
            sequence=whole_numbers([each.sequence for each in args]),
            forward_thread=whole_numbers([each.forward_thread for each in args]),
            file_row=file_row,
        )

    def _common(self, events: list[Event], args: list[Args]) -> dict[str, Array]:
        """Columns that host rows share."""
        count = len(events)
        external = whole_numbers([each.external for each in args])
        if (external < 0).any():
            older = whole_numbers([each.legacy_external for each in args])
            external = np.where(external < 0, older, external)
        return {
            "ts": np.fromiter([event.ts for event in events], np.float64, count),
            "dur": np.fromiter([event.dur for event in events], np.float64, count),
            "name": rows_of(self.names, [event.name for event in events], count),
            "thread": rows_of(self.threads, [(event.pid, event.tid) for event in events], count),
            "external": external,
        }

    def _modules(self, events: list[Event], args: list[Args], annotations: list[int]) -> Ids:
        given = [each.module or each.hierarchy for each in args]
        for place in annotations:
            name = events[place].name or ""
            if name.startswith(MODULE_ANNOTATION):
                given[place] = name.removeprefix(MODULE_ANNOTATION)
        if not any(given):
            return np.full(len(args), -1, np.int32)
        return np.array([self.names[module_path(text)] if text else -1 for text in given], np.int32)

    def _add_launches(self, events: list[Event]) -> None:
        args = [event.args or NO_ARGS for event in events]
        correlation = whole_numbers([each.correlation for each in args])
        self.launches.append(
            **self._common(events, args),
            correlation=_positive(correlation),
            kernel=rows_of(self.names, [_text(each.kernel) for each in args], len(args)),
        )

    def _add_kernels(self, events: list[Event]) -> None:
        args = [event.args or NO_ARGS for event in events]
        row_of, volumes, geometries = self.row_of, self._volumes, self._geometries
        count = len(events)
        common = self._common(events, args)
        del common["thread"]
        rows = [row_of[event.cat] for event in events]
        correlation = _positive(whole_numbers([each.correlation for each in args]))
        self.flows.seen(correlation)
        self.kernels.append(
            **common,
            kind=rows_of(_KINDS, rows, count).astype(np.int8),
            device=_devices(events, args),
            stream=_streams(events, args),
            correlation=correlation,
            blocks=whole_numbers([volumes[bytes(each.grid)] for each in args]),
            threads=_narrow([volumes[bytes(each.block)] for each in args]),
            geometry=whole_numbers([geometries[bytes(each.grid), bytes(each.block)] for each in args]),
            registers=_narrow([each.registers for each in args]),
            shared_bytes=_sized([each.shared for each in args]),
            copied_bytes=_sized([each.bytes for each in args]),
            collective=rows_of(self.collectives, map(collective_key, args), count),
            counted_bytes=_counted(rows, args),
            pid=rows_of(self.pids, [event.pid for event in events], count),
            file_row=np.arange(self._gpu_rows, self._gpu_rows + count, dtype=np.int32),
        )
        self._gpu_rows += count

    def _add_memory(self, events: list[Event]) -> None:
        args = [event.args or NO_ARGS for event in events]
        count = len(events)
        self.memory.append(
            ts=np.fromiter([event.ts for event in events], np.float64, count),
            dur=np.zeros(count),
            name=rows_of(self.names, [event.name for event in events], count),
            thread=rows_of(self.threads, [(event.pid, event.tid) for event in events], count),
            address=whole_numbers([each.address for each in args]),
            size=whole_numbers([each.allocated for each in args]).clip(-_MEMORY, _MEMORY),
            device=whole_numbers([_memory_of(each) for each in args]).clip(-2, _DEVICES).astype(np.int32),
            allocated=whole_numbers([each.total_allocated for each in args]).clip(-1, _MEMORY),
            reserved=whole_numbers([each.total_reserved for each in args]).clip(-1, _MEMORY),
        )

    def _add_spans(self, events: list[Event]) -> None:
        common = self._common(events, [NO_ARGS] * len(events))
        del common["external"]
        of_profiler = [self.row_of[event.cat] == Row.PROFILER for event in events]
        self.spans.append(**common, profiler=np.array(of_profiler, bool))

    def _add_syncs(self, events: list[Event]) -> None:
        args = [event.args or NO_ARGS for event in events]
        common = self._common(events, args)
        del common["thread"], common["external"]
        self.syncs.append(
            **common,
            device=_devices(events, args),
            stream=whole_numbers([each.stream for each in args]),
            correlation=_positive(whole_numbers([each.correlation for each in args])),
            waits_for_stream=whole_numbers([each.waits_for_stream for each in args]),
            waits_for_correlation=whole_numbers([each.waits_for_correlation for each in args]),
        )

    def _add_frames(self, events: list[Event]) -> None:
        """One that had not ended when the recording did lasts as long as what it was called by."""
        common = self._common(events, [NO_ARGS] * len(events))
        del common["external"]
        ended = common["dur"] >= 0
        common["dur"] = np.where(ended, common["dur"], ENDLESS_US)
        self.frames.append(**common)


class _Places(dict[str | None, bool]):
    """Name of a frame -> whether it says where in the user's code: a function of the user, or a module."""

    def __missing__(self, name: str | None) -> bool:
        if not name or name.startswith(_BUILT_IN):
            return False  # not kept: such names hold addresses, and are many
        self[name] = is_module_call(name) or is_of_a_user(name)
        return self[name]


def _ignore(_: Event) -> None:
    return


def _text(value: str | int) -> str | None:
    return value if isinstance(value, str) and value else None


def _without_unfinished(events: list[Event], args: list[Args], annotations: list[int]) -> list[int]:
    """Take the rows that had not ended out of `events`; the places of the annotations that remain."""
    marked = set(annotations)
    kept = [place for place, each in enumerate(args) if each.finished is not False]
    events[:] = [events[place] for place in kept]
    return [place for place, before in enumerate(kept) if before in marked]


def same_thread(key: tuple[int | str, int | str]) -> tuple[int | str, int | str]:
    """(pid, tid) with digits in text as numbers: torch 1.9 writes the pid bare and the tid quoted."""
    pid, tid = map(_same_number, key)
    return pid, tid


def _same_number(part: int | str) -> int | str:
    return int(part) if isinstance(part, str) and _DIGITS.fullmatch(part) else part


def module_path(text: str) -> str:
    """Dotted module name: `layer1` in TorchScript's `TOP(Net)::forward.layer1(Block)::forward`.

    Text of any other form is taken as it is.
    """
    instances = _INSTANCE.findall(text)
    if instances and instances[0].upper() == "TOP":
        instances = instances[1:]
    return ".".join(instances) or text


def _devices(events: list[Event], args: list[Args]) -> Ids:
    """`device`, or what stood for it: `inDevice` of a peer-to-peer copy, else the pid."""
    devices = [each.device for each in args]
    if min(devices) < 0:
        for place, (event, each) in enumerate(zip(events, args, strict=True)):
            if each.device < 0:
                devices[place] = each.in_device if each.in_device >= 0 else _number_in(event.pid, 0)
    return _narrow(devices, 0)


def _streams(events: list[Event], args: list[Args]) -> Ints:
    """`stream`, or what stood for it: the queue (early ROCm), the tid (`stream 7`, or the bare number)."""
    streams: list[Any] = [each.stream for each in args]
    for place, stream in enumerate(streams):
        if type(stream) is not int or stream < 0:
            given, queue = _number_in(stream, -1), args[place].queue
            stood_for = queue if queue >= 0 else _number_in(events[place].tid, 0)
            streams[place] = given if given >= 0 else stood_for
    return whole_numbers(streams)


def _number_in(value: int | str, otherwise: int) -> int:
    if isinstance(value, int):
        return value if value >= 0 else otherwise
    match = _DIGITS.search(value)
    return int(match[0]) if match else otherwise


def _positive(values: Ints) -> Ints:
    """Kineto counts correlations from 1: 0 and less mean none."""
    return np.where(values > 0, values, -1)


def _sized(values: list[Any]) -> Ints:
    """Bytes; what no device's memory holds is -1."""
    sizes = whole_numbers(values)
    return np.where((sizes >= 0) & (sizes <= _MEMORY), sizes, -1)


def _counted(rows: list[int], args: list[Args]) -> Ints:
    """Bytes of DRAM that each range of counters saw; `NO_BYTES` of a range without them, -1 of other rows."""
    counted = np.full(len(rows), -1, np.int64)
    if Row.RANGE in rows:
        for number in [number for number, row in enumerate(rows) if row == Row.RANGE]:
            read, written = args[number].dram_read, args[number].dram_written
            counts = 0 <= read <= _MEMORY and 0 <= written <= _MEMORY
            counted[number] = round(read + written) if counts else NO_BYTES
    return counted


def _narrow(values: list[int], otherwise: int = -1) -> Ids:
    """32-bit column; what does not fit is `otherwise`."""
    wide = whole_numbers(values)
    return np.where((wide >= -1) & (wide < 2**31), wide, otherwise).astype(np.int32)


def _memory_of(args: Args) -> int:
    """The GPU's index; -1 for the CPU; -2 where the row does not say."""
    if args.device_type > 0:
        return args.device_id if args.device_id >= 0 else -2
    return -1 if args.device_type == 0 else -2
