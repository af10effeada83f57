"""Attention that is written out, and what only looks like it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, handed, inside, op, scene
from traceanalyzer.fusion.rules.unfused_attention import find
from traceanalyzer.fusion.step_graph import Free

HEADS, TOKENS, CHANNELS = 16, 1024, 64
S = (HEADS, TOKENS, TOKENS)
SOFTMAX = 3  # sequence number


def q(channels: int = CHANNELS) -> tuple[int, ...]:
    return (HEADS, TOKENS, channels)


def k(channels: int = CHANNELS) -> tuple[int, ...]:
    return (HEADS, channels, TOKENS)


def attention(channels: int = CHANNELS, dtype: str = "bf16", dropout: bool = False) -> list[Item]:
    softmax = op("_softmax", S, (), (), dtypes=dtype, concrete=("", "-1", "False"))
    drop = [op("native_dropout", S, (), (), dtypes=dtype, concrete=("", "0.1", "True"))] if dropout else []
    return [
        forward(op("bmm", q(channels), k(channels), dtypes=dtype), SOFTMAX - 2),
        forward(op("div", S, (), dtypes=dtype), SOFTMAX - 1), forward(softmax, SOFTMAX), *drop,
        forward(op("bmm", S, q(channels), dtypes=dtype), SOFTMAX + 1),
    ]  # fmt: skip


def gradients(sequence: int = SOFTMAX, channels: int = CHANNELS, dtype: str = "bf16") -> list[Item]:
    """Of the second matmul, the softmax, the scaling and the first matmul."""
    softmax = op("_softmax_backward_data", S, S, (), (), dtypes=dtype, concrete=("", "", "-1", "15"))
    return [
        backward("BmmBackward0", op("bmm", S, q(channels), dtypes=dtype),
                 op("bmm", q(channels), k(channels), dtypes=dtype), sequence=SOFTMAX + 1),
        backward("SoftmaxBackward0", softmax, sequence=sequence),
        backward("DivBackward0", op("div", S, (), dtypes=dtype), sequence=SOFTMAX - 1),
        backward("BmmBackward0", op("bmm", k(channels), S, dtypes=dtype),
                 op("bmm", S, q(channels), dtypes=dtype), sequence=SOFTMAX - 2),
    ]  # fmt: skip


def test_both_passes_are_found_and_claimed_once() -> None:
    graph = scene(*attention(), *gradients(), steps=2)
    first, second = found_by(graph, "unfused_attention")
    assert [node.name for node in first.nodes] == ["bmm", "div", "_softmax", "bmm"]
    assert [node.name for node in second.nodes] == [
        "bmm", "bmm", "_softmax_backward_data", "div", "bmm", "bmm"]  # fmt: skip
    assert first.tier == second.tier == "T3", "nothing proves who reads the scores"
    assert first.after is not None and second.after is not None
    outer = 2 * HEADS * TOKENS * CHANNELS
    assert first.after.bytes == 4 * outer, "queries, keys, values and the result"
    assert second.after.bytes == 8 * outer, "these, their gradients, and two of them again"
    scores = 2 * HEADS * TOKENS * TOKENS
    assert first.bytes_saved == 6 * scores, "three operators write and read them; one writes, one reads"
    assert first.after.matrix == (("bf16", 2 * 2 * HEADS * TOKENS * TOKENS * CHANNELS),)


@pytest.mark.parametrize(("tokens", "channels"), [(50, 64), (1024, 64)])
def test_what_attention_returns_is_written_however_many_channels_a_head_has(
    tokens: int, channels: int
) -> None:
    """Of three results the scores and their softmax; backward the gradients of both, not those of q, k, v."""
    queries, keys, scores = (96, tokens, channels), (96, channels, tokens), (96, tokens, tokens)
    softmax = op("_softmax", scores, (), (), concrete=("", "-1", "False"))
    inner = op("_softmax_backward_data", scores, scores, (), (), concrete=("", "", "-1", "6"))
    value_gradient, weight_gradient = op("bmm", scores, queries), op("bmm", queries, keys)
    graph = scene(
        forward(op("bmm", queries, keys), SOFTMAX - 1), forward(softmax, SOFTMAX),
        forward(op("bmm", scores, queries), SOFTMAX + 1),
        backward("BmmBackward0", value_gradient, weight_gradient, sequence=SOFTMAX + 1),
        backward("SoftmaxBackward0", inner, sequence=SOFTMAX),
        backward("BmmBackward0", op("bmm", keys, scores), op("bmm", scores, queries), sequence=SOFTMAX - 1),
        on_cpu=True,
    )  # fmt: skip
    first, second = found_by(graph, "unfused_attention")
    for match, order in ((first, (0, 1)), (second, (1, 2))):
        assert match.unwritten == {match.nodes[i].place for i in order}


@pytest.mark.left_out
def test_the_librarys_own_fallback_is_not_written_out() -> None:
    """Neither is its backward pass, which holds no trace of the function but its forward operator."""
    called = inside(
        "scaled_dot_product_attention", inside("_scaled_dot_product_attention_math", *attention())
    )
    graph = scene(called, *gradients(), steps=2)
    assert "unfused_attention" not in claims(graph)


@pytest.mark.left_out
@pytest.mark.parametrize("around", ["_native_multi_head_attention", "_transformer_encoder_layer_fwd"])
def test_what_a_fused_layer_runs_is_not_written_out(around: str) -> None:
    assert "unfused_attention" not in claims(scene(inside(around, *attention())))


@pytest.mark.left_out
def test_a_backward_pass_without_its_forward_pass_says_nothing() -> None:
    assert "unfused_attention" not in claims(scene(*gradients()))
    unknown = scene(*attention(), *gradients(sequence=-1))
    assert len(found_by(unknown, "unfused_attention")) == 1


@pytest.mark.left_out
def test_dropout_on_a_cpu_has_no_fast_kernel_neither_forward_nor_backward() -> None:
    dropped = [*attention(dtype="fp32", dropout=True), *gradients(dtype="fp32")]
    assert "unfused_attention" not in claims(scene(*dropped, on_cpu=True))
    plain = [*attention(dtype="fp32"), *gradients(dtype="fp32")]
    assert len(found_by(scene(*plain, on_cpu=True), "unfused_attention")) == 2
    assert len(found_by(scene(*attention(dropout=True)), "unfused_attention")) == 1, "a GPU has one"


@pytest.mark.left_out
@pytest.mark.parametrize("items", [attention(channels=320), attention(dtype="fp64")], ids=["wide", "fp64"])
def test_what_no_fast_kernel_takes_is_left(items: Sequence[Item]) -> None:
    assert "unfused_attention" not in claims(scene(*items))


def small(heads: int, tokens: int) -> list[Item]:
    scores = (heads, tokens, tokens)
    return [
        op("bmm", (heads, tokens, 32), (heads, 32, tokens), dtypes="bf16"),
        op("_softmax", scores, (), (), dtypes="bf16"),
        op("bmm", scores, (heads, tokens, 32), dtypes="bf16"),
    ]  # fmt: skip


@pytest.mark.left_out
@pytest.mark.parametrize("heads, tokens, seen", [
    (512, 64, False), (512, 128, False),
    (512, 136, True),   # more tokens
    (8192, 64, True),   # 64 MB of scores, of which an L2 of 50 MB holds a part
])  # fmt: skip
def test_few_tokens_whose_scores_a_cache_holds_have_little_to_save(
    heads: int, tokens: int, seen: bool
) -> None:
    assert ("unfused_attention" in claims(scene(*small(heads, tokens)))) is seen
    called = inside("scaled_dot_product_attention", *small(heads, tokens))
    assert ("attention_fallback" in claims(scene(called))) is seen


def test_on_a_cpu_few_tokens_count_as_well() -> None:
    assert "unfused_attention" in claims(scene(*small(512, 64), on_cpu=True))


def test_fp32_runs_on_the_memory_efficient_kernel() -> None:
    graph = scene(*attention(dtype="fp32"))
    (match,) = found_by(graph, "unfused_attention")
    assert match.after is not None
    flops = 2 * 2 * HEADS * TOKENS * TOKENS * CHANNELS
    assert match.after.matrix == (("fp32", flops),), "at the peak of fp32, not of TF32"


def test_of_two_softmaxes_with_a_matmul_between_them_the_first_has_it() -> None:
    few, inner = (HEADS, TOKENS, 200), (HEADS, TOKENS, 240)
    items = [
        op("bmm", q(), (HEADS, CHANNELS, 200), dtypes="bf16"), op("_softmax", few, (), (), dtypes="bf16"),
        op("bmm", few, (HEADS, 200, 240), dtypes="bf16"), op("_softmax", inner, (), (), dtypes="bf16"),
        op("bmm", inner, (HEADS, 240, CHANNELS), dtypes="bf16"),
    ]  # fmt: skip
    assert len(found_by(scene(*items[2:]), "unfused_attention")) == 1, "the second alone is one too"
    matches = find(scene(*items), Free())
    assert [[node.place for node in match.nodes] for match in matches] == [[0, 1, 2]]


@pytest.mark.left_out
def test_weights_that_are_used_elsewhere_have_to_be_written() -> None:
    graph = scene(*attention(), op("mean", S, dtypes="bf16"))
    assert len(found_by(graph, "unfused_attention")) == 1
    assert not found_by(handed(graph, (2, 3), (2, 4)), "unfused_attention")


def test_a_softmax_of_other_sizes_is_no_attention() -> None:
    other = (HEADS, TOKENS, 512)
    items = [op("bmm", q(), k()), op("_softmax", other, (), ()), op("bmm", other, (HEADS, 512, CHANNELS))]
    assert "unfused_attention" not in claims(scene(*items))


def test_sizes_that_are_not_recorded_say_nothing() -> None:
    items = [op("bmm", (), ()), op("_softmax", (), (), ()), op("bmm", (), ())]
    assert "unfused_attention" not in claims(scene(*items))
