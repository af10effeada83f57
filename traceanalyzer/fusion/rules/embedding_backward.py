"""Seen: the gradient of an embedding table, filled and accumulated in full, of which a step touches few rows.

Instead: `nn.Embedding(..., sparse=True)` or `nn.EmbeddingBag(..., sparse=True)` with an optimizer that takes
sparse gradients (SparseAdam, SGD, Adagrad). Beside Adam the table needs one of its own.

Saves: writing the whole table's gradient, and reading it in the optimizer, which updates every row: at most
what both take today, by the share of rows that a step does not touch. What a sparse gradient costs is not
taken off.

When not: the optimizer decays weights, or adds momentum to rows that a step does not touch; the table is
shared with the output layer, which a trace does not always show.

Left out: a table of which a step may touch a quarter of the rows; one that a matmul is known to read;
gradients that are sparse already, or scaled by frequency; bags of which the largest element is taken; steps
whose gradients are clipped or measured by their norms, or are exchanged between ranks (NCCL adds up no sparse
ones); optimizers without a sparse form (AdamW, for one). Where the optimizer is Adam, is fused, is one of
several, or is unknown, nothing is proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile
from math import prod

from traceanalyzer.cost.tensors import is_true
from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.differentiated import forward_of
from traceanalyzer.fusion.rules.gradient_clipping import NORMS, outside_of_passes
from traceanalyzer.fusion.rules.matmuls import OPERANDS, shape_of
from traceanalyzer.fusion.rules.optimizers import optimizer_classes
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band, Dims, Tier
from traceanalyzer.records.units import duration

_SPARSE = 4  # rows of the table for each that a step can touch
_STEP_SHARE = 0.02  # of the step
# Of the gradient: which arguments are the rows of the table, and whether it is scaled by frequency.
_ROWS = {"embedding_dense_backward": 2, "_embedding_bag_dense_backward": 5}
_BY_FREQUENCY = {"embedding_dense_backward": 4, "_embedding_bag_dense_backward": 6}
_MODE, _LARGEST = 7, "2"  # of a bag; the gradient of its largest element has no sparse form
# And of what calls it: whether it is asked to be sparse.
_SPARSE_ARGUMENT = {"aten::embedding_backward": 5, "aten::_embedding_bag_backward": 9}
_TAKE_SPARSE = frozenset(("SGD", "Adagrad", "SparseAdam"))  # torch/optim
_ELSEWHERE = frozenset(("Adam",))  # its form for sparse gradients is a class of its own, SparseAdam
_OWN = "Make its gradient sparse, and give the table an optimizer of its own that takes it: SparseAdam."


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """Each such gradient that takes a visible part of the step, where the optimizer may take it sparse."""
    tier = _tier(graph)
    if tier is None or _has_norms(graph) or graph.judged.verdict_ns("communication"):
        return
    action = _OWN if _ELSEWHERE & optimizer_classes(graph) else ""
    takes = min(_TAKE_SPARSE & optimizer_classes(graph), default="SparseAdam")
    for node in graph.nodes:
        if free(node) and node.name in _ROWS:
            rows, touched, updated_ns = _rows(node), _touched(node), _update_ns(graph, node)
            large = node.time_ns + updated_ns >= _STEP_SHARE * graph.step_ns
            if large and touched and rows > _SPARSE * touched and not _is_settled(graph, node):
                bag = node.name == "_embedding_bag_dense_backward"
                yield Match(
                    (node,), tier, saved=_saved(graph, node, updated_ns),
                    evidence=_evidence(node, updated_ns),
                    action=action,
                    snippet=_SNIPPET.format("EmbeddingBag" if bag else "Embedding", takes), claims=False,
                )  # fmt: skip


def _saved(graph: StepGraph, node: Node, updated_ns: float) -> Band:
    """At most what rows take that no index names, of the gradient and of the optimizer's update.

    What a sparse gradient costs to sort and to add is not known. On a CPU pages of the dense one come and go,
    in operators and when it is freed: of 118 ms of a recommender 61 went, and operators account for 40.
    """
    untouched = 1 - _touched(node) / _rows(node)
    most = untouched * (graph.undisturbed_ns(_with_inner(graph, node)) + updated_ns + _pages_ns(graph))
    return Band(0.0, most, most)


def _pages_ns(graph: StepGraph) -> float:
    """At most what the system takes for pages of one table's gradient, which come and go in each step."""
    system_ns = graph.recording.system_ns_per_step if graph.recording and not graph.on_gpu else None
    return (system_ns or 0) / sum(node.name in _ROWS for node in graph.nodes)


