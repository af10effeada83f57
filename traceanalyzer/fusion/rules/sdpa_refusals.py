"""Why a call of scaled_dot_product_attention runs on no fused kernel, as far as its arguments show.

The conditions are those of torch/aten/src/ATen/native/transformers/sdp_utils_cpp.cpp and .h, and for a GPU of
cuda/sdp_utils.cpp there. Whether a mask requires gradients no argument shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from traceanalyzer.records import OpCall, Shape
from traceanalyzer.records.units import ITEMSIZE

_QUERY, _KEY, _VALUE, _MASK, _DROPOUT, _CAUSAL, _GROUPED = 0, 1, 2, 3, 4, 5, 7
_OPERANDS = (_QUERY, _KEY, _VALUE)
_CPU_TYPES = ("fp32", "fp64", "bf16", "fp16")
_GPU_TYPES = ("fp32", "bf16", "fp16")
_ALIGNED_BYTES = 16  # that a head's channels fill whole, for the kernels of a GPU
_FLASH_CHANNELS = 256
_CALL = "torch.nn.functional.scaled_dot_product_attention"
_HEAD = "import torch\n\n# kwargs: the call's other arguments, by name\n"
_SAME = f"{_HEAD}{{}}\ny = {_CALL}(q, k, v, **kwargs)"
_BATCHES = (
    "batch = max(x.shape[0] for x in (q, k, v))\nq, k, v = (x.expand(batch, -1, -1, -1) for x in (q, k, v))"
)
_BATCHES_AND_HEADS = (
    "both = torch.broadcast_shapes(q.shape[:2], k.shape[:2], v.shape[:2])\n"
    "q, k, v = (x.expand(*both, -1, -1) for x in (q, k, v))"
)
_REPEATED = (
    "if kwargs.pop('enable_gqa', False):\n"
    "    k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))\n"
)
_FOUR = (
    "mask = kwargs.get('attn_mask')\n"
    "lead = torch.broadcast_shapes(*(x.shape[:-2] for x in (q, k, v, mask) if x is not None))\n\n"
    "def four(x):\n"
    "    return x.expand(*lead, *x.shape[-2:]).reshape(-1, lead[-1] if lead else 1, *x.shape[-2:])\n\n"
    "if mask is not None and mask.dim() > 2:\n    kwargs['attn_mask'] = four(mask)\n"
    f"y = {_CALL}(four(q), four(k), four(v), **kwargs)\n"
    "y = y.reshape(*lead, q.shape[-2], v.shape[-1])"
)
_PADDED = (
    "width = {}\n"
    "kwargs['scale'] = kwargs.get('scale') or q.shape[-1] ** -0.5\n"
    "padded = [torch.nn.functional.pad(x, (0, width - x.shape[-1])) for x in (q, k, v)]\n"
    f"y = {_CALL}(*padded, **kwargs)[..., : v.shape[-1]]"
)


class Refusal(msgspec.Struct, frozen=True):
    """One condition of the fused kernels that a call does not meet."""

    why: str
    action: str
    snippet: str  # q, k, v are the arguments, kwargs the others by name; the result is the same


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
        "Train without attention dropout, if the model is as good without it: set dropout_p=0 "
        "(attention_dropout, attn_pdrop or attention_probs_dropout_prob of the model's configuration; a "
        "dropout_rate holds for other layers too; dropout of nn.MultiheadAttention).",
        f"{_HEAD}kwargs.pop('dropout_p', None)\ny = {_CALL}(q, k, v, dropout_p=0.0, **kwargs)",
    )


def _rank(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    ranks = [len(size) for size in sizes]
    if all(rank == 4 for rank in ranks):
        return None
    return Refusal(
        f"queries, keys and values have {ranks} dimensions, and the fused kernels take 4",
        "Give queries, keys and values four dimensions: batch, heads, tokens, channels.",
        _HEAD + (_REPEATED if _grouped(call) else "") + _FOUR,
    )


def _types(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    types = [call.dtype(argument) for argument in _OPERANDS]
    if None in types:
        return None
    if len(set(types)) > 1:
        return Refusal(
            f"queries, keys and values are of the types {', '.join(map(str, types))}",
            "Give queries, keys and values one type.",
            _SAME.format("k, v = k.to(q.dtype), v.to(q.dtype)"),
        )
    if types[0] in (_GPU_TYPES if on_gpu else _CPU_TYPES):
        return None
    return Refusal(
        f"{types[0]}, which no fused kernel takes",
        "Compute attention in fp32, or in half precision on a GPU.",
        f"{_HEAD}mask = kwargs.get('attn_mask')\n"
        "if mask is not None and mask.dtype != torch.bool:\n    kwargs['attn_mask'] = mask.float()\n"
        f"y = {_CALL}(q.float(), k.float(), v.float(), **kwargs).to(q.dtype)",
    )


def _batches(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    batches = [size[0] for size in sizes]
    if len(set(batches)) == 1:
        return None
    return Refusal(
        f"batches of {batches}",
        "Give queries, keys and values the same batch size: expand copies nothing.",
        _SAME.format(_BATCHES if _grouped(call) else _BATCHES_AND_HEADS),
    )


def _heads(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    heads = [size[1] for size in sizes]
    if len(set(heads)) == 1 or _grouped(call):
        return None
    return Refusal(
        f"{heads} heads of queries, keys and values",
        "Give queries, keys and values the same number of heads: expand copies nothing.",
        _SAME.format(_BATCHES_AND_HEADS),
    )


def _channels(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    channels = [size[-1] for size in sizes]
    if not on_gpu and len(set(channels)) > 1:
        return Refusal(
            f"heads of {channels} channels, and a CPU's fused kernel takes equal ones",
            "Pad all to the most channels, and cut the result.",
            _HEAD + _PADDED.format("max(q.shape[-1], v.shape[-1])"),
        )
    aligned = _ALIGNED_BYTES // ITEMSIZE.get(call.dtype(_QUERY) or "", 4)
    unaligned = next((size for size in channels if size % aligned), None)
    flash = _not_by_flash(call, sizes)
    if not on_gpu or unaligned is None or not flash:
        return None
    return Refusal(
        f"{flash}, which the flash kernel does not take, and heads of {unaligned} channels, which {aligned} "
        "does not divide, as the memory-efficient one wants",
        f"Choose a head size that {aligned} divides, or pad queries, keys and values with zeros.",
        _HEAD + _PADDED.format("-(-max(q.shape[-1], v.shape[-1]) // 8) * 8"),
    )


def _not_by_flash(call: OpCall, sizes: Sequence[Shape]) -> str:
    """What a GPU's flash kernel refuses and the memory-efficient one takes; empty where nothing is seen."""
    channels = {size[-1] for size in sizes}
    if call.dtype(_QUERY) not in ("fp16", "bf16"):
        return str(call.dtype(_QUERY) or "")
    if _sizes(call, _MASK):
        return "a mask"
    if _true(call, _CAUSAL) and sizes[_QUERY][-2] != sizes[_KEY][-2]:
        return "is_causal with other numbers of queries than of keys"
    if len(channels) > 1 or max(channels) > _FLASH_CHANNELS:
        return f"heads of {sorted(channels)} channels"
    return ""


