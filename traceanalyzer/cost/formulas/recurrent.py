"""Recurrent networks: every weight once for each step of a sequence, in one call or cell by cell."""

from __future__ import annotations

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    bytes_of,
    bytes_read,
    count,
    dtype,
    flag,
    has,
    integer,
    itemsize,
    matrix_precision,
    numel,
    recorded,
    shape,
    shapes_in,
    tensors,
)  # fmt: skip
from traceanalyzer.records import Cost, OpCall, Shape

_SOURCE = "torch/aten/src/ATen/native: cudnn/RNN.cpp, miopen/RNN_miopen.cpp, mkldnn/RNN.cpp, RNN.cpp"
_MODE_LSTM = 2  # cudnnRNNMode_t: RELU, TANH, LSTM, GRU


def _tokens(dims: Shape) -> int:
    """Steps of the sequence times the batch; of a packed one the sum of the lengths."""
    return numel(dims[:-1])


def _weights(call: OpCall) -> tuple[int, int]:
    """(elements of the matrices, of all parameters) in the list of weights."""
    every = shapes_in(call, 1)
    matrices = sum(numel(dims) for dims in every if len(dims) == 2)
    if not matrices:
        raise Missing("no_shapes", f"the weights of {call.name} are not recorded")
    return matrices, sum(map(numel, every))


@op_cost("aten::_cudnn_rnn", "aten::miopen_rnn", source=_SOURCE)
def recurrent(call: OpCall) -> Cost:
    """All layers and directions of an RNN, LSTM or GRU over a sequence

    FLOPs = 2 * steps * batch * elements of the weight matrices
    Bytes = input, weights and first states read; output and last states written
    Assumes a weight is read once, not at every step; what training keeps for the gradient is left out.
    """
    projected = call.name == "aten::_cudnn_rnn"
    hidden_state = 4 if projected else 3
    x, matrices, whole = shape(call, 0), *_weights(call)
    directions = 2 if flag(call, 13 if projected else 11) else 1
    width = shape(call, hidden_state)[-1]
    each = itemsize(call, 0)
    states = bytes_of(call, hidden_state) + bytes_of(call, hidden_state + 1)
    read = bytes_read(call, 0) + whole * each + states
    written = _tokens(x) * directions * width * each + states
    return Cost(2 * _tokens(x) * matrices, read, written, "matrix", matrix_precision(dtype(call, 0)))


@op_cost("aten::_cudnn_rnn_backward", "aten::miopen_rnn_backward", source=_SOURCE)
def recurrent_backward(call: OpCall) -> Cost:
    """Gradients of the input, the first states and the weights

    FLOPs = 4 * steps * batch * elements of the weight matrices: a product for the input, one for the weights
    Bytes = input, weights, output, gradients of the output and states read; those of the rest written
    Assumes that all are wanted and a weight is read once; what training kept is left out.
    """
    recorded(call, 0, *((4, 6) if call.name == "aten::_cudnn_rnn_backward" else (4,)))
    matrices, whole = _weights(call)
    each = itemsize(call, 0)
    states = sum(bytes_of(call, i) for i in (4, 5))
    read = bytes_read(call, 0) + whole * each + sum(bytes_read(call, i) for i in range(4, 10))
    written = bytes_of(call, 0) + states + whole * each
    flops = 4 * _tokens(shape(call, 0)) * matrices
    return Cost(flops, read, written, "matrix", matrix_precision(dtype(call, 0)))


@op_cost("aten::mkldnn_rnn_layer", source=_SOURCE)
def layer(call: OpCall) -> Cost:
    """One layer and direction of an LSTM by oneDNN

    FLOPs = 2 * steps * batch * elements of both weight matrices
    Bytes = input, weights and first states read; output and last states written
    Assumes a weight is read once, not at every step; the workspace that training keeps is left out.
    """
    recorded(call, *range(7))
    x, hidden = shape(call, 0), count(call, 10)
    matrices = numel(shape(call, 1)) + numel(shape(call, 2))
    read = sum(bytes_read(call, i) for i in range(7))
    states = bytes_of(call, 5) + (bytes_of(call, 6) if integer(call, 9) == _MODE_LSTM else 0)
    written = _tokens(x) * hidden * itemsize(call, 0) + states
    return Cost(2 * _tokens(x) * matrices, read, written, "matrix", matrix_precision(dtype(call, 0)))


