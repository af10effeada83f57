"""The operators whose bytes, FLOPs and verdicts are held against hardware counters.

Each is one operator on tensors far larger than a last-level cache, of every family that the cost model has.
The list stood here before any of them was counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Once = Callable[[], object]
FP32, BF16, FP16, FP64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run: on a GPU half a gigabyte and more a tensor, in a rehearsal a few kilobytes."""

    device: str
    rows: int
    columns: int
    square: int  # of matrices
    images: int  # a batch of them
    side: int  # of one, in pixels
    tokens: int

    def of(self, dtype: torch.dtype, *dims: int) -> Tensor:
        """Random numbers; without dims a tensor of rows and columns."""
        return torch.rand(*(dims or (self.rows, self.columns)), device=self.device).to(dtype)

    def whole(self, below: int, *dims: int) -> Tensor:
        """Random integers."""
        return torch.randint(0, below, dims, device=self.device)


GPU = Scale("cuda", rows=65_536, columns=4096, square=8192, images=64, side=112, tokens=4096)
REHEARSAL = Scale("cpu", rows=32, columns=64, square=32, images=2, side=8, tokens=32)


@dataclass(frozen=True, slots=True)
class Case:
    family: str
    name: str
    build: Callable[[Scale], Once]
    practical: bool = False  # its family moves more than compulsory bytes in practice, which its formula says


def pointwise() -> Iterator[Case]:
    def one(name: str, dtype: torch.dtype, function: Callable[..., object], inputs: int = 1) -> Case:
        def build(s: Scale) -> Once:
            tensors = [s.of(dtype) for _ in range(inputs)]
            return lambda: function(*tensors)

        return Case("pointwise", f"{name} {str(dtype).removeprefix('torch.')}", build)

    yield from (one("add", dtype, torch.add, 2) for dtype in (FP32, BF16, FP16))
    yield one("mul by a number", BF16, lambda x: x * 3)
    yield one("mul in place", FP32, lambda x: x.mul_(1.0))
    yield one("addcmul", FP32, lambda x, y, z: torch.addcmul(x, y, z), 3)
    yield from (one(f.__name__, BF16, f) for f in (F.gelu, F.silu, torch.exp, torch.tanh, torch.sigmoid))
    yield one("gelu by tanh", FP32, lambda x: F.gelu(x, approximate="tanh"))
    yield from (one(f.__name__, FP32, f) for f in (torch.rsqrt, torch.square, torch.log, torch.neg))
    yield one("clamp", BF16, lambda x: x.clamp(0.1, 0.9))
    yield one("div", FP32, torch.div, 2)
    yield one("greater", BF16, torch.gt, 2)
    yield one("gelu backward", BF16, lambda x, y: aten.gelu_backward(x, y), 2)
    yield one("silu backward", BF16, lambda x, y: aten.silu_backward(x, y), 2)
    yield one("relu backward", BF16, lambda x, y: aten.threshold_backward(x, y, 0), 2)
    yield one("dropout", BF16, lambda x: aten.native_dropout(x, 0.1, True))

    def broadcast(s: Scale) -> Once:
        x, row = s.of(BF16), s.of(BF16, s.columns)
        return lambda: x + row

    def masked(s: Scale) -> Once:
        x, mask = s.of(BF16), s.of(FP32) < 0.5
        return lambda: x.masked_fill(mask, 0.0)

    def chosen(s: Scale) -> Once:
        x, y, mask = s.of(FP32), s.of(FP32), s.of(FP32) < 0.5
        return lambda: torch.where(mask, x, y)

    def turned(s: Scale) -> Once:
        side = s.square
        x, y = s.of(FP32, side, side), s.of(FP32, side, side)
        return lambda: x + y.t()

    yield Case("pointwise", "add a row", broadcast)
    yield Case("pointwise", "masked_fill", masked)
    yield Case("pointwise", "where", chosen)
    yield Case("pointwise", "add transposed", turned)


def moves() -> Iterator[Case]:
    def one(name: str, dtype: torch.dtype, function: Callable[[Tensor], object]) -> Case:
        def build(s: Scale) -> Once:
            x = s.of(dtype)
            return lambda: function(x)

        return Case("moves", name, build)

    yield one("cast fp32 to bf16", FP32, lambda x: x.bfloat16())
    yield one("cast bf16 to fp32", BF16, lambda x: x.float())
    yield one("clone", BF16, torch.clone)
    yield one("fill in place", BF16, lambda x: x.fill_(1))
    yield one("zero in place", FP32, lambda x: x.zero_())
    yield one("transposed to contiguous", BF16, lambda x: x.t().contiguous())
    yield one("heads to tokens", BF16, lambda x: x.view(16, -1, 64).transpose(0, 1).contiguous())
    yield one("concatenate", BF16, lambda x: torch.cat([x, x], -1))
    yield one("pad", BF16, lambda x: F.pad(x, (1, 1)))