def _with_inner(graph: StepGraph, node: Node) -> list[Node]:
    """The gradient, and what its caller runs behind it: zeros are filled by an operator of their own."""
    caller = next(graph.above(node), node.row)
    behind = islice(graph.nodes, node.place + 1, None)
    return [node, *takewhile(lambda each: caller in graph.above(each), behind)]


def _evidence(node: Node, updated_ns: float) -> str:
    text = f"a table of {_rows(node):,} rows, of which a step touches {_touched(node):,} at most; "
    text += f"{duration(node.time_ns)} per step"
    if updated_ns:
        text += f", and {duration(updated_ns)} per step for the optimizer, which updates all rows"
    return text


def _update_ns(graph: StepGraph, node: Node) -> float:
    """What the optimizer takes to update this table: by elements, and of several tables alike one's part."""
    dims = _dims(node)
    alike = sum(other.name in _ROWS and _dims(other) == dims for other in graph.nodes)
    updates = (each for each in graph.nodes if each.phase == "optimizer")
    return sum(each.time_ns * _share_of(dims, each.call.dims(0)) for each in updates) / alike


def _dims(node: Node) -> Dims:
    """Of the table."""
    return (_rows(node), *shape_of(node, 0)[-1:])


def _share_of(table: Dims, updated: Dims) -> float:
    """Of the elements of a tensor, or of a list of them, those of tables with these dims."""
    tensors: list[Dims] = [dims for dims in updated if isinstance(dims, tuple)] or [updated]
    sizes = [prod(size for size in each if isinstance(size, int)) for each in tensors]
    mine = sum(size for each, size in zip(tensors, sizes, strict=True) if each == table)
    return mine / sum(sizes) if sum(sizes) else 0.0


def _tier(graph: StepGraph) -> Tier | None:
    """How sure it is that the optimizer takes a sparse gradient; None where it does not."""
    classes = optimizer_classes(graph)
    if classes and not classes & (_TAKE_SPARSE | _ELSEWHERE):
        return None
    fused = any(node.name.startswith("_fused") and node.phase == "optimizer" for node in graph.nodes)
    return "T0" if classes and classes <= _TAKE_SPARSE and not fused else "T3"


def _has_norms(graph: StepGraph) -> bool:
    """Whether norms are taken between the passes and the optimizer, as of gradients."""
    return any(node.name in (*NORMS, "_foreach_norm") and outside_of_passes(node) for node in graph.nodes)


def _is_settled(graph: StepGraph, node: Node) -> bool:
    """Whether the gradient is asked to be sparse already, cannot be, or is that of the output layer too."""
    ops, calls = graph.trace.ops, graph.trace.calls
    around = [calls[ops.call[row]] for row in graph.above(node) if ops.call[row] >= 0]
    asked = any(
        call.name in _SPARSE_ARGUMENT and is_true(call.value(_SPARSE_ARGUMENT[call.name]) or "")
        for call in around
    )
    largest = node.name == "_embedding_bag_dense_backward" and node.call.value(_MODE) == _LARGEST
    by_frequency = is_true(node.call.value(_BY_FREQUENCY[node.name]) or "")
    return asked or largest or by_frequency or _is_shared(graph, node)


def _is_shared(graph: StepGraph, node: Node) -> bool:
    """Whether a matmul is known to read the same table."""
    forward = forward_of(graph, node)
    looked_up = [
        each for each in graph.nodes if forward is not None and forward in (each.row, *graph.above(each))
    ]
    tables = {graph.argument_tensors.get((each.place, 0)) for each in looked_up} - {None}
    return any(
        graph.argument_tensors.get((each.place, argument)) in tables
        for each in graph.nodes for argument in OPERANDS.get(each.name, ())
    )  # fmt: skip


def _rows(node: Node) -> int:
    text = (node.call.value(_ROWS[node.name]) or "").strip()
    return int(text) if text.isdecimal() else 0


def _touched(node: Node) -> int:
    """Indices that are looked up; 0 where their dims are not recorded."""
    return prod(shape_of(node, 1) or (0,))


_SNIPPET = """\
table = torch.nn.{}(rows, width, sparse=True)
optimizer = torch.optim.{}(table.parameters(), lr=lr)  # SparseAdam, SGD and Adagrad take sparse gradients"""

RULE = Rule(
    "embedding_backward", __doc__ or "", find,
    title="The gradient of a large embedding table is written in full",
    action="Make the gradient sparse, with an optimizer that takes it.",
    snippet=_SNIPPET.format("Embedding", "SparseAdam"),
    caveats=("not for a table that the output layer shares",
             "clip_grad_norm_ and weight decay take no sparse gradients"),
    needs=("backward", "shapes"),
    docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html",
)  # fmt: skip
