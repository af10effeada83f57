"""Seen: matmuls and convolutions in fp32 on a CPU that multiplies bf16 much faster, by both measured peaks.

Instead: the forward pass and the loss under `torch.autocast("cpu", torch.bfloat16)`; backward follows.

Saves: what the products take less in bf16, where they reach 0.65 to 1.05 of the share of the peak that they
have in fp32 (24 products on an AMD EPYC with AVX512-BF16: 0.63 to 1.02, convolutions lowest); less what
autocast casts: operands of products that come in fp32, and their gradients. What reads nothing but results of
products, or results of that, runs in bf16 too. In caches it gains nothing as a rule, for its arithmetic is in
fp32. Blocks of 32 MiB or more are mapped anew each time: they have half the pages, and as a rule a quarter
where half of them is less than that, for then the heap may keep them. What else is in fp32, and products that
their peak does not limit, may meet mixed types: from 0.15 slower to 0.2 faster. Fused attention is no product
here: on the same CPU, torch 2.13, 30 shapes of 4 to 12 heads of 32 and 64, causal or not, in turns in three
processes, its forward pass takes 0.8 to 1.3 times as long in bf16 as in fp32, and its backward pass 2 to 6
times at 64 tokens, 1.8 to 4 at 128, 1.1 to 2.1 at 256, 0.85 to 1.2 at 512, and 0.7 to 0.85 at 1,024; what it
loses is taken off.

When not: more than bf16's 8 bits are needed, as in solvers and some losses; weights stay in fp32, so that a
checkpoint and the optimizer are as before.

Left out: CPUs whose bf16 peak was not measured, or is less than 1.5 times that of fp32; products in another
type than fp32; depthwise and grouped convolutions, which gain nothing from it; a step that multiplies in half
precision already, for what is fp32 there was left out on purpose; products that reach less than a tenth of
the peak, which something else slows, or more than 1.2 times it, for fp32 is multiplied in another type there
already; less than a twentieth of busy time; what may cost time, and saves less than 1 % of the step as a
rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.pages import is_mapped, paging_ns
from traceanalyzer.fusion.regions import RANDOM
from traceanalyzer.fusion.rules.autocast import cast_bytes, half_results, multiplies, types
from traceanalyzer.fusion.rules.base import Match, Rule, everywhere
from traceanalyzer.fusion.rules.convolutions import is_convolution, is_grouped
from traceanalyzer.fusion.rules.matmuls import HALF, is_trained, shape_of, share_of_busy, time_ns
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, si

Ends = tuple[float, float, float]  # at worst, as a rule and at best
_FASTER = 1.5  # than fp32
_BUSY_SHARE = 0.05  # of busy time
_STEP_SHARE = 0.01  # of the step, by its middle: what may cost time has to be worth a try
# At worst, as a rule and at best: the share of the bf16 peak that products reach, of that which they reach in
# fp32; the bandwidth that casts reach; and which part of the pages' time casts add, in pages of their own.
_KEPT, _OF_BANDWIDTH, _PAGED = (0.65, 0.85, 1.05), (0.35, 0.7, 1.0), (1.0, 0.7, 0.0)
# Of the time of other fp32 work, which gains it: what is read from memory, which gains bytes (64 MiB, 18
# operators: 0.23 to 0.49 with its pages); what fits into caches (6 MiB, 20 operators: -0.8 to 0.5).
_FROM_MEMORY, _CACHED, _OTHERS = (0.0, 0.2, 0.4), (-0.2, 0.0, 0.3), (-0.15, 0.0, 0.2)
# Of the system's time in it: of pages that are mapped anew in either type, that are not in bf16, and of
# smaller blocks, whose pages another process may keep.
_MAPPED_STILL, _MAPPED_BEFORE, _OF_THE_HEAP = (0.4, 0.5, 0.55), (0.5, 0.75, 1.0), (0.0, 0.25, 0.6)
# Of the time of fused attention, which gains it; of its backward pass by the most tokens of a sequence.
_ATTENTION = re.compile(r"_scaled_dot_product_flash_attention_for_cpu(_backward)?$")
_ATTENDED: Ends = (-0.3, 0.0, 0.2)
_ATTENDED_BACK: tuple[tuple[float, Ends], ...] = (
    (64, (-5.0, -3.0, -1.0)), (128, (-3.0, -1.3, -0.8)), (256, (-1.1, -0.3, -0.1)),
    (512, (-0.2, 0.0, 0.15)), (float("inf"), (0.15, 0.23, 0.3)),
)  # fmt: skip
_UNCOUNTED = 0.7  # of the time of what is mapped anew, where page faults were not counted
_LEAST_OF_PEAK = 0.1
_MOST_OF_PEAK = 1.2  # beyond it fp32 is in another type already: torch.set_float32_matmul_precision
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
    band = _saved(graph, free, products, bf16 / fp32)
    if band.mid < (_STEP_SHARE * graph.step_ns if band.low <= 0 else 0.0) or band.mid <= 0:
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
    return multiplies(node) and node.cost is not None and node.cost.precision in HALF


def _gains(graph: StepGraph, node: Node, fp32: float) -> bool:
    cost = node.cost
    if cost is None or not multiplies(node) or _ATTENTION.match(node.name) or types(node) != {"fp32"}:
        return False
    at_peak_ns, time_ns = 1e9 * cost.flops / fp32, graph.undisturbed_ns([node])
    if at_peak_ns < _LEAST_OF_PEAK * time_ns or at_peak_ns > _MOST_OF_PEAK * time_ns:
        return False
    return not (is_convolution(node) and is_grouped(node))


def _saved(graph: StepGraph, free: Free, products: Sequence[Node], faster: float) -> Band:
    """Of their time less that in bf16, of what other work gains or loses, and less what casts take.

    What another rule has claimed is left to it: it may be gone.
    """
    half, gaining = half_results(graph), {node.place for node in products}
    nodes = [node for node in graph.nodes if free(node) and node.phase != "optimizer"]
    low, mid, high = (1 - 1 / (faster * kept) for kept in _KEPT)
    parts = [_cast(graph, nodes, half)]
    for node in nodes:
        if node.place in gaining:
            parts.append(_part(graph, node, (low, mid, high), heap=None))
        elif _ATTENTION.match(node.name) and types(node) == {"fp32"}:
            parts.append(_times(graph.undisturbed_ns([node]), _attended(node)))
        elif "fp32" in types(node) and node.name not in RANDOM:  # numbers are drawn as fast in either type
            follows = node.place in half and not multiplies(node)
            parts.append(_followed(graph, node) if follows else _times(graph.undisturbed_ns([node]), _OTHERS))
    return Band(*(max(0.0, sum(ends)) for ends in zip(*parts, strict=True)))


def _attended(node: Node) -> Ends:
    """What fused attention gains, below 0 what it loses. Its backward pass is given the gradient first."""
    if not node.name.endswith("_backward"):
        return _ATTENDED
    tokens = shape_of(node, 0)[-2:-1] or (0,)
    return next(gained for most, gained in _ATTENDED_BACK if tokens[0] <= most)


def _followed(graph: StepGraph, node: Node) -> Ends:
    """What an operator gains that is no product, and whose inputs come in bf16."""
    mapped = node.cost is not None and is_mapped(node.cost.write_bytes)
    return _part(graph, node, _FROM_MEMORY if mapped else _CACHED, heap=_OF_THE_HEAP)


def _part(graph: StepGraph, node: Node, gained: Ends, heap: Ends | None) -> Ends:
    """Of its time outside of the system, and of that inside; `heap`: of the latter, for pages of the heap,
    None where that is as of all its time."""
    time_ns, written = graph.undisturbed_ns([node]), node.cost.write_bytes if node.cost else 0
    if not is_mapped(written):
        pages_ns = paging_ns(graph, [node]) if heap is not None else 0.0
        of_pages = heap or gained
    else:
        counted = graph.recording is not None and graph.recording.system_ns_per_step is not None
        pages_ns = paging_ns(graph, [node]) if counted or heap is None else _UNCOUNTED * time_ns
        of_pages = _MAPPED_STILL if is_mapped(written // 2) else _MAPPED_BEFORE
    pages_ns = min(pages_ns, time_ns)
    inside, outside = _times(pages_ns, of_pages), _times(time_ns - pages_ns, gained)
    return (inside[0] + outside[0], inside[1] + outside[1], inside[2] + outside[2])


def _cast(graph: StepGraph, nodes: Sequence[Node], half: frozenset[int]) -> Ends:
    """What casts take, below 0: by the bandwidth, and in new pages as other operators have them."""
    moved = cast_bytes(graph, nodes, half)
    cast_ns = 1e9 * moved / (graph.device.bandwidth_bytes_per_s or float("inf"))
    fresh = sum(map(graph.fresh_bytes, graph.nodes))
    pages_ns = paging_ns(graph, graph.nodes) * (moved / 2) / fresh if fresh else 0.0
    low, mid, high = (
        -cast_ns / reached - paged * pages_ns for reached, paged in zip(_OF_BANDWIDTH, _PAGED, strict=True)
    )
    return (low, mid, high)


def _times(ns: float, shares: Ends) -> Ends:
    return (ns * shares[0], ns * shares[1], ns * shares[2])


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
