"""Measured roofs: plausible, without side effects, and the same after a way through a device file."""

from __future__ import annotations

from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.analyze import Options
from traceanalyzer.device import Part, toml_block
from traceanalyzer.device.table import parse
from traceanalyzer.errors import DeviceError
from traceanalyzer.model import Peak

SAMPLE = Path(__file__).parents[2] / "sample_traces" / "convnet_eager_cpu.json.gz"
PART = Part(
    id="my-cpu", kind="cpu", names=("My CPU",), bandwidth_bytes_per_s=2e10, launch_floor_ns=4321,
    peaks=(Peak("vector", "fp32", 2e11), Peak("matrix", "fp32", 2e11)), confidence="measured",
    source="measured here", calibrated=True,
)  # fmt: skip


def test_the_launch_floor_goes_through_a_device_file() -> None:
    assert parse(toml_block(PART), "f.toml") == (PART,)


@pytest.mark.parametrize("wrong", ["0", "-5", "1.5", '"short"', "true"])
def test_a_launch_floor_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(DeviceError, match="launch_floor_ns"):
        parse(toml_block(PART).replace("4321", wrong), "f.toml")


def floor_ns(trace: Path, file: Path | None) -> float:
    options = Options(device_file=str(file) if file else None)
    return traceanalyzer.analyze(trace, options=options).thresholds["launch_floor_ns"]


def test_a_cpu_report_uses_the_files_launch_floor_else_the_recorded_one(tmp_path: Path) -> None:
    file = tmp_path / "cpu.toml"
    file.write_text(toml_block(PART))
    recorded = floor_ns(SAMPLE, None)
    assert floor_ns(SAMPLE, file) == 4321 != recorded
    file.write_text(toml_block(PART).replace("launch_floor_ns = 4321\n", ""))
    assert floor_ns(SAMPLE, file) == recorded


def test_a_gpu_report_uses_the_files_launch_floor(tmp_path: Path) -> None:
    trace = Kineto()
    trace.run("aten::add", 0, "a_kernel", 100, 100, ([1 << 20], "float"), ([1 << 20], "float"))
    path = trace.write(tmp_path / "t.json")
    file = tmp_path / "gpu.toml"
    file.write_text(toml_block(PART).replace('"cpu"', '"gpu"'))
    assert (floor_ns(path, None), floor_ns(path, file)) == (2000, 4321)
