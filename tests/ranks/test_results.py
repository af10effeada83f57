"""What a job keeps of its ranks: enough to compare them, and no more than a few kB each."""

from __future__ import annotations

import gc
import json
import os
import pickle
import threading
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.project.tree import ROOT
from tests.ranks.made import run, write
from tests.ranks.many import folder_of, work_of
from tests.ranks.test_waits import pipeline, program
from traceanalyzer import AnalyzeOptions
from traceanalyzer import pipeline as stages
from traceanalyzer.ranks.leading import Leading
from traceanalyzer.ranks.results import Results
from traceanalyzer.records import Analysis
from traceanalyzer.records.file_result import FileResult
from traceanalyzer.records.rank_result import RankActivity, RankResult
from traceanalyzer.records.rank_work import RankWork
from traceanalyzer.report import render

REAL = os.environ.get("TRACEANALYZER_REAL_TRACES")
SAMPLE = ROOT / "sample_traces" / "gpt_eager_cpu.json.gz"
NOBODY = Leading(busy_ns=10**18, communication_ns=-1)  # so good that none leads
JOBS = (
    "train_megatron_tp8_a100", "train_recsys_a100_rank3of8.json.gz", "train_recsys_v100_rank1of2.json.gz",
    "train_resnet_checkpoint_mi300x_rank0of8.json.gz", "infer_moe_b200_rank0of8.json.gz",
)  # fmt: skip


def results_of(path: Path, leading: Leading) -> tuple[RankResult, ...]:
    return stages.analyzed_file(stages.Setup.of(AnalyzeOptions()), str(path), leading, None).results


def agrees(work: RankWork, report: Analysis) -> None:
    """What is kept of a rank is what its own report says, added up here from the report's JSON."""
    told = json.loads(render(report, "json"))
    entry = work.entry
    assert (entry.window_ns, work.step_count) == (told["window"]["window_ns"], told["window"]["step_count"])
    assert entry.busy_ns == told["time"]["busy_ns"]
    assert entry.memory_bound_share_of_busy == told["memory_bound"]["share_of_busy"]
    exposed = sum(v["time_ns"] for v in told["verdicts"] if v["verdict"] == "communication")
    assert entry.exposed_communication_ns == exposed
    assert work.communication_ns == exposed + told["time"]["hidden_communication_ns"]
    assert work.compute_ns == told["time"]["busy_ns"] - exposed
    idle = [(part["cause"], part["time_ns"]) for part in told["time"]["idle_by_cause"]]
    assert [(part.cause, part.time_ns) for part in work.idle] == idle
    for column in ("calls", "time_ns", "attributed_ns"):
        rows: Counter[tuple[str, ...]] = Counter()
        for row in told["ops"]:
            shape = json.dumps(row["input_dims"]) if row["input_dims"] else ""
            rows[row["name"], row["phase"] or "", shape, row["operator_class"]] += row[column]
        forms = [(f.name, f.phase, as_json(f.shape), f.operator_class) for f in work.forms]
        kept = dict(zip(forms, getattr(work, column).tolist(), strict=True))
        assert kept == rows and len(set(forms)) == len(forms)


def as_json(shape: str) -> str:
    """Dims as the JSON writes them."""
    return json.dumps(eval(shape)) if shape else ""  # tuples of integers


@pytest.mark.parametrize("name", ["sample", "products", "stages"])
def test_what_is_kept_of_a_rank_is_what_its_report_says(name: str, tmp_path: Path) -> None:
    made = {"products": program(1), "stages": pipeline(1)}
    paths = [SAMPLE] if name == "sample" else sorted(write(tmp_path, run(4, 3, made[name])[0]).iterdir())
    for path in paths:
        (kept,), report = results_of(path, NOBODY), traceanalyzer.analyze(path)
        assert kept.analysis is None
        agrees(kept.work, report)


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="TRACEANALYZER_REAL_TRACES is not set")
@pytest.mark.parametrize("name", JOBS)
def test_of_real_ranks_too(name: str) -> None:
    path = Path(REAL or "") / name
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        for kept, whole in zip(results_of(file, NOBODY), results_of(file, Leading(every=True)), strict=True):
            assert kept.analysis is None and whole.analysis is not None
            agrees(kept.work, whole.analysis)


