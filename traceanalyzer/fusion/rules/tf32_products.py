"""Seen: matmuls or convolutions in fp32 on the vector engine of a device whose matrix engine takes TF32.

Instead: for matmuls `torch.set_float32_matmul_precision("high")`; for convolutions, which that does not
reach, `torch.backends.cudnn.allow_tf32 = True`, its default; for both half precision under `torch.autocast`.

Saves: most of their time: the matrix engine's TF32 peak is several times the vector peak.

When not: more than TF32's 10 bits of mantissa are needed, as in solvers and some losses.

Left out: TF32 that is allowed already, by the recording, by a matmul that ran in it or by an argument of the
convolution; depthwise and grouped convolutions, which use no matrix engine; matmuls that memory limits; other
types; devices without TF32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traceanalyzer.cost.kernel_names import tf32_of
from traceanalyzer.fusion.rules.base import Match, Rule, with_call
from traceanalyzer.fusion.rules.convolutions import allows_tf32, is_convolution, is_grouped
from traceanalyzer.fusion.rules.matmuls import OPERANDS, share_of_busy, time_ns
from traceanalyzer.fusion.savings import Work, added, saving
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration

_BUSY_SHARE = 0.02  # of busy time
_FLOATS = ("fp64", "bf16", "fp16", "complex64", "complex128")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all such matmuls and one for all such convolutions, where arithmetic limits them."""
    if not graph.on_gpu or not graph.device.peak("matrix", "tf32"):
        return
    slow = [node for node in with_call(graph, _in_fp32) if free(node) and _slow(graph, node)]
    matmuls = [node for node in slow if node.name in OPERANDS]
    if not _matmuls_allowed(graph):
        yield from _match(graph, matmuls, "matmuls", _MATMULS, "")
    convolutions = [node for node in slow if is_convolution(node) and not is_grouped(node)]
    if allows_tf32(graph) is False:
        yield from _match(graph, convolutions, "convolutions", _CONVOLUTIONS, _ALLOW)


def _in_fp32(node: Node) -> bool:
    """A product in fp32 throughout."""
    if node.cost is None or node.cost.engine != "matrix":
        return False
    dtypes = [dtype for _, _, dtype, _ in node.call.tensors() if dtype is not None]
    return "fp32" in dtypes and not any(dtype in _FLOATS for dtype in dtypes)


def _slow(graph: StepGraph, node: Node) -> bool:
    """Whether the vector engine limits it."""
    row = graph.row_of(node)
    if row is None or row.verdict != "compute_bound":
        return False
    return row.engine == "vector" and row.precision == "fp32"


def _matmuls_allowed(graph: StepGraph) -> bool:
    """Whether the recording says that TF32 is on, or a matmul ran in it: the setting holds for all."""
    if graph.recording is not None and graph.recording.tf32:
        return True
    rows = map(graph.row_of, with_call(graph, lambda node: node.name in OPERANDS))
    kernels = {kernel.name for row in rows if row is not None for kernel in row.kernel_names}
    return any(tf32_of(name) for name in kernels)


def _match(graph: StepGraph, nodes: Sequence[Node], kind: str, action: str, snippet: str) -> Iterator[Match]:
    if not nodes or share_of_busy(graph, time_ns(nodes)) < _BUSY_SHARE:
        return
    bands = [_saving(graph, node) for node in nodes]
    known = [band for band in bands if band is not None]
    if len(known) < len(bands):
        return
    largest = max(nodes, key=lambda node: node.time_ns)
    evidence = f"{len(nodes)} {kind} per step in fp32 on the vector engine, {duration(time_ns(nodes))}; the "
    shapes = " × ".join(str(list(dims)) for _, dims, _, _ in largest.call.tensors())
    evidence += f"largest: {largest.call.name} {shapes}"
    yield Match(
        tuple(nodes), "T0", saved=added(known), saved_by_roofs=True, evidence=evidence,
        where=f"the {kind}", action=action, snippet=snippet,
    )  # fmt: skip


def _saving(graph: StepGraph, node: Node) -> Band | None:
    after = Work(node.bytes, matrix=(("tf32", node.cost.flops if node.cost else 0),))
    return saving(node.time_ns, after, graph.device, graph.floor_ns)


_MATMULS = "Allow TF32 for matmuls, or run them in bf16 under autocast."
_CONVOLUTIONS = "Allow TF32 for convolutions, which is the default, or run them in bf16 under autocast."
_ALLOW = "torch.backends.cudnn.allow_tf32 = True"

RULE = Rule(
    "tf32_products", __doc__ or "", find,
    title="fp32 matmuls or convolutions do not use the matrix engine",
    action=_MATMULS,
    snippet="torch.set_float32_matmul_precision(\"high\")",
    caveats=("TF32 keeps 10 bits of the mantissa: check the loss curve",),
    needs=("gpu", "shapes"),
    docs="https://docs.pytorch.org/docs/stable/notes/cuda.html",
    concerns_compiled=True,
)  # fmt: skip
