"""Why a call of scaled_dot_product_attention runs on no fused kernel, as far as its arguments show.

The conditions are those of torch/aten/src/ATen/native/transformers/sdp_utils_cpp.cpp and .h, and for a GPU of
cuda/sdp_utils.cpp there. Whether a mask requires gradients no trace records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from traceanalyzer.records import OpCall, Shape
from traceanalyzer.records.units import ITEMSIZE

_QUERY, _KEY, _VALUE, _MASK, _DROPOUT, _GROUPED = 0, 1, 2, 3, 4, 7
_OPERANDS = (_QUERY, _KEY, _VALUE)
_CPU_TYPES = ("fp32", "fp64", "bf16", "fp16")
_GPU_TYPES = ("fp32", "bf16", "fp16")
_ALIGNED_BYTES = 16  # that a head's channels fill whole, for the kernels of a GPU
_CALL = "torch.nn.functional.scaled_dot_product_attention"


class Refusal(msgspec.Struct, frozen=True):
    """One condition of the fused kernels that a call does not meet."""

    why: str
    action: str
    snippet: str  # q, k, v are the arguments, mask another


def refusal(call: OpCall, *, on_gpu: bool) -> Refusal | None:
    """The first condition that is seen to fail; None where none is."""
    sizes = [_sizes(call, argument) for argument in _OPERANDS]
    if not all(sizes):
        return None
    return next((found for check in _CHECKS if (found := check(call, sizes, on_gpu)) is not None), None)


def _sizes(call: OpCall, argument: int) -> Shape:
    dims = call.dims(argument)
    return tuple(size for size in dims if isinstance(size, int)) if dims else ()


def dropout_of(call: OpCall) -> float:
    """The probability that a score is dropped; 0 where that is not recorded."""
    try:
        return float(call.value(_DROPOUT) or 0.0)
    except ValueError:
        return 0.0


def _dropout(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    if on_gpu or dropout_of(call) <= 0:
        return None
    return Refusal(
        f"dropout_p={dropout_of(call):.2g}, and a CPU's fused kernel takes no dropout",
        "Train without attention dropout: set dropout_p=0 (attention_dropout, attn_pdrop or "
        "attention_probs_dropout_prob of the model's configuration, dropout of nn.MultiheadAttention).",
        f"import torch\n\ny = {_CALL}(q, k, v, dropout_p=0.0)",
    )


def _rank(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    ranks = [len(size) for size in sizes]
    if all(rank == 4 for rank in ranks):
        return None
    return Refusal(
        f"queries, keys and values have {ranks} dimensions, and the fused kernels take 4",
        "Give queries, keys and values four dimensions: batch, heads, tokens, channels.",
        f"import torch\n\nq, k, v = (x if x.dim() == 4 else x.unsqueeze(1) for x in (q, k, v))\n"
        f"y = {_CALL}(q, k, v)",
    )


def _types(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    types = [call.dtype(argument) for argument in _OPERANDS]
    if None in types:
        return None
    if len(set(types)) > 1:
        return Refusal(
            f"queries, keys and values are of the types {', '.join(map(str, types))}",
            "Give queries, keys and values one type.",
            f"import torch\n\ny = {_CALL}(q, k.to(q.dtype), v.to(q.dtype))",
        )
    if types[0] in (_GPU_TYPES if on_gpu else _CPU_TYPES):
        return None
    return Refusal(
        f"{types[0]}, which no fused kernel takes",
        "Compute attention in fp32, or in half precision on a GPU.",
        f"import torch\n\ny = {_CALL}(q.float(), k.float(), v.float()).to(q.dtype)",
    )


def _batches(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    batches = [size[0] for size in sizes]
    if len(set(batches)) == 1:
        return None
    return Refusal(
        f"batches of {batches}",
        "Give queries, keys and values the same batch size: expand copies nothing.",
        f"import torch\n\nk, v = (x.expand(q.shape[0], -1, -1, -1) for x in (k, v))\ny = {_CALL}(q, k, v)",
    )


def _heads(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    heads = [size[1] for size in sizes]
    if len(set(heads)) == 1 or (call.value(_GROUPED) or "").lower() in ("true", "1"):
        return None
    return Refusal(
        f"{heads} heads of queries, keys and values",
        "Say enable_gqa=True (PyTorch 2.5 or newer) where heads share keys and values, or repeat these.",
        "import torch\n\nk, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))\n"
        f"y = {_CALL}(q, k, v)",
    )


def _channels(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    channels = [size[-1] for size in sizes]
    if not on_gpu and len(set(channels)) > 1:
        return Refusal(
            f"heads of {channels} channels, and a CPU's fused kernel takes equal ones",
            "Pad the values' channels to those of the queries, and cut the result.",
            "import torch\n\npadded = torch.nn.functional.pad(v, (0, q.shape[-1] - v.shape[-1]))\n"
            f"y = {_CALL}(q, k, padded)[..., : v.shape[-1]]",
        )
    aligned = _ALIGNED_BYTES // ITEMSIZE.get(call.dtype(_QUERY) or "", 4)
    if not on_gpu or all(size % aligned == 0 for size in channels):
        return None
    return Refusal(
        f"heads of {channels[0]} channels, which {aligned} does not divide",
        f"Choose a head size that {aligned} divides, or pad queries, keys and values with zeros.",
        "import torch\n\npadded = [torch.nn.functional.pad(x, (0, -x.shape[-1] % 8)) for x in (q, k, v)]\n"
        f"y = {_CALL}(*padded, scale=q.shape[-1] ** -0.5)[..., : v.shape[-1]]",
    )


def _strides(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    strides = [call.strides(argument) for argument in _OPERANDS]
    if not any(stride and stride[-1] != 1 for stride in strides):
        return None
    return Refusal(
        "queries, keys or values whose channels do not lie side by side",
        "Make queries, keys and values contiguous in their last dimension.",
        f"import torch\n\ny = {_CALL}(q.contiguous(), k.contiguous(), v.contiguous())",
    )


def _mask(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    mask, query, keys = _sizes(call, _MASK), sizes[0], sizes[1]
    if not mask:
        return None
    fits = mask[-2:] == tuple(
        one if one == 1 else whole for one, whole in zip(mask[-2:], (query[-2], keys[-2]), strict=False)
    )
    if fits and len(mask) in (2, 4):
        return None
    return Refusal(
        f"a mask of the sizes {list(mask)}",
        "Give the mask two dimensions, tokens by tokens, or four with batch and heads in front.",
        f"import torch\n\ny = {_CALL}(q, k, v, attn_mask=mask if mask.dim() != 3 else mask.unsqueeze(1))",
    )


_CHECKS: tuple[Callable[[OpCall, Sequence[Shape], bool], Refusal | None], ...] = (
    _rank, _types, _batches, _heads, _channels, _strides, _mask, _dropout,
)  # fmt: skip


def unseen(call: OpCall, *, on_gpu: bool, trained: bool) -> Refusal | None:
    """What is left where the arguments meet all conditions: a mask of numbers that requires gradients."""
    if on_gpu or not trained or not _sizes(call, _MASK) or call.dtype(_MASK) in (None, "bool"):
        return None
    return Refusal(
        "all that is recorded of its arguments suits a CPU's fused kernel, so that its mask seems to require "
        "gradients",
        "Detach the mask where nothing trains it; a learned bias keeps attention off the fused kernel.",
        f"import torch\n\ny = {_CALL}(q, k, v, attn_mask=mask.detach())",
    )
