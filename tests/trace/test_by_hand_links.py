"""Which operator a kernel is given to, and so its verdict, and what a CPU's rows add up to."""

from __future__ import annotations

import bz2
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trace.by_hand import (
    ADD_KERNEL,
    ADDED,
    AS_THE_SCENE,
    ELEMENTS,
    H100,
    MM_KERNEL,
    MULTIPLIED,
    Expected,
    Input,
    Row,
    Rows,
    check,
    extra,
    is_device,
    kernel,
    launch,
    op,
    row,
    scene,
    step,
    unmodelled,
    with_args,
    without,
    work,
)
from traceanalyzer import AnalyzeOptions


def but(*codes: str, **changed: Any) -> Expected:
    return AS_THE_SCENE.but(warnings=frozenset(codes), **changed)


def verdicts(**us: float) -> dict[str, float]:
    return {"memory_bound": 160, "compute_bound": 400, "copy": 100} | us


def in_both_steps(rows: Callable[[float, int], Rows]) -> Rows:
    return scene() + rows(1000, 31) + rows(2000, 41)


def from_no_operator(begin: float, first: int) -> Rows:
    """100 us that another thread launches."""
    return [launch(begin + 610, first) | {"tid": 99}, kernel("some_kernel", begin + 650, 100, first)]


def from_a_region(begin: float, first: int) -> Rows:
    """100 us of a compiled region that names no operator."""
    return [op("Torch-Compiled Region: 0/0", begin + 610, 20, 60 + first), launch(begin + 612, first),
            kernel("some_kernel", begin + 650, 100, first)]  # fmt: skip


def from_triton(begin: float, first: int) -> Rows:
    """Two tensors of 2^24 fp32 elements read and one written, all listed: 201 MB in 100 us."""
    args = {"Input Dims": [[ELEMENTS]] * 3 + [[]], "Input type": ["float"] * 3 + ["Scalar"],
            "Concrete Inputs": ["", "", "", str(ELEMENTS)], "kernel_backend": "triton", "stream": 7,
            "kernel_kwargs": "XBLOCK=1024", "grid": "grid(16384,)"}  # fmt: skip
    name = "triton_poi_fused_add_0"
    return [op(name, begin + 610, 20, 60 + first, **args), launch(begin + 612, first, "cuLaunchKernel"),
            kernel(name, begin + 650, 100, first)]  # fmt: skip


def in_backward(begin: float, first: int) -> Rows:
    """A matmul of 200 us on the engine's thread."""
    names = ("autograd::engine::evaluate_function: MmBackward0", "MmBackward0")
    args = {"Sequence number": 5, "Fwd thread id": 1}
    wrappers = [op(name, begin + 610 + place, 60 - 2 * place, 60 + 2 * first + place, **args)
                for place, name in enumerate(names)]  # fmt: skip
    rows = [*wrappers, op("aten::mm", begin + 620, 20, 80 + first, **MULTIPLIED), launch(begin + 625, first)]
    return [*(each | {"tid": 99} for each in rows), kernel(MM_KERNEL, begin + 650, 200, first)]


def in_a_child(begin: float, first: int) -> Rows:
    """An addition that launches under an operator without dims, inside one that has them."""
    return [op("aten::add", begin + 610, 40, 60 + 2 * first, **ADDED),
            op("aten::some_helper", begin + 615, 20, 61 + 2 * first), launch(begin + 620, first),
            kernel(ADD_KERNEL, begin + 650, 80, first)]  # fmt: skip


def crossing(begin: float, first: int) -> Rows:
    """An operator that ends after the one round it: only as far as that."""
    return [op("aten::linear", begin + 610, 20, 60 + 2 * first),
            op("aten::add", begin + 615, 40, 61 + 2 * first, **ADDED), launch(begin + 640, first),
            kernel("some_kernel", begin + 650, 80, first)]  # fmt: skip


def twice_launched() -> Rows:
    """Of two launches with the first matmul's correlation the later one counts, an addition's."""
    return [*scene(), launch(1290, 102), op("aten::add", 1285, 20, 5, **ADDED)]


def renamed_steps(name: str) -> Rows:
    return [each | {"name": f"{name} {each['name'][-1]}"} if "ProfilerStep" in each["name"] else each
            for each in scene()]  # fmt: skip


def args_first(rows: Rows) -> Rows:
    return [
        {key: each[key] for key in ("args", "dur", "ts", "tid", "pid", "name", "cat", "ph")} for each in rows
    ]


def correlations(change: Callable[[int], Any]) -> Rows:
    return with_args(scene(), lambda args: args | {"correlation": change(args["correlation"])},
                     lambda each: "correlation" in each["args"])  # fmt: skip


def events_first(data: bytes) -> bytes:
    document = json.loads(data)
    events = document.pop("traceEvents")
    return json.dumps({"traceEvents": events, **document}).encode()


def indented(data: bytes) -> bytes:
    return json.dumps(json.loads(data), indent=2).encode()


def trailing_comma(data: bytes) -> bytes:
    return data.replace(b"}}], ", b"}},], ")


