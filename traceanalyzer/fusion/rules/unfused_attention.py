"""Seen: attention written out: a batched product, scaling and masking, softmax, dropout, a second product.

Instead: `torch.nn.functional.scaled_dot_product_attention`, whose kernel never writes the scores to
memory.

Saves: every pass over the scores, tokens by tokens for each head; backward too, where it is recorded.

When not: the attention weights themselves are returned, or changed in a way the function has no argument
for: FlexAttention takes such changes; in fp32 without TF32, or with more than 256 channels a head, the
fast kernels do not apply; for up to about 128 tokens the scores fit a cache, and there is little to save.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traceanalyzer.cost.tensors import itemsize, numel, shape
from traceanalyzer.fusion.regions import RANDOM
from traceanalyzer.fusion.rules.base import Match, Rule, runs, surest
from traceanalyzer.fusion.savings import SPECIAL_FLOPS, Work
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph

_PRODUCTS = ("bmm", "baddbmm")
_NEAR = 12  # operators between a product and the softmax: scaling, a mask and how it is made, dropout, casts


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Forward and backward passes, each a match, where softmax works on what a product makes."""
    for run in runs(graph, free):
        for at, node in enumerate(run):
            backward = node.name == "_softmax_backward_data"
            if not backward and node.name not in ("_softmax", "_safe_softmax"):
                continue
            nodes = _around(run, at, products=2 if backward else 1)
            called = any("scaled_dot_product" in scope for scope in graph.scopes(node))
            found = attention(graph, nodes, backward) if nodes and not called else None
            if found is not None:
                yield found


def _around(run: Sequence[Node], at: int, products: int) -> Sequence[Node]:
    """From so many products before the softmax to as many behind it; nothing else opaque may lie between."""
    before = _products(run[max(0, at - _NEAR) : at][::-1], products)
    behind = _products(run[at + 1 : at + 1 + _NEAR], products)
    return run[at - before : at + behind + 1] if before and behind else ()


def _products(nodes: Sequence[Node], wanted: int) -> int:
    """How many nodes it takes to have met so many products; 0 where another opaque operator comes first."""
    met = 0
    for count, node in enumerate(nodes, 1):
        met += node.name in _PRODUCTS
        if met == wanted:
            return count
        if node.name not in _PRODUCTS and node.fusible == "opaque":
            return 0
    return 0


def attention(graph: StepGraph, nodes: Sequence[Node], is_backward: bool) -> Match | None:
    """None where the sizes do not tell of attention."""
    products = [node for node in nodes if node.name in _PRODUCTS]
    softmax = next(node for node in nodes if "softmax" in node.name)
    scores = _elements(softmax)
    if graph.trace.on_cpu and any(node.name in RANDOM for node in nodes):
        return None  # its kernel for CPUs takes no dropout: ATen/native/transformers/sdp_utils_cpp.cpp
    if not scores or any(node.cost is None or _parts(node).count(scores) != 1 for node in products):
        return None
    once = sum(node.cost.flops for node in products if node.cost)
    # Every product reads or writes the scores once; what else it moves are queries, keys, values, results
    # and their gradients: products over tokens and channels, known from the sizes of the other operands.
    outer = sum(_not_scores(node, scores) for node in products)
    precision = products[0].cost.precision if products[0].cost else "fp32"
    flops = once * 5 // 4 if is_backward else once  # the scores are computed again
    before = sum(node.bytes for node in nodes)
    after = Work(
        outer, 2 if is_backward else 1, is_backward, ((precision, flops),), scores * SPECIAL_FLOPS["exp"],
        share=outer / before,
    )  # fmt: skip  # gradients need the exponentials again
    if outer >= before:
        return None
    return Match(tuple(nodes), surest(graph, nodes), after, bytes_saved=before - outer)


def _elements(node: Node) -> int:
    dims = node.call.shapes[0] if node.call.shapes else ()
    count = 1
    for size in dims:
        count *= size if isinstance(size, int) else 0
    return count if dims else 0


def _not_scores(node: Node, scores: int) -> int:
    """Bytes of a product's operands and result that are not the scores."""
    return sum(size for size in _parts(node) if size != scores) * itemsize(node.call, _first(node))


def _parts(node: Node) -> list[int]:
    """Elements of both operands and of the result."""
    a, b = shape(node.call, _first(node)), shape(node.call, _first(node) + 1)
    return [numel(a), numel(b), a[0] * a[1] * b[2]]


def _first(node: Node) -> int:
    """Which argument is the left operand."""
    return 1 if node.name == "baddbmm" else 0


RULE = Rule(
    "unfused_attention", __doc__ or "", find,
    title="Attention is written out: its scores go through memory",
    action="Call scaled_dot_product_attention with the queries, keys and values; give is_causal=True instead "
    "of a triangular mask, and compare the results once.",
    snippet="y = torch.nn.functional.scaled_dot_product_attention(q, k, v)\n"
    "# a mask where True is left out, as masked_fill has it: attn_mask=~mask\n"
    "# a mask that is added to the scores: attn_mask=mask; a triangular one: is_causal=True\n"
    "# scores not divided by the root of the head size: scale=...; dropout while training: dropout_p=p",
    caveats=("a Boolean attn_mask says what takes part, which is the opposite of what masked_fill is given",
             "wrong where the attention weights are used elsewhere; torch.nn.attention.flex_attention takes "
             "changes of them that have no argument",
             "the fast kernels want fp16 or bf16 on a GPU, and up to 256 channels a head"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html",
    replacement="attention",
)  # fmt: skip
