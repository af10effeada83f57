"""What each field of a Raw is made of, dialect by dialect; and what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import math
import pickle
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.records import Recording
from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.column_builder import nanoseconds
from traceanalyzer.trace.reading.raw import Raw
from traceanalyzer.trace.reading.reader import read
from traceanalyzer.trace.reading.rows import module_path


def row(
    cat: str, name: str, ts: float, dur: float, pid: Any = 1, tid: Any = 2, **args: Any
) -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args}


def read_rows(tmp_path: Path, rows: Any, name: str = "trace.json", **members: Any) -> Raw:
    file = tmp_path / name
    file.write_text(json.dumps({**members, "traceEvents": rows}))
    return read(str(file))


@given(st.lists(st.floats(0, 7.9e12) | st.integers(0, 2**52).map(float), min_size=1))
def test_nanoseconds_are_rounded_once(values: list[float]) -> None:
    assert nanoseconds(np.array(values)).tolist() == [round(Fraction(us) * 1000) for us in values]


@given(st.integers(0, 7_889_238_000_000_000))
def test_three_decimals_after_the_base_are_exact(ns: int) -> None:
    text = f"{ns // 1000}.{ns % 1000:03d}"
    assert nanoseconds(np.array([float(text)])).tolist() == [ns]


def test_dialects_by_content(tmp_path: Path) -> None:
    capitalized = read_rows(tmp_path, [row("Operator", "aten::mm", 1623143093496523, 21, tid="25")])
    assert (capitalized.dialect, capitalized.integer_us) == ("integer_us_capitalised", True)
    whole = read_rows(tmp_path, [row("cpu_op", "aten::mm", 1697770410320665, 4)])
    assert (whole.dialect, whole.integer_us) == ("integer_us", True)
    assert whole.ops.start_ns.tolist() == [1697770410320665000]
    floating = read_rows(tmp_path, [row("cpu_op", "aten::mm", 1712195495519689.25, 63.813)])
    assert (floating.dialect, floating.integer_us) == ("float_epoch", False)
    assert (floating.ops.end_ns - floating.ops.start_ns).tolist() == [63813]
    based = read_rows(tmp_path, [row("cpu_op", "aten::mm", 5.0, 7.0)], baseTimeNanoseconds=123)
    assert (based.dialect, based.integer_us, based.base_ns) == ("nanosecond", False, 123)
    unbased = read_rows(tmp_path, [row("cpu_op", "aten::mm", 5.25, 7.0)])
    assert (unbased.dialect, unbased.base_ns) == ("nanosecond", 0)


def test_legacy_spellings_and_quoted_threads(tmp_path: Path) -> None:
    raw = read_rows(tmp_path, [
        row("Operator", "ProfilerStep#3", 10, 90, pid=25, tid="26", **{"External id": 1, "Input dims": [[]]}),
        row("Operator", "aten::mm", 20, 9, pid=25, tid="26",
            **{"External id": 2, "Input dims": [[2, 3], [3, 4]]}),
        row("Runtime", "cudaLaunchKernel", 21, 2, pid=25, tid=26, **{"external id": 2, "correlation": 5}),
        row("Kernel", "sgemm", 30, 4, pid=0, tid="stream 7", **{"external id": 2, "correlation": 5}),
        row("Memset", "Memset (Device)", 40, 0, pid=0, tid="7", bytes=64),
        row("Memcpy", "Memcpy HtoD", 41, 1, pid=3, tid="7", bytes=128, inDevice=2),
    ])  # fmt: skip
    assert raw.ops.annotation.tolist() == [True, False]
    assert raw.ops.call.tolist() == [-1, 0]
    assert raw.calls[0].shapes == ((2, 3), (3, 4))
    assert raw.calls[0].dtypes == (None, None)
    assert raw.ops.thread.tolist() + raw.launches.thread.tolist() == [0, 0, 0]
    assert raw.launches.external.tolist() == [2]
    assert raw.kernels.external.tolist() == [2, -1, -1]
    assert raw.kernels.stream.tolist() == [7, 7, 7]
    assert raw.kernels.device.tolist() == [0, 0, 2]
    assert raw.kernels.kind.tolist() == [0, 2, 1]
    assert raw.kernels.copied_bytes.tolist() == [-1, 64, 128]


def test_kernel_arguments(tmp_path: Path) -> None:
    raw = read_rows(tmp_path, [
        row("kernel", "a", 1.5, 2, device=1, stream=9, correlation=4, grid=[4, 5, 6], block=[8, 2, 1],
            **{"registers per thread": 40, "shared memory": 1024, "External id": 77}),
        row("kernel", "b", 2.5, 2, device=0, queue=3, correlation=0, grid="(4,)", block=[]),
        row("kernel", "nccl", 3.5, 2, device=0, stream=1, correlation=-1, **{"Collective name": "allreduce"}),
        {"ph": "X", "cat": "kernel", "name": "bare", "pid": 5, "tid": 6, "ts": 9.5, "dur": 1},
        row("gpu_user_annotation", "step", 1.5, 99),
        row("cuda_sync", "Stream Sync", 1.5, 99),
        row("xpu_runtime", "zeCommandListAppend", 1.5, 1, correlation=4),
    ])  # fmt: skip
    kernels = raw.kernels
    assert kernels.blocks.tolist() == [120, -1, -1, -1]
    assert kernels.threads.tolist() == [16, -1, -1, -1]
    assert kernels.registers.tolist() == [40, -1, -1, -1]
    assert kernels.shared_bytes.tolist() == [1024, -1, -1, -1]
    assert kernels.correlation.tolist() == [4, -1, -1, -1]
    assert kernels.device.tolist() == [1, 0, 0, 5]
    assert kernels.stream.tolist() == [9, 3, 1, 6]
    assert (kernels.collective >= 0).tolist() == [False, False, True, False]
    assert len(raw.launches.name) == 1


def test_calls_are_parsed_as_recorded(tmp_path: Path) -> None:
    arguments = {
        "Input Dims": [[8, 16], [], [[2, 3], [], [4]], [0]],
        "Input type": ["c10::BFloat16", "Scalar", "TensorList", "float"],
        "Input Strides": [[16, 1], [], [[3, 1], [], [1]], [1]],
        "Concrete Inputs": ["", "1.", "", ""],
    }
    rows = [row("cpu_op", "aten::cat", 1, 1, **arguments), row("cpu_op", "aten::cat", 2, 1, **arguments),
            row("cpu_op", "aten::ones", 3, 1), row("cpu_op", "aten::ones", 4, 1, **{"Input Dims": []}),
            row("cpu_op", "triton_poi_0", 5, 1, stream=3, grid="grid(4,)", **{"Input Dims": [[4]]}),
            row("cpu_op", "odd", 6, 1,
                **{"Input Dims": "x", "Input type": {}, "Concrete Inputs": [1, "a"]})]  # fmt: skip
    raw = read_rows(tmp_path, rows)
    assert raw.ops.call.tolist() == [0, 0, 1, 1, 2, 3]
    call = raw.calls[0]
    assert call.shapes == ((8, 16), (), ((2, 3), (), (4,)), (0,))
    assert call.dtypes == ("bf16", None, None, "fp32")
    assert call.input_strides == ((16, 1), (), ((3, 1), (), (1,)), (1,))
    assert call.concrete == ("", "1.", "", "")
    assert raw.calls[0] is raw.calls[0]
    assert raw.calls[-1].concrete == ("1", "a")
    assert [made.name for made in raw.calls] == ["aten::cat", "aten::ones", "triton_poi_0", "odd"]
    assert raw.calls.facts.dims.tolist() == [True, False, True, False]  # type: ignore[attr-defined]
    assert not len(raw.kernels.name)
    with pytest.raises(IndexError):
        raw.calls[4]


def test_annotations_modules_and_autograd(tmp_path: Path) -> None:
    raw = read_rows(tmp_path, [
        row("user_annotation", "gloo:all_reduce", 1, 9, **{"Input Dims": [[3]]}),
        row("cpu_op", "aten::mm", 2, 1, module="net.0", **{"Sequence number": 5, "Fwd thread id": 0}),
        row("cpu_op", "aten::mm", 3, 1, **{"Module Hierarchy": "TOP(Net)::forward.layer1(Block)::forward"}),
        row("cpu_op", "aten::unknown", 4, 1),
        row("cpu_op", "unknown", 5, 1),
    ])  # fmt: skip
    assert raw.ops.annotation.tolist() == [True, False, False, False, False]
    assert raw.ops.call.tolist()[0] == -1
    assert [raw.names[i] if i >= 0 else None for i in raw.ops.module] == [None, "net.0", "layer1", None, None]
    assert raw.ops.sequence.tolist() == [-1, 5, -1, -1, -1]
    assert raw.ops.forward_thread.tolist() == [-1, 0, -1, -1, -1]
    assert [(w.code, w.count) for w in raw.warnings] == [("unnamed_ops", 1)]
    assert module_path("encoder.layers.3") == "encoder.layers.3"


def test_events_of_the_old_profiler(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(
        '[{"name": "aten::mm", "ph": "X", "ts": 10.5, "dur": 4.25, "tid": 1, '
        '"pid": "CPU functions", "args": {}}, '
        '{"name": "aten::mm", "ph": "s", "ts": 10.5, "tid": 1, "pid": "CPU functions", "id": 0, '
        '"cat": "cpu_to_cuda", "args": {}}, '
        '{"name": "sgemm", "ph": "X", "ts": 12.5, "dur": 2, "tid": 1, "pid": "CUDA functions", "args": {}}]'
    )
    raw = read(str(file))
    assert raw.ops.start_ns.tolist() == [10500]
    assert raw.kernels.device.tolist() == [1]
    assert raw.kernels.correlation.tolist() == [-1]
    assert [(w.code, w.count) for w in raw.warnings] == [("uncategorised_rows", 2)]


def test_devices_and_what_torch_213_writes_instead(tmp_path: Path) -> None:
    listed = [
        {"id": 1, "name": "NVIDIA H100", "totalGlobalMem": 85 * 10**9, "computeMajor": 9, "computeMinor": 0,
         "maxThreadsPerMultiprocessor": 2048, "regsPerMultiprocessor": 65536, "warpSize": 32, "numSms": 132,
         "sharedMemPerMultiprocessor": 233472},
        {"id": 0, "name": "NVIDIA H100", "maxThreadsPerMultiprocessor": 132, "warpSize": 32},
        "junk",
        {},
    ]  # fmt: skip
    raw = read_rows(tmp_path, [row("cpu_op", "a", 1, 1)], deviceProperties=listed)
    first, second, third = raw.devices
    assert (first.index, first.multiprocessors, first.compute_capability) == (1, 132, "9.0")
    assert (first.max_threads_per_multiprocessor, first.shared_bytes_per_multiprocessor) == (2048, 233472)
    assert (second.multiprocessors, second.max_threads_per_multiprocessor) == (None, None)
    assert (third.index, third.name) == (3, "")
    assert raw.gpu_listed and not raw.amd
    assert not read_rows(tmp_path, [row("cpu_op", "a", 1, 1)], deviceProperties=[]).gpu_listed


@pytest.mark.parametrize(
    "members",
    [{"deviceProperties": [{"warpSize": 64}]}, {"hip_runtime_version": 1}, {"roctracer_version": 4.1},
     {"deviceProperties": [{"name": "AMD Radeon Graphics"}]}],
)  # fmt: skip
def test_signs_of_amd(members: dict[str, Any], tmp_path: Path) -> None:
    assert read_rows(tmp_path, [row("cpu_op", "a", 1, 1)], **members).amd


def test_hip_calls_are_a_sign_of_amd(tmp_path: Path) -> None:
    rows = [row("cpu_op", "hipster", 1, 1), row("cuda_runtime", "cudaFree", 1, 1)]
    assert not read_rows(tmp_path, rows).amd
    assert read_rows(tmp_path, [*rows, row("cuda_runtime", "hipFree", 1, 1)]).amd


@pytest.mark.parametrize(
    ("name", "info", "rank"),
    [("a.json", {"rank": 3}, 3), ("rank7.json", {"rank": 3}, 3), ("rank7.json", None, 7),
     ("rank-34.Jul_15.pt.trace.json", {}, 34), ("x_rank_0.json", {"rank": -1}, 0), ("a.json", None, None),
     ("frank3.json", None, None), ("run.rank12of16.json", {"rank": "x"}, 12)],
)  # fmt: skip
def test_rank(name: str, info: Any, rank: int | None, tmp_path: Path) -> None:
    assert read_rows(tmp_path, [row("cpu_op", "a", 1, 1)], name, distributedInfo=info).rank == rank


def test_recording_is_read_leniently(tmp_path: Path) -> None:
    def recorded(value: Any) -> Recording | None:
        return read_rows(tmp_path, [row("cpu_op", "a", 1, 1)], traceanalyze=value).recording

    roofs = {"name": "x", "bandwidth_bytes_per_s": 2e10,
             "peaks": [{"engine": "vector", "precision": "fp32", "flop_per_s": 1e11}]}  # fmt: skip
    full = recorded({"torch": "2.13.0", "tf32": True, "wait": "three", "later": 1, "cpu_roofs": roofs})
    assert full is not None and full.cpu_roofs is not None
    assert (full.torch, full.tf32, full.wait) == ("2.13.0", True, None)
    assert full.cpu_roofs.peaks[0].flop_per_s == 1e11
    assert recorded(json.dumps({"torch": "2.13.0"})) == Recording(torch="2.13.0")
    impossible = recorded({"torch": "2.13.0", "cpu_roofs": roofs | {"cache_bytes": -1}})
    assert impossible == Recording(torch="2.13.0")
    assert recorded("no json") is None
    assert recorded([1]) is None
    assert read_rows(tmp_path, [row("cpu_op", "a", 1, 1)]).recording is None


def test_standard_input_and_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"traceEvents": [row("cpu_op", "a", 1, 1)]}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(text))))
    raw = read("-")
    assert (raw.path, raw.bytes, len(raw.ops.name)) == ("-", len(text), 1)
    file = tmp_path / "trace.json.gz"
    file.write_bytes(gzip.compress(text))
    seen: list[int] = []
    read(str(file), progress=seen.append)
    assert seen[-1] == file.stat().st_size
    assert seen == sorted(seen)


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "empty gzip": (gzip.compress(b""), "is empty"),
    "broken gzip": (gzip.compress(b"x" * 99)[:9], "damaged"),
    "text": (b"hello", "is not JSON (byte 0)"),
    "html": (b"<html>", "is a web page"),
    "number": (b" 42", "has no traceEvents"),
    "string": (b'"x"', "has no traceEvents"),
    "object": (b'{"a": 1}', "has no traceEvents (top-level keys: a)"),
    "other traceEvents": (b'{"traceEvents": {"a": []}}', "has no traceEvents"),
    "no events": (b'{"traceEvents": []}', "holds no events"),
    "list of numbers": (b"[1, 2]", "list without trace events"),
    "empty list": (b"[]", "list without trace events"),
    "execution trace": (b'{"schema": "1.0", "nodes": [{"id": 1}]}', "ExecutionTrace"),
    "speedscope": (b'{"$schema": "x", "shared": {"frames": []}, "profiles": []}', "speedscope"),
    "begin and end": (b'[{"ph": "B", "name": "a", "ts": 1}, {"ph": "E", "ts": 2}]', "another tool"),
    "chrome": (b'{"traceEvents": [{"ph": "X", "cat": "v8", "name": "a", "ts": 1, "dur": 2}]}', "another"),
    "launches only": (json.dumps([row("cuda_runtime", "cudaFree", 1, 1)]).encode(), "no operators and no"),
    "annotations only": (json.dumps([row("user_annotation", "x", 1, 1)]).encode(), "no operators and no"),
    "broken zstd": (b"\x28\xb5\x2f\xfd abc", "damaged"),
    "memory timeline": (json.dumps([[-1, 1, 512, 7], [9, 2, 512, 7]]).encode(), "export_memory_timeline"),
    "memory timeline, times and sizes": (b"[[1, 2, 3], [[0, 5], [1, 5]]]", "export_memory_timeline"),
    "page of a memory timeline": (
        b"<html><head><title>GPU Memory Timeline HTML</title>",
        "page that export_memory_timeline writes",
    ),
    "lists for events": (
        json.dumps({"traceEvents": [[i, i] for i in range(9)]}).encode(),
        "holds no events",
    ),
    "JSON lines": (b'{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n', "JSON lines"),
    "events as JSON lines": (b'{"ph": "X", "ts": 1}\n{"ph": "X", "ts": 2}\n', "JSON lines"),
    "rocprofv3": (b'{"rocprofiler-sdk-tool": [{"metadata": {}}]}', "rocprofv3"),
    "rocprof": (
        json.dumps(
            {
                "traceEvents": [
                    {},
                    {
                        "ph": "X",
                        "name": "k",
                        "pid": 1,
                        "tid": 1,
                        "ts": 1,
                        "dur": 2,
                        "args": {"BeginNs": "1000", "EndNs": "3000"},
                    },
                ]
            }
        ).encode(),
        "rocprof",
    ),
    "TensorFlow": (
        json.dumps(
            {
                "displayTimeUnit": "ns",
                "metadata": {"highres-ticks": True},
                "traceEvents": [
                    {"ph": "M", "pid": 3, "name": "process_name", "args": {"name": "/host:CPU"}},
                    {"ph": "X", "pid": 3, "tid": 1, "ts": 1, "dur": 2, "name": "MatMul"},
                ],
            }
        ).encode(),
        "TensorFlow",
    ),
    "Ascend": (
        json.dumps(
            [
                {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 3, "tid": 1, "ts": "1.5", "dur": 2},
                {"ph": "M", "pid": 4, "name": "process_name", "args": {"name": "Ascend Hardware"}},
            ]
        ).encode(),
        "Ascend",
    ),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n", "Git LFS pointer"),
    "tar": (b"a.json".ljust(257, b"\0") + b"ustar\0" + b"0" * 200, "tar archive"),
    "zip": (b"PK\x03\x04abc", "zip"),
    "pickle": (pickle.dumps({"segments": [], "device_traces": []}), "memory snapshot"),
    "gzipped pickle": (gzip.compress(pickle.dumps({"segments": []})), "memory snapshot"),
    "sqlite": (b"SQLite format 3\0", "SQLite"),
    "utf-16": ('{"traceEvents": []}'.encode("utf-16"), "UTF-16"),
    "cut before the events": (b'{"schemaVersion": 1, "dev', "ends before its traceEvents"),
    "cut at the events": (b'{"schemaVersion": 1, "traceEvents": [', "holds no events"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_refusals_name_file_fault_and_fix(case: str, tmp_path: Path) -> None:
    data, what = FOREIGN[case]
    file = tmp_path / "input.bin"
    file.write_bytes(data)
    with pytest.raises(TraceFormatError) as refusal:
        read(str(file))
    text = str(refusal.value)
    assert text.startswith(f"{file}: ") and what in text and ". Fix: " in text and "\n" not in text
    assert refusal.value.what.endswith(")")


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstandard.compress,
}  # fmt: skip


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_trace_is_the_same_however_it_is_packed(packing: str, tmp_path: Path) -> None:
    text = json.dumps({"traceEvents": [row("cpu_op", f"aten::op{i}", i, 1) for i in range(20_000)]}).encode()
    packed = PACKINGS[packing](text)
    whole, cut = tmp_path / "trace.bin", tmp_path / "cut.bin"
    whole.write_bytes(packed)
    cut.write_bytes(packed[: len(packed) * 3 // 4])
    raw = read(str(whole))
    assert len(raw.ops.name) == 20_000 and raw.salvaged is None and raw.bytes == len(text)
    assert 0 < len(read(str(cut)).ops.name) < 20_000
    assert read(str(cut)).salvaged is not None


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "none.json", "no such file"), (tmp_path, "is a folder"),
                       ("a\0b", "cannot be opened")):  # fmt: skip
        with pytest.raises(TraceFormatError, match=what):
            read(str(path))


def test_times_beyond_all_clocks_are_no_times(tmp_path: Path) -> None:
    raw = read_rows(tmp_path, [row("cpu_op", "a", 1.5, 1), row("cpu_op", "b", 1e300, 1),
                               row("cpu_op", "c", 1, math.inf), row("cpu_op", "d", 9e15, 9e15)])  # fmt: skip
    assert [raw.names[i] for i in raw.ops.name] == ["a"]
    assert {w.code: w.count for w in raw.warnings} == {"missing_fields": 3, "nonfinite_values": 1}
