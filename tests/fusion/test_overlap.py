"""Kernels that overlap: the time of a step is saved once, however many of them run in it."""

from __future__ import annotations

from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.records import Job

TIME = 1000.0  # microseconds of a kernel
MATRIX = ([4096, 4096], "float")


def analyzed(folder: Path, *, together: bool, length: float = TIME) -> Job:
    """Three copies to another layout, then three matmuls in fp32, all at one time or one after another."""
    t = Kineto()
    t.annotation("ProfilerStep#0", 0, 20_000)
    for number in range(6):
        start, copies = number * 100.0, number < 3
        if copies:
            t.op("aten::contiguous", start, 90, MATRIX, **{"Concrete Inputs": [""]})
            t.op("aten::clone", start + 1, 80, MATRIX, ([], "Scalar"), **{
                "Concrete Inputs": ["", "0"], "Input Strides": [[1, 4096], []]})  # fmt: skip
        else:
            t.op("aten::mm", start, 90, ([4096, 512], "float"), ([512, 4096], "float"))
        begin, stream = (2000.0, number) if together else (2000.0 + number * length, 7)
        name = "copy_kernel" if copies else "ampere_sgemm_128x64_nn"
        t.kernel(name, begin, length, t.launch(start + 5), stream=stream)
    return traceanalyzer.analyze(t.write(folder / "t.json"))


def bands(job: Job) -> dict[str, tuple[float, float]]:
    return {s.rule: (s.saving_per_step_ns.low, s.saving_per_step_ns.high)
            for s in job.suggestions or () if s.saving_per_step_ns}  # fmt: skip


def test_what_runs_at_one_time_is_saved_once(tmp_path: Path) -> None:
    apart, together = bands(analyzed(tmp_path, together=False)), bands(analyzed(tmp_path, together=True))
    assert set(apart) == set(together) == {"layout_copies", "tf32_products"}
    for rule, (_, high) in apart.items():
        assert together[rule][1] == pytest.approx(high / 6, rel=1e-5), "six share the instants that one had"
    assert sum(high for _, high in together.values()) <= TIME * 1000


def test_what_overlaps_may_save_nothing_and_says_so(tmp_path: Path) -> None:
    for suggestion in analyzed(tmp_path, together=True).suggestions or ():
        assert suggestion.saving_per_step_ns is not None and suggestion.saving_per_step_ns.low == 0
        assert any("overlap with others: 16.7 %" in caveat for caveat in suggestion.caveats)
    assert bands(analyzed(tmp_path, together=False))["tf32_products"][0] > 0


def test_a_step_of_no_length_saves_nothing(tmp_path: Path) -> None:
    job = analyzed(tmp_path, together=True, length=0.0)
    assert job.time.busy_ns == 0
    assert not [notice for notice in job.source.warnings if notice.code.endswith("_failed")]
