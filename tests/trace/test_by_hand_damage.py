"""Rows that are wrong, missing or not the profiler's, and files that are cut; by_hand.py has the scene.

Most of them cost nothing: the analysis is the scene's, with a warning where something was left out.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trace.by_hand import (
    AS_THE_SCENE,
    COPY,
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
    with_args,
    without,
    zipped,
)
from traceanalyzer import TraceFormatError

NAN = float("nan")


def scene_with(*rows: Row) -> Rows:
    return [*scene(), *rows]


def but(*codes: str, **changed: Any) -> Expected:
    return AS_THE_SCENE.but(warnings=frozenset(codes), **changed)


def verdicts(**us: float) -> dict[str, float]:
    return {"memory_bound": 160, "compute_bound": 400, "copy": 100} | us


def changed(where: Callable[[Row], bool], **values: Any) -> Rows:
    return [each | values if where(each) else each for each in scene()]


def first_mm(each: Row) -> bool:
    return each["cat"] == "kernel" and each["ts"] == 1300


def missing(key: str) -> Row:
    """A kernel's row without one of its fields."""
    return {name: value for name, value in kernel("lost", 1700, 50, 99).items() if name != key}


def idents(pid: Callable[[Any], Any], tid: Callable[[Any], Any]) -> Rows:
    return [each | {"pid": pid(each["pid"]), "tid": tid(each["tid"])} for each in scene()]


def unlinked(rows: Rows, *keys: str) -> Rows:
    """The first matmul's kernel without some of its ids."""
    return with_args(rows, without(*keys), first_mm)


def without_launch_of_first_mm() -> Rows:
    return [
        each for each in scene()
        if each["cat"] != "cuda_runtime" or each["args"]["correlation"] != 102
    ]  # fmt: skip


def other_rows() -> Rows:
    """What a viewer shows and nobody counts."""
    place: Row = {"pid": 4242, "tid": 77, "ts": 1210}
    return [
        {"ph": "M", "name": "process_name", **place, "args": {"name": "python"}},
        {"ph": "C", "name": "GPU 0 Memory", **place, "args": {"Total": 5}},
        {"ph": "i", "cat": "cpu_instant_event", "name": "a moment", **place, "s": "t"},
        {"ph": "i", "name": "Record Window End", **place, "s": "g"},
        row("Trace", "PyTorch Profiler (0)", 900, 3000) | {"pid": "Spans", "tid": "PyTorch Profiler"},
        row("python_function", "threading.py(1): wait", 1000, 2000) | {"tid": 78},
        row("overhead", "Activity Buffer Request", 1610, 40) | {"tid": -1},
    ]


def begin_and_end() -> Rows:
    """Pairs as another tool writes them."""
    place: Row = {"cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1}
    return [{"ph": "B", "ts": 1650, **place}, {"ph": "E", "ts": 1900, **place}]


def allocations() -> Rows:
    return [
        {"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "pid": 1, "tid": 1, "ts": 1200, "s": "t",
         "args": {"Device Type": 0, "Device Id": -1, "Addr": 5, "Bytes": 64, "Total Allocated": 64}},
    ]  # fmt: skip


def cut(data: bytes) -> bytes:
    """In the middle of the last row of all, the second step's copy on the device."""
    last = data.rindex(b'"' + COPY.encode())
    return data[: last + 20]


def cut_and_stored(data: bytes) -> bytes:
    """The same text in a gzip file that ends there: one stored block, after 15 bytes of headers."""
    stored = gzip.compress(data, 0, mtime=0)
    assert stored[15:25] == data[:10]
    return stored[: 15 + len(cut(data))]


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old.encode(), new.encode())


ROWS = (
    Input("a kernel at no time", scene_with(kernel("lost", NAN, 50, 99)),
          but("nonfinite_values", "missing_fields")),
    Input("a kernel of no length", scene_with(kernel("lost", 1700, NAN, 99)),
          but("nonfinite_values", "missing_fields")),
    Input("an argument that is inf",
          with_args(scene(), lambda args: args | {"blocks per SM": "INF"}, first_mm),
          but("nonfinite_values"), packed=replaced('"INF"', "inf")),
    Input("a kernel without a start", scene_with(missing("ts")), but("missing_fields")),
    Input("a kernel without a length", scene_with(missing("dur")), but("missing_fields")),
    Input("a kernel without a name", scene_with(missing("name")), but("missing_fields")),
    Input("a start that is text", scene_with(kernel("lost", 1700, 50, 99) | {"ts": "soon"}),
          but("wrong_types")),
    Input("arguments that are a list", scene_with(kernel("lost", 1700, 50, 99) | {"args": [1]}),
          but("wrong_types")),
    Input("a length below zero", scene_with(kernel("lost", 1700, -50, 99)), but("negative_duration")),
    Input("a row that was clamped to nothing", scene_with(kernel("lost", 0, 0, 99)), but("clamped_rows")),
    # An addition whose kernel takes no time has no rate; the others' row is what it was.
    Input("a kernel of zero length", scene() + extra(1690, 1700, 0, 31), AS_THE_SCENE),
    Input("a kernel of zero length in whole microseconds", scene() + extra(1690, 1700, 0, 31),
          but("quantised_time"), head={"baseTimeNanoseconds": None}),
    Input("an operator without an end",
          scene_with(op("aten::sort", 1650, 1350, 5, **{"finished": False})), but("unfinished_rows")),
    Input("an operator whose name is not ASCII", scene_with(op("unknown", 1650, 20, 5)), but("unnamed_ops")),
    Input("an annotation with quotes", scene_with(row("user_annotation", "say QQhiQQ", 1650, 20)),
          but("repaired_quotes"), packed=replaced("QQ", '"')),
    Input("an annotation with a raw tab", scene_with(row("user_annotation", "aQQb", 1650, 20)),
          but("repaired_control"), packed=replaced("QQ", "\t")),
    Input("rows of the device twice", scene() + [each for each in scene() if is_device(each)], AS_THE_SCENE),
    Input("every row twice", scene() + scene(), AS_THE_SCENE),
    # 40 us of its own stream, up to the next kernel; it has no shapes.
    Input("a length that cannot be",
          scene_with(op("aten::neg", 1050, 9, 5), launch(1052, 99), kernel("some_kernel", 1160, 900_000, 99)),
          but("impossible_duration", "steps_differ", busy=700, verdicts=verdicts(unmodelled=40))),
    # 3 us before the call that launches it.
    Input("a kernel before its launch", scene() + extra(1690, 1692, 80, 31),
          but("starts_before_launch", busy=740, verdicts=verdicts(memory_bound=240))),
    Input("loading of code", scene_with(row("cuda_runtime", "cuModuleLoadData", 1005, 60, correlation=0)),
          but("startup_recorded")),
)  # fmt: skip

