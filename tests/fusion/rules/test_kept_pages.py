"""Memory that a CPU's step gets anew from the system, page by page, and what shows that nothing helps."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.fusion.scenes import claims, found_by, op, scene
from traceanalyzer.fusion.step_graph import StepGraph
from traceanalyzer.fusion.suggestions import suggestions
from traceanalyzer.records import CpuRoofs, Recording

MS = 1_000_000
ADD = op("add", (4096, 4096), (4096, 4096), ns=400 * MS)
ONE_THREAD = CpuRoofs(name="CPU", bandwidth_bytes_per_s=50e9, peaks=(), threads=1)
TOLD = Recording(
    unprofiled_step_ns=400 * MS, minor_faults_per_step=50_000, system_ns_per_step=100 * MS,
    page_bytes=4096, allocator="glibc", cpu_roofs=ONE_THREAD,
)  # fmt: skip


def paging(**facts: Any) -> StepGraph:
    return scene(ADD, steps=2, on_cpu=True, recording=replace(TOLD, **facts))


def test_the_evidence_and_the_band_are_those_of_the_system_time() -> None:
    (found,) = [each for each in suggestions(paging()).found or () if each.rule == "kept_pages"]
    assert found.evidence == "a typical step has 50,000 page faults of 4 KiB = 205 MB, 100 ms of system time"
    assert found.tier == "T3" and found.saving_per_step_ns is not None and found.count == 1
    band = found.saving_per_step_ns
    assert (band.low, band.mid, band.high) == (0, 75 * MS, 150 * MS)
    assert found.share_of_step == pytest.approx(75 / 400, rel=1e-3)


def test_threads_that_fault_side_by_side_are_not_waited_for_one_after_another() -> None:
    roofs = CpuRoofs(name="CPU", bandwidth_bytes_per_s=50e9, peaks=(), threads=16)
    (match,) = found_by(paging(cpu_roofs=roofs, system_ns_per_step=640 * MS), "kept_pages")
    assert match.saved is not None and match.saved.mid / 2 == 640 * MS / 4
    assert match.saved.high == 960 * MS


def test_no_more_than_the_step_is_promised() -> None:
    (found,) = [each for each in suggestions(paging(system_ns_per_step=900 * MS)).found or ()
                if each.rule == "kept_pages"]  # fmt: skip
    assert found.saving_per_step_ns is not None
    assert found.saving_per_step_ns.high <= 400 * MS * 1.01


def test_the_variable_is_one_that_a_shell_takes() -> None:
    (found,) = [each for each in suggestions(paging()).found or () if each.rule == "kept_pages"]
    assert found.snippet.startswith("GLIBC_TUNABLES=glibc.malloc.") and " python " in found.snippet
    assert found.snippet.count(" ") == 2


@pytest.mark.left_out
@pytest.mark.parametrize("facts", [
    {"allocator": "jemalloc"}, {"allocator": "tcmalloc"}, {"allocator": "glibc_tuned"}, {"allocator": None},
    {"minor_faults_per_step": 900}, {"minor_faults_per_step": None}, {"system_ns_per_step": 5 * MS},
    {"system_ns_per_step": None}, {"unprofiled_step_ns": None},
    {"cpu_roofs": None},  # system time of how many threads?
    {"minor_faults_per_step": None, "profiled_page_faults": 50_000, "profiled_system_ns": 100 * MS},
], ids=str)  # fmt: skip
def test_nothing_to_keep_or_nothing_known(facts: dict[str, Any]) -> None:
    assert "kept_pages" not in claims(paging(**facts))


@pytest.mark.left_out
def test_the_host_of_a_gpu_is_left_alone() -> None:
    assert "kept_pages" not in claims(scene(ADD, steps=2, recording=TOLD))


@pytest.mark.left_out
def test_a_trace_without_steps_is_told_nothing_per_step() -> None:
    assert "kept_pages" not in claims(scene(ADD, steps=0, on_cpu=True, recording=TOLD))


def test_what_was_not_counted_is_said() -> None:
    told = {check.rule: check for check in suggestions(paging(minor_faults_per_step=None)).checks}
    assert told["kept_pages"].outcome == "not_checkable"
    assert "page faults were not counted" in (told["kept_pages"].reason or "")
