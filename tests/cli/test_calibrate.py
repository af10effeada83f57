"""`calibrate` leaves a device file that `report` takes, loses no file, and says what to type next."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from tests.cli.test_bad_input import refused
from traceanalyzer.cli import main
from traceanalyzer.device import DeviceSpec, calibrate, calibrate_gpu, from_file
from traceanalyzer.records import Peak

SAMPLE = Path(__file__).parents[2] / "sample_traces" / "convnet_eager_cpu.json.gz"
NAME = "Some CPU @ 2.00GHz"
FILE = "some-cpu-2-00ghz.device.toml"
PEAK = Peak("matrix", "fp32", 2.077e11)
SPEC = DeviceSpec(
    id="some-cpu-2-00ghz", kind="cpu", names=(NAME,), bandwidth_bytes_per_s=5.421e10, launch_floor_ns=741,
    peaks=(Peak("vector", "fp32", 2.077e11), PEAK), source="measured", note="A note.", calibrated=True,
)  # fmt: skip
STREAMS = (calibrate.Rate("scale in place", 5.421e10), calibrate.Rate("triad", 3.37e10))
MEASURED = calibrate.Calibration(SPEC, STREAMS, ((PEAK, "512 x 512"),), threads=2, busy=1.5)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and a machine with a CPU that was measured before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibrate, "processor", lambda: NAME)
    monkeypatch.setattr(calibrate, "measure_cpu", lambda threads: MEASURED)
    monkeypatch.setattr(calibrate_gpu, "gpu_name", lambda: None)
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["calibrate", *args])


def test_the_file_is_one_for_report_and_the_last_line_says_so(here: Path) -> None:
    result = run()
    assert result.exit_code == 0 and not result.stdout
    lines = result.stderr.splitlines()
    assert max(map(len, lines[:-1])) <= 80, "all but what is to be copied"
    assert lines[-1] == f"traceanalyze: next: traceanalyze report TRACE --device-file {FILE}"
    for text in (NAME, "2 threads", "54.2 GB/s", "208 GFLOP/s", "ridge 3.83", "741 ns", "A note.", "idle"):
        assert text in result.stderr
    device = from_file(FILE)
    assert (device.how, device.kind, device.peaks) == ("calibrated", "cpu", SPEC.peaks)
    report = ["report", "--device-file", FILE, str(SAMPLE), "-o", "r.html"]
    shown = CliRunner().invoke(main, report)
    assert shown.exit_code == 0 and "memory-bound" in shown.stderr


def test_no_file_is_lost_and_nothing_is_measured_in_vain(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / FILE).write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr(calibrate, "measure_cpu", lambda threads: pytest.fail("measured too early"))
        refused(run(), FILE, "--force")
        refused(run("-o", "none/x.toml"), "none", "mkdir")
    assert (here / FILE).read_text() == "mine"
    assert run("--force").exit_code == 0
    assert from_file(FILE).id == SPEC.id


def test_quiet_and_stdout(here: Path) -> None:
    assert run("-q", "-o", "x.toml").output == ""
    result = run("-o", "-")
    assert result.stdout.startswith("[[device]]") and "next" not in result.stderr


def test_without_torch_it_says_what_to_install(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setitem(sys.modules, "torch", None)
    for args in ([], ["--cpu"]):
        refused(run(*args), "pytorch", "pip install 'torch-traceanalyzer[profile]'")
    assert not list(here.iterdir())


def test_a_gpu_is_measured_where_there_is_one_but_not_with_cpu(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = SimpleNamespace(spec=SPEC, streams=STREAMS, matmuls=(), threads=None, busy=None)
    monkeypatch.setattr(calibrate_gpu, "gpu_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(calibrate_gpu, "measure_gpu", lambda: measured)
    assert run("-q").exit_code == 0 and (here / "nvidia-h100-80gb-hbm3.device.toml").exists()
    assert run("-q", "--cpu").exit_code == 0 and (here / FILE).exists()


def test_threads_are_those_of_a_cpu_beside_a_gpu_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr(calibrate_gpu, "gpu_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(calibrate, "measure_cpu", lambda threads: asked.append(threads) or MEASURED)
    assert run("-q", "--threads", "1").exit_code == 0 and asked == [1]
    assert run("-q", "--threads", "0", "--force").exit_code == 2
