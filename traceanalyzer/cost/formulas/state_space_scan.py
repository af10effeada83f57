"""Scans of state-space models: autograd functions of mamba-ssm, which launch their kernels themselves.

Their backward nodes are recorded with the gradient alone and have no price.
"""

from __future__ import annotations

import msgspec

from traceanalyzer.cost.registry import Missing, op_cost
from traceanalyzer.cost.tensors import (
    agree,
    bytes_of,
    bytes_read,
    count,
    dtype,
    has,
    itemsize,
    matrix_precision,
    quotient,
    ranked,
    shape,
    whole,
)
from traceanalyzer.records import Cost, OpCall

_SOURCE = "state-spaces/mamba: mamba_ssm/ops/triton/ssd_combined.py"
_SILU, _NORM, _SKIP = 5, 4, 2  # FLOPs an element: a gate with its product, a norm, D * x


class _Scan(msgspec.Struct, frozen=True):
    """Sizes of a scan in chunks."""

    sequences: int
    length: int
    heads: int
    head_size: int
    groups: int
    state: int
    chunk: int

    @property
    def pairs(self) -> int:
        """Of steps in one chunk, the later of which sees the earlier, in all sequences."""
        full, rest = divmod(self.length, self.chunk)
        return self.sequences * (full * self.chunk * (self.chunk + 1) + rest * (rest + 1)) // 2

    @property
    def elements(self) -> int:
        return self.sequences * self.length * self.heads * self.head_size

    @property
    def flops(self) -> int:
        """Products within chunks, states of chunks from x and back to y, and states from chunk to chunk."""
        within = 2 * self.pairs * (self.groups * self.state + self.heads * self.head_size)
        chunks = self.sequences * -(-self.length // self.chunk)
        return within + 4 * self.elements * self.state + 2 * chunks * self.heads * self.head_size * self.state

    @property
    def exponentials(self) -> int:
        return self.pairs * self.heads


def _chunk(call: OpCall, i: int) -> int:
    chunk = count(call, i)
    if chunk < 1:
        raise Missing("no_shapes", f"the chunk of {call.name} has {chunk} steps")
    return chunk


@op_cost("MambaChunkScanCombinedFn", source=_SOURCE)
def chunked_scan(call: OpCall) -> Cost:
    """y of a scan in chunks of Q steps: (x [B,L,H,P], dt, A, B [B,L,G,N], C, Q, D, z, dt_bias, state, ..)

    FLOPs = 2 * B * pairs * (G*N + H*P) + 4 * B*L*H*P*N + 2 * B * chunks * H*P*N, pairs = Q * (Q + 1) / 2 a
    chunk; 2 an element with D, 5 with a gate z
    Bytes = every tensor read once, y written; with z also y before the gate
    Assumes states of chunks and what is computed within one stay on the chip.
    """
    sequences, length, heads, head_size = ranked(call, 0, 4)
    groups, state = ranked(call, 3, 4)[2:]
    scan = _Scan(sequences, length, heads, head_size, groups, state, _chunk(call, 5))
    gated = has(call, 7)
    read = sum(bytes_read(call, i) for i in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10) if has(call, i))
    elements = scan.elements * (_SKIP * has(call, 6) + _SILU * gated)
    return Cost(
        scan.flops + elements, read, bytes_of(call, 0) * (1 + gated), "matrix",
        matrix_precision(dtype(call, 0)), special_functions=scan.exponentials + scan.elements * gated,
    )  # fmt: skip


@op_cost("MambaSplitConv1dScanCombinedFn", source=_SOURCE)
def split_scan(call: OpCall) -> Cost:
    """A layer's scan with its gate and norm: (zxBCdt [B,L,W], conv w [C,taps], conv b, dt_bias, A, D, Q, ..)

    FLOPs = those of the scan, C = H*P + 2*G*N; 2 + 5 an element of y, 4 with a norm; 5 where gated beside
    Bytes = zxBCdt and the small operands read, y before and behind the gate written
    Assumes the convolution and the projection behind are operators of their own, as mamba-ssm calls them
    by now (causal_conv1d/cpp_functions.py); one group where `ngroups` is not recorded.
    """
    sequences, length, width = ranked(call, 0, 3)
    channels, heads = shape(call, 1)[0], shape(call, 4)[0]
    head_size = _head_size(call, width, channels, heads)
    inner = heads * head_size
    groups = whole(call.value(16) or "") or 1
    state, beside = quotient(channels - inner, 2 * groups), (width - channels - inner - heads) // 2
    if state < 0 or beside < 0:
        raise Missing("no_shapes", f"the recorded sizes of {call.name} do not fit one another")
    scan = _Scan(sequences, length, heads, head_size, groups, state, _chunk(call, 6))
    steps, normed = sequences * length, has(call, 11)
    read = sum(bytes_read(call, i) for i in (0, 3, 4, 5, 7, 8, 11) if has(call, i))
    return Cost(
        scan.flops + scan.elements * (_SKIP + _SILU + _NORM * normed) + steps * beside * _SILU, read,
        steps * (2 * inner + beside) * itemsize(call, 0), "matrix", matrix_precision(dtype(call, 0)),
        special_functions=scan.exponentials + steps * (inner + beside),
    )  # fmt: skip


def _head_size(call: OpCall, width: int, channels: int, heads: int) -> int:
    """As D tells it, the argument, the norm's weight, or else what is left of the width."""
    skip = shape(call, 5)
    if len(skip) > 1:
        return skip[1]
    recorded = whole(call.value(15) or "")
    inner = shape(call, 11)[0] if has(call, 11) else width - channels - heads
    return recorded or quotient(inner, heads)


@op_cost("SelectiveScanFn", source="state-spaces/mamba: mamba_ssm/ops/selective_scan_interface.py")
def selective_scan(call: OpCall) -> Cost:
    """y of a scan step by step: (u [B,D,L], delta, A [D,N], B, C, D, z, delta_bias, ..)

    FLOPs = 6 * B*D*L*N, of which an exponential is one more operation; 2 an element with D, 5 with a gate z
    Bytes = every tensor read once, y written; with z also y before the gate
    Assumes states stay on the chip; complex A and B are not told apart.
    """
    sequences, channels, length = ranked(call, 0, 3)
    rows, state = ranked(call, 2, 2)
    agree(call, rows, channels)
    gated, size = has(call, 6), sequences * channels * length
    read = sum(bytes_read(call, i) for i in range(8) if has(call, i))
    return Cost(
        size * (6 * state + _SKIP * has(call, 5) + _SILU * gated), read, bytes_of(call, 0) * (1 + gated),
        "vector", "fp32", special_functions=size * (state + gated),
    )  # fmt: skip
