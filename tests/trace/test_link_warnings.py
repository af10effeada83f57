"""What a reader is told about a trace's links, and which files and folders are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trace.build import Rows
from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace import trace_files


def codes(rows: Rows) -> dict[str, int]:
    return {warning.code: warning.count for warning in rows.trace().warnings}


def healthy(kernels: int = 100) -> Rows:
    rows = Rows()
    for i in range(kernels):
        rows.op("aten::mm", 100 * i, 100 * i + 50)
        rows.launch(i + 1, 100 * i + 10)
        rows.kernel("gemm", 100 * i + 20, 100 * i + 120, i + 1)
    return rows


def test_a_healthy_trace_is_silent() -> None:
    assert codes(healthy()) == {}


def test_unlinked_time_is_told_where_it_is_much() -> None:
    rows = healthy()
    rows.kernel("queued earlier", -900, -500, 99_999)
    assert codes(rows) == {}
    rows.kernel("queued earlier", -9000, -5000, 99_998)
    assert codes(rows) == {"unlinked_no_launch": 2}


def test_launches_whose_kernels_are_missing_are_told() -> None:
    rows = healthy()
    for i in range(15):
        rows.launch(5000 + i, 20_000 + i)
    assert codes(rows) == {}
    for i in range(15):
        rows.launch(6000 + i, 30_000 + i)
    for i in range(50):
        rows.launch(7000 + i, 40_000 + i, name="cudaMemcpyAsync")
    assert codes(rows) == {"launches_without_kernels": 30}


def test_kernels_before_their_launch_are_told() -> None:
    rows = healthy()
    rows.launch(9000, 5000)
    rows.kernel("early", 4000, 5500, 9000)
    assert codes(rows) == {"starts_before_launch": 1}


def test_steps_in_which_nothing_was_launched_are_told() -> None:
    rows = healthy()
    rows.annotation("ProfilerStep#1", 90_000, 95_000)
    assert codes(rows) == {"steps_without_launches": 1}


def test_folders_stand_for_the_traces_in_them(tmp_path: Path) -> None:
    for name in ("b.json", "a.json.gz", "notes.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "sub.json").mkdir()
    assert trace_files([str(tmp_path)]) == [str(tmp_path / "a.json.gz"), str(tmp_path / "b.json")]
    (tmp_path / "r.rank1.trace.json.gz").write_text("{}")
    (tmp_path / "r.rank0.pt.trace.json").write_text("{}")
    named = [str(tmp_path / "r.rank0.pt.trace.json"), str(tmp_path / "r.rank1.trace.json.gz")]
    assert trace_files([str(tmp_path)]) == named
    assert trace_files([named[1], str(tmp_path), "-"]) == [named[1], named[0], "-"]


def test_a_folder_without_traces_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(TraceFormatError, match="folder without traces"):
        trace_files([str(tmp_path)])
