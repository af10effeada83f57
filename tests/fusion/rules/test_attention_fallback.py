"""A call of the attention function that runs as separate kernels."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.fusion.rules.test_unfused_attention import S, attention, gradients
from tests.fusion.scenes import Item, claims, forward, found_by, inside, op, scene, within
from traceanalyzer.fusion.suggestions import suggestions


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


QUERY = (2, 8, 1024, 64)


def called(*, dropout: str = "0.", mask: tuple[int, ...] = (), dtype: str = "fp32") -> Item:
    """The function with its arguments around what it does."""
    sizes = (QUERY, QUERY, QUERY, mask, (), (), ())
    concrete = ("", "", "", "", dropout, "False", "")
    drops = attention(dtype=dtype, dropout=dropout != "0.")
    return op(
        "scaled_dot_product_attention", *sizes, dtypes=dtype, concrete=concrete, kernels=(), inner=drops
    )


def test_dropout_on_a_cpu_is_named_and_priced_without_it() -> None:
    graph = scene(called(dropout="0.1"), *gradients(dtype="fp32"), on_cpu=True)
    first, second = found_by(graph, "attention_fallback")
    assert "dropout_p=0.1" in first.title and first.title == second.title
    assert "native_dropout" in [node.name for node in first.nodes]
    assert first.snippet == second.snippet and "dropout_p=0.0" in first.snippet
    assert first.after is not None and first.after.launches == 1


def test_a_gpu_takes_dropout() -> None:
    (found,) = found_by(scene(called(dropout="0.1", dtype="bf16")), "attention_fallback")
    assert "dropout" not in found.title


def test_on_a_cpu_the_gradient_is_of_what_calls_the_softmax() -> None:
    """`_safe_softmax` has the sequence number, and the softmax that works lies two calls below it."""
    first, scaled, softmax, last = attention(dtype="fp32")
    inner = op("softmax", S, kernels=(), inner=[replace(softmax, sequence=-1)])
    safe = forward(op("_safe_softmax", S, kernels=(), inner=[inner]), softmax.sequence)
    sizes = (QUERY, QUERY, QUERY)
    math = op("_scaled_dot_product_attention_math", *sizes, kernels=(), inner=[first, scaled, safe, last])
    call = op("scaled_dot_product_attention", *sizes, kernels=(), inner=[math])
    graph = scene(call, *gradients(dtype="fp32"), on_cpu=True)
    found = found_by(graph, "attention_fallback")
    assert [{node.phase for node in match.nodes} for match in found] == [{"forward"}, {"backward"}]
    assert {match.tier for match in found} == {"T0"}


def test_one_setting_of_a_model_is_one_suggestion_with_its_places() -> None:
    """Five calls in three kinds of modules, all kept off by one dropout."""
    places = ("encoder.0", "encoder.1", "decoder.0.own", "decoder.0.cross", "decoder.1.own")
    calls = [item for place in places for item in within(place, called(dropout="0.1"))]
    found = suggestions(scene(*calls, on_cpu=True)).found or ()
    (whole,) = [s for s in found if s.rule == "attention_fallback"]
    assert whole.count == 5
    assert set(whole.where.split(", ")) == {"encoder.*", "decoder.*.own", "decoder.0.cross"}
    assert {place.module for place in whole.places} == set(places)


def test_another_dropout_is_another_suggestion() -> None:
    calls = (*within("encoder.0", called(dropout="0.1")), *within("encoder.1", called(dropout="0.2")))
    found = [s for s in suggestions(scene(*calls, on_cpu=True)).found or () if s.rule == "attention_fallback"]
    assert len(found) == 2
