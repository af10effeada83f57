"""How much an indexing touches is proved by what it does: against the tensors that it really made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.files import loaded
from tests.trace.build import Rows
from traceanalyzer.cost import price_call
from traceanalyzer.records import Cost, Dims, OpCall

X = torch.arange(50.0 * 8 * 6).view(50, 8, 6)
ROWS, COLUMNS = torch.randint(0, 50, (7,)), torch.randint(0, 8, (7,))
SQUARE = torch.tensor([[0, 1], [2, 3]])
MASK = torch.arange(50) % 3 == 0


def recorded(run: Callable[[], object], name: str, path: Path) -> OpCall:
    with torch.profiler.profile(record_shapes=True) as profiler:
        run()
    profiler.export_chrome_trace(str(path))
    trace = loaded(str(path))
    calls = [trace.calls[c] for c in trace.ops.call.tolist() if c >= 0]
    (found,) = {call for call in calls if call.name == name}
    return found


@pytest.mark.parametrize(
    ("index", "indices"),
    [
        ((ROWS,), 7), ((ROWS, COLUMNS), 14), ((slice(None), COLUMNS), 7),
        ((slice(None), slice(None), SQUARE), 4), ((ROWS, slice(None), COLUMNS % 6), 14),
        ((MASK,), 17), ((ROWS[:1],), 1),
    ],
)  # fmt: skip
def test_what_is_read(index: tuple[object, ...], indices: int, tmp_path: Path) -> None:
    made = X[index]  # type: ignore[index]
    call = recorded(lambda: X[index], "aten::index", tmp_path / "t.json")  # type: ignore[index]
    assert call.output == tuple(made.shape)
    cost = price_call(call)
    assert isinstance(cost, Cost) and cost.note
    assert (cost.read_bytes, cost.write_bytes) == (4 * made.numel() + 8 * indices, 4 * made.numel())


@pytest.mark.parametrize(
    ("index", "value", "accumulate", "indices"),
    [
        ((ROWS,), torch.zeros(7, 8, 6), False, 7),
        ((ROWS,), torch.zeros(7, 8, 6), True, 7),
        ((ROWS,), torch.zeros(6), False, 7),  # broadcast: what is written is not as large as what is given
        ((MASK,), torch.zeros(17, 8, 6), False, 17),
    ],
)
def test_what_is_written(
    index: tuple[torch.Tensor, ...], value: torch.Tensor, accumulate: bool, indices: int, tmp_path: Path
) -> None:
    y = X.clone()
    touched = y[index].numel()
    put, path = "aten::_index_put_impl_", tmp_path / "t.json"
    call = recorded(lambda: y.index_put_(index, value, accumulate), put, path)
    cost = price_call(call)
    assert isinstance(cost, Cost)
    given = 4 * value.numel() if value.dim() else 0
    assert cost.read_bytes == given + 8 * indices + 4 * touched * accumulate
    assert cost.write_bytes == 4 * touched
    assert cost.flops == touched * accumulate


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_how_many_are_not_zero(rank: int, tmp_path: Path) -> None:
    x = (torch.arange(24) % 3).view([24, (4, 6), (2, 3, 4)][rank - 1])
    call = recorded(x.nonzero, "aten::nonzero", tmp_path / "t.json")
    cost = price_call(call)
    assert isinstance(cost, Cost) and cost.note
    assert (cost.flops, cost.read_bytes, cost.write_bytes) == (24, 8 * 24, 8 * 16 * rank)


def test_the_way_gpus_say_how_many(tmp_path: Path) -> None:
    """They count, make room for the transpose, and set the result to that."""
    rows = Rows()
    for at, count in ((0, 64), (100, 0)):
        rows.op("aten::nonzero", at, at + 50, call=call_of("aten::nonzero", (64, 2)))
        resize = call_of("aten::resize_", (0,), (), (), sizes=f"[2, {count}]")
        rows.op("aten::resize_", at + 10, at + 20, call=resize)
        rows.op("aten::set_", at + 20, at + 30, call=call_of("aten::set_", (2, count), (count, 2)))
    trace = rows.trace()
    assert [trace.calls[trace.ops.call[i]].output for i in (0, 3)] == [(64, 2), (0, 2)]


def call_of(name: str, *shapes: Dims, sizes: str = "") -> OpCall:
    dtypes = tuple("fp32" if dims else None for dims in shapes)
    types = tuple("float" if dims else "" for dims in shapes)
    concrete = ("", sizes, "", "") if sizes else ("",) * len(shapes)
    return OpCall(name, shapes, dtypes, types, concrete=concrete)


@pytest.mark.parametrize("views", [[((50, 8), "[7, 8]"), ((50, 8), "[9, 8]")], [((8, 60), "[7, 8]")], []])
def test_what_is_not_the_view_of_the_input_proves_nothing(views: list[tuple[Dims, str]]) -> None:
    rows = Rows()
    rows.op("aten::index", 0, 100, call=call_of("aten::index", (50, 8), ()))
    for place, (dims, sizes) in enumerate(views):
        view = call_of("aten::as_strided", dims, (), (), (), sizes=sizes)
        rows.op("aten::as_strided", 10 + 10 * place, 15 + 10 * place, call=view)
    trace = rows.trace()
    assert trace.calls[trace.ops.call[0]].output is None
