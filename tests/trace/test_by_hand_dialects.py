"""One scene as every recorder writes it: torch 1.8 to 2.13, CUDA, ROCm, XPU, MTIA, Windows, packings.

Unless an input says otherwise, its analysis is the scene's: by_hand.py has the numbers.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import pytest

from tests.trace.by_hand import (
    AS_THE_SCENE,
    COPY,
    H100,
    HOST,
    THREAD,
    Input,
    Row,
    Rows,
    check,
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
    zipped,
)
from traceanalyzer import AnalyzeOptions

EPOCH_US = 1_700_000_000_000_000
MI300X = {
    "id": 0, "name": "AMD Instinct MI300X", "totalGlobalMem": 206_141_652_992, "computeMajor": 9,
    "computeMinor": 4, "maxThreadsPerBlock": 1024, "maxThreadsPerMultiprocessor": 2048, "warpSize": 64,
    "numSms": 304,
}  # fmt: skip
PVC = {
    "id": 0, "name": "Intel(R) Data Center GPU Max 1550", "totalGlobalMem": 137_438_953_472,
    "maxComputeUnits": 1024, "maxWorkGroupSize": 1024, "maxClockFrequency": 1600,
}  # fmt: skip
CAPITALIZED = {
    "cpu_op": "Operator", "user_annotation": "Operator", "cuda_runtime": "Runtime", "kernel": "Kernel",
    "gpu_memcpy": "Memcpy",
}  # fmt: skip
CAPITALIZED_ARGS = {"External id": "external id", "Input Dims": "Input dims"}
HIP = {"cudaLaunchKernel": "hipExtModuleLaunchKernel", "cudaMemcpyAsync": "hipMemcpyWithStream"}


def at_epoch(rows: Rows) -> Rows:
    return [each | {"ts": EPOCH_US + int(each["ts"]), "dur": int(each["dur"])} for each in rows]


def capitalized(rows: Rows) -> Rows:
    """Torch 1.8 to 1.10: threads are texts, and so are streams."""

    def spelled(each: Row) -> Row:
        args = {CAPITALIZED_ARGS.get(key, key): value for key, value in each["args"].items()}
        tid = f"stream {each['tid']}" if is_device(each) else str(each["tid"])
        return each | {"cat": CAPITALIZED[each["cat"]], "tid": tid, "args": args}

    return [spelled(each) for each in at_epoch(rows)]


def id_is_correlation(args: Row) -> Row:
    return args | ({"External id": args["correlation"]} if "correlation" in args else {})


def no_launches() -> Rows:
    return [each for each in scene() if each["cat"] != "cuda_runtime"]


def silent(rows: Rows) -> Rows:
    """With names that tell no type."""
    return [each | {"name": "some_kernel"} if each["cat"] == "kernel" else each for each in rows]


def untyped() -> Rows:
    """Torch 1.8: dims, no types, and kernels whose names tell none."""
    return capitalized(silent(with_args(scene(), without("Input type"))))


def hip(rows: Rows) -> Rows:
    """No registers, no shared memory; the launches are HIP's."""
    named = [each | {"name": HIP.get(each["name"], each["name"])} for each in rows]
    return with_args(named, without("registers per thread", "shared memory"), is_device)


def early_rocm(rows: Rows) -> Rows:
    """No correlations: a launch and its kernel have one id, which is no operator's; streams are queues."""

    def tied(args: Row) -> Row:
        changed = without("correlation", "stream")(args | {"External id": args["correlation"]})
        return changed | ({"queue": 0} if "device" in args else {})

    return with_args(hip(rows), tied, lambda each: "correlation" in each["args"])


def flows_only(rows: Rows) -> Rows:
    """Arrows from each launch to its kernel, and no ids."""
    arrows: Rows = []
    for each in rows:
        if "correlation" not in each["args"]:
            continue
        end: Row = {"ph": "f", "bp": "e"} if is_device(each) else {"ph": "s"}
        place = {key: each[key] for key in ("pid", "tid", "ts")}
        arrows.append({"cat": "ac2g", "name": "ac2g", "id": each["args"]["correlation"], **place, **end})
    return with_args(rows, without("correlation", "External id"), lambda e: e["cat"] != "cpu_op") + arrows


def xpu(rows: Rows) -> Rows:
    """Queues are addresses; kernels have no stream and no grid."""

    def queued(args: Row) -> Row:
        kept = without("stream", "grid", "block", "registers per thread", "shared memory")(args)
        return kept | {"context": "0x55d0c0ffee", "sycl queue": "0x55d0c0ffe0", "l0 queue": "0x55d0c0ffe8"}

    changed = with_args(rows, queued, is_device)
    names = {"cudaLaunchKernel": "urEnqueueKernelLaunch", "cudaMemcpyAsync": "urEnqueueUSMMemcpy"}
    return [
        each | ({"cat": "xpu_runtime", "name": names[each["name"]]} if each["cat"] == "cuda_runtime" else {})
        for each in changed
    ]


