"""Output shapes that other ops prove, where torch 1.8 to 2.0 recorded no stride and no padding.

An operator's output is never recorded. But its backward node is called with the output's gradient,
which has the output's shape; and inside or right behind a convolution stand ops that can only be
given what it made. Nothing is concluded from likeness: what is not proved stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from traceanalyzer.records import OpCall, Shape
from traceanalyzer.records.call_facts import call_facts
from traceanalyzer.records.trace import Codes, OpKind, Ops, nearest

FROM_BACKWARD = "the gradient its backward node was given"
FROM_BIAS = "the bias added to it"
FROM_NORM = "the batch norm that follows it"
FROM_WHOLE = "the input or weight of the backward op it is a part of"
# Ops whose output depends on scalars that these versions did not record; the number counts the
# leading inputs that ops of one chain (conv2d, convolution, cudnn_convolution) must agree in.
_FAMILIES = {
    re.compile(
        r"aten::(?:\w*_)?(?:conv[123]d|conv_(?:transpose|depthwise|dilated)[123]d|convolution)(?:_\w+)?$"
    ): 2,
    re.compile(r"aten::_?(?:\w*pool[123]d\w*|upsample_\w+)$"): 1,
    re.compile(r"aten::_?(?:mean|sum|amax|amin|logsumexp|norm|linalg_vector_norm|var|std)$"): 1,
    re.compile(r"aten::_?\w+_pad(?:[123]d|_nd)$"): 1,
}
_GRADIENT_AT = re.compile(r"aten::(cudnn|miopen|mkldnn)?_?\w*conv\w*_backward$")
# Parts of a vendor's backward convolution (input, gradient, weight): the place whose size each has.
_PARTS = {"_backward_input": 0, "_backward_weight": 2}
_NORMS = ("aten::batch_norm", "aten::native_batch_norm", "aten::cudnn_batch_norm", "aten::miopen_batch_norm")
_STRIDES = range(1, 9)
_LOOK_AHEAD = 4  # operators passed on the way to a batch norm: its counter is increased before it


class Proof(msgspec.Struct, frozen=True):
    """A shape and what proves it; for indexing the dims of the index tensors as well."""

    shape: Shape
    by: str
    indices: tuple[Shape, ...] = ()


def output_proofs(ops: Ops, calls: Sequence[OpCall]) -> dict[int, Proof]:
    """Row in `ops` -> proof of its output's shape."""
    family = _families(calls)
    proofs = dict(_gradient_parts(ops, calls))
    if not family.any():
        return proofs
    proofs |= dict(_by_backward(ops, calls, family))
    chains = _chains(ops, calls, family)
    _share(proofs, chains, ops, calls, family)
    by_consumer = dict(_by_consumers(ops, calls, chains, family, proofs))
    proofs |= by_consumer
    _share(proofs, chains, ops, calls, family)
    return proofs


def _families(calls: Sequence[OpCall]) -> Codes:
    """How many inputs distinguish the family's ops; 0 for calls that need no proof. The last entry is 0."""
    of = np.zeros(len(calls) + 1, np.int8)
    facts = call_facts(calls)
    for row in np.flatnonzero(facts.named(_family_size) & facts.dims & ~facts.concrete).tolist():
        if calls[row].dims(0):
            of[row] = _family_size(facts.name[row])
    return of


def _family_size(name: str) -> int:
    """How many inputs distinguish ops of the family; 0 for a name of none."""
    if "backward" in name:
        return 0
    return next((size for pattern, size in _FAMILIES.items() if pattern.match(name)), 0)


def _by_backward(ops: Ops, calls: Sequence[OpCall], family: Codes) -> Iterator[tuple[int, Proof]]:
    """From the first argument of the node, or of the backward op inside it; both must agree."""
    forward = ops.forward
    nodes = np.flatnonzero((forward >= 0) & (ops.kind == OpKind.AUTOGRAD) & (ops.call >= 0))
    nodes = nodes[family[ops.call[forward[nodes]]] > 0]
    said: dict[int, set[Shape]] = {}
    for node, op in zip(nodes.tolist(), forward[nodes].tolist(), strict=True):
        call = calls[ops.call[node]]
        if _same_name(call.name, calls[ops.call[op]].name):
            said.setdefault(op, set()).update(_first(call))
    backward = _backward_convolutions(ops, calls)
    node_of = nearest(ops.parent, ops.kind == OpKind.AUTOGRAD)
    for row in backward:
        op = int(forward[node_of[row]]) if node_of[row] >= 0 else -1
        if op >= 0 and family[ops.call[op]]:
            said.setdefault(op, set()).update(_gradient(calls[ops.call[row]], calls[ops.call[op]]))
    for op, shapes in said.items():
        if len(shapes) == 1:
            yield op, Proof(next(iter(shapes)), FROM_BACKWARD)


