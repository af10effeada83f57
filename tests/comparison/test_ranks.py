"""Folders of ranks and saved reports: the same rank on both sides, and no option that changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

import traceanalyzer
from tests.comparison.sides import row, run
from tests.pipeline.kineto import Kineto
from traceanalyzer.ci.job import report
from traceanalyzer.cli import main
from traceanalyzer.comparing import check
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.diff_view import diff_view


def traces(folder: Path, times: dict[int, int]) -> Path:
    """A folder of ranks that are busy for so many microseconds."""
    folder.mkdir()
    for rank, time in times.items():
        trace = Kineto(metadata={"distributedInfo": {"rank": rank}})
        trace.run("aten::add", 0, "add_kernel", 100, time, ([4096], "float"), ([4096], "float"))
        trace.write(folder / f"rank{rank}.trace.json")
    return folder


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Rank 1 is the busiest of the base, rank 0 of the head."""
    return traces(tmp_path / "base", {0: 100, 1: 300}), traces(tmp_path / "head", {0: 400, 1: 300})


def test_the_baseline_of_a_folder_is_of_the_rank_that_is_checked(sides: tuple[Path, Path]) -> None:
    base, head = sides
    result = check(head, ["time.busy_ns<=+5%"], baseline=base)
    assert [file.rank for file in (*result.source.files, *(result.baseline or result.source).files)] == [0, 0]
    assert result.requirements[0].baseline == 100_000


def test_ranks_that_are_not_the_same_are_noted(sides: tuple[Path, Path]) -> None:
    reports = [traceanalyzer.analyze(folder) for folder in sides]
    comparison = comparison_of([reports[0]], [reports[1]])
    assert (
        "Not the same rank and device: rank 1 on device 0, then rank 0 on device 0."
        in diff_view(comparison, 5).notes
    )
    assert traceanalyzer.compare(sides[0], sides[1]).busy_ns.change == 0
    assert not any("rank" in note for note in diff_view(comparison_of(reports[:1], reports[:1]), 5).notes)


def test_a_job_compares_the_rank_that_the_baseline_shows(sides: tuple[Path, Path], tmp_path: Path) -> None:
    """Which rank is busiest changes from run to run."""
    base, head = sides
    traceanalyzer.analyze(base).save(tmp_path / "base.json")
    log: list[str] = []
    outputs = tmp_path / "outputs"
    given = {"INPUT_TRACE": str(head), "INPUT_BASELINE": str(tmp_path / "base.json"),
             "INPUT_REQUIRE": "time.busy_ns<=+5%", "RUNNER_TEMP": str(tmp_path),
             "GITHUB_OUTPUT": str(outputs)}  # fmt: skip
    assert report(given, log.append) == 0
    assert "exit-code=0" in outputs.read_text(), log
    assert any("rank 1, which the baseline shows, in the place of rank 0" in line for line in log)


@pytest.mark.parametrize("option", [["--device", "a100-sxm4-80gb"], ["--steps", "all"]])
def test_an_option_that_cannot_change_a_saved_report_is_refused(
    option: list[str], sides: tuple[Path, Path], tmp_path: Path
) -> None:
    traceanalyzer.analyze(sides[0]).save(tmp_path / "base.json")
    done = CliRunner().invoke(main, ["diff", str(tmp_path / "base.json"), str(sides[1]), "-o", "-", *option])
    assert done.exit_code == 2 and f"is a saved report, which {option[0]} cannot change" in done.stderr
    with pytest.raises(UsageError, match="cannot change"):
        traceanalyzer.compare(
            tmp_path / "base.json", sides[1], options=traceanalyzer.AnalyzeOptions(steps="all")
        )


@pytest.mark.parametrize("rank", [None, 0])
def test_a_folder_of_runs_is_as_many_runs(rank: int | None, tmp_path: Path) -> None:
    """Three recordings of one program: none of them is dropped, and what they are taken for is said."""
    for name, times in (("base", (100, 110, 120)), ("head", (200, 210, 220))):
        (tmp_path / name).mkdir()
        for number, time in enumerate(times):
            trace = Kineto(metadata={"distributedInfo": {"rank": rank}} if rank is not None else {})
            trace.run("aten::add", 0, "add_kernel", 100, time, ([4096], "float"), ([4096], "float"))
            trace.write(tmp_path / name / f"run_{'abc'[number]}.trace.json")
    comparison = traceanalyzer.compare(tmp_path / "base", tmp_path / "head")
    assert (comparison.base.runs, comparison.head.runs) == (3, 3)
    assert (comparison.busy_ns.base, comparison.busy_ns.head) == (110_000, 210_000)
    assert "runs_in_a_folder" in comparison.base.warnings
    told = check(tmp_path / "head", ["time.busy_ns<=+5%"], baseline=tmp_path / "base")
    assert (told.requirements[0].value, told.requirements[0].baseline) == (210_000, 110_000)
    assert sum(notice.code == "runs_in_a_folder" for notice in told.source.warnings) == 1


def test_a_folder_of_saved_reports_is_as_many_runs(sides: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    for name, folder in zip("ab", sides, strict=True):
        traceanalyzer.analyze(folder).save(tmp_path / "saved" / f"{name}.json")
    assert traceanalyzer.compare(tmp_path / "saved", sides[0]).base.runs == 2


def test_a_rank_that_is_asked_for_is_taken_or_refused(sides: tuple[Path, Path], tmp_path: Path) -> None:
    base, head = (side / "rank1.trace.json" for side in sides)
    for rank, code in (("1", 0), ("3", 2)):
        done = CliRunner().invoke(main, ["diff", str(base), str(head), "--rank", rank, "-o", "-"])
        assert done.exit_code == code, done.output
    assert "there is: rank 1" in done.stderr and done.stderr.count("\n") == 1
    traceanalyzer.analyze(base).save(tmp_path / "saved.json")
    for rank, code in (("1", 0), ("3", 2)):
        words = ["diff", str(tmp_path / "saved.json"), str(head), "--rank", rank, "-o", "-"]
        assert CliRunner().invoke(main, words).exit_code == code


def test_every_run_of_a_side_tells_its_device() -> None:
    one = run(row("mul", 9_000_000, (64, 64)))
    other = structs.replace(one, device=structs.replace(one.device, id="a100", name="NVIDIA A100"))
    work = comparison_of([one], [one, other]).same_work
    assert not work.same and [reason.code for reason in work.reasons][:1] == ["device"]
    assert work.reasons[0].head == f"{one.device.name} and NVIDIA A100"


@pytest.mark.parametrize(("apart_us", "ranks"), [(3, True), (60_000_000, False)])
def test_ranks_that_communicate_and_name_none_are_no_runs(apart_us: int, ranks: bool, tmp_path: Path) -> None:
    """Two recordings with the same all-reduces: at one time by two ranks, or by one program run again."""
    name = "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevComm*, unsigned long, ncclWork*)"
    for number in range(2):
        trace = Kineto()
        for call in range(6):
            at = 1000 * call + number * apart_us
            trace.run("c10d::allreduce_", at, name, at + 50, 100 + call, ([4096], "float"))
        trace.write(tmp_path / f"run_{'ab'[number]}.trace.json")
    if ranks:
        with pytest.raises(UsageError, match="ranks that communicate .* Fix: name the files rank0"):
            traceanalyzer.compare(tmp_path, tmp_path)
    else:
        assert traceanalyzer.compare(tmp_path, tmp_path).base.runs == 2
