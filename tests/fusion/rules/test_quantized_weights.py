"""Matmuls that reading 16-bit weights limits."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, backward, claims, forward, found_by, op, scene

WEIGHT = (8192, 8192)
BYTES = 2 * 8192 * 8192
NS = 60_000  # at 2.2 TB/s


def decoding(dtype: str = "bf16", rows: int = 1) -> Item:
    return op("mm", (rows, 8192), WEIGHT, dtypes=dtype, kernel="nvjet_tst_64x8_64x16", ns=NS)


def test_weights_are_read_in_half_the_time() -> None:
    graph = scene(decoding(), decoding(), steps=3)
    (match,) = found_by(graph, "quantized_weights")
    assert len(match.nodes) == 2 and match.tier == "T3" and match.claims
    assert match.bytes_saved == BYTES, "two weights, of each two bytes one"
    assert match.saved is not None and match.saved.low == 0
    assert match.saved.high == pytest.approx(NS, rel=0.01)
    assert "of busy time" in match.evidence and "e+0" not in match.evidence


def test_an_eager_model_is_to_be_compiled_as_well() -> None:
    (eager,) = found_by(scene(decoding(), decoding()), "quantized_weights")
    assert "compile the model" in eager.action and "torch.compile" in eager.snippet
    generated = op("triton_poi_fused_add_0", (1, 8192), dtypes="bf16", triton=True, ns=1_000)
    (compiled,) = found_by(scene(decoding(), decoding(), generated), "quantized_weights")
    assert not compiled.action and not compiled.snippet, "the rule's own, which compiles nothing"


@pytest.mark.left_out
def test_training_keeps_its_weights() -> None:
    items = [forward(decoding(), 1), decoding(), backward("MmBackward0", decoding(), sequence=1)]
    assert "quantized_weights" not in claims(scene(*items))


def test_many_rows_are_limited_by_other_things() -> None:
    many = op("mm", (8192, 8192), WEIGHT, dtypes="bf16", kernel="nvjet_tst_64x8_64x16", ns=1_700_000)
    assert "quantized_weights" not in claims(scene(many))
    assert "quantized_weights" not in claims(scene(decoding("fp32")))


@pytest.mark.left_out
def test_a_trace_without_steps_does_not_tell_weights() -> None:
    assert "quantized_weights" not in claims(scene(decoding(), decoding(), steps=0))


@pytest.mark.left_out
def test_a_small_model_stays_in_the_cache() -> None:
    small = op("mm", (1, 4096), (4096, 4096), dtypes="bf16", kernel="nvjet_tst_64x8_64x16", ns=15_000)
    assert "quantized_weights" not in claims(scene(small))
    assert "quantized_weights" in claims(scene(small, small)), "together they are larger than the cache"


@pytest.mark.left_out
@pytest.mark.parametrize("narrow", [
    op("_weight_int8pack_mm", (1, 8192), (8192, 8192), (8192,), dtypes=("bf16", "int8", "bf16")),
    op("_weight_int4pack_mm", (1, 8192), (1024, 64, 32, 4), (), (64, 8192, 2),
       dtypes=("bf16", "int32", None, "bf16")),
    op("mul", (8192, 8192), (8192, 1), dtypes=("int8", "bf16")),
    op("_C::gptq_marlin_gemm", (1, 8192), (512, 16384), dtypes=("bf16", "int32")),
], ids=["8 bits", "4 bits", "widened before each matmul", "packed"])  # fmt: skip
def test_weights_of_which_some_are_narrow_were_chosen(narrow: Item) -> None:
    assert "quantized_weights" not in claims(scene(decoding(), decoding(), narrow))
