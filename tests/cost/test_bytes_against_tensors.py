"""Priced bytes equal those of the real tensors: ops run on the CPU, inputs and outputs are weighed.

Expected: every distinct element of every tensor input once (expanded dimensions once, 0-dim tensors
not at all), every output element once; exceptions are written out in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from tests.files import loaded
from traceanalyzer.cost import price_call
from traceanalyzer.records import Cost
from traceanalyzer.records.trace import Trace


def t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) > 0.5
    if not dtype.is_floating_point:
        return torch.randint(0, 5, shape, generator=generator, dtype=dtype)
    return torch.rand(shape, generator=generator).to(dtype)


def touched(tensor: torch.Tensor) -> int:
    """Bytes of the distinct elements a view reaches; 0-dim tensors are scalars."""
    if tensor.dim() == 0:
        return 0
    distinct = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        distinct *= size if stride != 0 else 1
    return distinct * tensor.element_size()


def whole(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True)
class Case:
    """An op, its arguments, and what it reads and writes where that is not simply inputs and outputs."""

    name: str
    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    reads: int | None = None
    writes: int | None = None
    minus: tuple[int, ...] = ()  # inputs that are not read


aten = torch.ops.aten
HALF = torch.bfloat16
X, Y = t(64, 96), t(64, 96)
ROW, COLUMN = t(96), t(64, 1)
IDS = t(50, dtype=torch.int64)
POINTWISE = ["add", "sub", "mul", "div", "maximum", "minimum", "pow", "atan2", "eq", "lt", "ge", "ne"]
UNARY = ["neg", "abs", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh", "sigmoid", "erf", "reciprocal",
         "relu", "silu", "gelu", "floor", "isnan", "logical_not", "hardtanh", "leaky_relu", "softplus",
         "square", "sign", "hardswish", "elu", "log1p", "expm1", "round", "log_sigmoid_forward"]  # fmt: skip
CASES = [
    *(Case(f"aten::{n}", getattr(aten, n), (X, Y)) for n in POINTWISE),
    *(Case(f"aten::{n}", getattr(aten, n), (X,))
      for n in UNARY if n not in ("square", "log_sigmoid_forward")),
    *(Case("aten::add", aten.add, (a, b)) for a, b in [
        (X, ROW), (X, COLUMN), (COLUMN, ROW), (X.to(HALF), Y.to(HALF)), (X.to(HALF), Y),
        (X, t(dtype=torch.float64)),
        (X.t(), t(96, 64)), (ROW.expand(64, 96), Y), (COLUMN.expand(64, 96), ROW), (X[:, ::2], t(64, 48)),
        (t(64, 96, dtype=torch.int64), X), (t(64, 96, dtype=torch.bool), t(64, 96, dtype=torch.int32))]),
    Case("aten::mul", aten.mul, (X.to(HALF), torch.tensor(2.0, dtype=torch.float64))),
    Case("aten::mul", aten.mul, (X, 3.0)),
    Case("aten::div", aten.div, (t(64, 96, dtype=torch.int64), t(64, 96, dtype=torch.int64))),
    Case("aten::add_", aten.add_, (X.clone(), Y), writes=whole(X)),
    Case("aten::mul_", aten.mul_, (X.clone(), ROW), writes=whole(X)),
    Case("aten::addcmul_", aten.addcmul_, (X.clone(), Y, Y.clone()), writes=whole(X)),
    Case("aten::addcdiv", aten.addcdiv, (X, Y, t(64, 96) + 1)),
    Case("aten::lerp", aten.lerp, (X, Y, 0.3)),
    Case("aten::clamp", aten.clamp, (X, 0.1, 0.9)),
    Case("aten::where", aten.where, (X > 0.5, X, Y)),
    Case("aten::where", aten.where, (COLUMN > 0.5, X.to(HALF), Y.to(HALF))),
    Case("aten::masked_fill", aten.masked_fill, (X, ROW > 0.5, 0.0)),
    Case("aten::threshold_backward", aten.threshold_backward, (X, Y, 0)),
    Case("aten::gelu_backward", aten.gelu_backward, (X, Y)),
    Case("aten::silu_backward", aten.silu_backward, (X, Y)),
    Case("aten::tanh_backward", aten.tanh_backward, (X, Y)),
    Case("aten::native_dropout", aten.native_dropout, (X, 0.1, True)),
    Case("aten::copy_", aten.copy_, (X.clone(), ROW.expand(64, 96)), reads=touched(ROW), writes=whole(X)),
    Case("aten::copy_", aten.copy_, (X.to(HALF), Y), reads=whole(Y), writes=whole(X) // 2),
    Case("aten::fill_", aten.fill_, (X.clone(), 1.0), reads=0, writes=whole(X)),
    Case("aten::zero_", aten.zero_, (X.clone(),), reads=0, writes=whole(X)),
    Case("aten::clone", aten.clone, (X.t(),)),
    Case("aten::_to_copy", aten._to_copy, (X,)),
    Case("aten::cat", aten.cat, ([X, Y, X], 1)),
    Case("aten::cat", aten.cat, ([ROW, ROW], 0)),
    Case("aten::cat", aten.cat, ([ROW.expand(64, 96), X], 0), reads=whole(ROW) + whole(X)),
    Case("aten::stack", aten.stack, ([ROW, ROW.expand(96)], 0)),
    Case("aten::stack", torch.stack, ([t(1).expand(96), ROW], 0), reads=4 + whole(ROW)),
    Case("aten::block_diag", torch.block_diag, (t(2, 3), t(4), t(5, 1)), reads=4 * 15, writes=4 * 8 * 8),
    Case("aten::constant_pad_nd", aten.constant_pad_nd, (X, [1, 2, 3, 4], 0.0)),
    Case("aten::tril", aten.tril, (X,)),
    *(Case(f"aten::{n}", getattr(aten, n), a) for n in ("sum", "mean") for a in [
        (X,), (X, [0]), (X, [1], True), (t(4, 5, 6, 7), [0, 2])]),
    Case("aten::sum", aten.sum, (t(64, 96, dtype=torch.int32), [0])),
    Case("aten::amax", aten.amax, (X, [1])),
    Case("aten::argmax", aten.argmax, (X, 1)),
    Case("aten::max", aten.max, (X, 1)),
    Case("aten::any", aten.any, (X > 0.5, 1)),
    Case("aten::var", aten.var, (X, [1])),
    Case("aten::logsumexp", aten.logsumexp, (X, [1])),
    Case("aten::linalg_vector_norm", aten.linalg_vector_norm, (X, 2, [1])),
    Case("aten::cumsum", aten.cumsum, (X, 1)),
    Case("aten::cumsum", aten.cumsum, (t(64, 96, dtype=torch.int32), 0)),
    Case("aten::topk", aten.topk, (X, 5)),
    Case("aten::sort", aten.sort, (X,)),
    Case("aten::_softmax", aten._softmax, (X, 1, False)),
    Case("aten::_log_softmax", aten._log_softmax, (X.to(HALF), 1, False)),
    Case("aten::_softmax_backward_data", aten._softmax_backward_data, (X, Y, 1, torch.float32)),
    Case("aten::native_layer_norm", aten.native_layer_norm, (X, [96], ROW, ROW, 1e-5)),
    Case("aten::native_layer_norm", aten.native_layer_norm, (t(2, 8, 96), [96], None, None, 1e-5)),
    Case("aten::native_layer_norm_backward", aten.native_layer_norm_backward,
         (X, Y, [96], COLUMN, COLUMN, ROW, ROW, [True, True, True]), reads=2 * whole(X) + 2 * 256 + 384),
    Case("aten::native_group_norm", aten.native_group_norm, (t(2, 8, 5, 5), t(8), t(8), 2, 8, 25, 4, 1e-5)),
    Case("aten::native_batch_norm", aten.native_batch_norm,
         (t(4, 8, 5, 5), t(8), t(8), t(8), t(8), True, 0.1, 1e-5), writes=4 * 800 + 4 * 4 * 8),
    # 50 rows are asked for of a table of 40
    Case("aten::embedding", aten.embedding, (t(40, 16), IDS), reads=40 * 16 * 4 + 400),
    Case("aten::index_select", aten.index_select, (X, 0, IDS), reads=50 * 96 * 4 + 400),
    Case("aten::gather", aten.gather, (X, 1, t(64, 7, dtype=torch.int64)), reads=64 * 7 * 12),
    Case("aten::scatter_add_", aten.scatter_add_, (X.clone(), 1, t(64, 7, dtype=torch.int64), t(64, 7)),
         reads=64 * 7 * (8 + 4 + 4), writes=64 * 7 * 4),
    Case("aten::index_add_", aten.index_add_, (X.clone(), 0, IDS, t(50, 96)),
         reads=400 + 2 * 50 * 96 * 4, writes=50 * 96 * 4),
    Case("aten::max_pool2d_with_indices", aten.max_pool2d_with_indices,
         (t(2, 3, 17, 19), [3, 3], [2, 2], [1, 1])),
    Case("aten::avg_pool2d", aten.avg_pool2d, (t(2, 3, 17, 19), [2, 3])),
    Case("aten::avg_pool2d", aten.avg_pool2d, (t(2, 3, 17, 19), [3, 3], [2, 2], [1, 1], True)),
    Case("aten::_adaptive_avg_pool2d", aten._adaptive_avg_pool2d, (t(2, 3, 17, 19), [4, 5])),
    Case("aten::upsample_nearest2d", aten.upsample_nearest2d, (t(2, 3, 8, 9), [16, 18])),
    Case("aten::upsample_bilinear2d", aten.upsample_bilinear2d, (t(2, 3, 8, 9), [16, 18], False)),
    # Its own kernel writes the loss of every element; the mean of them is an op that it calls.
    Case("aten::mse_loss", aten.mse_loss, (X, Y), writes=whole(X)),
    Case("aten::topk", aten.topk, (t(1000, 4), 2, 0)),
    Case("aten::mul", aten.mul, (t(64, 96, dtype=torch.int64), 0.5)),
    Case("aten::mul", aten.mul, (t(64, 96, dtype=torch.bool), 2.0)),
    Case("aten::mul", aten.mul, (t(64, 96, dtype=torch.int64), 2)),
    Case("aten::div", aten.div, (t(64, 96, dtype=torch.int64), t(64, 96, dtype=torch.int64) + 1)),
    Case("aten::sum", torch.sum, (X.to(HALF), 1), writes=64 * 2),
    Case("aten::sum", torch.sum, (X,), writes=4),
    *(Case(f"aten::{n}", f, (X,), writes=w) for n, f, w in [
        ("sum", lambda x: x.sum(dtype=torch.float64), 8), ("mean", lambda x: x.mean(dtype=torch.float64), 8),
        ("prod", lambda x: x.prod(dtype=torch.float64), 8), ("var", lambda x: aten.var(x, True), 4),
        ("sum", lambda x: x.sum(1, dtype=torch.float64), 64 * 8),
        ("prod", lambda x: x.prod(1, dtype=torch.float64), 64 * 8),
        ("norm", lambda x: aten.norm(x, 2, dtype=torch.float64), 4),
        ("linalg_vector_norm", lambda x: aten.linalg_vector_norm(x, 2, [1], dtype=torch.float64), 64 * 8),
        ("cumsum", lambda x: x.cumsum(1, dtype=torch.float64), 64 * 96 * 8)]),
    Case("aten::var_mean", aten.var_mean, (X, True), writes=8),
    Case("aten::bucketize", lambda x, b: torch.bucketize(x, b, out_int32=True), (X, ROW)),
    # The copy of X is an op of its own, below.
    Case("aten::scatter_add", aten.scatter_add, (X, 1, t(64, 7, dtype=torch.int64), t(64, 7)),
         reads=64 * 7 * (8 + 4 + 4), writes=64 * 7 * 4),
    Case("aten::scatter_", lambda *a: aten.scatter_(*a, reduce="add"),
         (X.clone(), 1, t(64, 7, dtype=torch.int64), t(64, 7)),
         reads=64 * 7 * (8 + 4 + 4), writes=64 * 7 * 4),
    Case("aten::index_fill_", aten.index_fill_, (t(100, 7), 1, torch.tensor([1, 3, 5]), 0.0),
         reads=24, writes=300 * 4),
    Case("aten::take_along_dim", torch.take_along_dim, (X, t(64, 7, dtype=torch.int64), 1),
         reads=64 * 7 * 12),
    Case("aten::bmm", aten.bmm, (t(3, 8, 9), t(3, 9, 10))),
    Case("aten::addmm_", aten.addmm_, (t(64, 64), X, Y.t()), reads=64 * 64 * 4 + 2 * whole(X),
         writes=64 * 64 * 4),
    Case("aten::mse_loss", aten.mse_loss, (X, Y, 0)),
    Case("aten::nll_loss_forward", aten.nll_loss_forward, (X, t(64, dtype=torch.int64), None, 1, -100),
         reads=64 * 12, writes=8),
    Case("aten::nll_loss_forward", aten.nll_loss_forward, (X, t(64, dtype=torch.int64), ROW, 0, -100),
         reads=64 * 12 + 384, writes=64 * 4),
    Case("aten::nll_loss_backward", aten.nll_loss_backward,
         (t(), X, t(64, dtype=torch.int64), None, 1, -100, torch.tensor(64.0)),
         reads=64 * 8, writes=whole(X)),
    Case("aten::_foreach_add_", aten._foreach_add_, ([X.clone(), ROW.clone()], [Y, ROW]),
         writes=whole(X) + whole(ROW)),
    Case("aten::_foreach_mul", aten._foreach_mul, ([X, ROW], 2.0)),
    Case("aten::_foreach_addcdiv_", aten._foreach_addcdiv_, ([X.clone()], [Y], [t(64, 96) + 1], 0.1),
         writes=whole(X)),
    Case("aten::mm", aten.mm, (X, Y.t())),
    Case("aten::bmm", aten.bmm, (t(3, 8, 9), t(1, 9, 10).expand(3, 9, 10))),
    Case("aten::addmm", aten.addmm, (t(64), X, Y.t())),
    Case("aten::mv", aten.mv, (X, ROW)),
    Case("aten::convolution", aten.convolution,
         (t(2, 4, 9, 9), t(6, 4, 3, 3), t(6), [2, 2], [1, 1], [1, 1], False, [0, 0], 1)),
]  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, list[Any]]:
    """All cases in one profile, each inside an annotation of its number; and their results."""
    results = []
    with torch.no_grad(), torch.profiler.profile(record_shapes=True) as profiler:
        for number, case in enumerate(CASES):
            with torch.profiler.record_function(f"case {number}"):
                results.append(case.run(*case.arguments))
    path = tmp_path_factory.mktemp("bytes") / "cases.json"
    profiler.export_chrome_trace(str(path))
    return loaded(str(path)), results


def flat(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [item for part in result or () for item in flat(part)] if isinstance(result, list | tuple) else []


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{n}-{CASES[n].name}")
def test_bytes(recorded: tuple[Trace, list[Any]], number: int) -> None:
    trace, results = recorded
    case = CASES[number]
    (span,) = [i for i in range(len(trace.ops)) if trace.names[trace.ops.name[i]] == f"case {number}"]
    calls = [
        trace.calls[trace.ops.call[i]] for i in range(len(trace.ops))
        if trace.ops.parent[i] == span and trace.names[trace.ops.name[i]] == case.name
    ]  # fmt: skip
    assert calls, f"{case.name} was not recorded"
    lists = [a for a in case.arguments if isinstance(a, list) and isinstance(a[0], torch.Tensor)]
    # A trace does not record the dtype of list items; on a CPU no kernel name tells it either.
    cost = price_call(replace(calls[0], list_dtype="fp32") if lists else calls[0])
    assert isinstance(cost, Cost), (cost, calls[0])
    inputs = flat(list(case.arguments))
    assert cost.read_bytes == (sum(map(touched, inputs)) if case.reads is None else case.reads), calls[0]
    outputs = sum(map(whole, flat(results[number])))
    assert cost.write_bytes == (outputs if case.writes is None else case.writes), calls[0]
