"""`Raw` by hand: rows in file order, times in ns, names interned on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from traceanalyzer.inference.complete import complete
from traceanalyzer.records import OpCall
from traceanalyzer.records.trace import RecordKind, Trace
from traceanalyzer.trace.linking.assemble import trace_of
from traceanalyzer.trace.reading.raw import Raw, RawKernels, RawLaunches, RawMemory, RawOps, RawSpans


@dataclass
class Rows:
    """Host and device rows of one file; `trace()` links them."""

    integer_us: bool = False
    dialect: str = "nanosecond"
    gpu_listed: bool = False
    names: list[str] = field(default_factory=list)
    calls: list[OpCall] = field(default_factory=list)
    ops: list[tuple[Any, ...]] = field(default_factory=list)
    launches: list[tuple[Any, ...]] = field(default_factory=list)
    kernels: list[tuple[Any, ...]] = field(default_factory=list)
    memory: list[tuple[Any, ...]] = field(default_factory=list)
    spans: list[tuple[Any, ...]] = field(default_factory=list)

    def op(
        self, name: str, start: int, end: int, *, thread: int = 0, external: int = -1, sequence: int = -1,
        forward_thread: int = -1, module: str | None = None, call: OpCall | None = None,
    ) -> int:  # fmt: skip
        made = call or OpCall(name)
        if made not in self.calls:
            self.calls.append(made)
        self.ops.append((start, end, self.number(name), False, thread, self.calls.index(made),
                         self.number(module), external, sequence, forward_thread, len(self.ops)))  # fmt: skip
        return len(self.ops) - 1

    def numbered(self, name: str, start: int, end: int, sequence: int, **more: Any) -> int:
        """A forward op that runs with gradients on."""
        return self.op(name, start, end, sequence=sequence, forward_thread=0, **more)

    def node(self, name: str, start: int, end: int, sequence: int = -1, **more: Any) -> int:
        """A backward node inside the interval that the engine opens round it."""
        more = {"thread": 1, "sequence": sequence, "forward_thread": 1 if sequence >= 0 else -1} | more
        call = more.pop("call", None)
        self.op(f"autograd::engine::evaluate_function: {name}", start, end, **more)
        return self.op(name, start + 1, end, call=call, **more)

    def annotation(self, name: str, start: int, end: int, *, thread: int = 0, external: int = -1) -> int:
        self.ops.append((start, end, self.number(name), True, thread, -1, -1, external, -1, -1,
                         len(self.ops)))  # fmt: skip
        return len(self.ops) - 1

    def launch(
        self, correlation: int, start: int, *, thread: int = 0, name: str = "cudaLaunchKernel", end: int = -1
    ) -> int:
        end = end if end >= 0 else start + 1
        self.launches.append((start, end, self.number(name), thread, correlation, -1, -1))
        return len(self.launches) - 1

    def span(self, name: str, start: int, end: int, *, thread: int = 0, profiler: bool = False) -> None:
        """A Python function, or the profiler's own work."""
        self.spans.append((start, end, self.number(name), thread, profiler))

    def allocation(self, at: int, address: int, size: int, *, thread: int = 0) -> None:
        """`size` below 0: a free."""
        self.memory.append((at, thread, address, size, 0, -1, -1))

    def kernel(
        self, name: str, start: int, end: int, correlation: int = -1, *, external: int = -1, device: int = 0,
        stream: int = 7, kind: int = RecordKind.KERNEL, blocks: int = 1, counted: int = -1,
    ) -> int:  # fmt: skip
        self.kernels.append((start, end, self.number(name), int(kind), device, stream, correlation, external,
                             blocks, 128, -1, 32, 0, -1, -1, counted, 0, len(self.kernels)))  # fmt: skip
        return len(self.kernels) - 1

    def number(self, name: str | None) -> int:
        if name is None:
            return -1
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def raw(self) -> Raw:
        return Raw(
            path="t.json", bytes=0, events=len(self.ops) + len(self.launches) + len(self.kernels),
            dialect=self.dialect, integer_us=self.integer_us, names=list(self.names), calls=list(self.calls),
            ops=_table(RawOps, self.ops), launches=_table(RawLaunches, self.launches),
            kernels=_table(RawKernels, self.kernels), memory=_table(RawMemory, self.memory), devices=(),
            rank=None, gpu_listed=self.gpu_listed, spans=_table(RawSpans, self.spans),
        )  # fmt: skip

    def trace(self) -> Trace:
        return complete(trace_of(self.raw()))


_DTYPES = {
    "name": np.int32, "annotation": np.bool_, "thread": np.int32, "call": np.int32, "module": np.int32,
    "kind": np.int8, "kernel": np.int32, "device": np.int32, "threads": np.int32, "registers": np.int32,
    "collective": np.int32, "pid": np.int32, "profiler": np.bool_, "file_row": np.int32,
}  # fmt: skip


def _table(kind: Any, rows: list[tuple[Any, ...]]) -> Any:
    names = list(kind.__struct_fields__)
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    return kind(*(np.array(c, _DTYPES.get(n, np.int64)) for n, c in zip(names, columns, strict=True)))


def name_of(trace: Trace, op: int) -> str:
    return str(trace.names[trace.ops.name[op]])


def link_names(trace: Trace) -> dict[str, str | None]:
    """Kernel name -> name of its link op."""
    kernels = trace.kernels
    return {
        trace.names[name]: name_of(trace, op) if op >= 0 else None
        for name, op in zip(kernels.name.tolist(), kernels.op.tolist(), strict=True)
    }
