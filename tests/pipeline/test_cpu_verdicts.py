"""Verdicts of a CPU trace are true: operators whose bound is known, recorded and calibrated here.

The machine may be shared, so the whole is tried some times; what is asserted are verdicts, and the best
call's ratio to the roof. Out of place, a CPU reads what it overwrites: the triad's compulsory bytes are 3/4
of what is moved, the copy's 2/3, and so `efficiency`, a lower bound by contract, stays below these shares.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.cpu_verdicts import CALLS, PRODUCTS, STEPS, Seen, best_attempt
from traceanalyzer.records import Analysis

pytestmark = [pytest.mark.slow, pytest.mark.alone]  # shares of measured time


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, dict[str, Seen]]:
    path = tmp_path_factory.mktemp("cpu") / "trace.json"
    analysis, found = best_attempt(path, torch.get_num_threads())
    return analysis, {seen.row.name: seen for seen in found}


def test_the_roofs_stored_in_the_trace_are_used(attempt: tuple[Analysis, dict[str, Seen]]) -> None:
    analysis, _ = attempt
    assert analysis.recording is not None and analysis.recording.cpu_roofs is not None
    roofs = analysis.recording.cpu_roofs
    assert (analysis.device.kind, analysis.device.how) == ("cpu", "calibrated")
    assert analysis.device.bandwidth_bytes_per_s == roofs.bandwidth_bytes_per_s
    assert analysis.thresholds["launch_floor_ns"] == roofs.launch_floor_ns
    assert analysis.window.step_count == 3


@pytest.mark.parametrize(
    ("op", "verdict"),
    [
        ("aten::add", "memory_bound"), ("aten::copy_", "memory_bound"), ("aten::add_", "memory_bound"),
        ("aten::mm", "compute_bound"), ("aten::neg", "latency_bound"), ("aten::bernoulli_", "compute_bound"),
        ("aten::erf_", "compute_bound"),
    ],
)  # fmt: skip
def test_verdicts(attempt: tuple[Analysis, dict[str, Seen]], op: str, verdict: str) -> None:
    assert attempt[1][op].row.verdict == verdict


@pytest.mark.parametrize("op", ["aten::add", "aten::copy_", "aten::add_", "aten::mm"])
def test_streams_and_products_come_near_their_roofs(
    attempt: tuple[Analysis, dict[str, Seen]], op: str
) -> None:
    seen = attempt[1][op]
    assert seen.near, (seen.best, seen.row.efficiency)


@pytest.mark.parametrize("op", ["aten::add", "aten::copy_", "aten::add_"])
def test_streams_run_at_the_memory_roof_once_lines_read_first_count(
    attempt: tuple[Analysis, dict[str, Seen]], op: str
) -> None:
    analysis, seen = attempt
    assert analysis.recording is not None and analysis.recording.cpu_roofs is not None
    assert analysis.recording.cpu_roofs.write_allocate
    row = seen[op].row
    moved = (row.read_bytes or 0) + (row.write_bytes or 0)
    written_first = 0 if op == "aten::add_" else row.write_bytes or 0
    assert row.traffic_bytes == (moved + written_first if written_first else None)
    assert row.limiter == "memory", (row.efficiency, seen[op].best)


def test_bytes_and_flops_are_those_of_the_tensors(attempt: tuple[Analysis, dict[str, Seen]]) -> None:
    _, seen = attempt
    triad, copy, product = (seen[op].row for op in ("aten::add", "aten::copy_", "aten::mm"))
    assert triad.input_dims[0] is not None and product.input_dims[0] is not None
    array, calls, width = 4 * triad.input_dims[0][0], STEPS * CALLS, product.input_dims[0][0]
    assert (triad.calls, triad.read_bytes, triad.write_bytes) == (calls, 2 * calls * array, calls * array)
    assert (copy.calls, copy.read_bytes, copy.write_bytes) == (calls, calls * array, calls * array)
    assert product.flops == STEPS * PRODUCTS * 2 * width**3