def _same_name(node: str, op: str) -> bool:
    """`CudnnConvolutionBackward0` differentiates `aten::cudnn_convolution`."""
    stem = re.sub(r"Backward\d*$", "", node)
    return stem.lower() == op.removeprefix("aten::").replace("_", "").lower()


def _first(call: OpCall) -> set[Shape]:
    shape = _flat(call.dims(0))
    return {shape} if shape else set()


def _flat(shape: object) -> Shape:
    """Dims of one tensor; () for those of a list."""
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return shape
    return ()


def _backward_convolutions(ops: Ops, calls: Sequence[OpCall]) -> list[int]:
    wanted = np.append(call_facts(calls).named(_GRADIENT_AT.match), False)
    rows: list[int] = np.flatnonzero(wanted[ops.call]).tolist()
    return rows


def _gradient(backward: OpCall, op: OpCall) -> set[Shape]:
    """The output's gradient among a backward convolution's inputs: native_functions.yaml puts it first,
    or second behind the input in those of the vendors' libraries. Input and weight must be the op's."""
    match = _GRADIENT_AT.match(backward.name)
    order = (1, 0, 2) if match and match[1] else (0, 1, 2)
    if len(backward.shapes) < 3 or len(op.shapes) < 2:
        return set()
    gradient, input_dims, weight = map(backward.dims, order)
    if (input_dims, weight) != op.shapes[:2] or not _flat(gradient):
        return set()
    return {_flat(gradient)}


def _gradient_parts(ops: Ops, calls: Sequence[OpCall]) -> Iterator[tuple[int, Proof]]:
    """cudnn_convolution_backward_input and _weight: a gradient is as large as what it is the gradient of.

    The part computes what the op that calls it returns (torch/aten/src/ATen/native/cudnn/ConvShared.cpp).
    """
    part_of_call = np.full(len(calls) + 1, -1, np.int8)
    facts = call_facts(calls)
    parts = facts.named(lambda name: name.endswith(tuple(_PARTS))) & ~facts.concrete
    for row in np.flatnonzero(parts).tolist():
        part_of_call[row] = next(at for end, at in _PARTS.items() if facts.name[row].endswith(end))
    for row in np.flatnonzero(part_of_call[ops.call] >= 0).tolist():
        above = int(ops.parent[row])
        part = calls[ops.call[row]]
        if above < 0 or ops.call[above] < 0:
            continue
        whole = calls[ops.call[above]]
        at = int(part_of_call[ops.call[row]])
        is_whole = part.name.rpartition("_")[0] == whole.name and len(whole.shapes) > 2
        # The gradient, second in both, must be the same one.
        same = is_whole and len(part.shapes) > 1 and part.dims(1) == whole.dims(1)
        if same and _flat(whole.dims(at)):
            yield row, Proof(_flat(whole.dims(at)), FROM_WHOLE)


def _chains(ops: Ops, calls: Sequence[OpCall], family: Codes) -> dict[int, list[int]]:
    """Outermost op -> the ops of its family inside it: each passes on what the next inner one makes."""
    member = family[ops.call] > 0
    rows = np.flatnonzero(member)
    up = ops.parent[rows]
    top = np.ones(len(ops), bool)
    top[rows] = (up < 0) | ~member[np.maximum(up, 0)]
    heads = nearest(ops.parent, top)
    chains: dict[int, list[int]] = {}
    for row, head in zip(rows.tolist(), heads[rows].tolist(), strict=True):
        chains.setdefault(head, []).append(row)
    return chains


