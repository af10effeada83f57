"""Seen: matmuls and convolutions in fp32 on a CPU that multiplies bf16 much faster, by both measured peaks.

Instead: the forward pass and the loss under `torch.autocast("cpu", torch.bfloat16)`; backward follows.

Saves: what the products take less in bf16, where they reach 0.65 to 1.05 of the share of the peak that they
have in fp32 (24 products on an AMD EPYC with AVX512-BF16: 0.63 to 1.02, convolutions lowest); less the casts
of their operands. What reads nothing but their results, or results of that, runs in bf16 too: it gains 0.3 to
0.48 of its time where the result is so large that it comes in new pages, nothing as a rule where it is small.
What else is in fp32 may meet mixed types: from 0.15 slower to 0.2 faster.

When not: more than bf16's 8 bits are needed, as in solvers and some losses; weights stay in fp32, so that a
checkpoint and the optimizer are as before.

Left out: CPUs whose bf16 peak was not measured, or is less than 1.5 times that of fp32; products in another
type than fp32; depthwise and grouped convolutions, which gain nothing from it; a step that multiplies in half
precision already, for what is fp32 there was left out on purpose; products that reach less than a tenth of
the peak, which something else slows, or more than 1.2 times it, for fp32 is multiplied in another type there
already; less than a twentieth of busy time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from traceanalyzer.fusion.rules.base import Match, Rule, everywhere
from traceanalyzer.fusion.rules.convolutions import is_convolution, is_grouped
from traceanalyzer.fusion.rules.matmuls import HALF, is_trained, share_of_busy, time_ns
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band, Dims
from traceanalyzer.records.units import duration, si

_FASTER = 1.5  # than fp32
_BUSY_SHARE = 0.05  # of busy time
# At worst, as a rule and at best: the share of the bf16 peak that products reach, of that which they reach in
# fp32; and the bandwidth that casts reach.
_KEPT, _OF_BANDWIDTH = (0.65, 0.85, 1.05), (0.35, 0.7, 1.0)
# Of the time of other fp32 work, which gains it: what is written to new pages, whose clearing takes most
# of the time, about half (64 MiB, 18 operators: 0.23 to 0.49); what fits into caches nothing (6 MiB, 20
# operators: -0.8 to 0.5), for its arithmetic is in fp32.
_NEW_PAGES, _CACHED, _OTHERS = (0.3, 0.42, 0.48), (-0.2, 0.0, 0.3), (-0.15, 0.0, 0.2)
_MAPPED = 32 << 20  # bytes of a result from which glibc always maps new pages: mallopt(3), M_MMAP_THRESHOLD
_LEAST_OF_PEAK = 0.1
_MOST_OF_PEAK = 1.2  # beyond it fp32 is in another type already: torch.set_float32_matmul_precision
_ALL = 0.9  # of what an operator reads
_CAST_BYTES = 4 + 2  # an element is read in fp32 and written in bf16, or the other way round
_INFERENCE = 'with torch.autocast("cpu", torch.bfloat16):\n    output = model(batch)'
_TRAINING = (
    'with torch.autocast("cpu", torch.bfloat16):\n    loss = criterion(model(batch), target)\nloss.backward()'
)


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all such products."""
    fp32, bf16 = (graph.device.peak("matrix", precision) for precision in ("fp32", "bf16"))
    if graph.on_gpu or not fp32 or not bf16 or bf16 < _FASTER * fp32:
        return
    if any(_multiplies_half(node) for node in graph.nodes):
        return
    products = [node for node in graph.nodes if free(node) and _gains(graph, node, fp32)]
    if not products or share_of_busy(graph, time_ns(products)) < _BUSY_SHARE:
        return
    band = _saved(graph, products, bf16 / fp32)
    if band.mid <= 0:
        return
    evidence = (
        f"{len(products)} products per step in fp32, {duration(time_ns(products))}; this CPU multiplies "
    )
    evidence += f"at {si(bf16, 'FLOP/s')} in bf16 and at {si(fp32, 'FLOP/s')} in fp32"
    yield Match(
        tuple(products), "T0" if band.low > 0 else "T3", saved=band, evidence=evidence,
        where=everywhere(graph),
        snippet=_TRAINING if is_trained(graph) else _INFERENCE,
        saved_by_roofs=True,
    )  # fmt: skip


