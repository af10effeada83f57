"""Causal convolutions over time, each channel by itself, as state-space models have them."""

from __future__ import annotations

from traceanalyzer.cost.registry import op_cost
from traceanalyzer.cost.tensors import bytes_of, bytes_read, has, is_true, itemsize, numel, shape
from traceanalyzer.records import Cost, OpCall

_SOURCE = "Dao-AILab/causal-conv1d: causal_conv1d/cpp_functions.py"
_SILU = 4


def _activated(call: OpCall, argument: int) -> bool:
    return is_true(call.value(argument) or "")


@op_cost("DaoAILab::_causal_conv1d_fwd_cpp", source=_SOURCE)
def causal_convolution(call: OpCall) -> Cost:
    """y[b,c,t] = f(bias[c] + sum over k of x[b,c,t-k] * w[c,k]), f nothing or SiLU: (x, w, bias, .., y)

    FLOPs = 2 * taps an element, with SiLU 4 more
    Bytes = x, w, bias, sequence numbers and the state before read, y and the state behind written
    Assumes neighbors in time come from the cache.
    """
    size, silu = numel(shape(call, 0)), _activated(call, 7)
    read = sum(bytes_read(call, i) for i in (0, 1, 2, 3, 4) if has(call, i))
    written = bytes_of(call, 0) + (bytes_of(call, 6) if has(call, 6) else 0)
    flops = size * (2 * shape(call, 1)[-1] + _SILU * silu)
    return Cost(flops, read, written, "vector", "fp32", special_functions=size * silu)


@op_cost("DaoAILab::_causal_conv1d_bwd_cpp", source=_SOURCE)
def causal_convolution_backward(call: OpCall) -> Cost:
    """Gradients of x, w and bias from (x, w, bias, dy, ..)

    FLOPs = 2 * taps an element for dx and for dw; with SiLU the product once more, and 4
    Bytes = x, w, bias, dy, sequence numbers and states read; dx, dw, dbias and the state's gradient written
    Assumes neighbors in time come from the cache; dw and dbias are in fp32.
    """
    size, taps, silu = numel(shape(call, 0)), shape(call, 1)[-1], _activated(call, 11)
    again = 2 * taps * silu
    read = sum(bytes_read(call, i) for i in range(7) if has(call, i))
    written = sum(bytes_of(call, i) for i in range(7, 11) if has(call, i))
    return Cost(size * (4 * taps + again + _SILU * silu), read, written, "vector", "fp32",
                special_functions=size * silu, recomputed_flops=size * again)  # fmt: skip


@op_cost("DaoAILab::_causal_conv1d_update_cpp", source=_SOURCE)
def causal_convolution_step(call: OpCall) -> Cost:
    """One step, or a few, with the inputs before them in a state: (x, state, w, bias, y, ..)

    FLOPs = 2 * taps an element, with SiLU 4 more
    Bytes = x, w, bias and the state of each sequence read, y and the state written
    Assumes as many states are touched as x has sequences, whichever they are.
    """
    x, states = shape(call, 0), shape(call, 1)
    size, silu = numel(x), _activated(call, 5)
    state = min(x[0], states[0]) * numel(states[1:]) * itemsize(call, 1)
    read = sum(bytes_read(call, i) for i in (0, 2, 3, 6, 7) if has(call, i))
    flops = size * (2 * shape(call, 2)[-1] + _SILU * silu)
    return Cost(
        flops, read + state, bytes_of(call, 0) + state, "vector", "fp32", special_functions=size * silu
    )
