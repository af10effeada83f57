"""`--ranks`: only the files of those ranks are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.storage.traces import packed, trace
from traceanalyzer import AnalyzeOptions, UsageError
from traceanalyzer.cli import main
from traceanalyzer.trace import trace_files
from traceanalyzer.trace.reading.chosen_ranks import of_ranks, parsed, ranges


def chosen(path: Path, ranks: str) -> list[str]:
    return [Path(name).name for name in trace_files([str(path)], ranks=ranks)]


@pytest.mark.parametrize(
    ("text", "ranks"),
    [("0", [0]), ("0,8,16", [0, 8, 16]), ("0-3", [0, 1, 2, 3]), (" 1 , 4 - 5", [1, 4, 5]), ("7-7", [7])],
)
def test_ranks_are_numbers_and_ranges(text: str, ranks: list[int]) -> None:
    assert [number for part in parsed(text) for number in part] == ranks


@pytest.mark.parametrize("text", ["", "a", "1,", "5-3", "-1", "1--2", "0-999999999", "1.5", "all"])
def test_what_names_no_rank_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"names no rank\. Fix: give numbers and ranges"):
        parsed(text)


def test_ranges_are_written_short() -> None:
    assert ranges([0, 1, 2, 3, 8, 10, 11]) == "0-3,8,10-11"
    assert ranges(range(0, 100, 2)).endswith("30 and 34 more")


def test_of_a_thousand_files_only_those_are_read(tmp_path: Path) -> None:
    for rank in range(1000):
        (tmp_path / f"run.rank{rank}.json").write_bytes(b"not read")
    for rank in (0, 8, 16):
        (tmp_path / f"run.rank{rank}.json").write_bytes(trace(rank, time=10 + rank))
    job = traceanalyzer.analyze(tmp_path, options=AnalyzeOptions(ranks="0,8,16"))
    assert sorted(entry.busy_ns // 1000 for entry in job.ranks or ()) == [10, 18, 26]
    assert [notice for notice in job.source.warnings if notice.code == "rank_failed"] == []


def test_ranks_that_are_not_there_are_named_beside_those_that_are(tmp_path: Path) -> None:
    for rank in (0, 1, 2, 5):
        (tmp_path / f"rank{rank}.json").write_bytes(trace(rank))
    with pytest.raises(UsageError, match=r"no file of rank 3-4,9 in the input \(there are: 0-2,5\)\. Fix: "):
        chosen(tmp_path, "1-5,9")
    said = CliRunner().invoke(main, ["report", str(tmp_path), "--ranks", "7", "-o", "-"])
    assert said.exit_code == 2 and len(said.stderr.splitlines()) == 1


def at_the_end(rank: int) -> bytes:
    document = json.loads(trace(rank, padding=20_000))
    return json.dumps(document | {"distributedInfo": document.pop("distributedInfo")}).encode()


def test_names_that_tell_no_rank_are_looked_into(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.json").write_bytes(trace(4, padding=20_000))
    (tmp_path / "b.json").write_bytes(at_the_end(2))
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(at_the_end(7)))
    (tmp_path / "d.json.gz").write_bytes(packed(1))
    (tmp_path / "e.json").write_bytes(b"")
    (tmp_path / "f.json.gz").write_bytes(packed())
    assert chosen(tmp_path, "2") == ["b.json"]
    assert chosen(tmp_path, "1,4,7") == ["a.json", "c.json.gz", "d.json.gz"]
    with pytest.raises(UsageError, match=r"\(there are: 1-2,4,7; the rank of 2 files is not known\)"):
        chosen(tmp_path, "0")


def test_what_stands_in_a_string_is_no_rank(tmp_path: Path) -> None:
    document = json.loads(trace(3))
    text = json.dumps({"note": '"distributedInfo": {"rank": 9}', **document})
    (tmp_path / "a.json").write_text(text)
    assert of_ranks([str(tmp_path / "a.json")], "3") == [str(tmp_path / "a.json")]


def test_a_long_distributed_info_across_blocks(tmp_path: Path) -> None:
    groups = [{"pg_name": str(n), "ranks": list(range(64))} for n in range(300)]
    document = json.loads(trace(padding=400_000)) | {"distributedInfo": {"pg_config": groups, "rank": 6}}
    import gzip

    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(document).encode()))
    assert chosen(tmp_path, "6") == ["a.json.gz"]


def test_diff_reads_the_same_ranks_of_both_sides(tmp_path: Path) -> None:
    for side, time in (("a", 100), ("b", 200)):
        (tmp_path / side).mkdir()
        for rank in range(3):
            (tmp_path / side / f"rank{rank}.json").write_bytes(trace(rank, time=time + rank))
        (tmp_path / side / "rank2.json").write_bytes(b"broken")
    out = tmp_path / "d.json"
    sides = [str(tmp_path / "a"), str(tmp_path / "b")]
    said = CliRunner().invoke(main, ["diff", *sides, "--ranks", "0-1", "-o", str(out)])
    assert said.exit_code == 0, said.output
    text = out.read_text()
    assert "rank1.json" in text and "rank_failed" not in text


def test_diff_of_a_saved_report_and_some_ranks(tmp_path: Path) -> None:
    for rank in range(2):
        (tmp_path / f"rank{rank}.json").write_bytes(trace(rank, time=100 + rank))
    saved = tmp_path / "saved.report"
    traceanalyzer.analyze(tmp_path / "rank0.json").save(saved.with_suffix(".json"))
    options = AnalyzeOptions(ranks="0", kernels=False)
    pattern = str(tmp_path / "rank?.json")
    comparison = traceanalyzer.compare(saved.with_suffix(".json"), pattern, options=options)
    assert [file.rank for file in comparison.head.files] == [0]
