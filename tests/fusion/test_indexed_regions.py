"""Regions with gathers, scatters and concatenations, by hand: what is one loop, and what it moves."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import Item, handed, op, scene
from traceanalyzer.fusion.evidence.dataflow import Tensor
from traceanalyzer.fusion.regions import Region, regions
from traceanalyzer.fusion.rules.base import arithmetic, generated
from traceanalyzer.fusion.savings import INDEXED_FLOPS
from traceanalyzer.fusion.step_graph import Free, StepGraph

NODES, EDGES, WIDTH = 1000, 8000, 64
H, M, INDEX = (NODES, WIDTH), (EDGES, WIDTH), (EDGES,)
H_BYTES, M_BYTES, INDEX_BYTES = 4 * NODES * WIDTH, 4 * EDGES * WIDTH, 8 * EDGES

EXP = op("exp", H)
GATHER = op("index_select", H, (), INDEX, dtypes=("fp32", None, "int64"), concrete=("", "0", ""))
SILU, TWICE = op("silu", M), op("mul", M, (), concrete=("", "2"))
ADD = op(
    "index_add_", H, (), INDEX, M, (),
    dtypes=("fp32", None, "int64", "fp32", None), concrete=("", "0", "", "", "1"), makes=(),
)  # fmt: skip
SCATTER_ADD = op(
    "scatter_add_", H, (), M, M,
    dtypes=("fp32", None, "int64", "fp32"), concrete=("", "0", "", ""), makes=(),
)  # fmt: skip
RELU = op("relu", H)


def whole(
    *items: Item, pairs: tuple[tuple[int, int], ...], tensors: dict[tuple[int, int], int] | None = None,
    on_cpu: bool = False,
) -> StepGraph:  # fmt: skip
    """A step of which each reader is known; `tensors`: of (place, argument) who made it."""
    known: dict[tuple[int, int], Tensor] = {
        argument: (maker, (maker, 0, 1)) for argument, maker in (tensors or {}).items()
    }
    graph = handed(scene(*items, on_cpu=on_cpu), *pairs, last=False, tensors=known)
    return replace(graph, executed=True, freed_in_step=frozenset(range(len(graph.nodes))))


def names(graph: StepGraph) -> list[tuple[str, ...]]:
    return [each.names for each in regions(graph, Free())]


def only(graph: StepGraph) -> Region:
    (found,) = regions(graph, Free())
    return found


@pytest.mark.parametrize("on_cpu", [False, True])
def test_a_message_is_gathered_computed_and_added_in_one_loop(on_cpu: bool) -> None:
    graph = whole(
        GATHER, SILU, TWICE, ADD, pairs=((0, 1), (1, 2), (2, 3)), tensors={(3, 3): 2}, on_cpu=on_cpu
    )
    message = only(graph)
    assert message.names == ("index_select", "silu", "mul", "index_add")
    # Rows of the source and both indices are read; the touched rows of the target read and written.
    assert message.bytes_after == H_BYTES + 2 * INDEX_BYTES + 2 * H_BYTES
    assert message.bytes_before - message.bytes_after == 6 * M_BYTES, "three tensors, each written and read"


def test_what_is_gathered_from_is_in_memory_before() -> None:
    graph = whole(EXP, GATHER, SILU, pairs=((0, 1), (1, 2)), tensors={(1, 0): 0})
    assert names(graph) == [("index_select", "silu")]


def test_an_index_that_is_computed_is_read_in_order() -> None:
    shifted = op("add", M, (), (), dtypes=("int64", None, None))
    each = op("gather", H, (), M, dtypes=("fp32", None, "int64"), concrete=("", "0", ""))
    graph = whole(shifted, each, SILU, pairs=((0, 1), (1, 2)), tensors={(1, 2): 0})
    assert names(graph) == [("add", "gather", "silu")]


def test_where_nobody_knows_as_what_it_is_taken_nothing_is_joined() -> None:
    square = op("gather", H, (), H, dtypes=("fp32", None, "int64"), concrete=("", "0", ""))
    graph = whole(EXP, square, pairs=((0, 1),), tensors={(1, 0): 0})
    assert names(graph) == []


def test_what_is_scattered_to_is_read_from_memory_behind() -> None:
    graph = whole(SILU, ADD, RELU, pairs=((0, 1), (1, 2)), tensors={(1, 3): 0})
    assert names(graph) == [("silu", "index_add")]


def test_zeros_that_are_scattered_to_are_written() -> None:
    zeros = op("zeros_like", H, *[()] * 5)
    graph = whole(zeros, SILU, ADD, pairs=((0, 2), (1, 2)), tensors={(2, 0): 0, (2, 3): 1})
    assert names(graph) == [("silu", "index_add")]


def test_a_cpu_calls_scatter_add_as_it_is() -> None:
    def step(on_cpu: bool) -> StepGraph:
        return whole(TWICE, SILU, SCATTER_ADD, pairs=((0, 1), (1, 2)), tensors={(2, 3): 1}, on_cpu=on_cpu)

    assert names(step(on_cpu=False)) == [("mul", "silu", "scatter_add")]
    assert names(step(on_cpu=True)) == [("mul", "silu")]


def pieces(count: int, on_cpu: bool) -> Region:
    """So many tensors, each computed, side by side, and what is computed of the whole."""
    cat = replace_list_dtype(op("cat", (H,) * count, (), dtypes=("fp32", None)))
    behind = op("relu", (NODES, count * WIDTH))
    items = (*[EXP] * count, cat, behind)
    pairs = (*((place, count) for place in range(count)), (count, count + 1))
    return only(whole(*items, pairs=pairs, on_cpu=on_cpu))


def replace_list_dtype(item: Item) -> Item:
    assert item.call is not None
    return replace(item, call=replace(item.call, list_dtype="fp32"))


@pytest.mark.parametrize(
    ("count", "on_cpu", "stored"), [(2, False, False), (2, True, True), (9, False, True)],
    ids=["few on a GPU", "on a CPU", "many on a GPU"],
)  # fmt: skip
def test_a_concatenation_takes_its_pieces_as_they_are_made(count: int, on_cpu: bool, stored: bool) -> None:
    joined = pieces(count, on_cpu)
    assert joined.names == ("exp",) * count + ("cat", "relu")
    inputs_and_result = 2 * count * H_BYTES
    assert joined.bytes_after == inputs_and_result + stored * 2 * count * H_BYTES


def test_pieces_of_different_sizes_are_joined() -> None:
    narrow = op("exp", (NODES, 16))
    cat = replace_list_dtype(op("cat", (H, (NODES, 16)), (), dtypes=("fp32", None)))
    joined = only(whole(EXP, narrow, cat, pairs=((0, 2), (1, 2))))
    assert joined.bytes_after == 2 * (H_BYTES + 4 * NODES * 16)


def test_what_is_read_in_slices_is_made_where_they_are_read() -> None:
    wide = op("exp", (NODES, 2 * WIDTH))
    graph = whole(wide, RELU, RELU, pairs=((0, 1), (0, 2)))
    parts = tuple(replace(edge, bytes=H_BYTES) for edge in graph.edges)
    joined = only(replace(graph, edges=parts))
    assert joined.names == ("exp", "clamp_min", "clamp_min") or joined.names == ("exp", "relu", "relu")
    assert joined.bytes_after == 2 * H_BYTES + 2 * H_BYTES, "the input is read, both results are written"


def test_a_slice_that_a_reduction_reads_is_made_there_too() -> None:
    wide, row = op("exp", (NODES, 2 * WIDTH)), op("sum", H, (), (), (), concrete=("", "[1]", "False", ""))
    graph = whole(wide, row, pairs=((0, 1),))
    joined = only(replace(graph, edges=tuple(replace(edge, bytes=H_BYTES) for edge in graph.edges)))
    assert joined.names == ("exp", "sum")
    assert joined.bytes_after == 2 * H_BYTES + 4 * NODES, (
        "no more is known than that all of the input is read"
    )


def summed(count: int, *, read_between: bool = False) -> StepGraph:
    """Zeros for each part, which is added in place to what was added up before, with a matmul in between."""
    zeros, add = op("zeros_like", H, *[()] * 5), op("add_", H, H, (), concrete=("", "", "1"), makes=())
    other, product = op("relu", H), op("mm", (8, 8), (8, 8))
    items = [part for _ in range(count) for part in (zeros, add, product)] + [other]
    pairs = [(3 * k, 3 * k + 1) for k in range(count)]
    pairs += [(3 * k + 1, 3 * k + 4) for k in range(count - 1)]
    made = {(3 * k + 4, 0): 3 * k + 1 for k in range(count - 1)}
    made |= {(3 * k + 1, 1): 3 * k for k in range(count)}
    if read_between:
        pairs.append((1, 3 * count))
    return whole(*items, pairs=tuple(pairs), tensors=made)


def test_parts_that_are_added_up_in_place_are_added_up_at_once() -> None:
    joined = only(summed(4))
    assert joined.names == ("zeros_like", "add") * 4
    assert joined.bytes_after == 2 * H_BYTES, "what was there before is read, the sum is written once"


def test_a_sum_that_is_read_in_between_is_written() -> None:
    first, second = sorted(regions(summed(3, read_between=True), Free()), key=lambda each: len(each.nodes))
    assert (len(first.nodes), len(second.nodes)) == (2, 4)
    assert first.bytes_after == 2 * H_BYTES


def test_a_loop_reads_so_many_parts_and_no_more() -> None:
    assert sorted(len(each.nodes) for each in regions(summed(10), Free())) == [4, 16]


@pytest.mark.parametrize(("samples", "again"), [(1, 0), (10, 1)], ids=["as large", "spread"])
def test_a_gathered_bias_that_all_samples_share_is_gathered_for_each(samples: int, again: int) -> None:
    table = op(
        "index_select", (8, WIDTH), (), (NODES,), dtypes=("fp32", None, "int64"), concrete=("", "0", "")
    )
    scores, twice = op("add", (samples, *H), H, ()), op("mul", (samples, *H), ())
    middle = op("mm", (8, 8), (8, 8))
    graph = whole(table, middle, scores, twice, pairs=((0, 2), (2, 3)), tensors={(2, 1): 0}, on_cpu=True)
    nodes = graph.nodes[2:]
    loops = generated(graph, nodes, 0).loop_flops
    assert loops == arithmetic(nodes)[1] + again * INDEXED_FLOPS * samples * NODES * WIDTH