def _share(
    proofs_of: dict[int, Proof],
    chains: dict[int, list[int]],
    ops: Ops,
    calls: Sequence[OpCall],
    family: Codes,
) -> None:
    """Hand a proof to those ops of its chain that were given the same inputs."""
    for rows in chains.values():
        proofs = {proofs_of[row] for row in rows if row in proofs_of}
        if len(proofs) != 1:
            continue
        proof = next(iter(proofs))
        proved = next(row for row in rows if row in proofs_of)
        inputs = _inputs(ops, calls, family, proved)
        for row in rows:
            if _inputs(ops, calls, family, row) == inputs and row not in proofs_of:
                proofs_of[row] = proof


def _inputs(ops: Ops, calls: Sequence[OpCall], family: Codes, row: int) -> tuple[object, ...]:
    call = ops.call[row]
    return (int(family[call]), *calls[call].shapes[: family[call]])


def _by_consumers(
    ops: Ops, calls: Sequence[OpCall], chains: dict[int, list[int]], family: Codes, proofs: dict[int, Proof]
) -> Iterator[tuple[int, Proof]]:
    """For convolutions without a backward: their bias, or the norm that all calls alike are given to."""
    by_norm: dict[int, list[tuple[int, Shape | None]]] = {}
    for head, rows in chains.items():
        call = calls[ops.call[head]]
        if family[ops.call[head]] != 2 or any(row in proofs for row in rows) or "transpose" in call.name:
            continue
        shape = _bias_added(ops, calls, head, call)
        if shape:
            yield head, Proof(shape, FROM_BIAS)
        else:
            by_norm.setdefault(int(ops.call[head]), []).append((head, _normed(ops, calls, head, call)))
    for heads in by_norm.values():
        shapes = {shape for _, shape in heads}
        shape = next(iter(shapes))
        if len(shapes) == 1 and shape:
            for head, _ in heads:
                yield head, Proof(shape, FROM_NORM)


def _bias_added(ops: Ops, calls: Sequence[OpCall], head: int, call: OpCall) -> Shape | None:
    """Dims that an `add_` inside the convolution adds a bias [1, channels, 1, ...] to."""
    row = head + 1
    while row < len(ops) and ops.thread[row] == ops.thread[head] and ops.start_ns[row] < ops.end_ns[head]:
        inner = calls[ops.call[row]] if ops.call[row] >= 0 else None
        if inner and inner.name == "aten::add_" and len(inner.shapes) >= 2:
            shape, bias = _flat(inner.dims(0)), inner.dims(1)
            if _could_be(shape, call) and bias == (1, shape[1], *(1 for _ in shape[2:])):
                return shape
        row += 1
    return None


def _normed(ops: Ops, calls: Sequence[OpCall], head: int, call: OpCall) -> Shape | None:
    """Dims of what the batch norm right behind is given, if the convolution could make it."""
    siblings = _siblings_after(ops, head)
    for row, _ in zip(siblings, range(_LOOK_AHEAD), strict=False):
        following = calls[ops.call[row]] if ops.call[row] >= 0 else None
        if following is None or not any(following.shapes):
            continue
        shape = _flat(following.dims(0))
        return shape if following.name in _NORMS and _could_be(shape, call) else None
    return None


def _siblings_after(ops: Ops, row: int) -> Iterator[int]:
    """The following operators with the same encloser, in order."""
    parent, thread, end = ops.parent[row], ops.thread[row], ops.end_ns[row]
    for other in range(row + 1, len(ops)):
        if ops.thread[other] != thread:
            return
        if parent >= 0 and ops.start_ns[other] >= ops.end_ns[parent]:
            return
        if ops.parent[other] == parent and ops.start_ns[other] >= end:
            yield other


def _could_be(shape: Shape, call: OpCall) -> bool:
    """Whether a convolution with these inputs has such an output under one stride and its own paddings."""
    input_dims, weight = _flat(call.dims(0)), _flat(call.dims(1))
    if not len(shape) == len(input_dims) == len(weight) >= 3 or shape[:2] != (input_dims[0], weight[0]):
        return False
    sizes = list(zip(input_dims[2:], weight[2:], shape[2:], strict=True))
    return any(all(_some_padding(*each, stride) for each in sizes) for stride in _STRIDES)


def _some_padding(size: int, taps: int, result: int, stride: int) -> bool:
    """Whether (size + 2 * padding - taps) // stride + 1 is `result` for some padding below `taps`."""
    least = max(-((size - taps - (result - 1) * stride) // 2), 0)
    most = min((result * stride - 1 + taps - size) // 2, taps - 1)
    return least <= most