def _true(call: OpCall, argument: int) -> bool:
    return (call.value(argument) or "").lower() in ("true", "1")


def _grouped(call: OpCall) -> bool:
    return _true(call, _GROUPED)


def _strides(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    strides = [call.strides(argument) for argument in _OPERANDS]
    if any(stride and stride[-1] != 1 for stride in strides) and sizes[_QUERY][-1] != 1:
        return Refusal(
            "queries, keys or values whose channels do not lie side by side",
            "Make queries, keys and values contiguous in their last dimension.",
            _SAME.format("q, k, v = q.contiguous(), k.contiguous(), v.contiguous()"),
        )
    mask = call.strides(_MASK)
    if not on_gpu or not _sizes(call, _MASK) or not mask or mask[-1] == 1:
        return None
    return Refusal(
        "a mask whose last dimension does not lie side by side",
        "Make the mask contiguous, once before the first layer.",
        _SAME.format("kwargs['attn_mask'] = kwargs['attn_mask'].contiguous()"),
    )


def _mask(call: OpCall, sizes: Sequence[Shape], on_gpu: bool) -> Refusal | None:
    """Of a CPU: no kernel of a GPU but cuDNN's, which is not the last to be asked, minds a mask's sizes."""
    mask, query, keys = _sizes(call, _MASK), sizes[_QUERY], sizes[_KEY]
    if not mask or on_gpu or len(mask) > 4:
        return None
    scores = (*query[:-1], keys[-2])
    fits = all(one in (1, whole) for one, whole in zip(mask[::-1], scores[::-1], strict=False))
    if fits and len(mask) in (2, 4):
        return None
    return Refusal(
        f"a mask of the sizes {list(mask)}",
        "Give the mask two dimensions, tokens by tokens, or four with batch and heads in front, of the "
        "queries' sizes or 1.",
        _SAME.format(
            "mask = kwargs['attn_mask']\nmask = mask[(None,) * (4 - mask.dim())]\nkwargs['attn_mask'] = mask"
        ),
    )


_CHECKS: tuple[Callable[[OpCall, Sequence[Shape], bool], Refusal | None], ...] = (
    _rank, _types, _batches, _heads, _channels, _strides, _mask, _dropout,
)  # fmt: skip


def adds_mask(call: OpCall) -> bool:
    """Whether it has a mask of numbers, which may require gradients."""
    return bool(_sizes(call, _MASK)) and call.dtype(_MASK) not in (None, "bool")


def unseen(call: OpCall) -> Refusal:
    """What is left for a CPU where all arguments suit: a mask that requires gradients."""
    return Refusal(
        "all that is recorded of its arguments suits a CPU's fused kernel, so that its mask seems to require "
        "gradients",
        "Detach the mask where nothing trains it; a learned bias keeps attention off the fused kernel.",
        _SAME.format("kwargs['attn_mask'] = kwargs['attn_mask'].detach()"),
    )