LINKS = (
    # 200 of 660 us; no other kernel is called so.
    Input("a kernel without any id", unlinked([each | {"name": "lonely"} if first_mm(each) else each
                                               for each in scene()], "correlation", "External id"),
          but("unlinked_no_correlation", "steps_differ",
              verdicts=verdicts(compute_bound=200, unmodelled=200))),
    # The second step has the same kernel, whose launch was recorded.
    Input("a kernel without its launch", unlinked(without_launch_of_first_mm(), "External id"),
          but("unlinked_no_launch", "borrowed_shapes")),
    # The id of its operator is all that is left of it.
    Input("a kernel with its operator's id", unlinked(without_launch_of_first_mm()), AS_THE_SCENE),
    Input("more types than dims",
          with_args(scene(), lambda args: args | {"Input type": [*args["Input type"], "", "Scalar"]},
                    lambda each: "Input type" in each["args"]), AS_THE_SCENE),
    Input("fewer types than dims",
          with_args(scene(), lambda args: args | {"Input Dims": [*args["Input Dims"], []]},
                    lambda each: "Input type" in each["args"]), AS_THE_SCENE),
)  # fmt: skip

NUMBERS = (
    Input("numbers as texts", idents(str, lambda tid: "stream 7" if tid == 7 else str(tid)), AS_THE_SCENE),
    Input("processes beyond 64 bits", idents(lambda pid: pid + 2**70 if pid else pid, int), AS_THE_SCENE),
    Input("processes of 64 bits", idents(lambda pid: 2**64 - 1 if pid else pid, int), AS_THE_SCENE),
    Input("threads below zero", idents(int, lambda tid: -tid if tid == 77 else tid), AS_THE_SCENE),
    Input("rows for viewers", scene() + other_rows(), AS_THE_SCENE),
    Input("pairs of begin and end beside", scene() + begin_and_end(), AS_THE_SCENE),
    Input("allocations beside", scene() + allocations(), AS_THE_SCENE),
)  # fmt: skip

# The second step's copy is lost: nobody knows how long that step was busy. The first one stays, from 1000 to
# 2000 us: 80 of addition, 200 of product and 50 of copy. 280 us of the second lie outside the window.
FIRST_STEP = but(
    "truncated", "steps_not_recorded", "outside_window", window=1000, busy=330, steps=1,
    verdicts={"memory_bound": 80, "compute_bound": 200, "copy": 50},
)  # fmt: skip
FILES = (
    Input("cut off", scene(), FIRST_STEP, packed=cut),
    Input("cut off in gzip", scene(), FIRST_STEP, packed=cut_and_stored, suffix=".json.gz"),
)
INPUTS = ROWS + LINKS + NUMBERS + FILES


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: str(one.name))
def test_what_is_wrong_is_left_out_and_said(one: Input, tmp_path: Path) -> None:
    check(one.analysis(tmp_path), one.expected)


NO_TRACE: dict[str, Rows] = {
    "no rows": [],
    "memory only": allocations(),
    "begin and end only": begin_and_end(),
    "annotations only": [row("user_annotation", "ProfilerStep#0", 0, 10)],
    "functions only": [row("python_function", "train.py(1): step", 0, 10)],
    "launches only": [row("cuda_runtime", "cudaGetDevice", 0, 10, correlation=5)],
}


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", NO_TRACE)
def test_what_holds_no_work_is_refused_in_one_line(name: str, bare: bool, tmp_path: Path) -> None:
    one = Input(name, NO_TRACE[name], AS_THE_SCENE, bare=bare, packed=zipped)
    with pytest.raises(TraceFormatError) as raised:
        one.analysis(tmp_path)
    assert "\n" not in str(raised.value) and name.replace(" ", "_") in str(raised.value)


def test_what_is_kept_of_a_cut_file_is_counted(tmp_path: Path) -> None:
    """Of its rows one is lost."""
    one = Input("cut", scene(), AS_THE_SCENE, packed=cut)
    salvaged = one.analysis(tmp_path).source.salvaged
    assert salvaged is not None and salvaged.kept_events == len(scene()) - 1
    assert json.loads(one.text())["traceEvents"] == scene()
