"""FLOPs equal torch's own counter on the same shapes, wherever torch counts and counts right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.cost.calls import call_of
from traceanalyzer.cost import price_call
from traceanalyzer.records import Cost


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta", requires_grad=dtype.is_floating_point)


def counted(function: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def priced(name: str, *arguments: Any) -> Cost:
    cost = price_call(call_of(name, *arguments))
    assert isinstance(cost, Cost), cost
    return cost


PRODUCTS = [
    ("aten::mm", torch.ops.aten.mm, (meta(12, 34), meta(34, 56))),
    ("aten::mm", torch.ops.aten.mm, (meta(1, 4096), meta(4096, 11008))),
    ("aten::bmm", torch.ops.aten.bmm, (meta(7, 12, 34), meta(7, 34, 56))),
    ("aten::addmm", torch.ops.aten.addmm, (meta(56), meta(12, 34), meta(34, 56))),
    ("aten::addmm", torch.ops.aten.addmm, (meta(12, 56), meta(12, 34), meta(34, 56))),
    ("aten::baddbmm", torch.ops.aten.baddbmm, (meta(7, 12, 56), meta(7, 12, 34), meta(7, 34, 56))),
]


@pytest.mark.parametrize(("name", "op", "arguments"), PRODUCTS)
def test_products(name: str, op: Any, arguments: tuple[torch.Tensor, ...]) -> None:
    assert priced(name, *arguments).flops == counted(lambda: op(*arguments))


def test_the_hand_written_product() -> None:
    assert priced("aten::mm", meta(12, 34), meta(34, 56)).flops == 45_696
    assert priced("aten::mv", meta(12, 34), meta(34)).flops == 2 * 12 * 34
    assert priced("aten::dot", meta(34), meta(34)).flops == 2 * 34
    assert priced("aten::addmv", meta(12), meta(12, 34), meta(34)).flops == 2 * 12 * 34


CONVOLUTIONS = [  # input, weight, stride, padding, dilation, transposed, output padding, groups
    ((2, 8, 20), (16, 8, 3), [1], [0], [1], False, [0], 1),
    ((2, 8, 21, 23), (16, 8, 3, 3), [2, 2], [1, 1], [1, 1], False, [0, 0], 1),
    ((2, 8, 21, 23), (16, 8, 3, 5), [1, 2], [0, 2], [2, 1], False, [0, 0], 1),
    ((1, 4, 9, 10, 11), (6, 4, 3, 3, 3), [1, 2, 1], [1, 1, 1], [1, 1, 1], False, [0, 0, 0], 1),
    ((2, 8, 14, 14), (8, 16, 4, 4), [2, 2], [1, 1], [1, 1], True, [0, 0], 1),
    ((2, 8, 14, 14), (8, 5, 3, 3), [2, 2], [1, 1], [1, 1], True, [1, 1], 1),
    ((2, 8, 20, 20), (12, 4, 3, 3), [1, 1], [1, 1], [1, 1], False, [0, 0], 2),
    ((2, 8, 20, 20), (8, 1, 3, 3), [1, 1], [1, 1], [1, 1], False, [0, 0], 8),
    ((2, 8, 14, 14), (8, 3, 3, 3), [2, 2], [1, 1], [1, 1], True, [0, 0], 2),
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("name", ["aten::convolution", "aten::_convolution"])
def test_convolution_forward(name: str, case: tuple[Any, ...]) -> None:
    x, w = meta(*case[0]), meta(*case[1])
    out = torch.ops.aten.convolution(x, w, None, *case[2:])
    cost = priced(name, x, w, None, *case[2:])
    assert cost.flops == counted(lambda: torch.ops.aten.convolution(x, w, None, *case[2:]))
    assert cost.write_bytes == 4 * out.numel()
    assert cost.read_bytes == 4 * (x.numel() + w.numel())


@pytest.mark.parametrize("case", [c for c in CONVOLUTIONS if c[-1] == 1])
@pytest.mark.parametrize("mask", [[True, True, False], [True, False, False], [False, True, True]])
def test_convolution_backward_without_groups(case: tuple[Any, ...], mask: list[bool]) -> None:
    x, w = meta(*case[0]), meta(*case[1])
    out = torch.ops.aten.convolution(x, w, None, *case[2:])
    arguments = (torch.empty_like(out), x, w, [w.shape[0]], *case[2:], mask)
    expected = counted(lambda: torch.ops.aten.convolution_backward(*arguments))
    bias = out.numel() if mask[2] else 0  # an addition an element, which torch does not count
    assert priced("aten::convolution_backward", *arguments).flops == expected + bias


@pytest.mark.parametrize("case", [c for c in CONVOLUTIONS if c[-1] > 1 and not c[5]])
def test_grouped_weight_gradient_is_the_hand_written_product(case: tuple[Any, ...]) -> None:
    """torch's counter has g times too many here (1,769,472 where 1,179,648 is right for two groups)."""
    x, w = meta(*case[0]), meta(*case[1])
    out = torch.ops.aten.convolution(x, w, None, *case[2:])
    arguments = (torch.empty_like(out), x, w, [w.shape[0]], *case[2:], [False, True, False])
    by_hand = 2 * x.shape[0] * out[0, 0].numel() * w.shape[0] * w.shape[1] * w[0, 0].numel()
    assert priced("aten::convolution_backward", *arguments).flops == by_hand


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (4, 1), (3, 2)])
def test_convolution_with_padding_by_name(padding: str, kernel: int, dilation: int) -> None:
    x, w = meta(2, 8, 17, 19), meta(16, 8, kernel, kernel)
    out = F.conv2d(x, w, None, 1, padding, dilation)
    cost = priced("aten::conv2d", x, w, None, [1, 1], padding, [dilation, dilation], 1)
    assert cost.flops == counted(lambda: F.conv2d(x, w, None, 1, padding, dilation))
    assert cost.write_bytes == 4 * out.numel()


