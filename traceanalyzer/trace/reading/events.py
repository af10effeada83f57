"""The rows of `traceEvents`, typed: the only file that knows what Kineto calls their fields and categories.

Spellings are those of `output_json.cpp` in Kineto and of `torch/profiler/_chrome_trace_export.py`,
with the capitalized ones of torch 1.8 to 1.10 beside them.
"""

from __future__ import annotations

import contextlib
import json
import re
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Raw, field

ABSENT = Raw(b"")
ABSENT_NUMBER = float("nan")
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Args(msgspec.Struct, gc=False):
    """The arguments that some later step reads; all others are skipped while decoding."""

    external: int = field(name="External id", default=-1)
    correlation: int = -1
    dims: Raw = field(name="Input Dims", default=ABSENT)
    types: Raw = field(name="Input type", default=ABSENT)
    strides: Raw = field(name="Input Strides", default=ABSENT)
    concrete: Raw = field(name="Concrete Inputs", default=ABSENT)
    sequence: int = field(name="Sequence number", default=-1)
    forward_thread: int = field(name="Fwd thread id", default=-1)
    device: int = -1
    stream: int | str = -1  # text on ROCm runtime rows
    grid: Raw = ABSENT  # a list on kernels, text on Triton's host rows
    block: Raw = ABSENT
    registers: int = field(name="registers per thread", default=-1)
    shared: int = field(name="shared memory", default=-1)
    bytes: int | str = -1  # text on ROCm runtime rows
    collective: Raw = field(name="Collective name", default=ABSENT)
    group: Raw = field(name="Process Group Name", default=ABSENT)
    group_ranks: Raw = field(name="Process Group Ranks", default=ABSENT)  # text: "[0, 1, 2, 3]"
    group_size: Raw = field(name="Group size", default=ABSENT)
    order: Raw = field(name="Seq", default=ABSENT)  # of the collective in its group
    in_elements: Raw = field(name="In msg nelems", default=ABSENT)
    out_elements: Raw = field(name="Out msg nelems", default=ABSENT)
    dtype: Raw = ABSENT
    source: Raw = field(name="Src Rank", default=ABSENT)  # of a receive, in the job
    destination: Raw = field(name="Dst Rank", default=ABSENT)  # of a send
    finished: bool | None = None  # false: the recording ended inside the row
    module: str = ""  # dotted name, where a collector wrote one
    hierarchy: str = field(name="Module Hierarchy", default="")
    backend: Raw = field(name="kernel_backend", default=ABSENT)  # "triton": the row is a launch of one
    flops: Raw = field(name="kernel_flop", default=ABSENT)  # what the compiler counted for it
    legacy_dims: Raw = field(name="Input dims", default=ABSENT)
    legacy_external: int = field(name="external id", default=-1)
    queue: int = -1  # the stream of early ROCm traces
    kernel: str | int = ""  # ROCm runtime rows: the kernel they launch
    in_device: int = field(name="inDevice", default=-1)  # peer-to-peer copies have no `device`
    dram_read: float = field(name="dram__bytes_read.sum", default=ABSENT_NUMBER)  # of a range of counters
    dram_written: float = field(name="dram__bytes_write.sum", default=ABSENT_NUMBER)
    allocated: int = field(name="Bytes", default=0)  # memory events: below 0 for a free
    address: int = field(name="Addr", default=-1)
    device_type: int = field(name="Device Type", default=-1)  # of c10::DeviceType: 0 is the CPU
    device_id: int = field(name="Device Id", default=-1)
    total_allocated: int = field(name="Total Allocated", default=-1)
    total_reserved: int = field(name="Total Reserved", default=-1)
    waits_for_stream: int = field(name="wait_on_stream", default=-1)
    waits_for_correlation: int = field(name="wait_on_cuda_event_record_corr_id", default=-1)


