"""Windows, steps, streams and devices whose times follow from their layout; by_hand.py has the scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.trace.by_hand import (
    AS_THE_SCENE,
    COPY,
    H100,
    Expected,
    Input,
    Row,
    Rows,
    check,
    extra,
    is_device,
    kernel,
    launch,
    ns,
    op,
    row,
    scene,
    step,
    unmodelled,
    unstepped,
    with_args,
    without,
    work,
)
from traceanalyzer import AnalyzeOptions, analyze

NCCL = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
LOST = frozenset({"not_recorded"})
UNLIKE = frozenset({"steps_differ"})


def verdicts(**us: float) -> Mapping[str, float]:
    """The scene's, with these in their place."""
    return {"memory_bound": 160, "compute_bound": 400, "copy": 100} | us


def warned(*codes: str) -> frozenset[str]:
    return frozenset(codes)


def collective(at: float, dur: float) -> Rows:
    """An all-reduce of the first step, on a stream of its own."""
    named = {"Collective name": "allreduce", "dtype": "BFloat16", "In msg nelems": 1024, "Group size": 8}
    return [
        op("record_param_comms", 1190, 9, 7001, **named), launch(1192, 71),
        kernel(NCCL, at, dur, 71, stream=20, **named),
    ]  # fmt: skip


def beside(at: float, dur: float, name: str = COPY, **args: object) -> Rows:
    """One more copy of the first step, on a stream of its own."""
    rows = [op("aten::copy_", 1190, 9, 7002), launch(1192, 72, "cudaMemcpyAsync")]
    return [*rows, kernel(name, at, dur, 72, cat="gpu_memcpy", stream=11, **args)]


def second_step_longer() -> Rows:
    """Its annotation lasts 1,500 us, its matmul 400, its copy comes later."""
    rows = [step(0, 1000), *work(1000, 101), step(1, 2000, 1500)]
    for each in work(2000, 201):
        if each["cat"] == "kernel" and each["dur"] == 200:
            each = each | {"dur": 400}
        rows.append(each | {"ts": 2750} if each["cat"] == "gpu_memcpy" else each)
    return rows


def first_step_without_device() -> Rows:
    """Launches of a step before, whose records were dropped."""
    return [step(7, 0), *(each for each in work(0, 1) if not is_device(each)),
            step(8, 1000), *work(1000, 101), step(9, 2000), *work(2000, 201)]  # fmt: skip


def two_cycles() -> Rows:
    return [step(0, 1000), *work(1000, 101), step(5, 7000), *work(7000, 201)]


def gpu_spans() -> Rows:
    """The steps as the device's annotations have them, which are no work."""
    return [
        row("gpu_user_annotation", f"ProfilerStep#{number}", begin + 200, 400, **{"External id": 1}) | {
            "pid": 0, "tid": 7}
        for number, begin in enumerate((1000, 2000))
    ]  # fmt: skip


def waits() -> Rows:
    """Of the device, as its tracing has them, without a stream."""
    return [kernel("Stream Synchronize", 1650, 300, 333, cat="cuda_sync", stream=-1) | {"tid": -1}]


def host_only(rows: Rows) -> Rows:
    return [each for each in rows if not is_device(each) and each["cat"] != "cuda_runtime"]


