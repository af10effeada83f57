"""Types of inputs as every compiler spells them, and where none is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer
from traceanalyzer import AnalyzeOptions, UsageError
from traceanalyzer.inference.kernel_dtypes import dtype_said
from traceanalyzer.records.units import canonical_dtype

SPELLINGS = {
    "__int64": "int64", "unsigned __int64": "uint64", "__int32": "int32", "unsigned __int8": "uint8",
    "struct c10::Half": "fp16", "struct c10::BFloat16": "bf16", "class c10::Float8_e4m3fn": "fp8_e4m3",
    "enum __int16": "int16", "struct c10::complex<float>": "complex64",
    "c10::complex<struct c10::Half>": "complex32",
    "long int": "int64", "structure": None,
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_compiler_spells_the_same_type(spelling: str) -> None:
    assert canonical_dtype(spelling) == SPELLINGS[spelling]


def test_kernels_say_their_type() -> None:
    said = {
        "volta_sgemm_128x64_nn": "fp32", "volta_fp16_s884gemm_fp16_128x128_ldg8_f2f_nn": "fp16",
        "volta_h884gemm_256x64_ldg8_nn": "fp16", "ampere_bf16_s16816gemm_bf16_128x64": "bf16",
        "volta_dgemm_64x64": "fp64", "void kernel<c10::Half, float>(int)": "fp16", "fill": None,
        "void copy<double, float>": None,
        # As a linker writes them: softmax_fwd<c10::Half, float>, and types of the compiler's own.
        "_Z11softmax_fwdIN3c104HalfEfEvPT_": "fp16", "_Z4gemmIN3c108BFloat16EEvPT_": "bf16",
        "_Z8add_normIDF16bEvPT_": "bf16", "_Z8add_normIDF16_EvPT_": "fp16",
    }  # fmt: skip
    assert {name: dtype_said(name) for name in said} == said


def untyped(folder: Path, kernel: str) -> str:
    """A product of [512, 1024] with [1024, 256] as torch 1.8 writes it: dims and no types."""

    def row(cat: str, name: str, pid: int, ts: int, dur: int, **args: Any) -> dict[str, Any]:
        return {
            "ph": "X",
            "cat": cat,
            "name": name,
            "pid": pid,
            "tid": str(pid),
            "ts": ts,
            "dur": dur,
            "args": args,
        }

    rows = [
        row(
            "Operator",
            "aten::mm",
            9,
            1000,
            50,
            **{"Input dims": [[512, 1024], [1024, 256]], "external id": 1},
        ),
        row("Runtime", "cudaLaunchKernel", 9, 1010, 5, correlation=4),
        row("Kernel", kernel, 0, 1040, 100, correlation=4, device=0, stream=7),
    ]
    file = folder / "trace.json"
    file.write_text(json.dumps({"traceEvents": rows}))
    return str(file)


@pytest.mark.parametrize(("kernel", "width"), [("volta_sgemm_128x64_nn", 4), ("volta_h884gemm_nn", 2)])
def test_the_kernels_name_gives_the_type(kernel: str, width: int, tmp_path: Path) -> None:
    (row,) = (analysis := traceanalyzer.analyze(untyped(tmp_path, kernel), device="v100-sxm2")).op_rows
    assert row.read_bytes == width * (512 * 1024 + 1024 * 256) and row.flops == 2 * 512 * 1024 * 256
    assert "dtypes_of_kernels" in {notice.code for notice in analysis.source.warnings}


def test_an_assumed_type_is_said_and_used_only_where_nothing_is_known(tmp_path: Path) -> None:
    file = untyped(tmp_path, "Cijk_Ailk")
    assert [row.reason for row in traceanalyzer.analyze(file, device="v100-sxm2").op_rows] == ["no_dtype"]
    assumed = traceanalyzer.analyze(file, options=AnalyzeOptions(device="v100-sxm2", assume_dtype="bf16"))
    assert [row.read_bytes for row in assumed.op_rows] == [2 * (512 * 1024 + 1024 * 256)]
    assert "bf16 (--assume-dtype)" in " ".join(notice.message for notice in assumed.source.warnings)
    named = untyped(tmp_path, "volta_sgemm_128x64_nn")
    (row,) = traceanalyzer.analyze(
        named, options=AnalyzeOptions(device="v100-sxm2", assume_dtype="bf16")
    ).op_rows
    assert row.read_bytes == 4 * (512 * 1024 + 1024 * 256)


def test_a_type_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--assume-dtype fp31"):
        traceanalyzer.analyze("x.json", options=AnalyzeOptions(assume_dtype="fp31"))


def test_a_list_of_tensors_lacks_no_type(tmp_path: Path) -> None:
    """No version records types inside a list: those of `aten::cat` are found elsewhere."""
    trace = json.loads(Path(untyped(tmp_path, "volta_sgemm_128x64_nn")).read_text())
    trace["traceEvents"][0]["args"]["Input dims"] = [[[512, 1024], [1024, 256]], []]
    (file := tmp_path / "lists.json").write_text(json.dumps(trace))
    analysis = traceanalyzer.analyze(file, device="v100-sxm2")
    assert "dtypes_of_kernels" not in {notice.code for notice in analysis.source.warnings}


@pytest.mark.parametrize(("name", "dims", "typed"), [
    ("aten::mul", [[64, 64], [64, 64]], True),
    ("aten::copy_", [[64, 64], [64, 64]], False),  # may cast
    ("aten::masked_fill_", [[64, 64], [64, 64]], False),  # the mask has a type of its own
    ("aten::eq", [[64, 64], [64, 64]], False),
])  # fmt: skip
def test_a_kernels_type_is_that_of_inputs_that_are_alike(
    name: str, dims: list[list[int]], typed: bool, tmp_path: Path
) -> None:
    trace = json.loads(Path(untyped(tmp_path, "void kernel<float>(int)")).read_text())
    trace["traceEvents"][0] |= {"name": name, "args": {"Input dims": dims, "external id": 1}}
    (file := tmp_path / "other.json").write_text(json.dumps(trace))
    analysis = traceanalyzer.analyze(file, device="v100-sxm2")
    assert ("dtypes_of_kernels" in {notice.code for notice in analysis.source.warnings}) is typed


def test_a_mask_is_of_one_byte_an_element_whatever_is_assumed(tmp_path: Path) -> None:
    trace = json.loads(Path(untyped(tmp_path, "some_kernel")).read_text())
    args = {"Input dims": [[1024, 1024], [1024, 1024], []], "external id": 1}
    trace["traceEvents"][0] |= {"name": "aten::masked_fill_", "args": args}
    (file := tmp_path / "masked.json").write_text(json.dumps(trace))
    (row,) = traceanalyzer.analyze(
        file, options=AnalyzeOptions(device="v100-sxm2", assume_dtype="fp32")
    ).op_rows
    assert (row.read_bytes, row.write_bytes) == (5 << 20, 4 << 20)


@pytest.mark.parametrize(("dtype", "size"), [("fp32", 4), ("bf16", 2)])
def test_lists_of_which_nothing_says_the_type_are_as_assumed(dtype: str, size: int, tmp_path: Path) -> None:
    """Parameters, gradients and two moments are read, all but the gradients written: 40 elements of each."""
    trace = json.loads(Path(untyped(tmp_path, "some_kernel")).read_text())
    lists = [[[8, 4], [8]]] * 4 + [[]] * 10
    trace["traceEvents"][0] |= {
        "name": "aten::_fused_adamw_",
        "args": {"Input dims": lists, "Input type": ["TensorList"] * 4 + [""] * 10, "external id": 1},
    }
    (file := tmp_path / "adamw.json").write_text(json.dumps(trace))
    (row,) = traceanalyzer.analyze(file, device="v100-sxm2").op_rows
    assert (row.reason, row.read_bytes) == ("no_dtype", None)
    options = AnalyzeOptions(device="v100-sxm2", assume_dtype=dtype)
    assumed = traceanalyzer.analyze(file, options=options)
    (row,) = assumed.op_rows
    assert (row.read_bytes, row.write_bytes) == (4 * 40 * size, 3 * 40 * size)
    assert "dtypes_assumed" in {notice.code for notice in assumed.source.warnings}


def test_a_list_of_indices_is_not_as_assumed(tmp_path: Path) -> None:
    trace = json.loads(Path(untyped(tmp_path, "some_kernel")).read_text())
    args = {"Input dims": [[64, 8], [[16]]], "Input type": ["float", "TensorList"], "external id": 1}
    trace["traceEvents"][0] |= {"name": "aten::index", "args": args}
    (file := tmp_path / "index.json").write_text(json.dumps(trace))
    options = AnalyzeOptions(device="v100-sxm2", assume_dtype="fp32")
    warnings = traceanalyzer.analyze(file, options=options).source.warnings
    assert "dtypes_assumed" not in {notice.code for notice in warnings}
