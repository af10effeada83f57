"""A step that saves a checkpoint, and long steps that do not."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import Deed, doing
from tests.fusion.scenes import claims, found_by

MS = 1_000_000
SAVE: list[Deed] = [
    ("copy", "Memcpy DtoH (Device -> Pageable)", 2 * MS),
    ("annotation", "torch_save", 300 * MS),
]
SIZE = 50_000_000


def test_what_follows_the_copies_is_the_most_that_is_saved() -> None:
    graph = doing([], [], SAVE, [], copied=SIZE, busy=5 * MS)
    (match,) = found_by(graph, "checkpoint_saving")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == pytest.approx(300 * MS / 4, rel=0.01)
    assert match.where == "ProfilerStep#2" and "ProfilerStep#2 takes 312 ms" in match.evidence
    assert "host_work" not in claims(graph), "nothing is promised twice"


@pytest.mark.left_out
@pytest.mark.parametrize("steps, copied", [
    ([[], [], SAVE, []], 1_000_000),          # an evaluation, or a log
    ([SAVE, SAVE, SAVE, SAVE], SIZE),         # what every step does
    ([SAVE], SIZE),                           # likewise, for all that is known
    ([[], [], SAVE[:1], []], SIZE),          # no wait behind the copies
], ids=["small", "each", "only", "short"])  # fmt: skip
def test_other_copies_to_the_host_are_no_checkpoint(steps: list[list[Deed]], copied: int) -> None:
    assert "checkpoint_saving" not in claims(doing(*steps, copied=copied, busy=5 * MS))


@pytest.mark.left_out
@pytest.mark.parametrize("name", ["evaluate", "predict_all", "data.py(3): rank_candidates", "aten::sort"])
def test_other_work_of_the_host_that_has_a_name_is_no_checkpoint(name: str) -> None:
    kind = "python" if "(" in name else "annotation"
    graph = doing([], [], [SAVE[0], (kind, name, 300 * MS)], [], copied=12_000_000, busy=5 * MS)
    assert "checkpoint_saving" not in claims(graph)
    (match,) = found_by(graph, "host_work")
    assert match.where == name and match.saved is not None
    assert match.saved.high == pytest.approx(300 * MS / 4, rel=0.01)


@pytest.mark.parametrize("name", [
    "train.py(9): save_state", "torch/serialization.py(944): _legacy_save", "write_shards",
    "<built-in method write of _io.BufferedWriter object at 0x7f00>", "<built-in function fsync>",
])  # fmt: skip
def test_what_writes_a_file_is_the_checkpoint_and_other_work_beside_it_is_not(name: str) -> None:
    save: list[Deed] = [SAVE[0], ("python", name, 300 * MS), ("annotation", "evaluate", 100 * MS)]
    graph = doing([], [], save, [], copied=SIZE, busy=5 * MS)
    (match,) = found_by(graph, "checkpoint_saving")
    assert match.saved is not None and match.saved.high == pytest.approx(300 * MS / 4, rel=0.01)
    assert "copies 50.0 MB to the host" in match.evidence
    assert [match.where for match in found_by(graph, "host_work")] == ["evaluate"]


@pytest.mark.left_out
def test_loading_in_a_step_that_saves_is_still_loading() -> None:
    loading: Deed = ("annotation", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", 100 * MS)
    graph = doing([], [], [*SAVE, loading], [], copied=SIZE, busy=5 * MS)
    (match,) = found_by(graph, "checkpoint_saving")
    assert match.saved is not None and match.saved.high == pytest.approx(300 * MS / 4, rel=0.01)