WINDOWS = (
    Input("no steps", unstepped(), AS_THE_SCENE.but(window=1400, steps=None)),
    # From the first addition at 1,200 to the end of the last copy at 2,600 us.
    Input("steps all", scene(), AS_THE_SCENE.but(window=1400, steps=None),
          options=AnalyzeOptions(steps="all")),
    # The other step's 330 us of 660 are outside.
    Input("one step of two", scene(),
          Expected(1000, 330, {"memory_bound": 80, "compute_bound": 200, "copy": 50}, steps=1,
                   warnings=warned("outside_window")), options=AnalyzeOptions(steps="0-0")),
    # From 1,900 to 2,100: the second step begins for the device when that ends.
    Input("a kernel across a border of steps", scene() + extra(1500, 1900, 200, 31),
          Expected(2000, 860, verdicts(memory_bound=360), step_us=(1100, 900), warnings=UNLIKE)),
    # To 3,050: 1,025 us a step.
    Input("a kernel beyond the last step", scene() + extra(2500, 2900, 150, 31),
          Expected(2050, 810, verdicts(memory_bound=310), step_us=(1000, 1050))),
    # To 3,400: 1,200 us a step, a fifth more than the annotations.
    Input("a kernel far beyond the last step", scene() + extra(2500, 2900, 500, 31),
          Expected(2400, 1160, verdicts(memory_bound=660), step_us=(1000, 1400),
                   warnings=warned("window_unlike_steps", "steps_differ"))),
    # From 950 to 1,060, 110 us of 770: the first step begins when it ends.
    # It is outside, so that its launch is nobody's concern.
    Input("work queued before the recording", [*scene(), kernel("some_kernel", 950, 110, 99)],
          AS_THE_SCENE.but(window=1940, step_us=(940, 1000), warnings=warned("outside_window"))),
    # In the first step's 1,650 to 1,750, after what it launched: its own time, without a launch.
    Input("work without a launch in a step", [*scene(), kernel("some_kernel", 1650, 100, 99)],
          AS_THE_SCENE.but(busy=760, verdicts=verdicts(unmodelled=100), step_us=(1000, 1000),
                           warnings=warned("unlinked_no_launch", "steps_differ"),
                           reasons=frozenset({"no_launch"}))),
    Input("a last stub", [*scene(), step(2, 3000, 5)], AS_THE_SCENE),
    Input("a last step that launches nothing", [*scene(), step(2, 3000)],
          AS_THE_SCENE.but(warnings=warned("last_step_left_out"))),
    Input("a step inside its twin", [*scene(), step(0, 1100, 700)], AS_THE_SCENE),
    Input("a step on two threads", [*scene(), step(0, 1100, 800) | {"tid": 78}], AS_THE_SCENE),
    Input("the same number twice", [step(0, 1000), *work(1000, 101), step(0, 2000), *work(2000, 201)],
          AS_THE_SCENE.but(warnings=warned("repeated_steps", "step_gaps"))),
    # 330 us in 1,000, and 530 in 1,500.
    Input("steps that differ", second_step_longer(),
          Expected(2500, 860, verdicts(compute_bound=600), step_us=(1000, 1500),
                   warnings=warned("steps_differ"))),
    Input("a first step whose records were dropped", first_step_without_device(),
          AS_THE_SCENE.but(warnings=warned("steps_not_recorded"))),
    # Of two recordings with a step each the last; the other's half of all work is outside.
    Input("two recordings", two_cycles(),
          Expected(1000, 330, {"memory_bound": 80, "compute_bound": 200, "copy": 50}, steps=1,
                   warnings=warned("one_cycle_of_several", "step_gaps", "outside_window"))),
)  # fmt: skip

STREAMS = (
    # 1,250 to 1,350 beside the addition until 1,280 and the matmul from 1,300: 15 of 30 us are the first
    # one's, 25 of 50 the second one's, 20 us are its alone. 160 - 15 + 60 us are memory-bound, 400 - 25 us
    # compute-bound. In the cases below one step runs what the other does not, so that they differ.
    Input("kernels side by side", scene() + extra(1190, 1250, 100, 31, stream=9),
          Expected(2000, 680, verdicts(memory_bound=205, compute_bound=375))),
    # 1,250 to 1,450: kernels run in all but 20 us of it.
    Input("a collective behind kernels", scene() + collective(1250, 200),
          Expected(2000, 680, verdicts(communication=20), warnings=UNLIKE)),
    Input("a collective by itself", scene() + collective(1650, 200),
          Expected(2000, 860, verdicts(communication=200), warnings=UNLIKE)),
    # All of it behind the matmul.
    Input("a copy behind a kernel", scene() + beside(1320, 100), AS_THE_SCENE),
    # Its first half behind the copy of the scene: the same verdict, 25 us more.
    Input("a copy beside a copy", scene() + beside(1575, 50), Expected(2000, 685, verdicts(copy=125))),
    # A collective owns the 20 us between the kernels, whatever is copied meanwhile.
    Input("a collective and a copy", scene() + collective(1250, 200) + beside(1270, 40),
          Expected(2000, 680, verdicts(communication=20), warnings=UNLIKE)),
    Input("a copy between devices",
          with_args(scene() + beside(1650, 50, "Memcpy PtoP (Device -> Device)", fromDevice=0, inDevice=0,
                                     toDevice=1),
                    without("device"), lambda each: "fromDevice" in each["args"]),
          Expected(2000, 710, verdicts(copy=150), warnings=UNLIKE)),
    Input("waits of the device", scene() + waits(), AS_THE_SCENE),
    Input("annotations of the device", scene() + gpu_spans(), AS_THE_SCENE),
    Input("annotations of the device only", unstepped() + gpu_spans(),
          AS_THE_SCENE.but(window=1400, steps=None)),
    Input("rows of a second kind of device", [*scene(), row("hpu_op", "x", 1700, 100)],
          AS_THE_SCENE.but(warnings=warned("device_rows_unread"))),
)  # fmt: skip

