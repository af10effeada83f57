"""A job of which much cannot be read: the report of the rest names what is missing, and exits as told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.ranks.many import folder_of, formula
from traceanalyzer import AnalyzeOptions, TraceFormatError
from traceanalyzer.cli import main
from traceanalyzer.report import render
from traceanalyzer.trace.reading import remote

pytestmark = pytest.mark.slow
FILES, LOST, CORRUPT = 64, 31, 7
PLACES = ["s3://gone/run/*.json", "s3://gone/rank99.json"]


def job_of(folder: Path) -> Path:
    """Files of one size, so that they are read in their order; one is corrupt, one has the odd operator."""
    folder_of(folder, FILES, odd=LOST)
    odd, other = (folder / f"rank{rank:03}.trace.json" for rank in (LOST, LOST + 1))
    odd.write_bytes(odd.read_bytes().ljust(other.stat().st_size))
    (folder / f"rank{CORRUPT:03}.trace.json").write_bytes(b"\x1f\x8bnot a trace")
    return folder


def killing_once(folder: Path) -> str:
    """A formula that kills the first process that uses it."""
    mark = str(folder / "killed")
    body = f"os.path.exists({mark!r}) or (open({mark!r}, 'w').close(), os.kill(os.getpid(), signal.SIGKILL))"
    return formula(folder, body)


def test_what_is_missing_of_64_files_and_two_places(tmp_path: Path, refused: None) -> None:
    """A worker killed in the middle, a corrupt file, and two names of a bucket that nobody answers for."""
    folder, out = job_of(tmp_path / "job"), tmp_path / "r.json"
    own = killing_once(tmp_path)
    args = [
        "report",
        "-q",
        str(folder),
        *PLACES,
        "-o",
        str(out),
        "--force",
        "--jobs",
        "2",
        "--cost-file",
        own,
    ]
    lenient = CliRunner().invoke(main, args)
    assert lenient.exit_code == 0, lenient.output
    told = json.loads(out.read_bytes())
    missing = {f"rank{CORRUPT:03}.trace.json", f"rank{LOST:03}.trace.json", *PLACES}
    assert {each["file"].removeprefix(f"{folder}/") for each in told["job"]["failed"]} == missing
    lines = lenient.stderr.splitlines()
    assert len(lines) == len(missing) and all("rank_failed" in line for line in lines)
    for name in missing:
        assert sum(name in line and "Fix: " in line for line in lines) == 1
    assert "SECRET" not in lenient.output and "SIGKILL" in lenient.stderr
    assert the_rest(told) == the_rest(alone(folder, own))
    strict = CliRunner().invoke(main, [*args, "--strict"])  # nothing is killed this time
    assert strict.exit_code == 2
    assert len(json.loads(out.read_bytes())["ranks"]) == FILES - 1


def alone(folder: Path, own: str) -> Any:
    """The report of the files that can be read, by one process."""
    names = [f"rank{rank:03}.trace.json" for rank in range(FILES) if rank not in (LOST, CORRUPT)]
    options = AnalyzeOptions(kernels=False, jobs=1, cost_files=(own,))
    return json.loads(
        render(traceanalyzer.analyze([folder / name for name in names], options=options), "json")
    )


def the_rest(told: Any) -> Any:
    """A report but for what it says of what is missing."""
    job = {key: value for key, value in told["job"].items() if key != "failed"}
    source = {key: value for key, value in told["source"].items() if key != "warnings"}
    return told | {"job": job, "source": source}


def test_a_bucket_that_refuses_is_one_line(tmp_path: Path, refused: None) -> None:
    for place in PLACES:
        said = CliRunner().invoke(main, ["report", place, "-o", str(tmp_path / "r.json")])
        assert said.exit_code == 2 and not (tmp_path / "r.json").exists()
        (line,) = said.stderr.splitlines()
        assert line.startswith(f"traceanalyze: {place}: the connection failed") and "Fix: check" in line


def test_a_client_that_has_tried_for_long_is_not_asked_again(
    refused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try of it takes most of a minute."""
    tries: list[str] = []
    opened = remote._BucketStream.__init__

    def counted(self: Any, url: str, *rest: Any) -> None:
        tries.append(url)
        opened(self, url, *rest)

    monkeypatch.setattr(remote._BucketStream, "__init__", counted)
    with pytest.raises(TraceFormatError, match="the connection failed"):
        remote.RemoteFile(PLACES[1])
    assert tries == [PLACES[1]]