@pytest.mark.parametrize("name", [f"aten::{x}_convolution" for x in ("cudnn", "miopen", "mkldnn")])
def test_library_spellings_take_the_same_arguments_elsewhere(name: str) -> None:
    x, w = meta(2, 8, 21, 23), meta(16, 8, 3, 3)
    tail = ([1, 1], [2, 2], [1, 1], 1)
    arguments = (x, w, *tail) if name == "aten::cudnn_convolution" else (x, w, None, *tail)
    expected = counted(lambda: F.conv2d(x, w, None, 2, 1, 1))
    assert priced(name, *arguments).flops == expected


ATTENTION = [
    ((2, 8, 128, 64), (2, 8, 128, 64)),
    ((2, 8, 100, 64), (2, 8, 260, 64)),
    ((1, 4, 1, 32), (1, 4, 77, 32)),
]


@pytest.mark.parametrize(("query", "key"), ATTENTION)
def test_attention_forward(query: tuple[int, ...], key: tuple[int, ...]) -> None:
    half = torch.bfloat16
    q, k, v = meta(*query, dtype=half), meta(*key, dtype=half), meta(*key, dtype=half)
    expected = counted(lambda: torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, False))
    assert priced("aten::_scaled_dot_product_flash_attention", q, k, v, 0.0, False, False).flops == expected
    cost = priced("aten::_scaled_dot_product_efficient_attention", q, k, v, None, True, 0.0, False)
    assert cost.flops == expected
    b, h, t, d = query
    assert cost.read_bytes == 2 * (q.numel() + k.numel() + v.numel())
    assert cost.write_bytes == 2 * q.numel() + 4 * b * h * t
    qt, kt, vt = (x.transpose(1, 2) for x in (q, k, v))
    flash = priced("aten::_flash_attention_forward", qt, kt, vt, None, None, t, key[2], 0.0, False)
    assert flash.flops == expected


def test_causal_attention_counts_the_pairs_under_the_diagonal() -> None:
    q = meta(2, 8, 128, 64, dtype=torch.bfloat16)
    cost = priced("aten::_scaled_dot_product_flash_attention", q, q, q, 0.0, True, False)
    assert cost.flops == 2 * 2 * 8 * (128 * 129 // 2) * (64 + 64)


@pytest.mark.parametrize(("query", "key"), ATTENTION)
def test_attention_backward(query: tuple[int, ...], key: tuple[int, ...]) -> None:
    half = torch.bfloat16
    q, k, v = meta(*query, dtype=half), meta(*key, dtype=half), meta(*key, dtype=half)
    o, grad = torch.empty_like(q), torch.empty_like(q)
    lse = meta(*query[:3])
    seed = torch.empty(2, dtype=torch.int64, device="meta")
    arguments = (grad, q, k, v, o, lse, None, None, query[2], key[2], 0.0, False, seed, seed)
    expected = counted(lambda: torch.ops.aten._scaled_dot_product_flash_attention_backward(*arguments))
    assert priced("aten::_scaled_dot_product_flash_attention_backward", *arguments).flops == expected
