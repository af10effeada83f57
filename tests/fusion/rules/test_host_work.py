"""Work on the host that has a name, what its name asks for, and waits that are others' to remedy."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

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
    ("engine.py(7): cpu_adam_step", "Run the optimizer on the device"),
    ("train.py(9): log_loss", "Do it every so many steps"),
    ("lr_scheduler", "See what lr_scheduler does on the host"),
    ("retrieval", "See what retrieval does on the host"),
    ("sample_logits", "See what sample_logits does on the host"),
    ("train.py(3): run_gc", "Keep garbage collection out of the steps"),
    ("save_checkpoint", "Save while training goes on"),
    ("torch/serialization.py(944): save", "Save while training goes on"),
    ("evaluate", "Evaluate less often"),
    ("train.py(70): validation_loop", "Evaluate less often"),
    ("run_eval", "Evaluate less often"),
    ("scheduler.py(40): schedule", "Schedule the next step while"),
    ("Callback.on_batch_end", "Do it every so many steps"),
    ("[pl][profile][Callback]Bar.on_train_batch_end", "Do it every so many steps"),
    ("log/writer.py(3): log_metrics", "Do it every so many steps"),
    ("/usr/lib/python3.12/threading.py(1100): join", "Do not let the thread"),
    ("tokenize", "See what tokenize does on the host"),
])  # fmt: skip
def test_the_wait_is_the_most_that_is_saved_and_its_name_says_what_to_do(name: str, action: str) -> None:
    graph = doing([("annotation", name, WORK)], [("annotation", name, WORK)])
    (match,) = found_by(graph, "host_work")
    assert match.tier == "T3" and match.saved is not None and match.saved.low == 0
    assert match.saved.high == graph.idle_ns("host_work") / 2 == pytest.approx(WORK, rel=0.01)
    assert match.where == name and match.evidence.endswith(f"while the host is in {name}")
    assert match.action.startswith(action)


# Names of libraries and of users that hold a word of a remedy, and are about something else.
@pytest.mark.left_out
@pytest.mark.parametrize("name", [
    "torch_geometric/sampler/neighbor_sampler.py(201): sample_from_nodes",
    "data/validate.py(12): validate_shapes",
    "pydantic/main.py(700): validate",
    "pydantic/main.py(750): model_validate",
    "torch/nn/modules/module.py(2800): eval",
    "accelerate/hooks.py(329): pre_forward",
    "diffusers/pipelines/pipeline_utils.py(1100): maybe_offload_activations",
    "peft/utils/save_and_load.py(30): load_checkpoint",
    "metrics/logging/checkpoint/evaluate.py(4): tokenize",
    "torch/utils/checkpoint.py(488): checkpoint",
    "torch/autograd/function.py(40): save_for_backward",
    "torch/autograd/graph.py(9): saved_tensors_hooks",
    "scipy/special/_logsumexp.py(9): logsumexp",
    "sampler.py(9): log_prob",
    "catalog", "dialogue", "blog_reader", "footprint", "medieval", "invalidate_cache", "geometric_mean",
    "compute_geometric_features", "gradient_callback", "torch/futures.py(3): then_callback",
    "optim_utils.py(3): flatten_optim_state", "optimizer_state_dict", "lr_schedule", "noise_schedule",
    "diffusers/schedulers/scheduling_ddim.py(400): step", "scheduler_step", "block_table", "clock_sync",
    "tools/threading_helpers.py(3): wait", "queue_manager.py(3): get", "collect_outputs", "egc_layer",
])  # fmt: skip
def test_a_word_inside_another_or_about_something_else_is_no_advice(name: str) -> None:
    graph = doing([("python", name, WORK)], [("python", name, WORK)])
    (match,) = found_by(graph, "host_work")
    assert match.action.startswith(f"See what {name} does on the host") and not match.snippet


@pytest.mark.left_out
@pytest.mark.parametrize("name, words", [
    ("aten::sort", "works on in the device's memory"),
    ("aten::log_softmax", "works on in the device's memory"),
    ("aten::_validate_compressed_sparse_indices", "works on in the device's memory"),
    ("autograd::engine::evaluate_function: torch::autograd::AccumulateGrad", "hooks of gradients"),
    ("autograd::engine::evaluate_function: SaveCheckpointBackward", "hooks of gradients"),
    ("fbgemm::log_step", "See what fbgemm::log_step does on the host"),
])  # fmt: skip
def test_operators_and_autograd_have_remedies_of_their_own(name: str, words: str) -> None:
    rows, now = Rows(), 10_000
    rows.annotation("ProfilerStep#0", 5_000, 2 * WORK)
    for number, gap in enumerate((0, WORK)):
        if gap:
            rows.op(name, now, now + gap)
            now += gap + 5_000
        rows.op("aten::relu", now - 3_000, now - 100)
        rows.launch(number, now - 2_000, end=now - 500)
        rows.kernel("kernel", now, now + 15_000, number)
        now += 20_000
    (match,) = found_by(judged(rows.trace()), "host_work")
    assert match.where == name and words in match.action
    assert "every so many steps" not in match.action and "less often" not in match.action


def test_each_name_is_told_apart() -> None:
    graph = doing([("annotation", "tokenize", WORK)], [("python", "a.py(1): rank", 2 * WORK)])
    found = found_by(graph, "host_work")
    assert [match.where for match in found] == ["a.py(1): rank", "tokenize"]
    high = sum(match.saved.high for match in found if match.saved)
    assert 2 * high == graph.idle_ns("host_work") == pytest.approx(3 * WORK, rel=0.01)


@pytest.mark.parametrize("inner, action", [
    ("<built-in function collect>", "Keep garbage collection out"),
    ("torch/serialization.py(944): save", "Save while training goes on"),
    ("helper.py(3): rank", "See what train.py(31): after_step does on the host"),
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
    ("evaluate", 8, True),                      # it launches kernels of its own, and can be done less often
    ("evaluate", 14, False),                    # most of them: it is the step itself
    ("data.py(3): validate_shapes", 4, False),
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
