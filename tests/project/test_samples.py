"""The committed samples are small, our own, tell nothing of whoever made them, and are described."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.project.tree import ROOT
from traceanalyzer import analyze

FOLDER = ROOT / "sample_traces"
SAMPLES = sorted(FOLDER.glob("*.json.gz"))
named = pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.name.split(".")[0])


@named
def test_a_sample_is_small_and_its_gzip_header_holds_no_time(sample: Path) -> None:
    data = sample.read_bytes()
    assert len(data) < 300_000
    assert data[4:8] == bytes(4) and not data[3] & 0x08, "no time, no file name"


@named
def test_a_sample_tells_nothing_of_its_maker(sample: Path) -> None:
    text = gzip.decompress(sample.read_bytes()).decode()
    assert not re.search(r"/(?:home|root|Users|tmp|work|usr|opt)/", text)
    assert not json.loads(text).keys() & {"host_name", "trace_id", "traceName"}


@named
def test_a_sample_says_how_it_was_recorded(sample: Path) -> None:
    analysis = analyze(sample)
    recording = analysis.recording
    assert recording is not None and recording.torch and recording.python and recording.command
    assert recording.active == analysis.window.step_count == 3
    assert recording.unprofiled_step_ns and recording.profiled_step_ns
    assert recording.cpu_roofs is not None and recording.cpu_roofs.launch_floor_ns
    assert analysis.device.how == "calibrated" and analysis.device.kind == "cpu"
    assert analysis.source.warnings == ()


def test_nearly_all_of_the_eager_samples_is_modelled() -> None:
    for sample in SAMPLES:
        if "eager" in sample.name:
            assert analyze(sample).coverage.modelled_share > 0.95, sample.name


def test_every_sample_is_described() -> None:
    assert SAMPLES
    described = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{sample.name}`" in described for sample in SAMPLES)