@op_cost("aten::mkldnn_rnn_layer_backward", source=_SOURCE)
def layer_backward(call: OpCall) -> Cost:
    """Gradients of one layer of an LSTM by oneDNN

    FLOPs = 4 * steps * batch * elements of both weight matrices
    Bytes = input, weights, output, states and their gradients read; gradients of the rest written
    Assumes that all are wanted and a weight is read once; the workspace is left out.
    """
    recorded(call, *range(10))
    matrices = numel(shape(call, 1)) + numel(shape(call, 2))
    read = sum(bytes_read(call, i) for i in range(13))
    written = sum(bytes_of(call, i) for i in range(7))
    flops = 4 * _tokens(shape(call, 0)) * matrices
    return Cost(flops, read, written, "matrix", matrix_precision(dtype(call, 0)))


@op_cost("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu", source=_SOURCE, role="composite")
def recurrent_entry(call: OpCall) -> Cost:
    """A recurrent network that launches its kernels itself

    FLOPs = 2 * steps * batch * elements of the weight matrices
    Bytes = input and weights read, output written
    Assumes the states are small; a sequence that is not packed.
    """
    weights = [dims for i in (2, 3) for dims in shapes_in(call, i)]
    matrices = [dims for dims in weights if len(dims) == 2]
    if not matrices:
        raise Missing("no_shapes", f"the weights of {call.name} are not recorded")
    each, tokens = itemsize(call, 0), _tokens(shape(call, 0))
    read = bytes_read(call, 0) + sum(map(numel, weights)) * each
    written = tokens * matrices[-1][-1] * each
    flops = 2 * tokens * sum(map(numel, matrices))
    return Cost(flops, read, written, "matrix", matrix_precision(dtype(call, 0)))


@op_cost("aten::_thnn_fused_lstm_cell", "aten::_thnn_fused_gru_cell", source=_SOURCE)
def cell(call: OpCall) -> Cost:
    """The gates of one step applied to the state; the products that make them are ops of their own

    FLOPs = 3 a gate's element; special functions: one each
    Bytes = both sums of gates, the state and biases read; the new state (LSTM: and cell) and what the
    gradient needs (LSTM: the gates, GRU: five vectors a row) written
    Assumes nothing.
    """
    recorded(call, 0, 1, 2)
    gates, state = numel(shape(call, 0)), shape(call, 2)
    read = sum(bytes_read(call, i) for i in tensors(call))
    lstm = "lstm" in call.name
    kept = gates if lstm else 5 * numel(state)
    written = ((2 if lstm else 1) * numel(state) + kept) * itemsize(call, 0)
    return Cost(3 * gates, read, written, "vector", "fp32", special_functions=gates)


@op_cost("aten::_thnn_fused_lstm_cell_backward_impl", "aten::_thnn_fused_gru_cell_backward", source=_SOURCE)
def cell_backward(call: OpCall) -> Cost:
    """Gradients of the gates and of the state

    FLOPs = 4 a gate's element
    Bytes = gradients, states and what was kept read; gradients of the gates (GRU: of both sums) and of the
    state written; those of the biases are sums by another op
    Assumes nothing.
    """
    recorded(call, *((2, 3, 4) if "lstm" in call.name else (0, 1)))
    read = sum(bytes_read(call, i) for i in tensors(call))
    if "lstm" in call.name:
        gates, state = numel(shape(call, 4)), bytes_of(call, 2)
        return Cost(4 * gates, read, gates * itemsize(call, 4) + state)
    state = numel(shape(call, 0))
    return Cost(12 * state, read, 7 * state * itemsize(call, 0))


@op_cost("aten::_transform_bias_rescale_qkv", source="torch/aten/src/ATen/native/cuda/attention.cu")
def split_heads(call: OpCall) -> Cost:
    """Queries, keys and values of [batch, tokens, 3, heads, width] with their bias, a tensor each

    FLOPs = 1 an element; the queries 2
    Bytes = input and bias read, the three written
    Assumes a dense input.
    """
    if not has(call, 0):
        raise Missing("data_dependent", "the lengths of a nested tensor are data")
    recorded(call, 1)
    size = numel(shape(call, 0))
    return Cost(size + size // 3, bytes_read(call, 0) + bytes_read(call, 1), bytes_of(call, 0))
