"""The GPU's calibration on a stand-in: PyTorch's CPU under a GPU's name and events."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from traceanalyzer.device import calibrate_gpu, spec_named, toml_block
from traceanalyzer.device.table import parse


class Event:
    """As torch.cuda.Event, by the clock."""

    def __init__(self, enable_timing: bool) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        return 1000 * (end.at - self.at)


def stand_in(monkeypatch: pytest.MonkeyPatch, **properties: Any) -> None:
    told = SimpleNamespace(total_memory=64 * 2**20, **properties)
    module = SimpleNamespace(Event=Event, synchronize=lambda: None, get_device_properties=lambda _: told)
    monkeypatch.setattr(calibrate_gpu, "_backend", lambda _: "cpu")
    monkeypatch.setattr(calibrate_gpu, "_module", lambda *_: module)
    monkeypatch.setattr(calibrate_gpu, "_WIDTHS", (64, 128))
    for name in ("_STREAM_S", "_MATMUL_S"):
        monkeypatch.setattr(calibrate_gpu, name, 0.05)


def test_a_part_that_is_not_in_the_table_has_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, name="Arc(TM) Z999")
    before = torch.get_float32_matmul_precision()
    assert calibrate_gpu.gpu_name() == "Arc(TM) Z999"
    spec = calibrate_gpu.measure_gpu().spec
    assert torch.get_float32_matmul_precision() == before
    assert (spec.id, spec.kind, spec.calibrated, spec.note) == ("arc-z999", "gpu", True, "")
    assert spec.peak("vector", "fp32") and spec.peak("vector", "fp64") and spec.peak("matrix", "bf16")
    assert spec.bandwidth_bytes_per_s and spec.launch_floor_ns
    assert parse(toml_block(spec), "f.toml") == (spec,)


def test_a_known_part_keeps_its_id_and_what_products_cannot_show(monkeypatch: pytest.MonkeyPatch) -> None:
    known = spec_named("a100-sxm4-40gb")
    stand_in(monkeypatch, name=known.names[0], multi_processor_count=108, major=8, minor=0)
    monkeypatch.setattr(calibrate_gpu, "_table_spec", lambda *_: known)  # its memory is not the stand-in's
    spec = calibrate_gpu.measure_gpu().spec
    assert (spec.id, spec.names, spec.multiprocessors) == (known.id, known.names[:1], 108)
    assert spec.peak("vector", "fp64") == known.peak("vector", "fp64") and "vector fp64" in spec.note
    assert spec.peak("matrix", "fp64") != known.peak("matrix", "fp64"), "measured"
    assert spec.peak("vector", "fp32") != known.peak("vector", "fp32"), "measured"
    assert spec.peak("matrix", "fp8") is None
    assert parse(toml_block(spec), "f.toml") == (spec,)


def test_a_part_is_known_as_from_a_trace() -> None:
    properties = SimpleNamespace(
        name="NVIDIA H100 80GB HBM3", total_memory=79 * 2**30, multi_processor_count=132, major=9, minor=0
    )
    found = calibrate_gpu._table_spec(torch, properties)
    assert found is not None and found.id == "h100-sxm5"
    properties.name, properties.multi_processor_count = "Arc(TM) Z999", 1
    assert calibrate_gpu._table_spec(torch, properties) is None
