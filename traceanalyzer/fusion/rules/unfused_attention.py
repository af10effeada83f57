"""Seen: attention written out: a batched matmul, scaling and masking, softmax, dropout, a second matmul; and
the backward pass of such a one.

Instead: `torch.nn.functional.scaled_dot_product_attention`, whose kernels never write the scores to memory.
On a GPU the flash kernel takes fp16 and bf16, the memory-efficient one fp32 too.

Saves: every pass over the scores, tokens by tokens for each head; backward too, where it is recorded.

When not: the attention weights are changed in a way the function has no argument for: FlexAttention takes
such changes. Results must not change in their last bits.

Left out: attention of the library itself; weights that a later operator is known to read; fp64 on a GPU and
dropout on a CPU, which no fast kernel takes, and more than 256 channels a head on a GPU, which the flash
kernel does not take; up to 128 tokens whose scores a GPU's cache holds, for then there is little to save; a
backward pass whose forward pass is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from msgspec.structs import replace

from traceanalyzer.fusion.regions import RANDOM
from traceanalyzer.fusion.rules.base import Match, Rule, runs, surest
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.rules.matmuls import OPERANDS, operand_shapes, shape_of
from traceanalyzer.fusion.savings import SPECIAL_FLOPS, Work
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records.units import ITEMSIZE

_MATMULS = ("bmm", "baddbmm")
_NEAR = 12  # operators between a matmul and the softmax: scaling, a mask and how it is made, dropout, casts
_CHANNELS = 256  # a head, of the flash kernel: torch/aten/src/ATen/native/transformers/cuda/sdp_utils.cpp
_FEW_TOKENS = 128
_FUNCTIONS = ("scaled_dot_product", "multi_head_attention", "transformer_encoder_layer")
"""Operators whose attention is the library's, whatever they make of it."""


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Forward passes, where softmax works on what a matmul makes; and the backward pass of each."""
    forward: dict[int, Match] = {}
    claimed: set[int] = set()  # a matmul between two softmaxes belongs to the first
    for softmax, nodes in softmaxes(graph, free, backward=False):
        if claimed.isdisjoint(_places(nodes)) and _is_written_out(graph, softmax, nodes):
            match = attention(graph, nodes, is_backward=False)
            if match is not None:
                forward[softmax.row] = match
                claimed |= _places(nodes)
    yield from forward.values()
    yield from backward_of(graph, free, forward)


def softmaxes(graph: StepGraph, free: Free, *, backward: bool) -> Iterator[tuple[Node, Sequence[Node]]]:
    """Each softmax between matmuls, with all from the first of these to the last."""
    names = ("_softmax_backward_data",) if backward else ("_softmax", "_safe_softmax")
    if graph.names.isdisjoint(names):
        return
    for run in runs(graph, free):
        for index, node in enumerate(run):
            if node.name in names:
                nodes = _around(run, index, matmuls=2 if backward else 1)
                if nodes:
                    yield node, nodes


def _places(nodes: Sequence[Node]) -> set[int]:
    return {node.place for node in nodes}


def backward_of(graph: StepGraph, free: Free, forward: Mapping[int, Match]) -> Iterator[Match]:
    """The backward passes of matches, which are by the row of their softmax in Trace.ops.

    By itself a backward pass does not tell who wrote it: the scope of the function and the dropout are in
    the forward pass.
    """
    rows = {
        row: node.row for node in graph.nodes if node.row in forward for row in (*graph.above(node), node.row)
    }  # on a CPU `_safe_softmax` is differentiated, two calls above
    claimed: set[int] = set()
    for softmax, nodes in softmaxes(graph, free, backward=True):
        row = forward_of(graph, softmax)
        differentiated = forward.get(rows.get(row, -1)) if row is not None else None
        if differentiated is None or not claimed.isdisjoint(_places(nodes)):
            continue
        match = attention(graph, nodes, is_backward=True)
        if match is not None:
            claimed |= _places(nodes)
            proved = differentiated.tier == "T0"
            tier = "T0" if proved else max(match.tier, differentiated.tier)
            yield replace(
                match, tier=tier, title=differentiated.title, action=differentiated.action,
                snippet=differentiated.snippet,
            )  # fmt: skip


def _is_written_out(graph: StepGraph, softmax: Node, nodes: Sequence[Node]) -> bool:
    """Whether no library's attention called it, and nobody else needs its weights."""
    called = any(word in scope for scope in graph.scopes(softmax) for word in _FUNCTIONS)
    inside = _places(nodes)
    readers = [
        graph.nodes[edge.consumer] for node in nodes[nodes.index(softmax) : -1]
        for edge in graph.out_of.get(node.place, ())
    ]  # fmt: skip
    return not called and all(each.place in inside or each.phase == "backward" for each in readers)


def _around(run: Sequence[Node], index: int, matmuls: int) -> Sequence[Node]:
    """From so many matmuls before the softmax to as many behind it; nothing else opaque may lie between."""
    before = _reach(run[max(0, index - _NEAR) : index][::-1], matmuls)
    behind = _reach(run[index + 1 : index + 1 + _NEAR], matmuls)
    return run[index - before : index + behind + 1] if before and behind else ()