HOSTS = (
    # Three operators a step of 20 us each, and a GPU that worked and left no record.
    Input("launches without device rows", [each for each in scene() if not is_device(each)],
          unmodelled(kind="cpu", busy=120, verdicts={"unmodelled": 120}, reasons=LOST,
                     warnings=warned("gpu_not_captured"))),
    Input("only device rows", [each for each in scene() if is_device(each)],
          unmodelled(window=1400, steps=None, warnings=warned("unlinked_no_launch"),
                     reasons=frozenset({"no_launch"}))),
    Input("only device rows, without ids",
          with_args([each for each in scene() if is_device(each)], without("correlation", "External id")),
          unmodelled(window=1400, steps=None, warnings=warned("unlinked_no_correlation"),
                     reasons=frozenset({"no_correlation"}))),
    Input("a CPU", host_only(scene()),
          unmodelled(kind="cpu", busy=120, verdicts={"unmodelled": 120},
                     reasons=frozenset({"no_device"})), devices=()),
    # The operator's 100 us with the 80 of the row inside it, and 50 more of the library's own thread.
    Input("gloo on a CPU",
          [*host_only(scene()), op("c10d::allreduce_", 1700, 100, 81),
           op("record_param_comms", 1710, 80, 82, **{"Collective name": "allreduce", "Group size": 2}),
           op("gloo:all_reduce", 1750, 100, 83) | {"tid": 78}],
          unmodelled(kind="cpu", busy=270, verdicts={"unmodelled": 120, "communication": 150},
                     warnings=UNLIKE), devices=()),
)  # fmt: skip
INPUTS = WINDOWS + STREAMS + HOSTS


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: str(one.name))
def test_times_are_those_of_the_layout(one: Input, tmp_path: Path) -> None:
    check(one.analysis(tmp_path), one.expected)


def test_each_device_of_a_process_is_by_itself(tmp_path: Path) -> None:
    """The second one adds for 80 us from 1,700; its window is the same two annotations."""
    rows = scene() + extra(1690, 1700, 80, 31, device=1)
    one = Input("two devices", rows, AS_THE_SCENE, devices=(H100, {**H100, "id": 1}))
    job = one.analysis(tmp_path)
    check(job, one.expected)
    found = [(entry.device_index, entry.window_ns, entry.busy_ns) for entry in job.ranks or ()]
    assert found == [(0, ns(2000), ns(660)), (1, ns(2000), ns(80))]
    second = analyze(tmp_path / "two_devices.json", options=AnalyzeOptions(gpu=1))
    check(second, Expected(2000, 80, {"memory_bound": 80}, warnings=UNLIKE))  # in one step only


def test_each_process_of_a_file_is_by_itself(tmp_path: Path) -> None:
    """Two with the same ids on two devices; the second one copies 50 us longer a step, and is chosen."""

    def second(each: Row) -> Row:
        if not is_device(each):
            return each | {"pid": 5353}
        longer = {"dur": each["dur"] + 50} if each["cat"] == "gpu_memcpy" else {}
        return each | {"pid": 1, "args": each["args"] | {"device": 1}} | longer

    expected = Expected(2000, 760, verdicts(copy=200), warnings=warned("several_processes"))
    rows = scene() + [second(each) for each in scene()]
    one = Input("two processes", rows, expected, devices=(H100, {**H100, "id": 1}))
    job = one.analysis(tmp_path)
    check(job, expected)
    assert sorted((entry.window_ns, entry.busy_ns) for entry in job.ranks or ()) == [
        (ns(2000), ns(660)), (ns(2000), ns(760)),
    ]  # fmt: skip


def test_a_cpu_with_measured_roofs_has_verdicts(tmp_path: Path) -> None:
    """At 200 GB/s and 2 TFLOP/s in bf16, three operators of 20 us a step.

    An addition of 2^18 fp32 elements moves 3.1 MB: 15.7 us, memory-bound. A matmul of 256 cubed computes 33.6
    MFLOP: 16.8 us, compute-bound. A copy of 2^16 moves 0.5 MB: 2.6 us, far from the roof on the same side.
    """
    peaks = [{"engine": "matrix", "precision": "bf16", "flop_per_s": 2e12},
             {"engine": "vector", "precision": "fp32", "flop_per_s": 1e12}]  # fmt: skip
    roofs = {"name": "a CPU", "bandwidth_bytes_per_s": 2e11, "peaks": peaks}
    small: dict[str, list[list[int]]] = {
        "aten::add": [[1 << 18], [1 << 18], []], "aten::mm": [[256, 256]] * 2,
        "aten::copy_": [[1 << 16], [1 << 16], []],
    }  # fmt: skip
    rows = [
        each | {"args": each["args"] | {"Input Dims": small[each["name"]]}} if each["name"] in small else each
        for each in host_only(scene())
    ]
    expected = Expected(2000, 120, {"memory_bound": 80, "compute_bound": 40}, kind="cpu")
    one = Input("a CPU with roofs", rows, expected, devices=(), head={"traceanalyze": {"cpu_roofs": roofs}})
    check(one.analysis(tmp_path), expected)
