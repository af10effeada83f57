"""A call of the attention function that runs as separate kernels."""

from __future__ import annotations

import pytest

from tests.fusion.rules.test_unfused_attention import attention, gradients
from tests.fusion.scenes import claims, found_by, inside, op, scene


def test_the_functions_own_matmuls_are_its_fallback_forward_and_backward() -> None:
    call = inside("scaled_dot_product_attention", inside("_scaled_dot_product_attention_math", *attention()))
    graph = scene(call, *gradients(), steps=2)
    first, second = found_by(graph, "attention_fallback")
    assert first.tier == second.tier == "T0", "the scope and the sequence number prove it"
    assert [node.name for node in first.nodes] == ["bmm", "div", "_softmax", "bmm"]
    assert {node.phase for node in second.nodes} == {"backward"}
    assert first.after is not None and first.after.bytes < sum(node.bytes for node in first.nodes)


@pytest.mark.left_out
def test_the_same_operators_outside_of_the_function_are_none() -> None:
    assert "attention_fallback" not in claims(scene(*attention(), *gradients()))


@pytest.mark.left_out
def test_a_fast_kernel_is_what_is_wanted() -> None:
    x = (16, 8, 1024, 64)
    flash = op("_scaled_dot_product_flash_attention", x, x, x, dtypes="bf16")
    assert not claims(scene(inside("scaled_dot_product_attention", flash)))


@pytest.mark.left_out
def test_what_no_fast_kernel_takes_falls_back_with_reason() -> None:
    for items in (attention(channels=320), attention(dtype="fp64")):
        assert "attention_fallback" not in claims(scene(inside("scaled_dot_product_attention", *items)))
    dropped = inside("scaled_dot_product_attention", *attention(dtype="fp32", dropout=True))
    assert "attention_fallback" not in claims(scene(dropped, *gradients(dtype="fp32"), on_cpu=True))
