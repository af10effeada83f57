"""Attention's pairs, argument places and bytes: by brute force, by torch's schemas, by hand."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from tests.cost.calls import call_of
from traceanalyzer.cost import price_call
from traceanalyzer.cost.formulas.attention import BACKWARD, FORWARD
from traceanalyzer.cost.masks import Mask, Packing, pairs
from traceanalyzer.records import Bounded, Cost, OpCall, Unpriced


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 5), (3, 7), (7, 3), (1, 4096)])
def test_pairs_are_those_under_the_mask(queries: int, keys: int) -> None:
    top_left = sum(j <= i for i in range(queries) for j in range(keys))
    bottom_right = sum(j <= i + keys - queries for i in range(queries) for j in range(keys))
    assert pairs(queries, keys) == queries * keys
    assert pairs(queries, keys, right=0) == top_left
    assert pairs(queries, keys, right=0, bottom_right=True) == bottom_right


@pytest.mark.parametrize("window", [(0, 0), (2, 0), (1, 3), (None, 2), (4, None)])
@pytest.mark.parametrize(("queries", "keys"), [(6, 6), (3, 9), (9, 3)])
@pytest.mark.parametrize("bottom_right", [False, True])
def test_pairs_are_those_inside_the_window(
    queries: int, keys: int, window: tuple[int | None, int | None], bottom_right: bool
) -> None:
    left, right = window
    shift = keys - queries if bottom_right else 0
    seen = sum(
        (left is None or j >= i + shift - left) and (right is None or j <= i + shift + right)
        for i in range(queries) for j in range(keys)
    )  # fmt: skip
    assert pairs(queries, keys, left, right, bottom_right) == seen


WORDS = {"causal": "is_causal", "mask_type": "custom_mask_type"}


@pytest.mark.parametrize("name", [n for n in (*FORWARD, *BACKWARD) if n.startswith("aten::")])
def test_arguments_stand_where_torch_puts_them(name: str) -> None:
    schema = next(s for s in torch._C._jit_get_schemas_for_operator(name) if not s.overload_name)
    arguments = [a.name.rstrip("_") for a in schema.arguments]
    at = FORWARD.get(name) or BACKWARD[name]
    assert arguments[at.first : at.first + 3] == ["query", "key", "value"]
    for field, word in WORDS.items():
        place = getattr(at, field)
        assert place < 0 or arguments[place] == word
    for place in at.lengths:
        assert "seq" in arguments[place]
    for place in at.packed:
        assert "cu" in arguments[place]
    for place in at.longest:
        assert arguments[place].startswith("max_seqlen") or arguments[place].startswith("max_")
    for place in at.window:
        assert "window_size" in arguments[place]
    read = {arguments[i] for i in at.reads}
    assert read <= {"grad_out", "out", "logsumexp", "attn_bias", "attn_mask", "bias"}
    known = {"grad_out", "out", "logsumexp", "attn_bias", "attn_mask", "bias"} & set(arguments)
    assert known == read, "every tensor that is read counts"


def test_backward_of_the_inner_ops_heeds_the_mask() -> None:
    half, (b, t, h, d) = torch.bfloat16, (2, 256, 4, 64)
    q = torch.empty(b, t, h, d, dtype=half)
    lse = torch.empty(b, h, t)
    expected = 2 * b * h * (t * (t + 1) // 2) * 5 * d
    flash = (q, q, q, q, q, lse, None, None, t, t, 0.0, True, None, None)
    efficient = (q, q, q, q, None, q, None, None, t, t, lse, 0.0, None, None, 1, False)
    package = (q, q, q, q, q, lse, q, q, q, 0.0, 0.1, True, -1, -1)
    for name, arguments in (
        ("aten::_flash_attention_backward", flash), ("aten::_efficient_attention_backward", efficient),
        ("flash_attn::_flash_attn_backward", package),
    ):  # fmt: skip
        cost = price_call(call_of(name, *arguments))
        assert isinstance(cost, Cost)
        assert cost.flops == expected, name
        assert cost.read_bytes == 5 * q.numel() * 2 + lse.numel() * 4, name
        assert cost.write_bytes == 3 * q.numel() * 2, name


def test_a_decode_step_of_the_package_sees_all_keys() -> None:
    q, k = (torch.empty(1, t, 8, 128, dtype=torch.bfloat16) for t in (1, 4096))
    cost = price_call(call_of("flash_attn::_flash_attn_forward", q, k, k, 0.0, 0.1, True, -1, -1))
    assert isinstance(cost, Cost) and cost.flops == 4 * 8 * 4096 * 128


@pytest.mark.parametrize("mask", [Mask(), Mask(right=0), Mask(2, 0, True), Mask(1, 2)])
@pytest.mark.parametrize(("tokens", "sequences", "longest"), [(7, 3, 7), (8, 3, 4), (6, 6, 2), (5, 1, 5)])
def test_packed_sequences_of_every_length_lie_between_the_ends(
    mask: Mask, tokens: int, sequences: int, longest: int
) -> None:
    """All ways to cut so many tokens into so many sequences, the ends among them."""
    cuts = product(range(min(longest, tokens) + 1), repeat=sequences)
    sums = [sum(mask.pairs(n, n) for n in cut) for cut in cuts if sum(cut) == tokens]
    assert Packing(tokens, tokens, sequences, longest, longest).pairs(mask) == (min(sums), max(sums))


def test_queries_of_a_cache_see_what_their_sequences_have() -> None:
    decode = Packing(queries=4, keys=100, sequences=4, longest_query=1, longest_key=60)
    assert decode.pairs(Mask()) == (100, 100), "each key is seen by the one query of its sequence"
    assert decode.pairs(Mask(right=0, bottom_right=True)) == (100, 100)
    least, most = decode.pairs(Mask(7, 0, True))
    assert least <= 2 * 8 and most == 4 * 8, "of keys in two sequences two queries see a window"
    assert Packing(4, 100, 1, 4, 100).pairs(Mask()) == (400, 400), "of one sequence nothing is unknown"


def test_queries_without_keys_see_nothing() -> None:
    """100 queries with 10 keys: 99 with one key and one with 9 are 1 + 9 pairs."""
    mask = Mask(right=0, bottom_right=True)
    lengths = ((99, 1), (1, 9))
    pairs = sum(mask.pairs(q, k) for q, k in lengths)
    least, most = Packing(100, 10, 2, 99, 10).pairs(mask)
    assert pairs == 10 and least <= pairs <= most == 55, "all keys with queries enough: 1 + 2 + .. + 10"


def test_equal_totals_are_not_self_attention_where_the_longest_differ() -> None:
    """Lengths of 6 and 6 queries, 11 keys and 1, causal from the top left: 21 and 6 pairs."""
    mask = Mask(right=0)
    least, most = Packing(12, 12, 2, 6, 11).pairs(mask)
    assert least <= mask.pairs(6, 11) + mask.pairs(6, 1) == 27 <= most
    from_below = Mask(right=0, bottom_right=True)
    least, most = Packing(12, 12, 2, 6, 11).pairs(from_below)
    assert least <= from_below.pairs(6, 11) + from_below.pairs(6, 1) == 52 <= most


def cuts(tokens: int, sequences: int, longest: int) -> list[tuple[int, ...]]:
    every = product(range(min(longest, tokens) + 1), repeat=sequences)
    return [lengths for lengths in every if sum(lengths) == tokens]


@pytest.mark.parametrize("bottom_right", [False, True])
@pytest.mark.parametrize(
    ("left", "right"), [(None, None), (None, 0), (None, 2), (0, None), (1, None), (0, 0), (1, 0), (2, 1)]
)
def test_queries_and_keys_of_every_length_lie_between_the_ends(
    left: int | None, right: int | None, bottom_right: bool
) -> None:
    """All lengths of both sides; the ends are reached wherever one side of a query is open."""
    mask = Mask(left, right, bottom_right)
    for sequences, longest_query, longest_key in product((2, 3), (2, 3, 6), (2, 4, 7)):
        for queries, keys in product(range(1, 7), range(1, 8)):
            if queries == keys and longest_query == longest_key:
                continue
            laid = product(cuts(queries, sequences, longest_query), cuts(keys, sequences, longest_key))
            sums = [sum(map(mask.pairs, *lengths)) for lengths in laid]
            if not sums:
                continue  # they do not fit
            least, most = Packing(queries, keys, sequences, longest_query, longest_key).pairs(mask)
            assert least <= min(sums) and max(sums) <= most
            if left is None or right is None:
                assert (least, most) == (min(sums), max(sums))


def test_of_packed_sequences_flops_have_two_ends_and_a_window_counts() -> None:
    q = torch.empty(512, 8, 64, dtype=torch.bfloat16)
    lengths = torch.empty(5, dtype=torch.int32)
    arguments = (q, q, q, lengths, lengths, 256, 256, 0.0, True, False)
    packed = price_call(call_of("aten::_flash_attention_forward", *arguments))
    assert isinstance(packed, Bounded) and packed.reason == "data_dependent"
    alike, longest = 4 * (128 * 129 // 2), 2 * (256 * 257 // 2)
    assert (packed.least.flops, packed.most.flops) == (4 * 8 * 64 * alike, 4 * 8 * 64 * longest)
    assert packed.least.read_bytes == packed.most.read_bytes == 3 * q.numel() * 2
    with_cache = price_call(call_of("aten::_flash_attention_forward", *arguments, None, None, None, lengths))
    assert isinstance(with_cache, Unpriced) and not isinstance(with_cache, Bounded)
    q4 = q.unsqueeze(0)
    window = price_call(call_of("flash_attn::_flash_attn_forward", q4, q4, q4, 0.0, 0.1, True, 128, 0))
    assert isinstance(window, Cost)
    seen = sum(min(i, 128) + 1 for i in range(512))  # itself and up to 128 before it
    assert window.flops == 2 * 8 * seen * 2 * 64


@pytest.mark.parametrize("name", sorted(BACKWARD))
def test_backward_computes_one_product_again_and_is_else_twice_the_forward(name: str) -> None:
    """Whoever's kernel it is: 2 x forward for the gradients, and the scores from Q and K once more."""
    at = BACKWARD[name]
    heads_first = (2, 3, 40, 16)
    tensor = heads_first if at.heads_first else (2, 40, 3, 16)
    inputs = max(at.first + 2, *at.reads, at.causal) + 1
    shapes = tuple(tensor if i in (0, at.first, at.first + 1, at.first + 2, at.results[0]) else
                   (2, 3, 40) if i == at.results[1] else () for i in range(inputs))  # fmt: skip
    call = OpCall(name, shapes=shapes, dtypes=tuple("bf16" if shape else None for shape in shapes))
    cost = price_call(call)
    if "varlen" in name:
        assert isinstance(cost, Unpriced)
        return
    assert isinstance(cost, Cost)
    product = 2 * 2 * 3 * 40 * 40 * 16
    assert (cost.flops, cost.recomputed_flops) == (5 * product, product)
    assert cost.flops - cost.recomputed_flops == 2 * (2 * product)
