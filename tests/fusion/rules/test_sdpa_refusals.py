"""Why fused attention refuses a call: what its arguments show, and what PyTorch itself answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from tests.fusion.scenes import op
from traceanalyzer.fusion.rules.sdpa_refusals import adds_mask, refusal, unseen
from traceanalyzer.records import OpCall

FLASH = 1  # at::SDPBackend::flash_attention
TYPES = {torch.float32: "fp32", torch.float64: "fp64", torch.bfloat16: "bf16", torch.int64: "int64",
         torch.bool: "bool"}  # fmt: skip


def q(*size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(size or (2, 4, 16, 8)).to(dtype)


def across(x: torch.Tensor) -> torch.Tensor:
    """The same, its channels a token apart."""
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


CALLS: Mapping[str, tuple[tuple[torch.Tensor | None, ...], float]] = {
    "taken": ((q(), q(), q(), None), 0.0),
    "another type": ((*[q(dtype=torch.bfloat16)] * 3, None), 0.0),
    "a mask for each head": ((q(), q(), q(), torch.ones(2, 1, 16, 16, dtype=torch.bool)), 0.0),
    "a mask that is added": ((q(), q(), q(), q(16, 16)), 0.0),
    "a mask of keys alone": ((q(), q(), q(), q(1, 16)), 0.0),
    "dropout": ((q(), q(), q(), None), 0.1),
    "no heads": ((q(2, 16, 8), q(2, 16, 8), q(2, 16, 8), None), 0.0),
    "no heads, masked": ((q(2, 16, 8), q(2, 16, 8), q(2, 16, 8), q(2, 16, 16)), 0.0),
    "tokens alone": ((q(16, 8), q(16, 8), q(16, 8), q(16, 16)), 0.0),
    "five dimensions": ((q(2, 3, 4, 16, 8), q(2, 1, 4, 16, 8), q(3, 4, 16, 8), q(3, 1, 16, 16)), 0.0),
    "values of fewer channels": ((q(), q(), q(2, 4, 16, 4), q(16, 16)), 0.0),
    "values of more channels": ((q(), q(), q(2, 4, 16, 12), q(16, 16)), 0.0),
    "one batch of keys": ((q(), q(1, 4, 16, 8), q(1, 4, 16, 8), q(16, 16)), 0.0),
    "learned queries": ((q(1, 4, 6, 8), q(5, 4, 16, 8), q(5, 4, 16, 8), q(5, 1, 6, 16)), 0.0),
    "other batches and heads": ((q(2, 4, 16, 8), q(1, 1, 16, 8), q(1, 1, 16, 8), None), 0.0),
    "one head of keys": ((q(), q(2, 1, 16, 8), q(2, 1, 16, 8), q(16, 16)), 0.0),
    "one head of queries": ((q(2, 1, 16, 8), q(), q(), q(16, 16)), 0.0),
    "a mask of three dimensions": ((q(), q(), q(), q(4, 16, 16)), 0.0),
    "a mask turned": ((q(), q(), q(), across(q(16, 16))), 0.0),
    "channels apart": ((across(q()), q(), q(), q(16, 16)), 0.0),
}  # fmt: skip


def recorded(
    tensors: tuple[torch.Tensor | None, ...], dropout: float, *, causal: bool = False, grouped: bool = False
) -> OpCall:
    """The call as the profiler's trace has it."""
    sizes = [tuple(each.shape) if each is not None else () for each in tensors]
    types = [TYPES[each.dtype] if each is not None else None for each in tensors]
    strides = [tuple(each.stride()) if each is not None else () for each in tensors]
    call = op(
        "scaled_dot_product_attention", *sizes, (), (), (), (), dtypes=[*types, None, None, None, None],
        concrete=("", "", "", "", str(dropout), str(causal), "", str(grouped)), strides=strides,
    ).call  # fmt: skip
    assert call is not None
    return call


@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_is_what_pytorch_refuses(name: str) -> None:
    tensors, dropout = CALLS[name]
    chosen = torch._fused_sdp_choice(*tensors, dropout_p=dropout)  # type: ignore[arg-type, misc]
    seen = refusal(recorded(tensors, dropout), on_gpu=False)
    assert (seen is None) == (chosen == FLASH)


