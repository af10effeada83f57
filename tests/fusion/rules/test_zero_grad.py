"""Gradients that are filled with zeros, and added to."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from tests.fusion.scenes import Item, annotation, backward, claims, forward, found_by, op, scene
from traceanalyzer.fusion.savings import NOTHING
from traceanalyzer.records.trace import UNLINKED

W = (1024, 1024)
G = 4 * 1024 * 1024
ZERO = op("zero_", W)
PASS = (forward(op("mm", (64, 1024), W), 1),
        backward("MmBackward0", op("mm", (1024, 64), (64, 1024)), sequence=1))  # fmt: skip
ADDED = backward("torch::autograd::AccumulateGrad", op("add_", W, W, ()))


def zeros(*items: Item) -> Item:
    return annotation("Optimizer.zero_grad#SGD.zero_grad", *items)


def test_the_zeros_and_the_additions_to_them_are_saved() -> None:
    (match,) = found_by(scene(zeros(ZERO), *PASS, ADDED), "zero_grad")
    assert [node.name for node in match.nodes] == ["zero", "add"] and match.tier == "T0"
    assert match.after == NOTHING
    assert match.bytes_saved == G + 3 * G, "written once; two tensors read and one written"


def test_a_list_of_zeros_is_as_many_additions() -> None:
    graph = scene(zeros(op("_foreach_zero_", (W, W))), *PASS, ADDED, ADDED, ADDED)
    (match,) = found_by(graph, "zero_grad")
    assert [node.name for node in match.nodes] == ["_foreach_zero", "add", "add"]


@pytest.mark.left_out
def test_gradients_set_to_none_are_not_filled() -> None:
    assert "zero_grad" not in claims(scene(zeros(), *PASS, ADDED))


@pytest.mark.left_out
def test_a_graph_writes_to_the_same_gradients_each_time() -> None:
    graph = scene(zeros(ZERO))
    assert "zero_grad" in claims(graph)
    kernels = graph.trace.kernels
    by_graph = np.full(len(kernels), UNLINKED.index("cuda_graph"), kernels.unlinked.dtype)
    trace = replace(graph.trace, kernels=replace(kernels, unlinked=by_graph))
    priced = replace(graph.judged.priced, trace=trace)
    replayed = replace(graph, judged=replace(graph.judged, priced=priced))
    assert "zero_grad" not in claims(replayed)


def test_other_zeros_are_no_gradients() -> None:
    assert "zero_grad" not in claims(scene(ZERO, *PASS, ADDED))
