"""A real Dask cluster of processes: lost workers, corrupt files, and the report of a single process."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.ranks.made import run, write
from tests.ranks.many import folder_of, formula
from tests.ranks.test_waits import pipeline, program
from traceanalyzer import AnalyzeOptions
from traceanalyzer.cli import main
from traceanalyzer.pipeline import FileRecipe
from traceanalyzer.ranks import cluster
from traceanalyzer.ranks.leading import Leading
from traceanalyzer.records.file_result import FileResult
from traceanalyzer.report import render

REAL = os.environ.get("TRACEANALYZER_REAL_TRACES")
dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        yield local.scheduler_address


def pids(address: str) -> list[int]:
    with distributed.Client(address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


@pytest.mark.slow
def test_a_lost_worker_a_corrupt_file_and_a_bucket_out_of_reach(
    tmp_path: Path, scheduler: str, refused: None
) -> None:
    """One of two workers is killed in the middle of 64 files; the report is that of one process."""
    folder, gone = folder_of(tmp_path / "job", 64, odd=40), "s3://gone/run/*.json"
    (folder / "rank007.trace.json").write_bytes(b"\x1f\x8bnot a trace")
    slow = formula(tmp_path, "time.sleep(2)")
    seen: list[int] = []
    killer = threading.Thread(target=killed_in_the_middle, args=(seen, pids(scheduler)[0]))
    killer.start()
    options = {"kernels": False, "cost_files": (slow,)}
    there = traceanalyzer.analyze(
        [folder, gone], options=AnalyzeOptions(scheduler=scheduler, **options), progress=seen.append
    )
    killer.join()
    here = traceanalyzer.analyze([folder, gone], options=AnalyzeOptions(jobs=1, **options))
    assert render(there, "json") == render(here, "json")
    assert len(there.ranks or ()) == 63
    lines = [n.message for n in there.source.warnings if n.code == "rank_failed"]
    assert all(name in line and "\n" not in line for name, line in zip((gone, "rank007"), lines, strict=True))
    assert seen == sorted(seen) and seen[-1] == sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["products", "stages", "real"])
def test_the_report_is_that_of_this_machine(tmp_path: Path, scheduler: str, name: str) -> None:
    """Bytes are the same, whoever has read the ranks, also where the one on top is read again."""
    if name == "real" and REAL is None:
        pytest.skip("TRACEANALYZER_REAL_TRACES is not set")
    made = {"products": program(1), "stages": pipeline(1)}
    folder = Path(REAL or "") / "train_megatron_tp8_a100"
    if name in made:
        folder = write(tmp_path / "job", run(4, 3, made[name])[0])
    for rank in (None, 2):
        options = {"kernels": False, "rank": rank}
        there = traceanalyzer.analyze(folder, options=AnalyzeOptions(scheduler=scheduler, **options))
        here = traceanalyzer.analyze(folder, options=AnalyzeOptions(jobs=1, **options))
        assert render(there, "json") == render(here, "json")
        assert (
            there.job is not None and there.job.straggler_rank is not None and there.suggestions is not None
        )


@pytest.mark.slow
def test_what_only_the_rank_on_top_needs_is_made_for_those_that_lead(
    tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the pool: for what is sent first, and then for one that is busier than all before it."""
    whole: list[bool] = []
    taken = cluster._result

    def noted(future: object, file: str) -> FileResult:
        result = taken(future, file)  # type: ignore[arg-type]
        whole.extend(each.analysis is not None for each in result.results)
        return result

    monkeypatch.setattr(cluster, "_result", noted)
    folder = folder_of(tmp_path / "job", 24)
    there = traceanalyzer.analyze(folder, options=AnalyzeOptions(scheduler=scheduler, kernels=False))
    assert len(whole) in (24, 25), "the one on top may be read once more"
    threads, steps_up = 2, 6  # of busy time, from one rank to the next
    assert 1 <= sum(whole) <= 2 * threads + steps_up + 1
    here = traceanalyzer.analyze(folder, options=AnalyzeOptions(jobs=1, kernels=False))
    assert render(there, "json") == render(here, "json")