def mtia(rows: Rows) -> Rows:
    """All that the device does is of one category; its waits are no work."""
    names = {"gpu_memcpy": "dma_request", "kernel": "some_kernel"}
    changed: Rows = []
    for each in rows:
        if is_device(each):
            each = each | {"cat": "mtia_ccp_events", "name": names[each["cat"]]}
        elif each["cat"] == "cuda_runtime":
            each = each | {"cat": "mtia_runtime", "name": "launch"}
        changed.append(each)
    waits = [kernel("event_wait", at + 620, 300, None) | {"cat": "mtia_ccp_events"} for at in (1000, 2000)]
    return changed + waits


def windows(rows: Rows) -> Rows:
    """As its compiler spells types and names."""
    types = {"c10::BFloat16": "struct c10::BFloat16", "Scalar": "class c10::Scalar", "float": "float"}
    mangled = "_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_15CUDAFunctor_addIfEEEEviT0_"

    def spelled(args: Row) -> Row:
        return args | {"Input type": [types[one] for one in args["Input type"]], "Module": "C:\\a\\b.py"}

    changed = with_args(rows, spelled, lambda each: "Input type" in each["args"])
    return [each | {"name": mangled} if "vectorized" in each["name"] else each for each in changed]


def graphs() -> Rows:
    """One launch a step, at 110, of two kernels and a copy, which all have its correlation."""
    rows: Rows = []
    for number, begin in enumerate((1000, 2000)):
        rows += [step(number, begin), launch(begin + 110, 11 + number, "cudaGraphLaunch")]
        for place, (at, dur) in enumerate(((200, 80), (300, 200), (550, 50))):
            name, cat = ("some_kernel", "kernel") if place < 2 else (COPY, "gpu_memcpy")
            node = {"graph id": 3, "graph node id": place}
            rows.append(kernel(name, begin + at, dur, 11 + number, cat=cat, **node))
    return rows


def before_kineto() -> Rows:
    """What the event list of the old profiler exports: no categories, the device's number as thread."""
    rows: Rows = []
    for number, (name, at, dur) in enumerate((("aten::add", 200, 80), ("aten::mm", 300, 200))):
        host = {"ph": "X", "name": name, "ts": at - 100, "dur": 20, "tid": 1, "pid": "CPU functions"}
        rows += [
            host | {"args": {}},
            {"ph": "s", "cat": "cpu_to_cuda", "name": name, "ts": at - 100, "tid": 1, "id": number,
             "pid": "CPU functions", "args": {}},
            {"ph": "f", "cat": "cpu_to_cuda", "name": name, "ts": at, "tid": 0, "id": number,
             "pid": "CUDA functions", "args": {}},
            host | {"name": "some_kernel", "ts": at, "dur": dur, "tid": 0, "pid": "CUDA functions",
                    "args": {}},
        ]  # fmt: skip
    return rows


def stacks(rows: Rows) -> Rows:
    """A Python function round each step's work, and a module in it."""
    frames: Rows = []
    for number, begin in enumerate((1000, 2000)):
        frames += [
            row("python_function", "train.py(12): step", begin + 50, 500, **{"Python id": 2 * number}),
            row("python_function", "nn.Module: Model_0", begin + 60, 400,
                **{"Python id": 2 * number + 1, "Python parent id": 2 * number, "Python module id": 0}),
        ]  # fmt: skip
    return rows + frames


def in_parts() -> Rows:
    """Times down to the nanosecond: 80.456, 199.999 and 50.001 us a step, so 330.456 in all."""
    lasts = {80: 80.456, 200: 199.999, 50: 50.001}
    return [each | {"dur": lasts[each["dur"]], "ts": each["ts"] + 0.123} if is_device(each) else each
            for each in scene()]  # fmt: skip


def without_shapes(args: Row) -> Row:
    return without("Input Dims", "Input type")(args)


def unread(rows: Rows) -> Rows:
    """Another vendor's category; nothing but operators of 20 us each is left, three a step."""
    kept = [each for each in rows if each["cat"] != "cuda_runtime"]
    return [each | {"cat": "hpu_op"} if is_device(each) else each for each in kept]