def pasted(snippet: str, tensors: tuple[torch.Tensor | None, ...], **kwargs: Any) -> torch.Tensor:
    arguments: dict[str, Any] = dict(zip(("q", "k", "v"), tensors, strict=False)) | {"kwargs": kwargs}
    exec(compile(snippet, "snippet", "exec"), arguments)
    result: torch.Tensor = arguments["y"]
    return result


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_each_snippet_gives_what_the_call_gave(name: str, on_gpu: bool) -> None:
    tensors, dropout = CALLS[name]
    seen = refusal(recorded(tensors, dropout), on_gpu=on_gpu)
    if seen is None:
        return
    q, k, v, mask = tensors
    assert q is not None and k is not None and v is not None
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, scale=0.3)
    more: dict[str, Any] = {"attn_mask": mask, "dropout_p": dropout, "scale": 0.3}
    torch.testing.assert_close(pasted(seen.snippet, tensors, **more), wanted)
    if mask is None and q.shape[-2] == k.shape[-2]:
        causal = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        more = {"is_causal": True, "dropout_p": dropout}
        torch.testing.assert_close(pasted(seen.snippet, tensors, **more), causal)


def test_shared_heads_keep_their_meaning_without_a_batch() -> None:
    tensors = (q(8, 16, 8), q(2, 16, 8), q(2, 16, 8), None)
    call = recorded(tensors, 0.0, grouped=True)
    seen = refusal(call, on_gpu=False)
    assert seen is not None and "dimensions" in seen.why
    x, y, z, _ = tensors
    wanted = torch.nn.functional.scaled_dot_product_attention(x, y, z, enable_gqa=True)
    torch.testing.assert_close(pasted(seen.snippet, tensors, enable_gqa=True), wanted)


def test_a_head_that_does_not_fill_16_bytes_is_padded_to_the_same_result() -> None:
    x = q(2, 4, 16, 6)
    seen = refusal(recorded((x, x, x, None), 0.0), on_gpu=True)
    assert seen is not None and "4 does not divide" in seen.why
    wanted = torch.nn.functional.scaled_dot_product_attention(x, x, x)
    torch.testing.assert_close(pasted(seen.snippet, (x, x, x)), wanted)
    assert refusal(recorded((q(), q(), q(), None), 0.1), on_gpu=True) is None, "a GPU's kernels drop"


def test_a_gpu_is_not_said_to_refuse_what_one_of_its_kernels_takes() -> None:
    """The flash kernel pads channels itself; the memory-efficient one takes any mask."""
    half, odd = q(4, 8, 256, 64, dtype=torch.bfloat16), q(2, 4, 16, 6, dtype=torch.bfloat16)
    mask = q(8, 256, 256, dtype=torch.bfloat16)
    assert refusal(recorded((half, half, half, mask), 0.0), on_gpu=True) is None
    assert refusal(recorded((odd, odd, odd, None), 0.0), on_gpu=True) is None
    fewer = half[:, :, :64]
    assert refusal(recorded((fewer, half, half, None), 0.0, causal=True), on_gpu=True) is None


def test_a_gpu_names_what_each_of_its_kernels_refuses() -> None:
    odd = q(2, 4, 16, 6, dtype=torch.bfloat16)
    fewer = odd[:, :, :8]
    causal = refusal(recorded((fewer, odd, odd, None), 0.0, causal=True), on_gpu=True)
    assert causal is not None and "is_causal" in causal.why and "8 does not divide" in causal.why
    masked = refusal(recorded((odd, odd, odd, q(16, 16, dtype=torch.bfloat16)), 0.0), on_gpu=True)
    assert masked is not None and "a mask, which the flash kernel does not take" in masked.why
    turned = refusal(recorded((q(), q(), q(), across(q(16, 16))), 0.0), on_gpu=True)
    assert turned is not None and "a mask whose last dimension" in turned.why


def test_a_mask_that_is_trained_is_what_is_left() -> None:
    mask = q(16, 16).requires_grad_()
    assert torch._fused_sdp_choice(q(), q(), q(), mask) != FLASH
    call = recorded((q(), q(), q(), mask), 0.0)
    assert refusal(call, on_gpu=False) is None and adds_mask(call)
    assert "detach" in unseen(call).snippet
    assert not adds_mask(recorded((q(), q(), q(), None), 0.0))
    assert not adds_mask(recorded((q(), q(), q(), q(16, 16) > 0.5), 0.0))
