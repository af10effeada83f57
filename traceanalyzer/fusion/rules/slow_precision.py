"""Seen: products in bf16 or fp16 on a CPU that multiplies these more than twice as slowly as fp32.

Instead: fp32 on this CPU: no `torch.autocast`, or `model.float()`.

Saves: what the products take longer than in fp32, by both measured peaks, with twice the bytes; the casts of
autocast too. At worst whatever else runs in that type takes twice as long, for it moves twice the bytes; what
it may gain as well is not counted.

When not: the weights fit into memory in half precision alone; or the script is to run on another CPU, which
has units for it (AMX, AVX512-BF16).

Left out: types whose measured peak is at least half of fp32's; peaks that were not measured; GPUs; less than
2 % of busy time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.matmuls import HALF, share_of_busy, time_ns
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, si

_SLOW = 0.5  # of fp32's peak
_BUSY_SHARE = 0.02  # of busy time
# At worst, as a rule and at best: what products reach of the fp32 peak, and their traffic of the bandwidth.
_OF_PEAK, _OF_BANDWIDTH = (0.2, 0.6, 0.95), (0.35, 0.7, 1.0)
_CASTS_GONE = (0.0, 0.5, 1.0)  # of their time
_LATER = ("backward", "optimizer")
_CASTS = ("copy", "_to_copy")
_AUTOCAST = 'with torch.autocast("cpu", enabled=False):\n    loss = step(batch)'


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all products of such a type."""
    if graph.on_gpu:
        return
    fp32 = graph.device.peak("matrix", "fp32")
    for precision in HALF:
        peak = graph.device.peak("matrix", precision)
        if fp32 and peak and peak < _SLOW * fp32:
            yield from _match(graph, free, precision, peak, fp32)


def _match(graph: StepGraph, free: Free, precision: str, peak: float, fp32: float) -> Iterator[Match]:
    mine = [node for node in graph.nodes if precision in _types(node)]
    products = [node for node in mine if free(node) and _multiplies(node)]
    if not products or share_of_busy(graph, time_ns(products)) < _BUSY_SHARE:
        return
    casts = [node for node in mine if node.name in _CASTS and "fp32" in _types(node)]
    claimed = {node.place for node in (*products, *casts)}
    others = [node for node in mine if node.place not in claimed]
    gone = [node for node in casts if free(node)]
    band = _saved(graph, products, gone, others, fp32)
    if band.mid <= 0:
        return
    cast = _is_autocast(products, casts, precision)
    evidence = f"{len(products)} products per step in {precision}, {duration(time_ns(products))}; this CPU "
    evidence += f"multiplies at {si(peak, 'FLOP/s')} in {precision} and at {si(fp32, 'FLOP/s')} in fp32"
    yield Match(
        tuple(sorted((*products, *gone), key=lambda node: node.place)), "T0" if band.low > 0 else "T3",
        saved=band, saved_by_roofs=True, evidence=evidence, where=f"the products in {precision}",
        action=_WITHOUT_AUTOCAST if cast else "", snippet=_AUTOCAST if cast else "",
    )  # fmt: skip


def _is_autocast(products: Sequence[Node], casts: Sequence[Node], precision: str) -> bool:
    """Whether forward casts an operand of each product at least; a model that was converted casts none."""
    into = [node for node in casts if node.call.dtypes[:2] == (precision, "fp32")]
    wanted = len([node for node in products if node.phase not in _LATER])
    return 0 < wanted <= len([node for node in into if node.phase not in _LATER])


def _types(node: Node) -> set[str | None]:
    return {dtype for _, _, dtype, _ in node.call.tensors()}


def _multiplies(node: Node) -> bool:
    return node.cost is not None and node.cost.engine == "matrix" and node.cost.flops > 0


def _saved(
    graph: StepGraph, products: Sequence[Node], casts: Sequence[Node], others: Sequence[Node], fp32: float
) -> Band:
    """What products take longer than they would in fp32, and the casts; less what may take longer then."""
    bandwidth = graph.device.bandwidth_bytes_per_s or float("inf")
    now, cast_ns = graph.undisturbed_ns(products), graph.undisturbed_ns(casts)
    longer = (float(time_ns(others)), 0.0, 0.0)
    ends = zip(_OF_PEAK, _OF_BANDWIDTH, _CASTS_GONE, longer, strict=True)
    low, mid, high = (
        now - sum(_in_fp32_ns(node, fp32 * of_peak, bandwidth * of_bandwidth) for node in products)
        + cast_ns * gone - more
        for of_peak, of_bandwidth, gone, more in ends
    )  # fmt: skip
    return Band(max(0.0, low), max(0.0, mid), max(0.0, high))


def _in_fp32_ns(node: Node, flop_per_s: float, bytes_per_s: float) -> float:
    """The longer of its FLOPs and twice its bytes at these rates."""
    flops = node.cost.flops if node.cost else 0
    return 1e9 * max(flops / flop_per_s, 2 * node.bytes / bytes_per_s)


_WITHOUT_AUTOCAST = "Leave out autocast on this CPU: run the products in fp32."

RULE = Rule(
    "slow_precision", __doc__ or "", find,
    title="This CPU multiplies half precision more slowly than fp32",
    action="Run the products in fp32 on this CPU: convert the model with model.float(), and its inputs.",
    snippet="model = model.float()",
    caveats=("weights and activations take twice the memory",),
    needs=("cpu", "shapes"),
    docs="https://docs.pytorch.org/docs/stable/amp.html",
    concerns_compiled=True,
)  # fmt: skip
