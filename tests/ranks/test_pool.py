"""Several files at once: the same report, one line for what fails, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.ranks.many import folder_of, formula, trace
from traceanalyzer import AnalyzeOptions
from traceanalyzer.cli import main
from traceanalyzer.ranks import pool
from traceanalyzer.ranks.leading import Leading
from traceanalyzer.records import Job
from traceanalyzer.report import render

REAL = os.environ.get("TRACEANALYZER_REAL_TRACES")


def analyzed(folder: Path, **options: object) -> Job:
    return traceanalyzer.analyze(folder, options=AnalyzeOptions(kernels=False, **options))  # type: ignore[arg-type]


def failures(job: Job) -> list[str]:
    return [notice.message for notice in job.source.warnings if notice.code == "rank_failed"]


def children() -> set[int]:
    """Processes that this one has started and not waited for."""
    pids: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ends meanwhile
            pids |= {int(pid) for pid in (task / "children").read_text().split()}
    return pids


def test_the_number_of_workers_is_not_seen_in_the_report(tmp_path: Path) -> None:
    folder, before = folder_of(tmp_path / "job", 7), children()
    (folder / "rank003.trace.json").write_text("not a trace", encoding="utf-8")
    reports = [render(analyzed(folder, jobs=jobs), "json") for jobs in (1, 2, 3)]
    assert reports[0] == reports[1] == reports[2]
    assert len(failures(analyzed(folder, jobs=2))) == 1
    assert children() <= before


def test_a_killed_worker_fails_its_own_file_alone(tmp_path: Path) -> None:
    folder, before = folder_of(tmp_path / "job", 6, odd=2), children()
    own = formula(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    job = analyzed(folder, jobs=2, cost_files=(own,))
    (line,) = failures(job)
    assert "rank002" in line and "SIGKILL" in line and "Fix: " in line and "\n" not in line
    assert [entry.rank for entry in job.ranks or ()] == [0, 1, 3, 4, 5]
    assert children() <= before


def test_formulas_of_the_user_are_run_by_workers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "job", 3, odd=1)
    own = formula(tmp_path, "print('said by a formula')")
    here, there = (analyzed(folder, jobs=jobs, rank=1, cost_files=(own,)) for jobs in (1, 2))
    assert render(here, "json") == render(there, "json")
    assert [(row.name, row.flops) for row in there.op_rows] == [("my::odd", 4096)]


def test_all_failed_is_the_first_error(tmp_path: Path) -> None:
    for rank in range(3):
        (tmp_path / f"rank{rank}.trace.json").write_text(f"{rank}", encoding="utf-8")
    for jobs in (1, 2):
        with pytest.raises(traceanalyzer.TraceFormatError, match=r"rank0\.trace\.json.* Fix: "):
            analyzed(tmp_path, jobs=jobs)


def test_a_wrong_option_is_its_own_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "job", 3)
    with pytest.raises(traceanalyzer.DeviceError, match="abacus"):
        analyzed(folder, jobs=2, device="abacus")


@pytest.mark.parametrize("jobs", [1, 2])
def test_strict_loses_nothing(tmp_path: Path, jobs: int) -> None:
    folder = folder_of(tmp_path / "job", 3)
    (folder / "rank001.trace.json").write_text("not a trace", encoding="utf-8")
    out = tmp_path / "r.json"
    args = ["report", str(folder), "--jobs", str(jobs), "-o", str(out), "--force"]
    lenient = CliRunner().invoke(main, args)
    written = out.read_bytes()
    strict = CliRunner().invoke(main, [*args, "--strict"])
    assert (lenient.exit_code, strict.exit_code) == (0, 2)
    assert out.read_bytes() == written
    for result in (lenient, strict):
        assert "rank001.trace.json" in result.stderr
    (folder / "rank001.trace.json").unlink()
    assert CliRunner().invoke(main, [*args, "--strict"]).exit_code == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_is_of_all_files(tmp_path: Path, jobs: int) -> None:
    folder, seen = folder_of(tmp_path / "job", 5), list[int]()
    options = AnalyzeOptions(jobs=jobs)
    traceanalyzer.analyze(folder, options=options, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == sum(file.stat().st_size for file in folder.iterdir())


def test_a_device_on_top_that_never_led_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "job", 4)
    expected = analyzed(folder, jobs=1)
    assert expected.suggestions is not None
    monkeypatch.setattr(Leading, "leads", lambda self, *_: self.every)
    assert render(analyzed(folder, jobs=1), "json") == render(expected, "json")


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="TRACEANALYZER_REAL_TRACES is not set")
@pytest.mark.parametrize("names", [("train_megatron_tp8_a100",), (
    "train_recsys_a100_rank3of8.json.gz", "train_recsys_v100_rank1of2.json.gz",
    "train_gpt_compiled_h100_rank0of8.json.gz", "infer_moe_b200_rank0of8.json.gz",
)])  # fmt: skip
def test_so_it_is_of_real_ranks_and_whichever_led(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one worker, with two, and where none led, so that the one on top is read again."""
    paths = [Path(REAL or "") / name for name in names]
    options = [AnalyzeOptions(kernels=False, jobs=jobs) for jobs in (1, 2)]
    one, two = (render(traceanalyzer.analyze(paths, options=each), "json") for each in options)
    monkeypatch.setattr(Leading, "leads", lambda self, *_: self.every)
    again = render(traceanalyzer.analyze(paths, options=options[0]), "json")
    assert one == two == again


@pytest.mark.parametrize("command", [("/no/such/python",), (sys.executable, "-c", "raise SystemExit(1)")])
def test_where_no_process_can_be_started_all_is_read_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    folder = folder_of(tmp_path / "job", 4)
    expected, before = render(analyzed(folder, jobs=1), "json"), children()
    monkeypatch.setattr(pool, "COMMAND", command)
    assert render(analyzed(folder, jobs=2), "json") == expected
    assert children() <= before


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "job", 3)
    script = tmp_path / "script.py"
    script.write_text(
        "import threading, traceanalyzer\nprint('once')\n"
        f"job = traceanalyzer.analyze({str(folder)!r}, options=traceanalyzer.AnalyzeOptions(jobs=2))\n"
        "print(len(job.ranks))\n", encoding="utf-8",
    )  # fmt: skip
    result = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True)
    assert (result.stdout, result.stderr, result.returncode) == ("once\n3\n", "", 0)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_workers_end_with_the_one_that_started_them(tmp_path: Path, how: signal.Signals, code: int) -> None:
    """Each notes its process id before it sleeps."""
    folder, notes = folder_of(tmp_path / "job", 2), tmp_path / "notes"
    notes.mkdir()
    for rank in range(2):
        trace(folder, rank, op="my::odd")
    own = formula(tmp_path, f"open({str(notes)!r} + f'/{{os.getpid()}}', 'w').close(); time.sleep(600)")
    command = [sys.executable, "-P", "-m", "traceanalyzer", "report", str(folder), "--jobs", "2",
               "-o", str(tmp_path / "r.json"), "--cost-file", own]  # fmt: skip
    # A shell starts what runs in its background with SIGINT ignored, which children inherit.
    started = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    until(lambda: len(list(notes.iterdir())) == 2)
    started.send_signal(how)
    said = started.communicate(timeout=60)[1]
    assert started.returncode == code
    assert said == ("traceanalyze: interrupted\n" if how == signal.SIGINT else "")
    until(lambda: not any(alive(int(note.name)) for note in notes.iterdir()))


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(traceanalyzer.__file__).parents[1])}


def until(holds: object, seconds: int = 60) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether it runs; one that is gone may wait for init to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
