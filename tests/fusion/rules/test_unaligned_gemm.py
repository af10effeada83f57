"""Matmuls on kernels for misaligned rows."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, claims, found_by, op, scene

ODD = "cutlass_80_tensorop_bf16_s16816gemm_bf16_128x128_32x4_nn_align1"
EVEN = ODD.replace("align1", "align8")


def mm(m: int, k: int, n: int, kernel: str = ODD, dtype: str = "bf16", transposed: bool = False) -> Item:
    strides = ((1, m), (n, 1)) if transposed else ((k, 1), (n, 1))
    return op("mm", (m, k), (k, n), dtypes=dtype, kernel=kernel, strides=strides)


def test_an_odd_vocabulary_is_named_and_not_claimed() -> None:
    (match,) = found_by(scene(mm(512, 1024, 50257), steps=2), "unaligned_gemm")
    assert [node.name for node in match.nodes] == ["mm"] and not match.claims
    assert match.saved is None and match.after is None
    assert "50257 is no multiple of 8" in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("item", [
    mm(512, 1024, 50304),
    mm(512, 1024, 50257, kernel=EVEN),
    mm(513, 1024, 512),
    mm(512, 1023, 511, dtype="fp32"),
    mm(512, 1023, 511, kernel="cutlass_80_simt_hgemm_128x128_8x4_nn_align1"),
    op("mm", (), (), kernel=ODD),
    mm(512, 1024, 10), mm(512, 9, 11),
], ids=["all even", "aligned", "rows do not matter", "fp32", "no matrix engine", "no sizes", "10 to 16",
        "9 to 16 by 11 to 16"])  # fmt: skip
def test_where_padding_does_not_help(item: Item) -> None:
    assert "unaligned_gemm" not in claims(scene(item))


def test_rows_matter_where_memory_runs_along_them() -> None:
    assert "unaligned_gemm" in claims(scene(mm(513, 1024, 512, transposed=True)))


def test_what_attention_replaces_is_not_padded() -> None:
    scores = (16, 1023, 1023)
    items = [
        op("bmm", (16, 1023, 64), (16, 64, 1023), dtypes="bf16", kernel=ODD),
        op("_softmax", scores, (), (), dtypes="bf16", concrete=("", "-1", "False")),
        op("bmm", scores, (16, 1023, 64), dtypes="bf16", kernel=ODD),
    ]  # fmt: skip
    assert set(claims(scene(*items))) == {"unfused_attention"}
