"""Norms of gradients one by one, and norms that clip nothing."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, annotation, backward, claims, forward, found_by, inside, op, scene

W = (512, 512)
PASS = (forward(op("mm", (64, 512), W), 1),
        backward("MmBackward0", op("mm", (512, 64), (64, 512)), sequence=1))  # fmt: skip
STEP = annotation("Optimizer.step#SGD.step", op("_fused_sgd_", (W,), (W,)))
NORM, SCALED = op("linalg_vector_norm", W, (), (), (), ()), op("mul_", W, ())


def norms(count: int, norm: Item = NORM) -> list[Item]:
    return [norm] * count


def test_norms_that_scale_are_clipping() -> None:
    (match,) = found_by(scene(*PASS, *norms(16), *[SCALED] * 16, STEP), "gradient_clipping")
    assert len(match.nodes) == 16 and {node.name for node in match.nodes} == {"linalg_vector_norm"}
    assert match.tier == "T0" and match.saved is None and match.after is None, "launches, no kernel time"
    assert not match.claims
    assert "16 norms per step" in match.evidence


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    (*PASS, *norms(15), *[SCALED] * 15, STEP),                                       # few
    (*PASS, *norms(16), STEP),                                                       # for a log
    (*PASS, inside("_foreach_norm", *norms(16)), *[SCALED] * 16, STEP),              # as a list already
    (*PASS, op("_foreach_norm", (W,) * 16, ()), op("_foreach_mul_", (W,) * 16, W), STEP),
    (*PASS, annotation("Optimizer.step#Lamb.step", *norms(16), *[SCALED] * 16)),     # trust ratios
    (*norms(16), *[SCALED] * 16),                                                    # inference
    (*PASS, op("aten::coalesce", kernels=()), *norms(16), *[SCALED] * 16, STEP),     # of sparse gradients
], ids=["few", "log", "slow_list", "list", "optimizer", "inference", "sparse"])  # fmt: skip
def test_what_clips_nothing_or_is_a_list_already(items: tuple[Item, ...]) -> None:
    assert "gradient_clipping" not in claims(scene(*items))


@pytest.mark.left_out
def test_on_a_cpu_nothing_is_launched() -> None:
    items = (*PASS, *norms(16), *[SCALED] * 16, STEP)
    assert "gradient_clipping" not in claims(scene(*items, on_cpu=True))