def bytes_a_rank(paths: Sequence[Path]) -> float:
    """What one more of 64 files takes, after the first eight, each as it comes from another process."""
    messages = [pickle.dumps(FileResult(results_of(path, NOBODY))) for path in paths]
    results, held = Results(Leading()), dict[int, int]()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(64):
            results.add(number, pickle.loads(messages[number % len(messages)]))
            held[number + 1] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return (held[64] - held[8]) / 56


def test_a_rank_more_takes_a_few_kilobytes(tmp_path: Path) -> None:
    """Of a trace with hundreds of rows, whose Analysis takes 700, and of ranks with collectives."""
    assert bytes_a_rank([SAMPLE]) < 20_000
    assert bytes_a_rank(sorted(write(tmp_path, run(4, 30, program(2))[0]).iterdir())) < 20_000


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="TRACEANALYZER_REAL_TRACES is not set")
@pytest.mark.parametrize("name", JOBS)
def test_a_real_rank_more_does_too(name: str) -> None:
    path = Path(REAL or "") / name
    assert bytes_a_rank(sorted(path.iterdir()) if path.is_dir() else [path]) < 40_000


def test_only_those_in_the_lead_keep_their_analysis() -> None:
    """By busy time and by time in collectives; the order in which they come does not matter."""
    (whole,) = results_of(SAMPLE, Leading(every=True))
    activity = RankActivity(0, 0, "", 0, 0, 0)
    for order in ((3, 1, 4, 0, 2), (0, 1, 2, 3, 4), (4, 3, 2, 1, 0)):
        results = Results(Leading())
        for rank in order:
            work = work_of(
                rank=rank, busy_ns=(50, 90, 70, 20, 60)[rank], communication_ns=(9, 8, 3, 5, 4)[rank]
            )
            results.add(rank, FileResult((RankResult(work, activity, whole.analysis),)))
        held = [n for n, file in enumerate(results.in_order()) if file.results[0].analysis is not None]
        assert held == [1, 2]


def test_a_rank_on_top_whose_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not lead and cannot be read again: the report is of the busiest, and says so."""
    folder, late = write(tmp_path / "job", run(4, 3, program(2))[0]), "rank2.json"
    monkeypatch.setattr(Leading, "leads", lambda self, work: self.every or work.entry.rank != 2)
    analyzed = stages.analyzed_file

    def once(setup: stages.Setup, file: str, *rest: object) -> FileResult:
        result = analyzed(setup, file, *rest)  # type: ignore[arg-type]
        if file.endswith(late):
            Path(file).unlink(missing_ok=True)
        return result

    monkeypatch.setattr("traceanalyzer.analyzing.analyzed_file", once)
    job = traceanalyzer.analyze(folder, options=AnalyzeOptions(jobs=1))
    assert job.job is not None and job.job.straggler_rank == 2
    others = [entry for entry in job.ranks or () if entry.rank != 2]
    assert job.source.files[0].rank == max(others, key=lambda entry: entry.busy_ns).rank
    (notice,) = [n for n in job.source.warnings if n.code == "rank_failed"]
    assert late in notice.message and job.suggestions is not None


def two_devices(path: Path) -> Path:
    """The second is the busiest."""
    t = Kineto()
    for device in (0, 1):
        t.op("aten::add", 10 + 20 * device, 5, ([4096], "float"), ([4096], "float"))
        correlation = t.launch(12 + 20 * device)
        t.kernel("add_kernel", 100, 100 + 50 * device, correlation, device=device)
    return t.write(path)


def test_of_what_cannot_be_read_twice_every_device_is_analyzed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pipe = two_devices(tmp_path / "trace.json"), tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(Leading, "leads", lambda self, work: self.every)
    threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()), daemon=True).start()
    job = traceanalyzer.analyze(pipe)
    assert job.source.files[0].device_index == 1 and job.suggestions is not None


def test_a_failed_file_holds_nothing_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a rank is kept until the job is done, and with it would be its columns."""

    class Column:
        pass

    def broken(*_: object) -> None:
        column = Column()
        raise RuntimeError(f"broken {id(column)}")

    monkeypatch.setattr(stages, "_judged", broken)
    result = stages.analyzed_file(
        stages.Setup.of(AnalyzeOptions()), str(folder_of(tmp_path / "job", 1) / "rank000.trace.json"),
        Leading(), None,
    )  # fmt: skip
    gc.collect()
    assert "broken" in result.failed[0].message
    assert not [each for each in gc.get_objects() if isinstance(each, Column)]
