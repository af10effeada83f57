"""Seen: operators in fp64 in a step whose parameters, or most of whose work, are in a smaller type: a NumPy
array, which is fp64 unless told otherwise, has promoted what it met.

Instead: the model's type where the tensor is made: `torch.from_numpy(x).float()`, `x.astype(np.float32)`,
`torch.tensor(x, dtype=torch.float32)`.

Saves: half of the bytes; where arithmetic sets the pace, what the peak of fp32 is above that of fp64.

When not: double precision is wanted there, as in a metric, a solver or a sum over many steps.

Left out: a model that is in fp64 as a whole; numbers in tensors of one element; what takes less than a
fiftieth of the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from traceanalyzer.fusion.rules.base import Match, Rule, with_call
from traceanalyzer.fusion.rules.matmuls import time_ns
from traceanalyzer.fusion.savings import Work, added, proved, saving
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band, Dims
from traceanalyzer.records.units import ITEMSIZE, duration, percent

_STEP_SHARE = 0.02  # of the step
_MOST = 0.5  # of the time of work on floats, from which on the model is in fp64
_SMALLER = ("fp32", "bf16", "fp16")


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all such operators."""
    doubles = with_call(graph, _works_on_doubles)
    reached = [node for node in doubles if free(node)]
    if not time_ns(reached) or time_ns(reached) < _STEP_SHARE * graph.step_ns or _is_meant(graph, doubles):
        return
    bands = [_saving(graph, node) for node in reached]
    priced = [band for band in bands if band is not None]
    band = added(priced) if len(priced) == len(bands) else None
    sure = band is not None and proved(band, time_ns(reached)) is not None
    evidence = _evidence(graph, reached)
    yield Match(
        tuple(reached),
        "T0" if sure else "T3",
        saved=band,
        saved_by_roofs=True,
        evidence=evidence,
        claims=band is not None,
    )


def _works_on(node: Node, types: Sequence[str]) -> bool:
    """Whether it reads or writes a tensor of one of these types that is more than a number."""
    return any(dtype in types and _elements(dims) > 1 for _, dims, dtype, _ in node.call.tensors())


def _works_on_doubles(node: Node) -> bool:
    return _works_on(node, ("fp64",))


def _elements(dims: Dims) -> int:
    return prod(size for size in dims if isinstance(size, int))


def _is_meant(graph: StepGraph, doubles: Sequence[Node]) -> bool:
    """Whether the model is in fp64 as a whole: its parameters, or most of its work without known ones."""
    updated = [node for node in graph.nodes if node.phase == "optimizer"]
    if any(_is_double(node) for node in updated):
        return True
    floats = with_call(graph, lambda node: _works_on(node, _SMALLER) and not _works_on_doubles(node))
    parameters = any(_works_on(node, _SMALLER) or node.call.list_dtype in _SMALLER for node in updated)
    return not parameters and time_ns(doubles) >= _MOST * time_ns([*doubles, *floats])


def _is_double(node: Node) -> bool:
    return _works_on_doubles(node) or node.call.list_dtype == "fp64"


def _saving(graph: StepGraph, node: Node) -> Band | None:
    """Of the same operator in fp32: its fp64 tensors have half of their bytes."""
    if node.cost is None or not node.bytes:
        return None
    sizes = [
        (_elements(dims) * ITEMSIZE.get(dtype or "", 0), dtype) for _, dims, dtype, _ in node.call.tensors()
    ]
    whole = sum(size for size, _ in sizes) or 1  # indices and masks stay as large as they are
    part = 1 - 0.5 * sum(size for size, dtype in sizes if dtype == "fp64") / whole
    row = graph.row_of(node)
    computes = row is not None and row.verdict == "compute_bound"
    products = (("fp32", node.cost.flops),) if node.cost.engine == "matrix" else ()
    after = Work(round(node.bytes * part), matrix=products, share=0.0 if computes else part)
    return saving(node.time_ns, after, graph.device, graph.floor_ns)


def _evidence(graph: StepGraph, nodes: Sequence[Node]) -> str:
    largest = max(nodes, key=lambda node: node.time_ns)
    shapes = " × ".join(f"{dtype or 'number'} {list(dims)}" for _, dims, dtype, _ in largest.call.tensors())
    share = percent(time_ns(nodes) / graph.step_ns if graph.step_ns else 1.0)
    first = min(nodes, key=lambda node: node.place)
    many = f"{len(nodes)} operators in fp64 take" if len(nodes) > 1 else "one operator in fp64 takes"
    return (
        f"{many} {duration(time_ns(nodes))} per step, {share} of it; the first is "
        f"{first.call.name}, the largest {largest.call.name} {shapes}"
    )


RULE = Rule(
    "accidental_fp64", __doc__ or "", find,
    title="Operators run in fp64 beside a model in a smaller type",
    action="Make the tensors that promote them in the model's type: NumPy arrays are fp64 unless told "
    "otherwise.",
    snippet="x = torch.from_numpy(array).to(torch.float32)",
    caveats=("not where double precision is wanted, as in a metric or a solver",),
    docs="https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.dtype",
    concerns_compiled=True,
)  # fmt: skip
