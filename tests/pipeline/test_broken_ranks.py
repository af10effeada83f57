"""Of several files, one that is broken becomes a notice; the others are reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.cli import main


def whole(folder: Path, rank: int, time: int) -> Path:
    t = Kineto(metadata={"distributedInfo": {"rank": rank}})
    t.run("aten::add", 0, "add_kernel", 100, time, ([4096], "float"), ([4096], "float"))
    return t.write(folder / f"rank{rank}.trace.json")


def broken(folder: Path, rank: int, content: bytes) -> Path:
    path = folder / f"rank{rank}.trace.json"
    path.write_bytes(content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rank 0 was truncated to nothing, rank 2 is no JSON."""
    (tmp_path / "traces").mkdir()
    broken(tmp_path / "traces", 0, b"")
    whole(tmp_path / "traces", 1, 300)
    broken(tmp_path / "traces", 2, b"<html>404 Not Found</html>")
    whole(tmp_path / "traces", 3, 100)
    return tmp_path / "traces"


def test_the_others_are_reported_and_each_failure_is_a_notice(folder: Path) -> None:
    job = traceanalyzer.analyze(folder)
    assert [(entry.rank, entry.busy_ns) for entry in job.ranks or ()] == [(1, 300_000), (3, 100_000)]
    assert job.time.busy_ns == 300_000, "the busiest of those that can be read"
    failed = [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]
    assert len(failed) == 2 and all("\n" not in message for message in failed)
    assert "rank0.trace.json" in failed[0] and "empty" in failed[0]
    assert "rank2.trace.json" in failed[1] and "not JSON" in failed[1]


def test_a_file_that_is_left_alone_needs_no_table_of_ranks(folder: Path) -> None:
    (folder / "rank3.trace.json").unlink()
    job = traceanalyzer.analyze(folder)
    assert job.ranks is None and job.source.files[0].rank == 1
    assert [n.code for n in job.source.warnings].count("rank_failed") == 2


def test_a_rank_whose_file_is_broken_cannot_be_chosen(folder: Path) -> None:
    with pytest.raises(traceanalyzer.UsageError, match=r"no work of rank 2.*rank 1.*rank 3"):
        traceanalyzer.analyze(folder, options=traceanalyzer.AnalyzeOptions(rank=2))


@pytest.mark.parametrize("quiet", [False, True])
def test_the_command_line_reports_them_and_says_what_failed(folder: Path, quiet: bool) -> None:
    out = folder.parent / "r.json"
    said = CliRunner().invoke(main, ["report", str(folder), "-o", str(out), *["-q"] * quiet])
    assert said.exit_code == 0, said.output
    codes = [notice["code"] for notice in json.loads(out.read_text(encoding="utf-8"))["source"]["warnings"]]
    assert codes.count("rank_failed") == 2
    lines = [line for line in said.stderr.splitlines() if "rank_failed" in line]
    assert len(lines) == 2
    if quiet:
        assert said.stderr.splitlines() == lines
        assert all(line.startswith("traceanalyze: warning: rank_failed: ") for line in lines)


def test_all_broken_is_the_first_ones_error(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    broken(tmp_path / "traces", 0, b"")
    broken(tmp_path / "traces", 1, b"hello")
    with pytest.raises(traceanalyzer.TraceFormatError, match=r"rank0\.trace\.json: .*empty.* Fix: "):
        traceanalyzer.analyze(tmp_path / "traces")
    said = CliRunner().invoke(main, ["report", str(tmp_path / "traces"), "-o", str(tmp_path / "r.json")])
    assert said.exit_code == 2 and not (tmp_path / "r.json").exists()
    (line,) = said.stderr.splitlines()
    assert line.startswith("traceanalyze: ") and "rank0.trace.json" in line


def test_one_broken_file_alone_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path, 0, b"")
    with pytest.raises(traceanalyzer.TraceFormatError, match="empty"):
        traceanalyzer.analyze([path])


def test_a_wrong_option_is_no_failure_of_a_file(folder: Path) -> None:
    with pytest.raises(traceanalyzer.TraceAnalyzerError, match="H9000"):
        traceanalyzer.analyze(folder, device="H9000")