def test_twice_as_many_are_sent_as_there_are_threads() -> None:
    """Also where workers come when some are sent already; each file once."""
    threads: dict[str, int] = {}
    client = SimpleNamespace(nthreads=lambda: threads, submit=lambda *_, **__: Pending())
    tasks = cluster.Tasks(
        client, [f"{n}.json" for n in range(9)], FileRecipe(AnalyzeOptions(), None), list(range(9))
    )  # fmt: skip
    counts = []
    for there in ({}, {"a": 1}, {"a": 1, "b": 2}, {"b": 2}, {"b": 9}):
        threads.clear()
        threads.update(there)
        tasks.send(Leading())
        counts.append(len(tasks.sent))
    assert counts == [2, 2, 6, 6, 9] and sorted(tasks.sent.values()) == list(range(9))


class Pending:
    def add_done_callback(self, _: object) -> None:
        """Never."""


@pytest.mark.slow
def test_workers_that_come_when_the_job_waits_for_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "job", 6)
    with distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as local:
        threading.Timer(1.5, local.scale, (2,)).start()
        options = AnalyzeOptions(scheduler=local.scheduler_address, kernels=False)
        there = traceanalyzer.analyze(folder, options=options)
    here = traceanalyzer.analyze(folder, options=AnalyzeOptions(jobs=1, kernels=False))
    assert render(there, "json") == render(here, "json")


@pytest.mark.slow
def test_a_cluster_that_is_closed_in_the_middle(tmp_path: Path) -> None:
    """The report of what has been read names each file that has not."""
    folder, seen = folder_of(tmp_path / "job", 24), list[int]()
    patient = dask.config.set({"distributed.comm.timeouts.connect": "2s"})  # with a scheduler that is gone
    with (
        patient,
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local,
    ):

        def closing(read: int) -> None:
            seen.append(read)
            if len(seen) == 6:
                local.close()

        options = AnalyzeOptions(scheduler=local.scheduler_address, kernels=False)
        job = traceanalyzer.analyze(folder, options=options, progress=closing)
    lines = [n.message for n in job.source.warnings if n.code == "rank_failed"]
    assert 6 <= len(job.ranks or ()) < 24 and len(job.ranks or ()) + len(lines) == 24
    assert all("the cluster was closed before it was read (" in line and "Fix: " in line for line in lines)


def killed_in_the_middle(seen: list[int], pid: int) -> None:
    while len(seen) < 10:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_client_that_is_there(tmp_path: Path, scheduler: str) -> None:
    folder = folder_of(tmp_path / "job", 3)
    with distributed.Client(scheduler, set_as_default=False) as client:
        job = traceanalyzer.analyze(folder, client=client)
        assert client.status == "running"
        same = traceanalyzer.compare(folder, folder, client=client)
    assert len(job.ranks or ()) == 3 and same.window_ns.change == 0


@pytest.mark.slow
def test_a_file_that_the_workers_do_not_see(
    tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path / "job", 2)
    monkeypatch.chdir(tmp_path)  # the workers' folder is another
    with pytest.raises(traceanalyzer.TraceAnalyzerError) as error:
        traceanalyzer.analyze("job", options=AnalyzeOptions(scheduler=scheduler))
    assert "is not there on the worker" in str(error.value) and "whole path" in error.value.fix


@pytest.mark.slow
def test_a_worker_of_another_version(tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_version", lambda: "0.0.7")
    with pytest.raises(traceanalyzer.TraceAnalyzerError, match=r"has traceanalyze .*, this is 0\.0\.7"):
        traceanalyzer.analyze(folder_of(tmp_path / "job", 2), options=AnalyzeOptions(scheduler=scheduler))


def test_a_worker_without_the_package() -> None:
    error = cluster._explained(ModuleNotFoundError("", name="traceanalyzer"), "a.json")
    assert "a.json: a worker of the cluster lacks the package traceanalyzer. Fix: pip install" in str(error)


@pytest.mark.parametrize("answers", [False, True])
def test_no_scheduler_there(tmp_path: Path, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens, or something that says nothing."""
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.5)
    folder = folder_of(tmp_path / "job", 2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if answers:
            taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        result = CliRunner().invoke(main, ["report", str(folder), "--scheduler", address])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"traceanalyze: {address}: no Dask scheduler answers there")
    assert "Fix: give the address" in result.stderr
    assert result.stderr.count("\n") == 1
