"""Matmuls that could skip zeros in pruned weights."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, op, scene

KERNEL = "ampere_bf16_s16816gemm_bf16_256x128_ldg8_f2f_stages_64x3_nn"
A100 = "a100-sxm4-80gb"


def addmm(n: int = 4096, rows: int = 8192) -> Item:
    ns = round(2 * rows * 4096 * n / 250e12 * 1e9)
    return op("addmm", (n,), (rows, 4096), (4096, n), (), (), dtypes="bf16", kernel=KERNEL, ns=ns)


def test_compute_bound_matmuls_are_named_and_not_claimed() -> None:
    (match,) = found_by(scene(addmm(), addmm(), device=A100, steps=2), "sparse_weights")
    assert len(match.nodes) == 2 and not match.claims
    assert match.saved is None and match.after is None
    assert "100.0 % of busy time" in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("item, device, steps", [
    (addmm(n=4100), A100, 2),
    (addmm(), A100, 0),
    (addmm(), "v100-sxm2-16gb", 2),
    (op("addmm", (4096,), (8, 4096), (4096, 4096), (), (), dtypes="bf16", kernel=KERNEL, ns=30_000), A100, 2),
], ids=["64 does not divide it", "no steps", "Volta", "memory"])  # fmt: skip
def test_where_zeros_cannot_be_skipped(item: Item, device: str, steps: int) -> None:
    assert "sparse_weights" not in claims(scene(item, device=device, steps=steps))


@pytest.mark.left_out
def test_training_is_left_alone() -> None:
    items = [forward(addmm(), 1), backward("AddmmBackward0", addmm(), sequence=1)]
    assert "sparse_weights" not in claims(scene(*items, device=A100))


@pytest.mark.left_out
@pytest.mark.parametrize("taken", [
    op("_sparse_semi_structured_addmm", (4096,), (4096, 2048), (4096, 256), (4096, 8192), dtypes="bf16"),
    op("_cslt_sparse_mm", (4096 * 2304,), (4096, 8192), dtypes="bf16"),
    op("_int_mm", (4096, 4096), (4096, 4096), dtypes="int8"),
], ids=["cutlass", "cuSPARSELt", "quantized"])  # fmt: skip
def test_weights_of_which_some_are_pruned_or_quantized_were_chosen(taken: Item) -> None:
    assert "sparse_weights" not in claims(scene(addmm(), addmm(), addmm(), taken, device=A100))