class Event(msgspec.Struct, gc=False):
    """One row of `traceEvents`; NaN and None stand for an absent field."""

    ph: str = ""
    cat: str = ""
    name: str | None = None
    pid: int | str = ""
    tid: int | str = ""
    ts: float = float("nan")  # microseconds
    dur: float = float("nan")
    args: Args | None = None
    id: int | str | None = None  # of a flow


NO_ARGS = Args()
MEMORY = "[memory]"  # the name of a row about an allocation or a free
decode_batch = msgspec.json.Decoder(list[Event]).decode


class Row(IntEnum):
    """What a complete row (`ph: X`) is; the GPU's three follow one another."""

    OP = 0
    ANNOTATION = 1
    LAUNCH = 2
    KERNEL = 3
    MEMCPY = 4
    MEMSET = 5
    BARE = 6  # no category: the event list of the profiler before Kineto
    PROFILER = 7  # what the profiler does itself
    FRAME = 8  # a Python function, of a recording with stacks
    RANGE = 9  # hardware counters of one kernel, instead of its time
    SYNC = 10  # a wait for the device, or for an event on it, as the device's tracing saw it
    OTHER = 11
    MTIA = 12  # Meta's accelerator: work, copies and waits under one category


_CATEGORIES = {
    Row.OP: "cpu_op operator",
    Row.ANNOTATION: "user_annotation",
    Row.LAUNCH: "cuda_runtime cuda_driver runtime driver xpu_runtime xpu_driver mtia_runtime "
                "privateuse1_runtime privateuse1_driver",
    Row.KERNEL: "kernel",
    Row.MEMCPY: "gpu_memcpy memcpy",
    Row.MEMSET: "gpu_memset memset",
    Row.PROFILER: "overhead",
    Row.FRAME: "python_function",
    Row.RANGE: "cuda_profiler_range",
    Row.SYNC: "cuda_sync",
    Row.MTIA: "mtia_ccp_events",
}  # fmt: skip
_ROWS = {cat: row for row, cats in _CATEGORIES.items() for cat in cats.split()}


class RowOf(dict[str, int]):
    """`cat` as written -> Row; remembers each spelling that it was asked for."""

    def __missing__(self, cat: str) -> int:
        row = _ROWS.get(cat.lower(), Row.OTHER) if cat else Row.BARE
        self[cat] = int(row)
        return int(row)

    @property
    def capitalized(self) -> bool:
        """Written by torch 1.8 to 1.10."""
        return any(cat != cat.lower() and row < Row.BARE for cat, row in self.items())


def adopt_bare(event: Event) -> int:
    """Row class of an event without a category, made to look like a row of today.

    `EventList.export_chrome_trace` (torch/autograd/profiler_util.py) tells host from device by the
    pid, and gives the device's number as tid.
    """
    if event.pid == "CPU functions":
        return Row.OP
    if isinstance(event.pid, str) and event.pid.endswith(" functions"):
        event.cat, event.pid, event.tid = "kernel", event.tid, 0
        return Row.KERNEL
    return Row.OTHER


# Categories that a device's activity has with some vendor, and that nothing above reads. Words such as
# `device` and `gpu` are in names of what the host does (`device_prefetch`): there the arguments decide.
_OF_A_DEVICE = re.compile(
    r"(?:async_)?(?:hpu|npu|mtia|xla|tpu|ipu|mlu|gcu|musa|neuron|xpu|privateuse\d?)(?:_|$)", re.IGNORECASE
)
_NO_WORK = re.compile(
    r"(?:^|_)(?:runtime|driver|sync|event|annotation|instant|api|host|cpu|compile|prefetch)(?:_|$)",
    re.IGNORECASE,
)
_MTIA_WAITS = ("event_wait", "event_record")
_MTIA_COPY = "dma_request"


