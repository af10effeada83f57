"""Seen: in inference, products of few rows, limited by reading their weights, as decoding is.

Instead: weights of 8 or 4 bits, by torchao's `Int8WeightOnlyConfig` or `Int4WeightOnlyConfig` on a compiled
model, or by the serving library; or more requests at once, which read the same weights.

Saves: half of the time to read 16-bit weights with 8 bits, three quarters with 4.

When not: eager mode, where the weights may be widened before each product; training; accuracy that must not
change; small layers, whose weights a cache holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from traceanalyzer.fusion.rules.base import Match, Rule, steps
from traceanalyzer.fusion.step_graph import Free, StepGraph
from traceanalyzer.records import Band, OpRow
from traceanalyzer.records.units import duration

_SHARE = 0.1  # of busy time
_WEIGHTS = 0.8  # of a product's bytes
_HALF = ("bf16", "fp16")
_PRODUCTS = {"aten::mm": 1, "aten::addmm": 2}  # which argument the weight is


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all such products of a step, by 8 bits; none where anything is trained."""
    trained = any(node.phase in ("backward", "optimizer") for node in graph.nodes)
    if trained or not graph.has_steps:
        return
    rows = [row for row in graph.rows if _reads_weights(row)]
    time = sum(row.attributed_ns for row in rows)
    if not rows or time < _SHARE * graph.busy_ns:
        return
    count = steps(graph)
    half = sum(row.attributed_ns * _share(row) for row in rows) / 2 / count
    told = f"products limited by reading 16-bit weights take {duration(time / count)} a step, "
    told += f"{100 * time / graph.busy_ns:.2g} % of busy time; the saving is that of 8 bits"
    saved = Band(0.0, half, half)  # what kernels for 8 bits make of it no roof tells
    kept = sum(_weight_bytes(row) for row in rows) / 2 / count
    yield Match((), "T3", saved=saved, bytes_saved=round(kept), evidence=told, where="the linear layers")


def _reads_weights(row: OpRow) -> bool:
    memory = row.verdict == "memory_bound" and row.precision in _HALF and row.name in _PRODUCTS
    return memory and _share(row) >= _WEIGHTS


def _share(row: OpRow) -> float:
    """Of its bytes, those of the weight."""
    whole = (row.read_bytes or 0) + (row.write_bytes or 0)
    return _weight_bytes(row) / whole if whole else 0.0


def _weight_bytes(row: OpRow) -> int:
    place = _PRODUCTS.get(row.name)
    dims = row.input_dims[place] if place is not None and row.input_dims else ()
    sizes = [size for size in dims if isinstance(size, int)]
    return 2 * row.calls * prod(sizes) if len(sizes) == 2 else 0


RULE = Rule(
    "quantized_weights", __doc__ or "", find,
    title="Reading weights limits the products",
    action="Quantize the weights to 8 bits, or serve more requests at once.",
    snippet="from torchao.quantization import Int8WeightOnlyConfig, quantize_\n"
    "quantize_(model, Int8WeightOnlyConfig())\nmodel = torch.compile(model)",
    caveats=("accuracy must be checked", "kernels for small batches decide how much of the half is won"),
    docs="https://docs.pytorch.org/ao/stable/",
)  # fmt: skip
