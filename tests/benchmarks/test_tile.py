"""A tiled trace is the source several times: so are its steps, times and work, and nothing else changes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.tile import tile
from traceanalyzer import Analysis, TraceFormatError, analyze

SAMPLE = sorted((Path(__file__).parents[2] / "sample_traces").glob("*.json.gz"))[0]


def tiled(source: Path, folder: Path) -> tuple[Path, int]:
    """About three times `source`, and how often exactly."""
    target = folder / "tiled.json"
    copies = tile(str(source), target, 3 * len(gzip.decompress(source.read_bytes())))
    assert copies > 1
    return target, copies


def work(analysis: Analysis, times: int) -> Counter[tuple[object, ...]]:
    """What each row is and, so many times, what it did: FLOPs, calls, kernels, time."""
    return Counter(
        (r.name, r.input_dims, r.input_types, r.input_strides, r.concrete_inputs, r.phase, r.module,
         None if r.flops is None else times * r.flops, times * r.calls, times * r.kernels, times * r.time_ns)
        for r in analysis.op_rows
    )  # fmt: skip


def assert_tiled(source: Path, folder: Path) -> None:
    target, copies = tiled(source, folder)
    once, often = analyze(source, steps="all"), analyze(target, steps="all")
    assert often.time.busy_ns == copies * once.time.busy_ns
    assert often.compute.flops == copies * once.compute.flops
    assert work(often, 1) == work(once, copies)
    for share in ("linked_share", "shaped_share"):
        assert getattr(often.coverage, share) == pytest.approx(getattr(once.coverage, share))


def test_a_tiled_cpu_trace_is_the_sample_several_times(tmp_path: Path) -> None:
    assert_tiled(SAMPLE, tmp_path)


def test_steps_are_numbered_on(tmp_path: Path) -> None:
    target, copies = tiled(SAMPLE, tmp_path)
    once, often = analyze(SAMPLE), analyze(target)
    assert once.window.step_count and often.window.step_count == copies * once.window.step_count
    assert len(set(often.window.steps)) == len(often.window.steps)


def test_no_two_copies_share_an_id(tmp_path: Path) -> None:
    events = json.loads(tiled(SAMPLE, tmp_path)[0].read_bytes())["traceEvents"]
    ids = [e["args"]["External id"] for e in events if e.get("cat") == "cpu_op"]
    assert len(ids) == len(set(ids))


def test_tiled_gpu_traces_link_within_their_copy(real_traces: Path, tmp_path: Path) -> None:
    for source in sorted(real_traces.glob("*.json.gz")):
        if 30_000 < source.stat().st_size < 600_000:
            try:
                analyze(source)
            except TraceFormatError:
                continue
            assert_tiled(source, tmp_path)
