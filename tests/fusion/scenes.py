"""Steps written by hand, as rules see them: operators with all that a trace records of them.

    graph = scene(
        forward(op("mm", (512, 64), (64, 512), dtypes="bf16"), 1),
        backward("MmBackward0", op("mm", (512, 512), (512, 64), dtypes="bf16"), sequence=1),
        annotation("Optimizer.step#SGD.step", op("add_", (64, 512), (64, 512))),
        steps=3, device="a100-sxm4-80gb",
    )
    claims(graph)  # {"unaligned_gemm": [("mm", "mm")]}

Operators run one after another; each takes as long on the host as its kernels take on the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from tests.trace.build import Rows
from traceanalyzer.cost import price_call
from traceanalyzer.cost.price import price
from traceanalyzer.device import DeviceMatch, named
from traceanalyzer.fusion.evidence.dataflow import Edge, Tensor, Tier
from traceanalyzer.fusion.rules import Match
from traceanalyzer.fusion.step_graph import StepGraph, step_graph
from traceanalyzer.fusion.suggestions import applied
from traceanalyzer.records import Cost, Device, Dims, OpCall, Peak, Recording
from traceanalyzer.roofline.judge import judge
from traceanalyzer.trace import select_window

SLOW = 120_000  # ns that an operator takes where a scene names no time
_BLOCKS = 4096  # of a kernel: enough to fill any device
_TYPES = {
    "bf16": "c10::BFloat16", "fp16": "c10::Half", "fp32": "float", "fp64": "double", "int64": "long int",
    "int32": "int", "int8": "signed char", "uint8": "unsigned char", "bool": "bool",
    "complex64": "c10::complex<float>",
    "fp8_e4m3": "c10::Float8_e4m3fn", "fp8_e5m2": "c10::Float8_e5m2",
}  # fmt: skip
CPU = Device(
    id="cpu", name="CPU", kind="cpu", how="file", confidence="exact", bandwidth_bytes_per_s=50e9,
    peaks=(Peak("vector", "fp32", 1e12), Peak("matrix", "fp32", 1e12)),
)  # fmt: skip


class Item(msgspec.Struct, frozen=True, dict=True):
    """One host interval, and what it launches itself."""

    name: str
    kind: Literal["op", "annotation", "node"]
    call: OpCall | None = None
    kernels: tuple[tuple[str, int], ...] = ()  # (name, ns); on a CPU the op's own time is their sum
    inner: tuple[Item, ...] = ()
    sequence: int = -1
    module: str | None = None
    makes: tuple[int, ...] = ()  # bytes of each tensor that it allocates
    kept: bool = False  # what it allocates is not freed while the next operator works


def op(
    name: str, *shapes: Dims, dtypes: str | Sequence[str | None] = "fp32", concrete: Sequence[str] = (),
    strides: Sequence[Dims] = (), kernel: str = "kernel", ns: int = SLOW,
    kernels: Sequence[tuple[str, int]] | None = None, inner: Sequence[Item] = (), module: str | None = None,
    makes: Sequence[int] | None = None, kept: bool = False, triton: bool = False,
) -> Item:  # fmt: skip
    """An operator; `aten::` is put before a name without a namespace.

    `dtypes`: one for all tensors with dims, or one an input. `kernels` in place of one of `ns`; () where only
    what is `inner` works. `makes`: bytes of its results, by default the one tensor that its formula writes.
    """
    full = name if "::" in name else f"aten::{name}"
    known = [dtypes if dims else None for dims in shapes] if isinstance(dtypes, str) else list(dtypes)
    assert len(known) == len(shapes)
    call = OpCall(
        full, shapes, tuple(None if _nested(d) else k for k, d in zip(known, shapes, strict=True)),
        tuple("TensorList" if _nested(d) else _TYPES[k] if k else "Scalar"
              for k, d in zip(known, shapes, strict=True)),
        tuple(strides), tuple(concrete) or ("",) * len(shapes), triton=triton,
        list_dtype=next((k for k, d in zip(known, shapes, strict=True) if _nested(d)), None),
    )  # fmt: skip
    cost = price_call(call)
    written = (cost.write_bytes,) if isinstance(cost, Cost) and not full.endswith("_") else ()
    chosen = tuple(kernels) if kernels is not None else ((kernel, ns),)
    made = tuple(makes) if makes is not None else written if chosen else ()
    return Item(full, "op", call, chosen, tuple(inner), module=module, makes=made, kept=kept)


def inside(name: str, *items: Item, module: str | None = None) -> Item:
    """An operator that only calls others, as `aten::scaled_dot_product_attention`."""
    return op(name, kernels=(), inner=items, module=module)


def annotation(name: str, *items: Item) -> Item:
    """What record_function and the optimizer write: `Optimizer.step#AdamW.step`."""
    return Item(name, "annotation", inner=items)


def forward(item: Item, sequence: int) -> Item:
    """The operator that made the backward node of this sequence number."""
    return replace(item, sequence=sequence)


def backward(node: str, *items: Item, sequence: int = -1) -> Item:
    """A node of the autograd engine (`MmBackward0`) and what it runs."""
    return Item(node, "node", inner=items, sequence=sequence)


def within(module: str, *items: Item) -> tuple[Item, ...]:
    """The same items, all in this module."""
    return tuple(replace(item, module=item.module or module, inner=within(module, *item.inner))
                 for item in items)  # fmt: skip


def scene(
    *items: Item, steps: int = 1, device: str | Device = "h100-sxm5", on_cpu: bool = False,
    freed: bool = False, recording: Recording | None = None,
) -> StepGraph:  # fmt: skip
    """So many equal steps of the items; 0: the items once, without an annotation that names a step.

    `freed`: what an operator allocates is freed while the next one works, which proves that this one alone
    reads it.
    """
    layout = _Layout(on_cpu=on_cpu, freed=freed)
    for number in range(max(1, steps)):
        begin = layout.now
        for item in items:
            layout.put(item, None)
        if steps:
            layout.rows.annotation(f"ProfilerStep#{number}", begin - 1, layout.now)
        layout.now += 10
    trace = replace(layout.rows.trace(), recording=recording)
    chosen = (
        CPU if on_cpu and isinstance(device, str) else named(device) if isinstance(device, str) else device
    )
    found = step_graph(judge(price(trace), 0, select_window(trace, 0, "complete"), DeviceMatch(chosen)))
    assert found is not None
    return found


def handed(
    graph: StepGraph, *pairs: tuple[int, int], tier: Tier = "T1", last: bool = True,
    tensors: Mapping[tuple[int, int], Tensor] | None = None,
) -> StepGraph:  # fmt: skip
    """The same step, in which it is known that these producers hand their results to these consumers.

    Pairs are places of nodes. `tensors`: what is known of an argument, by (place, argument).
    """
    known = {(edge.producer, edge.consumer): edge for edge in graph.edges}
    for producer, consumer in pairs:
        made, read = graph.nodes[producer].cost, graph.nodes[consumer].cost
        amount = min(made.write_bytes if made else 0, read.read_bytes if read else 0)
        known[producer, consumer] = Edge(producer, consumer, tier, amount, last)
    edges = tuple(sorted(known.values(), key=lambda edge: (edge.consumer, edge.producer)))
    return replace(graph, edges=edges, argument_tensors=dict(tensors or graph.argument_tensors))


def found_by(graph: StepGraph, rule: str) -> list[Match]:
    """What the rule finds when all rules before it have claimed theirs."""
    return next(matches for known, matches in applied(graph) if known.name == rule)


def claims(graph: StepGraph) -> dict[str, list[tuple[str, ...]]]:
    """Rule -> names of the nodes of each of its matches."""
    return {rule.name: [tuple(node.name for node in match.nodes) for match in matches]
            for rule, matches in applied(graph) if matches}  # fmt: skip


def _nested(dims: Dims) -> bool:
    return bool(dims) and isinstance(dims[0], tuple)


class _Layout(msgspec.Struct, dict=True):
    """Rows at increasing times."""

    on_cpu: bool
    freed: bool
    rows: Rows = msgspec.field(default_factory=Rows)
    now: int = 1_000
    device_free: int = 0  # ns at which the last kernel ends
    launched: int = 0
    allocated: int = 0
    alive: list[tuple[int, int]] = msgspec.field(default_factory=list)  # (address, bytes) of the last worker

    def put(self, item: Item, thread: int | None) -> None:
        """The item and all inside it; the autograd engine has a thread of its own where a GPU works."""
        own = thread if thread is not None else (1 if item.kind == "node" and not self.on_cpu else 0)
        begin = self.now
        self.now += 5
        self._work(item, own)
        for each in item.inner:
            self.put(each, own)
        self.now += 5
        if item.kind == "annotation":
            self.rows.annotation(item.name, begin, self.now, thread=own)
        elif item.kind == "node":
            self.rows.node(item.name, begin, self.now, item.sequence, thread=own)
        else:
            more = {"sequence": item.sequence, "forward_thread": 0} if item.sequence >= 0 else {}
            self.rows.op(item.name, begin, self.now, thread=own, module=item.module, call=item.call, **more)
        self.now += 5

    def _work(self, item: Item, thread: int) -> None:
        if self.freed and item.kernels:
            self._exchange(item, thread)
        for name, ns in item.kernels:
            if not self.on_cpu:
                self.launched += 1
                self.rows.launch(self.launched, self.now, thread=thread)
                start = max(self.now + 2, self.device_free)
                self.device_free = start + ns
                self.rows.kernel(name, start, start + ns, self.launched, blocks=_BLOCKS)
            self.now += ns

    def _exchange(self, item: Item, thread: int) -> None:
        """Its results are allocated; then those of the last worker are freed."""
        mine = []
        for size in item.makes:
            self.allocated += 1
            mine.append((4096 * self.allocated, size))
            self.rows.allocation(self.now, 4096 * self.allocated, size, thread=thread)
        for address, size in self.alive:
            self.rows.allocation(self.now + 1, address, -size, thread=thread)
        self.alive = [] if item.kept else mine
        self.now += 5
