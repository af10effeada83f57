"""What a report says of a job: which rank it shows and why, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ranks.made import Collective, Product, Work, run, write
from traceanalyzer import AnalyzeOptions, Job, analyze
from traceanalyzer.report import redacted, render
from traceanalyzer.report.context import suggestion_texts
from traceanalyzer.report.json import read_back
from traceanalyzer.report.terminal import summary

RANKS = tuple(range(4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rank 2 comes last, and waits least."""

    def of(rank: int, step: int) -> list[Work]:
        return [Product(1600 if rank == 2 else 1000), Collective("all_reduce", RANKS, 400)]

    done, _ = run(4, 4, of)
    return write(tmp_path_factory.mktemp("made") / "job", done,
                 clock=lambda rank, us: us + 5_000_000 - 1_000_000 * rank)  # fmt: skip


@pytest.fixture(scope="module")
def job(folder: Path) -> Job:
    return analyze(folder)


def test_the_sentence_names_the_rank_and_why_it_is_shown(job: Job) -> None:
    text = render(job, "md")
    assert "On rank 2, which the other 3 wait for:" in text
    assert "The others wait for rank 2: " in text


def test_another_rank_is_shown_when_asked_for(folder: Path) -> None:
    text = render(analyze(folder, options=AnalyzeOptions(rank=1)), "md")
    assert "On rank 1, one of 4 (the others wait for rank 2):" in text


def test_where_none_stands_out_it_says_so(tmp_path: Path) -> None:
    done, _ = run(4, 3, lambda rank, step: [Product(1000), Collective("all_reduce", RANKS, 400)])
    text = render(analyze(write(tmp_path / "job", done)), "md")
    assert "none stands out as waited for" in text and "No rank stands out: " in text


@pytest.mark.parametrize("form", ["html", "md", "txt"])
def test_every_format_has_the_waits(job: Job, form: str) -> None:
    text = render(job, form)
    assert text.count("waited for") + text.count("Waited for") >= 1
    assert "2.40 ms" in text, "4 x 600 µs, of each of the other ranks"


def test_the_terminal_shows_the_extremes_of_many_ranks(tmp_path: Path) -> None:
    count = 24
    done, _ = run(count, 2, lambda rank, step: [
        Product(1000 + 10 * rank), Collective("all_reduce", tuple(range(count)), 100)
    ])  # fmt: skip
    job = analyze(write(tmp_path / "job", done))
    lines = summary(job, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    ranks = [line for line in lines if " ms" in line and line.split()[0] in {*map(str, range(count)), "▸"}]
    assert len(ranks) == 9 and any(line.startswith("▸") and " 23 " in line for line in ranks)
    assert any("and 15 more" in line for line in lines)


def test_the_report_is_read_back_and_redacted(job: Job) -> None:
    text = render(job, "json")
    assert any(each["clock_offset_ns"] < 0 or each["clock_offset_ns"] > 0
               for each in json.loads(text)["job"]["ranks"])  # fmt: skip
    assert read_back(text.encode()).job == job.job
    assert redacted(job).job == job.job


def test_nobody_is_told_to_report_on_all_ranks_who_did(folder: Path, job: Job) -> None:
    alone = analyze(folder / "rank0.json")
    asked = [each for each in suggestion_texts(alone) or () if each.rule == "exposed_communication"]
    assert asked and any("a folder with one trace a rank" in caveat for caveat in asked[0].caveats)
    given = analyze(folder, options=AnalyzeOptions(rank=0))
    done = [each for each in suggestion_texts(given) or () if each.rule == "exposed_communication"]
    assert done and not any("a folder" in caveat for caveat in done[0].caveats)
    assert any("(see the ranks)" in caveat for caveat in done[0].caveats)


def test_ranks_that_cannot_be_compared_are_still_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("no clock")

    monkeypatch.setattr("traceanalyzer.ranks.job_info.compared", fails)
    job = analyze(folder)
    assert job.job is None and job.ranks is not None and len(job.ranks) == 4
    assert [w.code for w in job.source.warnings if w.code == "ranks_not_compared"]
    assert "no clock" in render(job, "md")


def test_the_terminal_names_every_file_that_is_missing(tmp_path: Path) -> None:
    done, _ = run(3, 2, lambda rank, step: [Product(1000), Collective("all_reduce", (0, 1, 2), 100)])
    folder = write(tmp_path / "job", done)
    broken = [folder / f"rank{rank}.json" for rank in range(3, 9)]
    for path in broken:
        path.write_bytes(b"\x1f\x8bnot a trace")
    text = summary(analyze(folder), width=80)
    assert all(path.name in "".join(text.split()) for path in broken)
