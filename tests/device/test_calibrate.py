"""Measured roofs: plausible, without side effects, and the same after a way through a device file."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.device import DeviceSpec, calibrate, toml_block
from traceanalyzer.device.table import parse
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import CpuRoofs, Peak
from traceanalyzer.records.errors import DeviceError

SAMPLE = Path(__file__).parents[2] / "sample_traces" / "convnet_eager_cpu.json.gz"
SPEC = DeviceSpec(
    id="my-cpu", kind="cpu", names=("My CPU",), bandwidth_bytes_per_s=2e10, launch_floor_ns=4321,
    peaks=(Peak("vector", "fp32", 2e11), Peak("matrix", "fp32", 2e11)), confidence="measured",
    source="measured here", calibrated=True,
)  # fmt: skip


def test_the_launch_floor_goes_through_a_device_file() -> None:
    assert parse(toml_block(SPEC), "f.toml") == (SPEC,)


@pytest.mark.parametrize("wrong", ["0", "-5", "1.5", '"short"', "true"])
def test_a_launch_floor_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(DeviceError, match="launch_floor_ns"):
        parse(toml_block(SPEC).replace("4321", wrong), "f.toml")


def floor_ns(trace: Path, file: Path | None) -> float:
    options = AnalyzeOptions(device_file=str(file) if file else None)
    return traceanalyzer.analyze(trace, options=options).thresholds["launch_floor_ns"]


def test_a_cpu_report_uses_the_files_launch_floor_else_the_recorded_one(tmp_path: Path) -> None:
    file = tmp_path / "cpu.toml"
    file.write_text(toml_block(SPEC))
    recorded = floor_ns(SAMPLE, None)
    assert floor_ns(SAMPLE, file) == 4321 != recorded
    file.write_text(toml_block(SPEC).replace("launch_floor_ns = 4321\n", ""))
    assert floor_ns(SAMPLE, file) == recorded


@pytest.mark.parametrize(("measured", "told"), [(1, True), (2, False), (None, False)])
def test_roofs_of_other_threads_than_the_scripts_are_told(
    measured: int | None, told: bool, tmp_path: Path
) -> None:
    document = json.loads(gzip.decompress(SAMPLE.read_bytes()))
    document["traceanalyze"] |= {"threads": 2}
    (tmp_path / "t.json").write_text(json.dumps(document))
    (tmp_path / "cpu.toml").write_text(toml_block(msgspec.structs.replace(SPEC, threads=measured)))
    options = AnalyzeOptions(device_file=str(tmp_path / "cpu.toml"))
    warnings = traceanalyzer.analyze(tmp_path / "t.json", options=options).source.warnings
    assert ("roofs_of_other_threads" in {notice.code for notice in warnings}) is told


def test_a_gpu_report_uses_the_files_launch_floor(tmp_path: Path) -> None:
    trace = Kineto()
    trace.run("aten::add", 0, "a_kernel", 100, 100, ([1 << 20], "float"), ([1 << 20], "float"))
    path = trace.write(tmp_path / "t.json")
    file = tmp_path / "gpu.toml"
    file.write_text(toml_block(SPEC).replace('"cpu"', '"gpu"'))
    assert (floor_ns(path, None), floor_ns(path, file)) == (2000, 4321)


def cache(root: Path, cpu: int, index: int, level: int, size: str, sharers: str) -> None:
    folder = root / f"cpu{cpu}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for key, value in (("level", str(level)), ("size", size), ("shared_cpu_list", sharers)):
        (folder / key).write_text(value + "\n")


def test_the_last_level_caches_of_all_processors_count_once_each(tmp_path: Path) -> None:
    assert calibrate.cache_bytes(tmp_path) is None
    for cpu, sharers in enumerate(("0-1", "0-1", "2-3", "2-3")):
        cache(tmp_path, cpu, 2, 2, "1024K", str(cpu))
        cache(tmp_path, cpu, 3, 3, "32768K", sharers)
    assert calibrate.cache_bytes(tmp_path) == 2 * 32 * 2**20


def test_a_name_becomes_an_id_and_a_file_name() -> None:
    assert calibrate.slug("Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz") == "intel-xeon-gold-6338-cpu-2-00ghz"
    assert calibrate.slug("®") == "device"


def test_a_rate_is_the_best_seen() -> None:
    taken = iter([4.0, 1.0, 2.0, 3.0])
    found = calibrate.rates([calibrate.Case("a", 8.0, lambda: None)], lambda _: next(taken), -1.0)
    assert found == (calibrate.Rate("a", 2.0),)  # one long run fills a turn


def test_a_slow_precision_is_not_tried_at_large_sizes() -> None:
    tried = []

    def once(function: Callable[[], object]) -> float:
        function()
        return float(10 ** len(set(tried)))

    cases = (calibrate.Case(str(n), 1.0 * n**3, lambda n=n: tried.append(n)) for n in (1, 10, 100))
    found = calibrate.fastest_matmul(cases, once, 0.05)
    assert set(tried) == {1} and found.what == "1"


@pytest.fixture(scope="module")
def measured() -> calibrate.Calibration:
    """With one thread and a known state of PyTorch before it."""
    before = (torch.get_num_threads(), torch.get_rng_state())
    found = calibrate.measure_cpu(threads=1)
    assert torch.get_num_threads() == before[0], "the thread count is put back"
    assert torch.equal(torch.get_rng_state(), before[1]), "nobody's random numbers are used up"
    return found


def test_measured_roofs_are_plausible_and_the_best_of_what_was_tried(measured: calibrate.Calibration) -> None:
    roofs, spec = measured.cpu_roofs(), measured.spec
    assert roofs.threads == 1 and roofs.name == calibrate.processor()
    assert 1e8 < roofs.bandwidth_bytes_per_s < 1e13
    assert roofs.bandwidth_bytes_per_s == max(rate.per_s for rate in measured.streams)
    assert roofs.launch_floor_ns is not None and 100 < roofs.launch_floor_ns < 1e6
    assert roofs.cache_bytes == spec.cache_bytes == calibrate.cache_bytes()
    for engine in ("vector", "matrix"):
        for precision in ("fp32", "fp64"):
            peak = spec.peak(engine, precision)
            assert peak is not None and 1e7 < peak < 1e15
    assert spec.kind == "cpu" and spec.calibrated and torch.__version__ in spec.source


def test_a_measured_part_survives_its_file_and_gives_verdicts(
    measured: calibrate.Calibration, tmp_path: Path
) -> None:
    file = tmp_path / "cpu.device.toml"
    file.write_text(toml_block(measured.spec), encoding="utf-8")
    assert parse(file.read_text(encoding="utf-8"), "cpu.device.toml") == (measured.spec,)
    analysis = traceanalyzer.analyze(SAMPLE, options=AnalyzeOptions(device_file=str(file)))
    assert analysis.device.how == "calibrated" and analysis.device.peaks == measured.spec.peaks
    assert analysis.thresholds["launch_floor_ns"] == measured.spec.launch_floor_ns
    assert analysis.coverage.modelled_share > 0.9


def test_a_process_of_its_own_prints_one_line_of_json() -> None:
    command = [sys.executable, "-P", "-m", "traceanalyzer.device.calibrate", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, check=True)
    (line,) = done.stdout.splitlines()
    assert msgspec.json.decode(line, type=CpuRoofs).threads == 1
    assert not done.stderr


@pytest.mark.parametrize(
    ("text", "busy"),
    [
        ("99.0 50.0 20.0 1/345 678", None),  # what ran before, as the recorded script, disturbs nothing
        ("0.1 0.1 0.1 65/345 678", 64.0),
        ("nonsense", None),
    ],
)
def test_only_others_that_run_now_make_a_machine_busy(
    text: str, busy: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate.os, "cpu_count", lambda: 4)
    (tmp_path / "loadavg").write_text(text)
    assert calibrate._busy(tmp_path / "loadavg") == busy
    assert calibrate._busy(tmp_path / "none") is None
