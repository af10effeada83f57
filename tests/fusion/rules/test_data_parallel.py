"""One process that works on several GPUs."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import Item, annotation, claims, found_by, op, scene
from traceanalyzer.fusion.suggestions import suggestions

MM = op("mm", (4096, 4096), (4096, 4096))


def plain(name: str) -> Item:
    """An operator without a namespace, as a Python function of autograd is."""
    return annotation(name)


FORWARD = annotation("DataParallel.forward", plain("Scatter"), plain("Broadcast"), MM, MM, plain("Gather"))


def test_it_is_named_without_a_time() -> None:
    graph = scene(FORWARD, steps=2)
    (match,) = found_by(graph, "data_parallel")
    assert match.evidence == "one process works on several GPUs, with 1 of Broadcast and 1 of Gather per step"
    assert match.saved is None and match.after is None and not match.nodes
    (told,) = [each for each in suggestions(graph).found or () if each.rule == "data_parallel"]
    assert told.saving_per_step_ns is None and "DistributedDataParallel" in told.action


def test_without_gradients_nothing_is_broadcast_by_autograd() -> None:
    assert "data_parallel" in claims(scene(annotation("DataParallel.forward", MM, plain("Gather"))))


def test_before_its_forward_pass_had_a_name() -> None:
    assert "data_parallel" in claims(scene(plain("Scatter"), plain("Broadcast"), MM, plain("Gather")))


@pytest.mark.left_out
@pytest.mark.parametrize("items", [
    (annotation("DataParallel.forward", plain("Scatter"), MM),),
    (annotation("DistributedDataParallel.forward", MM),),
    (MM, plain("Gather")),
], ids=["one GPU", "distributed", "gathered by something else"])  # fmt: skip
def test_what_copies_no_model(items: tuple[Item, ...]) -> None:
    assert "data_parallel" not in claims(scene(*items))