def _multiplies_half(node: Node) -> bool:
    cost = node.cost
    return cost is not None and cost.engine == "matrix" and cost.flops > 0 and cost.precision in HALF


def _gains(graph: StepGraph, node: Node, fp32: float) -> bool:
    cost = node.cost
    if cost is None or cost.engine != "matrix" or not cost.flops or _types(node) != {"fp32"}:
        return False
    at_peak_ns, time_ns = 1e9 * cost.flops / fp32, graph.undisturbed_ns([node])
    if at_peak_ns < _LEAST_OF_PEAK * time_ns or at_peak_ns > _MOST_OF_PEAK * time_ns:
        return False
    return not (is_convolution(node) and is_grouped(node))


def _types(node: Node) -> set[str | None]:
    return {dtype for _, dims, dtype, _ in node.call.tensors() if dims}


def _saved(graph: StepGraph, products: Sequence[Node], faster: float) -> Band:
    """Of their time less that in bf16 and that of the casts, and of what other work gains or loses."""
    bandwidth = graph.device.bandwidth_bytes_per_s or float("inf")
    products_ns, others_ns = graph.undisturbed_ns(products), _others_ns(graph, products)
    cast_ns = 1e9 * _CAST_BYTES * sum(map(_operand_elements, products)) / bandwidth
    low, mid, high = (
        products_ns * (1 - 1 / (faster * kept)) - cast_ns / of_bandwidth
        + sum(share * ns for share, ns in zip(shares, others_ns, strict=True))
        for kept, of_bandwidth, *shares in zip(
            _KEPT, _OF_BANDWIDTH, _NEW_PAGES, _CACHED, _OTHERS, strict=True
        )
    )  # fmt: skip
    return Band(max(0.0, low), max(0.0, mid), max(0.0, high))


def _others_ns(graph: StepGraph, products: Sequence[Node]) -> tuple[float, float, float]:
    """Time of what follows in bf16 and is written to new pages, of what else follows, of all else in fp32."""
    following = _following(graph, products)
    large = [node for node in following if node.cost is not None and node.cost.write_bytes >= _MAPPED]
    done = {node.place for node in (*products, *following)}
    others = [node for node in graph.nodes if node.place not in done and _may_change(node)]
    large_ns = graph.undisturbed_ns(large)
    return large_ns, graph.undisturbed_ns(following) - large_ns, graph.undisturbed_ns(others)


def _following(graph: StepGraph, products: Sequence[Node]) -> list[Node]:
    """What reads nothing else in fp32 than results of the products, or of such: autocast keeps their type."""
    half = {node.place for node in products}
    found = []
    for node in graph.nodes:
        if node.place not in half and _may_change(node):
            edges = graph.into.get(node.place, ())
            read = sum(edge.bytes for edge in edges if edge.tier == "T1" and edge.producer in half)
            if read >= _ALL * 4 * _operand_elements(node):
                half.add(node.place)
                found.append(node)
    return found


def _may_change(node: Node) -> bool:
    grouped = is_convolution(node) and is_grouped(node)  # as fast in either type
    return node.phase != "optimizer" and "fp32" in _types(node) and not grouped


def _operand_elements(node: Node) -> int:
    """Of its operands in fp32, lists of tensors among them."""
    return sum(_elements(dims) for _, dims, dtype, _ in node.call.tensors() if dtype == "fp32")


def _elements(dims: Dims) -> int:
    nested = [_elements(each) for each in dims if isinstance(each, tuple)]
    return sum(nested) if nested else prod(size for size in dims if isinstance(size, int))


RULE = Rule(
    "half_precision", __doc__ or "", find,
    title="This CPU multiplies bf16 faster than fp32",
    action="Run the forward pass and the loss under torch.autocast in bf16.",
    snippet=_TRAINING,
    caveats=("bf16 keeps 8 bits of the mantissa: check the loss curve",),
    needs=("cpu", "shapes"),
    docs="https://docs.pytorch.org/docs/stable/amp.html",
    concerns_compiled=True,
)  # fmt: skip