LEGACY: dict[str, Any] = {"head": {"baseTimeNanoseconds": None}}
IDLE_LEFT = {"unmodelled": 280}  # 80 + 200
INPUTS = (
    Input("torch 2.13 on CUDA", scene(), AS_THE_SCENE),
    Input("gzip", scene(), AS_THE_SCENE, packed=zipped, suffix=".json.gz"),
    Input("gzip without its name", scene(), AS_THE_SCENE, packed=zipped),
    Input("xz", scene(), AS_THE_SCENE, packed=lzma.compress, suffix=".json.xz"),
    Input("floats since 1970, spring 2024", [each | {"ts": float(each["ts"])} for each in at_epoch(scene())],
          AS_THE_SCENE, **LEGACY),
    Input("torch 2.0: whole microseconds, ids are correlations",
          with_args(at_epoch(scene()), id_is_correlation), AS_THE_SCENE, **LEGACY),
    Input("torch 1.10: capitalized", capitalized(scene()), AS_THE_SCENE, **LEGACY),
    # Dims without types, and names that say nothing: neither addition nor matmul has a price.
    Input("torch 1.8: no types", untyped(), unmodelled(reasons=frozenset({"no_dtype"})), **LEGACY),
    # In bf16 the addition moves 100.7 MB: 30 us of 80 at the roof, memory-bound all the same.
    Input("torch 1.8: no types, taken as bf16", untyped(),
          AS_THE_SCENE.but(warnings=frozenset({"dtypes_assumed"})),
          options=AnalyzeOptions(assume_dtype="bf16"), **LEGACY),
    # From 200 to 500 us: 280 busy. No device is named, no shapes are recorded.
    Input("the profiler before Kineto", before_kineto(),
          unmodelled(window=300, busy=280, verdicts=IDLE_LEFT, steps=None,
                     warnings=frozenset({"uncategorised_rows", "no_device", "unlinked_no_correlation",
                                         "operators_unlinked"})), bare=True),
    Input("a bare list of today's rows", scene(), unmodelled(warnings=frozenset({"no_device"})), bare=True),
    Input("times to the nanosecond", in_parts(),
          AS_THE_SCENE.but(busy=660.912, verdicts={
              "memory_bound": 160.912, "compute_bound": 399.998, "copy": 100.002})),
    # 38 of 80 us at 5.3 TB/s, 105 of 200 us at 1,307 TFLOP/s: far from the roofs, on the same sides.
    Input("ROCm", hip(scene()), AS_THE_SCENE, devices=(MI300X,)),
    Input("ROCm by ids that are no operator's", early_rocm(scene()), AS_THE_SCENE, devices=(MI300X,)),
    Input("flows only", flows_only(scene()), AS_THE_SCENE),
    # No launch is known, but the operators that launched are, and so are their steps.
    Input("external ids only", with_args(no_launches(), without("correlation")), AS_THE_SCENE),
    Input("external ids and correlations of launches that are not there", no_launches(), AS_THE_SCENE),
    # 61 of 80 us at 3.277 TB/s, 164 of 200 us at 839 TFLOP/s.
    Input("XPU", xpu(scene()), AS_THE_SCENE, devices=(PVC,)),
    Input("MTIA", mtia(scene()), unmodelled(warnings=frozenset({"no_device"})), devices=()),
    # Nothing of the device is read: the operators' own time, 20 us each, and no verdict.
    Input("another vendor's rows", unread(scene()),
          unmodelled(kind="cpu", busy=120, verdicts={"unmodelled": 120},
                     warnings=frozenset({"device_rows_unread"}), reasons=frozenset({"not_recorded"})),
          devices=()),
    Input("Windows", windows(scene()), AS_THE_SCENE),
    Input("graphs", graphs(), unmodelled(warnings=frozenset({"unlinked_cuda_graph"}),
                                         reasons=frozenset({"cuda_graph"}))),
    Input("stacks", stacks(scene()), AS_THE_SCENE),
    Input("no shapes", with_args(scene(), without_shapes), unmodelled(reasons=frozenset({"no_shapes"})),
          head={"record_shapes": None}),
    Input("an unknown device", scene(), unmodelled(warnings=frozenset({"no_device"})),
          devices=({**H100, "name": "Acme X1", "totalGlobalMem": 12_345_678_912, "numSms": 77},)),
    # An MI300X by its 304 multiprocessors, its warps of 64 and its memory, which no other part has.
    Input("a device without a name", hip(scene()), AS_THE_SCENE, devices=({**MI300X, "name": ""},)),
)  # fmt: skip


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: str(one.name))
def test_the_scene_is_the_same_however_it_is_written(one: Input, tmp_path: Path) -> None:
    check(one.analysis(tmp_path), one.expected)


def test_hosts_of_the_scene_are_one_thread() -> None:
    assert {(each["pid"], each["tid"]) for each in scene() if not is_device(each)} == {(HOST, THREAD)}
    assert op("aten::add", 0, 1, 5)["args"] == {"External id": 5}