def with_mark(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


PARTITION = {
    **H100,
    "name": "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
    "totalGlobalMem": 42_300_000_000,
    "numSms": 60,
}
LINKS = (
    # 200 of 860 us, in which nothing is known but their time.
    Input("launched by no operator", in_both_steps(from_no_operator),
          but("unlinked_no_op", busy=860, verdicts=verdicts(unmodelled=200), reasons=frozenset({"no_op"}))),
    Input("launched by a compiled region", in_both_steps(from_a_region),
          but("unlinked_compiled_region", busy=860, verdicts=verdicts(unmodelled=200),
              reasons=frozenset({"compiled_region"}))),
    Input("launched by Triton", in_both_steps(from_triton),
          but(busy=860, verdicts=verdicts(memory_bound=360))),
    Input("in backward", in_both_steps(in_backward), but(busy=1060, verdicts=verdicts(compute_bound=800))),
    Input("under a child without dims", in_both_steps(in_a_child),
          but(busy=820, verdicts=verdicts(memory_bound=320))),
    # The launch lies behind the end of both.
    Input("a child that crosses its parent's end", in_both_steps(crossing),
          but("unlinked_no_op", busy=820, verdicts=verdicts(unmodelled=160), reasons=frozenset({"no_op"}))),
    Input("two launches of one number", twice_launched(),
          but(verdicts=verdicts(memory_bound=360, compute_bound=200))),
    Input("correlations of 0", correlations(lambda number: 0), AS_THE_SCENE),
    Input("correlations below 0", correlations(lambda number: -1), AS_THE_SCENE),
    Input("correlations beyond 64 bits", correlations(lambda number: 2**70 + number), AS_THE_SCENE),
    Input("correlations as texts", correlations(str), AS_THE_SCENE),
    Input("a kernel without a name of its own", [each | {"name": ""} if each["name"] == MM_KERNEL else each
                                                 for each in scene()], AS_THE_SCENE),
    Input("another way to launch", [each | {"name": "cuLaunchKernelEx", "cat": "cuda_driver"}
                                    if each["cat"] == "cuda_runtime" else each for each in scene()],
          AS_THE_SCENE),
    Input("a number as name", [*scene(), kernel("lost", 1700, 50, 99) | {"name": 5}], but("wrong_types")),
    Input("dims that are text",
          with_args(scene(), lambda args: args | {"Input Dims": "[[1, 2]]"},
                    lambda each: "Input Dims" in each["args"]),
          unmodelled(reasons=frozenset({"no_shapes"}))),
)  # fmt: skip

PLACES = (
    Input("a device beyond the list", with_args(scene(), lambda args: args | {"device": 3}, is_device),
          AS_THE_SCENE),
    Input("device and stream by process and thread",
          with_args(scene(), without("device", "stream"), is_device), AS_THE_SCENE),
    Input("a part of a device", scene(), but("device_slice"), devices=(PARTITION,)),
    Input("steps by a name", renamed_steps("epoch"), AS_THE_SCENE, options=AnalyzeOptions(steps_by="epoch")),
    # What another vendor's plug-in calls its launches.
    Input("a plug-in device",
          [each | {"cat": "privateuse1_runtime"} if each["cat"] == "cuda_runtime" else each
           for each in scene()], unmodelled(warnings=frozenset({"no_device"})), devices=()),
)  # fmt: skip

TEXTS = (
    Input("events first", scene(), AS_THE_SCENE, packed=events_first),
    Input("indented", scene(), AS_THE_SCENE, packed=indented),
    Input("arguments first", args_first(scene()), AS_THE_SCENE),
    Input("a byte order mark", scene(), AS_THE_SCENE, packed=with_mark),
    Input("bz2", scene(), AS_THE_SCENE, packed=bz2.compress, suffix=".json.bz2"),
    Input("another unit on display", scene(), AS_THE_SCENE, head={"displayTimeUnit": "ns"}),
    Input("rows from last to first", scene()[::-1], AS_THE_SCENE),
)  # fmt: skip


def on_cpu(*rows: Row) -> Rows:
    return [step(0, 1000), *rows]


def host(busy: float, **time: float) -> Expected:
    return Expected(1000, busy, time or {"unmodelled": busy}, kind="cpu", steps=1)


HOSTS = (
    # The outer operator's own 20 us and the inner one's 80.
    Input("an operator inside another",
          on_cpu(op("aten::linear", 1100, 100, 1), op("aten::addmm", 1110, 80, 2)), host(100), devices=()),
    # 1,100 to 1,200 and 1,150 to 1,300.
    Input("two threads", on_cpu(op("aten::mm", 1100, 100, 1), op("aten::mm", 1150, 150, 2) | {"tid": 78}),
          host(200), devices=()),
    # 100 of 200 us lie in the step.
    Input("an operator across the end of the step", on_cpu(op("aten::mm", 1900, 200, 1)),
          host(100).but(warnings=frozenset({"clipped", "outside_window"})), devices=()),
    # It counts up to 1,200 us, where the one round it ends.
    Input("a child that crosses", on_cpu(op("aten::linear", 1100, 100, 1), op("aten::addmm", 1150, 80, 2)),
          host(100), devices=()),
    # The copy is no GPU's: its price is not known, as the others' is not.
    Input("a copy on a CPU", on_cpu(op("aten::copy_", 1100, 100, 1)), host(100), devices=()),
    Input("an annotation is no work",
          on_cpu(row("user_annotation", "validate", 1100, 300), op("aten::mm", 1150, 50, 2)), host(50),
          devices=()),
)  # fmt: skip
INPUTS = LINKS + PLACES + TEXTS + HOSTS


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: str(one.name))
def test_kernels_are_given_to_their_operators(one: Input, tmp_path: Path) -> None:
    check(one.analysis(tmp_path), one.expected)


def test_the_scene_is_written_out_twice() -> None:
    """One more addition is one more row of each kind, and every step's work is three of each."""
    assert len(extra(0, 0, 1, 5)) == 3 and len(work(0, 1)) == 9
