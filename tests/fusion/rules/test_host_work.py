"""Work on the host that has a name, what its name asks for, and waits that are others' to remedy."""

from __future__ import annotations

import pytest

from tests.fusion.rules.waits import Deed, doing
from tests.fusion.scenes import claims, found_by

MS = 1_000_000
WORK = 30 * MS
LOCK = "<built-in method acquire of _thread.lock object at 0x7f00>"


@pytest.mark.parametrize("name, action", [
    ("Optimizer.step#DeepSpeedCPUAdam.step", "Run the optimizer on the device"),
    ("optimizer_step", "Run the optimizer on the device"),
    ("gc.py(3): collect", "Keep garbage collection out of the steps"),
    ("save_checkpoint", "Save while training goes on"),
    ("evaluate", "Evaluate less often"),
    ("scheduler.py(40): schedule", "Schedule the next step while"),
    ("Callback.on_batch_end", "Do it every so many steps"),
    ("tokenize", "Move tokenize out of the step"),
])  # fmt: skip
def test_the_wait_is_the_most_that_is_saved_and_its_name_says_what_to_do(name: str, action: str) -> None:
    graph = doing([("annotation", name, WORK)], [("annotation", name, WORK)])
    (match,) = found_by(graph, "host_work")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == graph.idle_ns("host_work") / 2 == pytest.approx(WORK, rel=0.01)
    assert match.where == name and match.evidence.endswith(f"while the host is in {name}")
    assert match.action.startswith(action)


def test_each_name_is_told_apart() -> None:
    graph = doing([("annotation", "tokenize", WORK)], [("python", "a.py(1): rank", 2 * WORK)])
    found = found_by(graph, "host_work")
    assert [match.where for match in found] == ["a.py(1): rank", "tokenize"]
    high = sum(match.saved.high for match in found if match.saved)
    assert 2 * high == graph.idle_ns("host_work") == pytest.approx(3 * WORK, rel=0.01)


def test_of_a_lock_it_is_said_what_the_other_thread_does() -> None:
    waits: list[Deed] = [("beside", "compress_gradients", WORK), ("python", LOCK, WORK)]
    (match,) = found_by(doing(waits, waits), "host_work")
    assert match.action.startswith("Do not let the thread that launches wait for another")
    assert match.evidence.endswith("; meanwhile another thread is in compress_gradients")


@pytest.mark.left_out
@pytest.mark.parametrize("deed", [
    ("annotation", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", WORK),
    ("annotation", "x (dynamo_timed)", WORK),
    ("call", "cudaFree", WORK),
    ("call", "cudaStreamSynchronize", WORK),
    ("beside", "tokenize", WORK),
], ids=["loading", "compiling", "allocating", "waiting", "other_thread"])  # fmt: skip
def test_what_has_another_remedy_or_no_name_is_left_out(deed: Deed) -> None:
    pause: Deed = ("beside", "nothing", 0)
    assert "host_work" not in claims(doing([deed, pause], [deed, pause]))


@pytest.mark.left_out
def test_a_short_wait_is_no_finding() -> None:
    short: list[Deed] = [("annotation", "tokenize", 1_100_000)]
    assert "host_work" not in claims(doing(short, short, busy=100 * MS))
