"""Work on the host that has a name, what its name asks for, and waits that are others' to remedy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.fusion.rules.waits import Deed, doing
from tests.fusion.scenes import claims, found_by
from tests.fusion.test_rules import judged
from tests.trace.build import Rows

MS = 1_000_000
WORK = 30 * MS
LOCK = "<built-in method acquire of _thread.lock object at 0x7f00>"


@pytest.mark.parametrize("name, action", [
    ("Optimizer.step#DeepSpeedCPUAdam.step", "Run the optimizer on the device"),
    ("optimizer_step", "Run the optimizer on the device"),
    ("engine.py(7): offload_step", "Run the optimizer on the device"),
    ("train.py(9): log_loss", "Do it every so many steps"),
    ("lr_scheduler", "Move lr_scheduler out of the step"),
    ("retrieval", "Move retrieval out of the step"),
    ("sample_logits", "Move sample_logits out of the step"),
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


@pytest.mark.parametrize("inner, action", [
    ("<built-in function collect>", "Keep garbage collection out"),
    ("torch/serialization.py(944): save", "Save while training goes on"),
    ("helper.py(3): rank", "Move train.py(31): after_step out of the step"),
])  # fmt: skip
def test_a_function_inside_says_more_than_one_round_it(inner: str, action: str) -> None:
    deeds: list[Deed] = [("beside", "log", WORK), ("python", "train.py(31): after_step", WORK)]
    graph = doing([*deeds, ("python", "x", 0)], deeds)
    trace = graph.trace
    name = trace.names.index("train.py(31): after_step")
    rows = np.flatnonzero(trace.spans.name == name)
    within = replace(
        trace.spans,
        start_ns=np.append(trace.spans.start_ns, trace.spans.start_ns[rows] + 9),
        end_ns=np.append(trace.spans.end_ns, trace.spans.end_ns[rows] - 9),
        name=np.append(trace.spans.name, np.full(len(rows), len(trace.names), np.int32)),
        thread=np.append(trace.spans.thread, trace.spans.thread[rows]),
        profiler=np.append(trace.spans.profiler, np.zeros(len(rows), bool)),
    )
    deeper = replace(trace, spans=within, names=[*trace.names, inner])
    judged_again = replace(graph.judged, priced=replace(graph.judged.priced, trace=deeper))
    (match,) = found_by(replace(graph, judged=judged_again), "host_work")
    assert match.action.startswith(action)


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
@pytest.mark.parametrize("name, kernels, told", [
    ("train_step", 10, False),                  # all of the step is inside
    ("forward", 4, False),
    ("tokenize", 0, True),
    ("Optimizer.step#AdamW.step", 1, False),    # it works on the device
    ("Optimizer.step#CPUAdam.step", 0, True),
    ("evaluate", 8, True),                      # whatever it launches, it can be done less often
    ("## Call CompiledFxGraph abc ##", 0, False),
])  # fmt: skip
def test_what_launches_the_steps_work_is_not_what_held_it_up(name: str, kernels: int, told: bool) -> None:
    rows, now, calls = Rows(), 10_000, 20
    rows.annotation("ProfilerStep#0", 5_000, 10_000 + calls * 20_000 + WORK)
    for number in range(calls):
        if number == 10:
            rows.annotation(name, now - 5_000 - 20_000 * kernels, now + WORK - 5_000)
            now += WORK
        rows.op("aten::relu", now - 3_000, now - 100)
        rows.launch(number, now - 2_000, end=now - 500)
        rows.kernel("kernel", now, now + 15_000, number)
        now += 20_000
    assert ("host_work" in claims(judged(rows.trace()))) is told


@pytest.mark.left_out
def test_an_operator_that_launches_kernels_cannot_be_moved() -> None:
    """A library's first call, or an allocation that left no row."""
    rows = Rows()
    rows.annotation("ProfilerStep#0", 5_000, 2 * WORK)
    rows.op("aten::relu", 6_000, 9_000)
    rows.launch(1, 7_000, end=8_000)
    rows.kernel("kernel", 10_000, 15_000, 1)
    rows.op("aten::addmm", 16_000, WORK)
    rows.launch(2, WORK - 2_000, end=WORK - 1_000)
    rows.kernel("kernel", WORK, WORK + 5_000, 2)
    graph = judged(rows.trace())
    assert graph.idle_ns("host_work") > 0.9 * WORK and "host_work" not in claims(graph)


@pytest.mark.left_out
def test_a_short_wait_is_no_finding() -> None:
    short: list[Deed] = [("annotation", "tokenize", 1_100_000)]
    assert "host_work" not in claims(doing(short, short, busy=100 * MS))