def reductions() -> Iterator[Case]:
    def one(name: str, dtype: torch.dtype, function: Callable[[Tensor], object]) -> Case:
        def build(s: Scale) -> Once:
            x = s.of(dtype)
            return lambda: function(x)

        return Case("reductions", name, build)

    yield one("sum of rows fp32", FP32, lambda x: x.sum(-1))
    yield one("sum of columns bf16", BF16, lambda x: x.sum(0))
    yield one("mean of all bf16", BF16, torch.mean)
    yield one("largest of rows", BF16, lambda x: x.amax(-1))
    yield one("place of the largest", FP32, lambda x: x.argmax(-1))
    yield one("variance of rows", FP32, lambda x: x.var(-1))
    yield one("norm of all", FP32, torch.linalg.vector_norm)
    yield one("cumulative sum", FP32, lambda x: x.cumsum(-1))


def norms() -> Iterator[Case]:
    def one(name: str, build: Callable[[Scale], Once], practical: bool = False) -> Case:
        return Case("norms", name, build, practical)

    def softmax(dtype: torch.dtype, columns: int) -> Callable[[Scale], Once]:
        def build(s: Scale) -> Once:
            width = min(columns, s.rows * s.columns // 8)
            x = s.of(dtype, s.rows * s.columns // width, width)
            return lambda: x.softmax(-1)

        return build

    def softmax_backward(s: Scale) -> Once:
        y, dy = s.of(BF16).softmax(-1), s.of(BF16)
        return lambda: aten._softmax_backward_data(dy, y, -1, BF16)

    def layer(s: Scale) -> Once:
        x, w = s.of(BF16), s.of(BF16, s.columns)
        return lambda: aten.native_layer_norm(x, [s.columns], w, w, 1e-5)

    def layer_backward(s: Scale) -> Once:
        x, w, dy = s.of(BF16), s.of(BF16, s.columns), s.of(BF16)
        _, mean, rstd = aten.native_layer_norm(x, [s.columns], w, w, 1e-5)
        return lambda: aten.native_layer_norm_backward(dy, x, [s.columns], mean, rstd, w, w, [True] * 3)

    def rms(s: Scale) -> Once:
        x, w = s.of(BF16), s.of(BF16, s.columns)
        return lambda: F.rms_norm(x, (s.columns,), w)

    def images(s: Scale) -> Tensor:
        return s.of(BF16, s.images, 256, s.side, s.side)

    def batch(s: Scale) -> Once:
        x, w = images(s), s.of(FP32, 256)
        return lambda: F.batch_norm(x, w.clone(), w.clone(), w, w, True)

    def batch_backward(s: Scale) -> Once:
        x, w = images(s).requires_grad_(), s.of(FP32, 256).requires_grad_()
        y = F.batch_norm(x, None, None, w, w, True)
        dy = torch.rand_like(y)
        return lambda: torch.autograd.grad(y, (x, w), dy, retain_graph=True)

    def group(s: Scale) -> Once:
        x, w = images(s), s.of(BF16, 256)
        return lambda: F.group_norm(x, 32, w, w)

    yield one("softmax of 1024 bf16", softmax(BF16, 1024))
    yield one("softmax of 4096 fp32", softmax(FP32, 4096))
    yield one("softmax of 32768 bf16", softmax(BF16, 32_768), practical=True)
    yield one("softmax backward", softmax_backward)
    yield one("layer norm", layer)
    yield one("layer norm backward", layer_backward, practical=True)
    yield one("rms norm", rms)
    yield one("batch norm in training", batch, practical=True)
    yield one("batch norm backward", batch_backward, practical=True)
    yield one("group norm", group, practical=True)


def indexed() -> Iterator[Case]:
    def embedding(s: Scale) -> Once:
        table, ids = s.of(BF16), s.whole(s.rows, s.rows)
        return lambda: F.embedding(ids, table)

    def embedding_backward(s: Scale) -> Once:
        dy, ids = s.of(BF16), s.whole(s.rows, s.rows)
        return lambda: aten.embedding_dense_backward(dy, ids, s.rows, -1, False)

    def rows(s: Scale) -> Once:
        table, ids = s.of(BF16), s.whole(s.rows, s.rows)
        return lambda: table.index_select(0, ids)

    def scatter(s: Scale) -> Once:
        x, source, ids = s.of(FP32), s.of(FP32), s.whole(s.rows, s.rows)
        return lambda: x.index_add_(0, ids, source)

    yield Case("indexing", "embedding", embedding)
    yield Case("indexing", "embedding backward", embedding_backward)
    yield Case("indexing", "index_select", rows)
    yield Case("indexing", "index_add", scatter)


def losses() -> Iterator[Case]:
    def cross(s: Scale) -> Once:
        likely, target = s.of(FP32).log_softmax(-1), s.whole(s.columns, s.rows)
        return lambda: aten.nll_loss_backward(
            torch.ones((), device=s.device), likely, target, None, 1, -100, torch.ones((), device=s.device)
        )

    def squared(s: Scale) -> Once:
        x, y = s.of(BF16), s.of(BF16)
        return lambda: F.mse_loss(x, y)

    def pooled(s: Scale) -> Once:
        x = s.of(BF16, s.images, 256, s.side, s.side)
        return lambda: F.max_pool2d(x, 3, 2, 1)

    def averaged(s: Scale) -> Once:
        x = s.of(BF16, s.images, 256, s.side, s.side)
        return lambda: F.avg_pool2d(x, 2)

    def enlarged(s: Scale) -> Once:
        x = s.of(BF16, s.images, 64, s.side, s.side)
        return lambda: F.interpolate(x, scale_factor=2, mode="nearest")

    yield Case("losses", "nll loss backward", cross)
    yield Case("losses", "mse loss", squared)
    yield Case("pooling", "max pool", pooled)
    yield Case("pooling", "average pool", averaged)
    yield Case("resampling", "twice as large", enlarged)


def optimizers() -> Iterator[Case]:
    def one(name: str, make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> Case:
        def build(s: Scale) -> Once:
            parameters = [nn.Parameter(s.of(FP32, s.rows, s.columns // 8)) for _ in range(4)]
            for parameter in parameters:
                parameter.grad = torch.rand_like(parameter)
            optimizer = make(parameters)
            return lambda: optimizer.step()

        return Case("optimizers", name, build)

    yield one("adamw fused", lambda p: torch.optim.AdamW(p, fused=True))
    yield one("adamw foreach", lambda p: torch.optim.AdamW(p, foreach=True))
    yield one("sgd with momentum fused", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True))
    yield one("sgd with momentum foreach", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, foreach=True))

    def clipped(s: Scale) -> Once:
        parameters = [nn.Parameter(s.of(FP32, s.rows, s.columns // 8)) for _ in range(4)]
        for parameter in parameters:
            parameter.grad = torch.rand_like(parameter)
        return lambda: nn.utils.clip_grad_norm_(parameters, 1e9, foreach=True)

    yield Case("optimizers", "gradients clipped", clipped)


def products() -> Iterator[Case]:
    def square(dtype: torch.dtype) -> Callable[[Scale], Once]:
        def build(s: Scale) -> Once:
            side = s.square // 2 if dtype == FP64 else s.square
            a, b = s.of(dtype, side, side), s.of(dtype, side, side)
            return lambda: a @ b

        return build

    def biased(s: Scale) -> Once:
        x, w, b = s.of(BF16, s.square, s.square), s.of(BF16, s.square, s.square), s.of(BF16, s.square)
        return lambda: torch.addmm(b, x, w)

    def few_rows(rows: int) -> Callable[[Scale], Once]:
        def build(s: Scale) -> Once:
            x, w = s.of(BF16, rows, s.square), s.of(BF16, s.square, 2 * s.square)
            return lambda: x @ w

        return build

    def scores(s: Scale) -> Once:
        q, k = s.of(BF16, 128, s.tokens // 2, 64), s.of(BF16, 128, 64, s.tokens // 2)
        return lambda: torch.bmm(q, k)

    def weighed(s: Scale) -> Once:
        p, v = s.of(BF16, 128, s.tokens // 2, s.tokens // 2), s.of(BF16, 128, s.tokens // 2, 64)
        return lambda: torch.bmm(p, v)

    def odd(s: Scale) -> Once:
        a, b = s.of(BF16, s.square, s.square - 1), s.of(BF16, s.square - 1, s.square)
        return lambda: a @ b

    def vector(s: Scale) -> Once:
        a, x = s.of(BF16, 4 * s.square, s.square), s.of(BF16, s.square)
        return lambda: torch.mv(a, x)

    def eight_bits(s: Scale) -> Once:
        a = s.of(FP32, s.square, s.square).to(torch.float8_e4m3fn)
        b = s.of(FP32, s.square, s.square).to(torch.float8_e4m3fn).t()
        one = torch.ones((), device=s.device)
        return lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=BF16)

    for dtype in (BF16, FP16, FP32, FP64):
        yield Case("products", f"{dtype} square".removeprefix("torch."), square(dtype))
    yield Case("products", "addmm bf16", biased)
    yield from (Case("products", f"{rows} rows bf16", few_rows(rows)) for rows in (1, 16, 256))
    yield Case("products", "attention scores", scores)
    yield Case("products", "scores by values", weighed)
    yield Case("products", "an odd inner size", odd)
    yield Case("products", "matrix by vector", vector)
    yield Case("products", "fp8 square", eight_bits)


def convolutions() -> Iterator[Case]:
    def forward(
        channels: int, kernel: int, groups: int = 1, last: bool = False, transposed: bool = False
    ) -> Callable[[Scale], Once]:
        def build(s: Scale) -> Once:
            x = s.of(BF16, s.images, channels, s.side, s.side)
            w = s.of(BF16, channels, channels // groups, kernel, kernel)
            if last:
                x, w = (each.to(memory_format=torch.channels_last) for each in (x, w))
            if transposed:
                return lambda: F.conv_transpose2d(x, w, stride=2)
            return lambda: F.conv2d(x, w, padding=kernel // 2, groups=groups)

        return build

    def backward(s: Scale) -> Once:
        x = s.of(BF16, s.images, 128, s.side, s.side).requires_grad_()
        w = s.of(BF16, 128, 128, 3, 3).requires_grad_()
        y = F.conv2d(x, w, padding=1)
        dy = torch.rand_like(y)
        return lambda: torch.autograd.grad(y, (x, w), dy, retain_graph=True)

    yield Case("convolutions", "3x3 of 128 channels", forward(128, 3))
    yield Case("convolutions", "3x3, channels last", forward(128, 3, last=True))
    yield Case("convolutions", "1x1 of 256, channels last", forward(256, 1, last=True))
    yield Case("convolutions", "depthwise 3x3", forward(128, 3, groups=128))
    yield Case("convolutions", "transposed 2x2", forward(64, 2, transposed=True))
    yield Case("convolutions", "3x3 backward", backward)


def attentions() -> Iterator[Case]:
    def inputs(s: Scale, grad: bool = False) -> list[Tensor]:
        return [s.of(BF16, 16, 16, s.tokens, 64).requires_grad_(grad) for _ in range(3)]

    def forward(causal: bool) -> Callable[[Scale], Once]:
        def build(s: Scale) -> Once:
            q, k, v = inputs(s)
            return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal)

        return build

    def backward(s: Scale) -> Once:
        q, k, v = inputs(s, grad=True)
        y = F.scaled_dot_product_attention(q, k, v)
        dy = torch.rand_like(y)
        return lambda: torch.autograd.grad(y, (q, k, v), dy, retain_graph=True)

    def decoding(s: Scale) -> Once:
        q = s.of(BF16, 64, 16, 1, 64)
        k, v = (s.of(BF16, 64, 16, s.tokens, 64) for _ in range(2))
        return lambda: F.scaled_dot_product_attention(q, k, v)

    yield Case("attention", "fused", forward(False))
    yield Case("attention", "fused, causal", forward(True))
    yield Case("attention", "fused, backward", backward)
    yield Case("attention", "of one token", decoding)


def compiled() -> Iterator[Case]:
    def chain(s: Scale) -> Once:
        x, y = s.of(BF16), s.of(BF16)
        run = torch.compile(lambda a, b: F.gelu(a * 2 + b) * b, dynamic=False)
        return lambda: run(x, y)

    def normed(s: Scale) -> Once:
        x, w = s.of(BF16), s.of(BF16, s.columns)
        run = torch.compile(lambda a, b: F.rms_norm(a + a, (s.columns,), b), dynamic=False)
        return lambda: run(x, w)

    yield Case("compiled", "chain", chain)
    yield Case("compiled", "sum and norm", normed)


def cases() -> tuple[Case, ...]:
    """All of them, in the order in which they run; the compiled ones last."""
    families = (pointwise, moves, reductions, norms, indexed, losses, optimizers, products, convolutions,
                attentions, compiled)  # fmt: skip
    return tuple(case for family in families for case in family())
