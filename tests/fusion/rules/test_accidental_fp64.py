"""What runs in fp64 beside a model in fp32, and models in fp64."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, annotation, claims, found_by, op, scene
from traceanalyzer.device import named
from traceanalyzer.fusion.savings import FORWARD
from traceanalyzer.fusion.suggestions import suggestions

X = (4096, 4096)
N = 4096 * 4096
MM = op("mm", X, X, ns=900_000)
DOUBLE = op("exp", X, dtypes="fp64", ns=150_000)


def test_half_of_the_bytes_is_saved() -> None:
    """An exponential reads and writes 8 bytes an element; in fp32 it would move 2 x 4 x N."""
    graph = scene(MM, DOUBLE, steps=2)
    (match,) = found_by(graph, "accidental_fp64")
    assert [node.name for node in match.nodes] == ["exp"] and match.tier == "T0" and match.saved is not None
    bandwidth = named("h100-sxm5").bandwidth_bytes_per_s
    assert bandwidth is not None
    left_ns = graph.floor_ns + 8 * N / bandwidth * 1e9 / FORWARD.bandwidth.mid
    assert match.saved.mid == pytest.approx(150_000 - left_ns)
    assert match.evidence.startswith("one operator in fp64 takes 150 µs per step, ")


def test_a_product_saves_what_the_peak_of_fp32_leaves() -> None:
    """2 x 4096^3 FLOPs at the fp32 peak, of which large products reach 98 %: savings.py."""
    slow = op("mm", X, X, dtypes="fp64", ns=4_000_000)
    graph = scene(op("mm", X, X, ns=9_000_000), slow)
    (match,) = found_by(graph, "accidental_fp64")
    peak = graph.device.peak("vector", "fp32")
    assert match.saved is not None and peak
    left_ns = graph.floor_ns + 2 * 4096**3 / peak * 1e9 / 0.98
    assert match.saved.mid == pytest.approx(4_000_000 - left_ns)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_it_is_suggested(on_cpu: bool) -> None:
    told = {each.rule for each in suggestions(scene(MM, DOUBLE, steps=2, on_cpu=on_cpu)).found or ()}
    assert "accidental_fp64" in told


def updated(dtype: str) -> Item:
    return annotation(
        "Optimizer.step#SGD.step", op("add_", (64, 64), (64, 64), (), dtypes=(dtype, dtype, None))
    )


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    (op("mm", X, X, dtypes="fp64"), DOUBLE, op("exp", X, ns=9_000)),
    (MM, DOUBLE, updated("fp64")),
    (MM, op("exp", (1,), dtypes="fp64")),
    (op("mm", X, X, ns=90_000_000), DOUBLE),
], ids=["most work", "parameters", "a number", "next to nothing"])  # fmt: skip
def test_what_is_meant_or_does_not_matter(items: tuple[Item, ...]) -> None:
    assert "accidental_fp64" not in claims(scene(*items))


def test_parameters_in_fp32_tell_an_accident_whatever_it_takes() -> None:
    assert "accidental_fp64" in claims(scene(DOUBLE, DOUBLE, updated("fp32")))