def is_unread_device(event: Event) -> bool:
    """Whether a row, whose category none of the above is, is some device's activity.

    Either its category is known to be, or it says on which device and stream it ran.
    """
    if _NO_WORK.search(event.cat):
        return False
    args = event.args or NO_ARGS
    placed = args.device >= 0 and args.stream not in (-1, "")
    return placed or _OF_A_DEVICE.match(event.cat) is not None


def adopt_mtia(event: Event) -> int:
    """Row class of MTIA's activity by its name: an event's waits are no work, and DMA requests are copies."""
    row = Row.SYNC if event.name in _MTIA_WAITS else Row.MEMCPY if event.name == _MTIA_COPY else Row.KERNEL
    event.cat = {Row.SYNC: "cuda_sync", Row.MEMCPY: "gpu_memcpy"}.get(row, "kernel")
    return row


# Scopes that torch opens by itself; up to torch 1.10 they carry the category of an operator.
ANNOTATION_NAMES = re.compile(r"ProfilerStep#\d+$|Optimizer\.(?:step|zero_grad)#|enumerate\(DataLoader\)#")
UNREADABLE_NAME = "unknown"  # what Kineto writes for a name that is not ASCII

# A key that opens a row, so that `}, {` inside the arguments is not taken for a border between rows.
ROW_KEYS = b"ph|cat|name|pid|tid|ts|dur|args|id|bp|s|sf|cname|tts|tdur|bind_id|flow_in|flow_out"

_TEXT_KEYS = ("ph", "cat")
_INT_ARGS = {f.encode_name: f.name for f in msgspec.structs.fields(Args) if f.type in (int, int | str)}
_FLOAT_ARGS = {f.encode_name: f.name for f in msgspec.structs.fields(Args) if f.type is float}
_RAW_ARGS = {f.encode_name: f.name for f in msgspec.structs.fields(Args) if f.type is Raw}


def event_of(row: dict[str, Any]) -> tuple[Event, bool]:
    """The event of a row that the typed decoder refused, and whether it is whole.

    An argument of the wrong type counts as absent; a wrong `ts`, `dur`, `name` or `args`, without
    which a row is useless, makes it unusable (False).
    """
    event = Event(pid=_ident(row.get("pid", "")), tid=_ident(row.get("tid", "")))
    for key in _TEXT_KEYS:
        if isinstance(row.get(key), str):
            setattr(event, key, clean(row[key]))
    event.id = _ident(row.get("id", ""))
    event.ts, event.dur = _number(row.get("ts")), _number(row.get("dur"))
    name, args = row.get("name"), row.get("args")
    event.name = clean(name) if isinstance(name, str) else None
    if isinstance(args, dict):
        event.args = _args_of(args)
    usable = all(
        isinstance(row.get(key), expected)
        for key, expected in (("ts", (int, float)), ("dur", (int, float)), ("name", str))
        if row.get(key) is not None
    )
    return event, usable and (args is None or isinstance(args, dict))


def _args_of(row: dict[str, Any]) -> Args:
    args = Args()
    for key, value in row.items():
        if key in _INT_ARGS and isinstance(value, (int, float)) and value == value // 1:
            setattr(args, _INT_ARGS[key], int(value))
        elif key in _FLOAT_ARGS:
            setattr(args, _FLOAT_ARGS[key], _number(value))
        elif key in ("stream", "bytes") and isinstance(value, str):
            setattr(args, key, value)
        elif key in _RAW_ARGS and value is not None:
            with contextlib.suppress(RecursionError):  # a list that deep is no list of sizes
                setattr(args, _RAW_ARGS[key], Raw(json.dumps(value).encode()))
    for key, name in (("module", "module"), ("Module Hierarchy", "hierarchy")):
        if isinstance(row.get(key), str):
            setattr(args, name, clean(row[key]))
    if isinstance(row.get("finished"), bool):
        args.finished = row["finished"]
    return args


def clean(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _ident(value: Any) -> int | str:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, list | dict):
        return ""
    return clean(value) if isinstance(value, str) else str(value)


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("nan")
    return float("nan")
