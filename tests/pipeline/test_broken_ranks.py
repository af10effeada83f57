"""Of several files, one that is broken becomes a notice; the others are reported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer import pipeline
from traceanalyzer.cli import main
from traceanalyzer.records.trace import Trace


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
    with pytest.raises(traceanalyzer.UsageError) as error:
        traceanalyzer.analyze(folder, options=traceanalyzer.AnalyzeOptions(rank=2))
    assert error.value.what.startswith(
        "no work of rank 2 in the input (there is: rank 1, rank 3; its file could not be read: "
        f"{folder / 'rank2.trace.json'}: "
    )
    assert "not JSON" in error.value.what and error.value.what.endswith(")")
    assert error.value.fix == "give --rank as listed, or leave it out"
    assert "\n" not in str(error.value) and str(error.value).count("Fix: ") == 1


@pytest.mark.parametrize(("asked", "what", "fix"), [
    ({"rank": 7}, "rank 7 in the input (there is: rank 1, rank 3)", "--rank as listed, or leave it out"),
    ({"gpu": 3}, "GPU 3 in the input (there is: GPU 0)", "--gpu as listed, or leave it out"),
    ({"rank": 1, "gpu": 3}, "rank 1 on GPU 3 in the input (there is: rank 1 on GPU 0, rank 3 on GPU 0)",
     "--rank and --gpu as listed, or leave them out"),
])  # fmt: skip
def test_only_what_was_asked_for_is_named(folder: Path, asked: dict[str, int], what: str, fix: str) -> None:
    with pytest.raises(traceanalyzer.UsageError) as error:
        traceanalyzer.analyze(folder, options=traceanalyzer.AnalyzeOptions(**asked))  # type: ignore[arg-type]
    assert (error.value.what, error.value.fix) == (f"no work of {what}", f"give {fix}")


def test_a_rank_that_is_not_recorded_is_unknown(tmp_path: Path) -> None:
    t = Kineto()
    t.run("aten::add", 0, "add_kernel", 100, 300, ([4096], "float"), ([4096], "float"))
    path = t.write(tmp_path / "a.json")
    with pytest.raises(
        traceanalyzer.UsageError, match="no work of rank 0 in the input, of which no file names"
    ):
        traceanalyzer.analyze(path, options=traceanalyzer.AnalyzeOptions(rank=0))


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


def test_an_error_of_ours_in_one_file_costs_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in range(3):
        whole(tmp_path, rank, 100 + rank)
    read = pipeline.loaded_processes

    def loaded(file: str, *others: Any) -> Iterator[Trace]:
        if "rank1" in file:
            raise IndexError("on purpose")
        return read(file, *others)

    monkeypatch.setattr(pipeline, "loaded_processes", loaded)
    job = traceanalyzer.analyze(tmp_path)
    assert [entry.rank for entry in job.ranks or ()] == [0, 2]
    (message,) = [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]
    assert "rank1.trace.json: internal error: IndexError: on purpose" in message
    with pytest.raises(IndexError):
        traceanalyzer.analyze(tmp_path / "rank1.trace.json")


def test_steps_that_one_rank_lacks_cost_that_rank(tmp_path: Path) -> None:
    for rank in range(2):
        t = Kineto(metadata={"distributedInfo": {"rank": rank}})
        t.annotation(f"ProfilerStep#{5 - rank}", 0, 1000)
        t.run("aten::add", 100, "add_kernel", 200, 300, ([4096], "float"), ([4096], "float"))
        t.write(tmp_path / f"rank{rank}.trace.json")
    job = traceanalyzer.analyze(tmp_path, steps="5-5")
    assert job.source.files[0].rank == 0
    (message,) = [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]
    assert "rank1.trace.json: has no steps 5-5" in message


def test_a_broken_capture_is_refused_before_any_rank_is_read(folder: Path) -> None:
    capture = folder.parent / "capture.json"
    capture.write_bytes(b"")
    with pytest.raises(traceanalyzer.TraceFormatError, match=r"capture\.json.*empty"):
        traceanalyzer.analyze(folder, options=traceanalyzer.AnalyzeOptions(capture=str(capture)))


@pytest.mark.parametrize("wrong", [
    {"device": "H9000"}, {"peaks": ["x"]}, {"bandwidth": "fast"}, {"what_if": ["H9000"]},
    {"settings": ["nothing=1"]}, {"device_file": "not_there.toml"}, {"cost_files": ["not_there.py"]},
], ids=str)  # fmt: skip
def test_a_wrong_option_is_an_error_before_a_trace_is_read(
    wrong: dict[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "loaded_processes", lambda *_: pytest.fail("a trace was read"))
    with pytest.raises(traceanalyzer.TraceAnalyzerError):
        traceanalyzer.analyze(folder, options=traceanalyzer.AnalyzeOptions(**wrong))  # type: ignore[arg-type]


def test_one_file_by_two_names_is_one_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = whole(tmp_path, 0, 100)
    monkeypatch.chdir(tmp_path)
    job = traceanalyzer.analyze([path.name, path, f"../{tmp_path.name}/{path.name}"])
    assert job.ranks is None and job.source.files[0].path == path.name


def test_no_file_at_all_is_refused() -> None:
    with pytest.raises(traceanalyzer.UsageError, match="no trace"):
        traceanalyzer.analyze([])


def joined(folder: Path, pids: Sequence[int | str]) -> Path:
    """Two processes in one file, of which the second has no ProfilerStep annotations."""
    t = Kineto()
    for rank, pid in enumerate(pids):
        events, t.events = t.events, []
        for step in range(3):
            if not rank:
                t.annotation(f"ProfilerStep#{step + 4}", 1000 * step, 900)
            for i in range(5):
                at = 1000 * step + 100 + 50 * i
                t.run("aten::add", at, "add_kernel", at + 5, 20, ([4096], "float"), ([4096], "float"))
                t.events[-1]["args"]["device"] = rank
        for event in t.events:
            if event["pid"] == 10:
                event["pid"] = pid
            else:
                event["pid"] = rank
        t.events = events + t.events
    return t.write(folder / "joined.json")


@pytest.mark.parametrize(
    ("pids", "label"),
    [((4100, 4210), "(process 4210)"), (("[TP00] 4100", "[TP01] 4100"), "(rank 1")],
)
@pytest.mark.parametrize(("option", "word"), [("steps", "no ProfilerStep"), ("steps_by", "no annotation is")])
def test_what_one_process_of_a_file_lacks_costs_that_process(
    tmp_path: Path, pids: Sequence[int | str], label: str, option: str, word: str
) -> None:
    path = joined(tmp_path, pids)
    wanted = {"steps": "4-6", "steps_by": "ProfilerStep"}[option]
    job = traceanalyzer.analyze(path, options=traceanalyzer.AnalyzeOptions(**{option: wanted}))
    assert job.window.step_count == 3 and job.source.files[0].device_index == 0
    (message,) = [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]
    assert f"joined.json {label}" in message and word in message
    with pytest.raises(traceanalyzer.TraceAnalyzerError):
        traceanalyzer.analyze(path, options=traceanalyzer.AnalyzeOptions(**{option: "7-9"}))
