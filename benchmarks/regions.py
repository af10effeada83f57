"""The regions on which predicted savings are held against measured ones.

Each pattern comes in four sizes. The first ones chose the predictor's fractions; the others are held back:
they stood here before any of them was measured, and nothing was chosen by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

SIZES = {"256 KiB": 1 << 16, "2 MiB": 1 << 19, "16 MiB": 1 << 22, "64 MiB": 1 << 24}  # fp32 elements
WIDTH = 512
Step = Callable[[], object]


def rms_norm(count: int) -> Step:
    x, weight = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def residual_layer_norm(count: int) -> Step:
    x, y, weight = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)

    def step() -> object:
        total = x + y
        return total, F.layer_norm(total, (WIDTH,), weight, weight)

    return step


def gelu_by_hand(count: int) -> Step:
    x = torch.rand(count)
    return lambda: 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x * x * x)))


def gated(count: int) -> Step:
    x, y = torch.rand(count), torch.rand(count)
    return lambda: F.silu(x) * y


def dropout_add(count: int) -> Step:
    x, y = torch.rand(count), torch.rand(count)
    return lambda: F.dropout(x, 0.1) + y


def rotary(count: int) -> Step:
    x = torch.rand(count // WIDTH, 8, WIDTH // 8)
    cos, sin = torch.rand(count // WIDTH, 1, WIDTH // 8), torch.rand(count // WIDTH, 1, WIDTH // 8)

    def step() -> object:
        left, right = x.chunk(2, -1)
        return x * cos + torch.cat((-right, left), -1) * sin

    return step


def masked_softmax(count: int) -> Step:
    x, mask = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH) < 0.5
    return lambda: (x / 8).masked_fill(mask, -1e9).softmax(-1)


def scale_shift(count: int) -> Step:
    x, a, b = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH), torch.rand(WIDTH)
    return lambda: (x * a + b).clamp(min=0.5) * 2


def group_norm_silu(count: int) -> Step:
    x, weight = torch.rand(4, 32, count // 4096, 32), torch.rand(32)
    return lambda: F.silu(F.group_norm(x, 8, weight, weight))


def cross_entropy(count: int) -> Step:
    x, target = torch.rand(count // 4096, 4096), torch.randint(0, 4096, (count // 4096,))
    return lambda: F.cross_entropy(x, target)


def gated_backward(count: int) -> Step:
    x, y, z = torch.rand(count), torch.rand(count), torch.rand(count)

    def step() -> object:
        s = torch.sigmoid(x)
        return z * y * (s + x * s * (1 - s)), z * x * s

    return step


def attention(count: int) -> Step:
    heads, tokens = max(1, count >> 18), min(512, int(count**0.5))
    q, k, v = (torch.rand(heads, tokens, 64) for _ in range(3))
    return lambda: torch.bmm((torch.bmm(q, k.transpose(1, 2)) / 8).softmax(-1), v)


def adamw(count: int) -> Step:
    parameters = [torch.nn.Parameter(torch.rand(count // 4)) for _ in range(4)]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.AdamW(parameters, foreach=True)
    return lambda: optimizer.step()


def tanh_residual(count: int) -> Step:
    x, y, z = torch.rand(count), torch.rand(count), torch.rand(count)
    return lambda: torch.tanh(x + y) * z + x


def layer_scale(count: int) -> Step:
    x, y, scale = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: y + scale * (x - x.mean(-1, keepdim=True))


def l2_normalized(count: int) -> Step:
    x, scale = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: x / (x * x).sum(-1, keepdim=True).add(1e-6).sqrt() * scale


def hard_swish(count: int) -> Step:
    x = torch.rand(count // WIDTH, WIDTH)
    return lambda: x * (x + 3).clamp(0, 6) / 6


def relu_squared_backward(count: int) -> Step:
    x, gradient = torch.rand(count), torch.rand(count)
    return lambda: gradient * 2 * torch.relu(x) + 0.01 * x


def huber(count: int) -> Step:
    x, y = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH)
    return lambda: torch.log(torch.cosh(x - y)).mean(-1)


def momentum_sgd(count: int) -> Step:
    parameters = [torch.nn.Parameter(torch.rand(count // 4)) for _ in range(4)]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, foreach=True)
    return lambda: optimizer.step()


def layer_norm_gelu(count: int) -> Step:
    x, weight = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: F.gelu(F.layer_norm(x, (WIDTH,), weight, weight), approximate="tanh")


def cosine_rows(count: int) -> Step:
    x, y = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH)
    return lambda: (x * y).sum(-1) * torch.rsqrt((x * x).sum(-1) * (y * y).sum(-1))


def decay(count: int) -> Step:
    x, y, z = torch.rand(count), torch.rand(count), torch.rand(count)
    return lambda: torch.exp(-x) * y + z


def squared_gate(count: int) -> Step:
    x, y = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH)
    return lambda: torch.relu(x).square() * y


def soft_cap(count: int) -> Step:
    x = torch.rand(count)
    return lambda: 30 * torch.tanh(x / 30)


def standardized(count: int) -> Step:
    x, scale = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)

    def step() -> object:
        centered = x - x.mean(-1, keepdim=True)
        return centered * torch.rsqrt((centered * centered).mean(-1, keepdim=True) + 1e-5) * scale

    return step


def moving_average(count: int) -> Step:
    x, y = torch.rand(count), torch.rand(count)
    return lambda: (0.9 * x + 0.1 * y).clamp(0.1, 0.9)


def adam(count: int) -> Step:
    parameters = [torch.nn.Parameter(torch.rand(count // 8)) for _ in range(8)]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.Adam(parameters, foreach=True)
    return lambda: optimizer.step()


def error_backward(count: int) -> Step:
    x, y, z = torch.rand(count), torch.rand(count), torch.rand(count)
    return lambda: 2 * (x - y) / count * z + 0.01 * x


def gated_gelu(count: int) -> Step:
    x, y = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH)
    return lambda: F.gelu(x) * y


def tempered_softmax(count: int) -> Step:
    x, bias = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: (x * 0.125 + bias).softmax(-1)


def entropy_rows(count: int) -> Step:
    x = torch.rand(count // WIDTH, WIDTH)

    def step() -> object:
        likely = F.log_softmax(x, -1)
        return -(likely.exp() * likely).sum(-1)

    return step


def swish_backward(count: int) -> Step:
    x, gradient = torch.rand(count), torch.rand(count)

    def step() -> object:
        s = torch.sigmoid(x)
        return gradient * s * (1 + x * (1 - s))

    return step


def drift(count: int) -> Step:
    x, y = torch.rand(count), torch.rand(count)
    return lambda: (x - (0.99 * x + 0.01 * y)).abs() * y


def half_rotation(count: int) -> Step:
    half = WIDTH // 2
    x, y = torch.rand(count // WIDTH, half), torch.rand(count // WIDTH, half)
    cos, sin = torch.rand(count // WIDTH, half), torch.rand(count // WIDTH, half)
    return lambda: (x * cos - y * sin, y * cos + x * sin)


def modulated_norm(count: int) -> Step:
    x, scale, shift = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH), torch.rand(WIDTH)
    return lambda: F.layer_norm(x, (WIDTH,)) * (1 + scale) + shift


def squared_error_rows(count: int) -> Step:
    x, y = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH)
    return lambda: ((x - y) * (x - y)).mean(-1)


def fake_quantized(count: int) -> Step:
    x = torch.rand(count)
    return lambda: (x * 127).round().clamp(-127, 127) * (1 / 127)


def nesterov_sgd(count: int) -> Step:
    parameters = [torch.nn.Parameter(torch.rand(count // 8)) for _ in range(8)]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, nesterov=True, foreach=True)
    return lambda: optimizer.step()


def decaying_adam(count: int) -> Step:
    parameters = [torch.nn.Parameter(torch.rand(count // 16)) for _ in range(16)]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.Adam(parameters, weight_decay=0.01, foreach=True)
    return lambda: optimizer.step()


def bias_relu_residual(count: int) -> Step:
    x, y, bias = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: torch.relu(x + bias) + y


def clipped_residual(count: int) -> Step:
    x, y, z = torch.rand(count), torch.rand(count), torch.rand(count)
    return lambda: (x + y).clamp(-1, 1) * z


def soft_gate(count: int) -> Step:
    x, y = torch.rand(count), torch.rand(count)
    return lambda: F.softplus(x) * y


def biased_log_softmax(count: int) -> Step:
    x, bias = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: (x + bias).log_softmax(-1)


def distance_rows(count: int) -> Step:
    x, y = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH)
    return lambda: (x - y).abs().mean(-1)


def scaled_elu(count: int) -> Step:
    x, y = torch.rand(count), torch.rand(count)
    return lambda: F.elu(0.5 * x) + y


def mixed(count: int) -> Step:
    x, y, z = torch.rand(count), torch.rand(count), torch.rand(count)
    return lambda: torch.lerp(x, y, 0.3) * z - x


def gated_residual(count: int) -> Step:
    x, y, bias = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: torch.sigmoid(x + bias) * y + x


def post_norm_scale(count: int) -> Step:
    x, y, scale = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH)
    return lambda: y + scale * F.layer_norm(x, (WIDTH,), scale, scale)


def affine_energy_rows(count: int) -> Step:
    x, scale, shift = torch.rand(count // WIDTH, WIDTH), torch.rand(WIDTH), torch.rand(WIDTH)
    return lambda: (x * scale + shift).square().sum(-1)


def norm_backward(count: int) -> Step:
    """The gradient of a division by the root of the mean square, written out."""
    x, gradient = torch.rand(count // WIDTH, WIDTH), torch.rand(count // WIDTH, WIDTH)

    def step() -> object:
        inverse = torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)
        normed = x * inverse
        return inverse * (gradient - normed * (gradient * normed).mean(-1, keepdim=True))

    return step


def adagrad(count: int) -> Step:
    parameters = [torch.nn.Parameter(torch.rand(count // 8)) for _ in range(8)]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.Adagrad(parameters, foreach=True)
    return lambda: optimizer.step()


def many_adamw(count: int) -> Step:
    parameters = [torch.nn.Parameter(torch.rand(count // 32)) for _ in range(32)]
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer = torch.optim.AdamW(parameters, foreach=False)
    return lambda: optimizer.step()


def masked_attention(count: int) -> Step:
    heads, tokens = max(1, count >> 16), min(256, int(count**0.5))
    q, k, v = (torch.rand(heads, tokens, 64) for _ in range(3))
    mask = torch.zeros(tokens, tokens)
    return lambda: torch.bmm((torch.bmm(q, k.transpose(1, 2)) * 0.125 + mask).softmax(-1), v)


@dataclass(frozen=True, slots=True)
class Case:
    """One pattern in one size; what is held back chooses nothing."""

    pattern: Callable[[int], Step]
    size: str
    held_back: bool

    @property
    def name(self) -> str:
        return self.pattern.__name__


CHOOSING = (
    rms_norm, residual_layer_norm, gelu_by_hand, gated, dropout_add, rotary, masked_softmax, scale_shift,
    group_norm_silu, cross_entropy, gated_backward, attention, adamw, tanh_residual, layer_scale,
    l2_normalized, hard_swish, relu_squared_backward, huber, momentum_sgd, layer_norm_gelu,
    cosine_rows, decay, squared_gate, soft_cap, standardized, moving_average, adam, error_backward,
    gated_gelu, tempered_softmax, entropy_rows, swish_backward, drift, half_rotation, modulated_norm,
    squared_error_rows, fake_quantized, nesterov_sgd, decaying_adam, bias_relu_residual,
)  # fmt: skip
HELD_BACK = (
    clipped_residual, soft_gate, biased_log_softmax, distance_rows, scaled_elu, mixed, gated_residual,
    post_norm_scale, affine_energy_rows, norm_backward, adagrad, many_adamw, masked_attention,
)  # fmt: skip
CASES = tuple(
    Case(pattern, size, held_back=pattern in HELD_BACK)
    for pattern in (*CHOOSING, *HELD_BACK)
    for size in SIZES
)