def _reach(nodes: Sequence[Node], wanted: int) -> int:
    """How many nodes it takes to have met so many matmuls; 0 where another opaque operator comes first."""
    met = 0
    for count, node in enumerate(nodes, 1):
        met += node.name in _MATMULS
        if met == wanted:
            return count
        if node.name not in _MATMULS and node.fusible in ("opaque", "gather", "scatter"):
            return 0
    return 0


def attention(
    graph: StepGraph, nodes: Sequence[Node], is_backward: bool, *, without_dropout: bool = False
) -> Match | None:
    """None where the sizes are not those of attention, or a fast kernel takes it not or saves little.

    `without_dropout`: what replaces it drops nothing.
    """
    matmuls = [node for node in nodes if node.name in _MATMULS]
    softmax = next(node for node in nodes if "softmax" in node.name)
    scores = prod(shape_of(softmax, 0) or (0,))
    if graph.trace.on_cpu and not without_dropout and any(node.name in RANDOM for node in nodes):
        return None  # its kernel for CPUs takes no dropout: ATen/native/transformers/sdp_utils_cpp.cpp
    parts = [_parts(node) for node in matmuls]
    if not scores or any(sizes.count(scores) != 1 for sizes in parts):
        return None
    if graph.on_gpu and not all(_is_taken(node, shape_of(softmax, 0)) for node in matmuls):
        return None
    if graph.on_gpu and _in_cache(graph, softmax, scores):
        return None
    # Every matmul reads or writes the scores once; what else it moves are queries, keys, values, results
    # and their gradients: tensors over tokens and channels, known from the sizes of the other operands.
    outer = sum(
        size * ITEMSIZE.get(node.call.dtype(OPERANDS[node.name][0]) or "", 4)
        for node, sizes in zip(matmuls, parts, strict=True) for size in sizes if size != scores
    )  # fmt: skip
    before = sum(node.bytes for node in nodes)
    if outer >= before:
        return None
    once = sum(node.cost.flops for node in matmuls if node.cost)
    flops = once * 5 // 4 if is_backward else once  # the scores are computed again
    precision = matmuls[0].cost.precision if matmuls[0].cost else "fp32"
    after = Work(
        outer, 2 if is_backward else 1, is_backward, ((precision, flops),), scores * SPECIAL_FLOPS["exp"],
        share=outer / before,
    )  # fmt: skip  # gradients need the exponentials again
    unwritten = frozenset(node.place for node in nodes if _makes_scores(node, scores))
    return Match(tuple(nodes), surest(graph, nodes), after, bytes_saved=before - outer, unwritten=unwritten)


def _makes_scores(node: Node, scores: int) -> bool:
    """Whether its result has the scores' size: before, as or after softmax, or a gradient of these.

    With more channels than tokens what attention returns is larger than the scores, and has to be written.
    """
    return _parts(node)[-1] == scores if node.name in _MATMULS else node.elements >= scores


def _parts(node: Node) -> list[int]:
    """Elements of both operands and of the result; none of a matmul without sizes or a price."""
    shapes = operand_shapes(node)
    if shapes is None or node.cost is None or len(shapes[0]) != 3 or len(shapes[1]) != 3:
        return []
    (batch, rows, inner), (_, _, columns) = shapes
    return [batch * rows * inner, batch * inner * columns, batch * rows * columns]


def _is_taken(node: Node, scores: Sequence[int]) -> bool:
    """Whether the type is one of a fast kernel for GPUs, and the flash kernel takes as many channels: what is
    left of its sizes."""
    (_, rows, inner), (_, _, columns) = operand_shapes(node) or ((0, 0, 0), (0, 0, 0))
    channels = rows * inner * columns // max(1, prod(scores[-2:]))
    return channels <= _CHANNELS and node.call.dtype(OPERANDS[node.name][0]) != "fp64"


def _in_cache(graph: StepGraph, softmax: Node, scores: int) -> bool:
    """Whether the scores are of few tokens, and fit the device's last cache as far as its size is known."""
    size, cache = scores * ITEMSIZE.get(softmax.call.dtype(0) or "", 4), graph.device.l2_bytes
    return max(shape_of(softmax, 0)[-2:]) <= _FEW_TOKENS and (cache is None or size <= cache)


RULE = Rule(
    "unfused_attention", __doc__ or "", find,
    title="Attention is written out: its scores go through memory",
    action="Call scaled_dot_product_attention with the queries, keys and values; give is_causal=True instead "
    "of a triangular mask, and compare the results once.",
    snippet="y = torch.nn.functional.scaled_dot_product_attention(q, k, v)\n"
    "# a mask where True is left out, as masked_fill has it: attn_mask=~mask\n"
    "# a mask that is added to the scores: attn_mask=mask; a triangular one: is_causal=True\n"
    "# scores not divided by the root of the head size: scale=... (1.0 where q is scaled before)\n"
    "# dropout while training: dropout_p=p; three dimensions, which no fused kernel takes:\n"
    "# q, k, v = (x.unflatten(0, (-1, heads)) for x in (q, k, v)) before, y = y.flatten(0, 1) after",
    caveats=("a Boolean attn_mask says what takes part, which is the opposite of what masked_fill is given",
             "wrong where the attention weights are used elsewhere; torch.nn.attention.flex_attention takes "
             "changes of them that have no argument",
             "on a GPU the flash kernel takes fp16 and bf16; fp32 runs on the memory-efficient kernel, which "
             "takes longer"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html",
    replacement="attention",
)  # fmt: skip
