"""The run that needs a GPU, without one: its time, what a failed section leaves, and its page by hand."""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.project.tree import ROOT
from traceanalyzer import analyze

sys.path.append(str(ROOT / "benchmarks" / "ground_truth"))  # its scripts import each other by bare name

from benchmarks.ground_truth import run, small_traces, tables

HERE = sys.path.pop()  # where others have a `tables` of their own

WRITES = """
import json, sys, pathlib
results = pathlib.Path(sys.argv[sys.argv.index("--results") + 1])
results.write_text(json.dumps(json.loads(results.read_text()) | {"NAME": 1}))
"""
STARTS_ANOTHER = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[sys.argv.index("--folder") + 1]).mkdir()
(pathlib.Path(sys.argv[sys.argv.index("--folder") + 1]) / "child").write_text(str(child.pid))
child.wait()
"""


def test_shares_are_all_of_the_time_and_what_one_leaves_goes_to_those_behind() -> None:
    names = list(run.SECTIONS)
    assert sum(run.share_s(540, name, names) for name in names) == pytest.approx(540)
    assert run.share_s(540, names[-1], names[-1:]) == 540
    assert run.share_s(-3, names[-1], names[-1:]) == 0
    assert all((Path(HERE) / f"{name}.py").exists() for name in names)


def test_a_section_that_fails_leaves_the_rest(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "out" / "work"
    home.mkdir()
    work.mkdir(parents=True)
    (work / "results.json").write_text("{}")
    names = ("counters", "samples", "roofs")
    for name in names:
        text = "raise SystemExit(3)" if name == "samples" else WRITES.replace("NAME", name)
        (home / f"{name}.py").write_text(text)
    packed = []
    for name, ended in run.sections(names, 9, tmp_path / "out", True, home):
        packed.append(name)
        found = tables.read(tmp_path / "out" / "ground_truth.tar.gz")
        assert set(found["sections"]) == set(packed)
        assert ended["code"] == (3 if name == "samples" else 0)
    assert {"counters", "roofs"} <= set(found) and "samples" not in found


def ended_or_zombie(process: Path) -> bool:
    try:
        return ") Z " in (process / "stat").read_text()
    except OSError:
        return True


def test_a_section_at_its_limit_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    (tmp_path / "evidence.py").write_text(STARTS_ANOTHER)
    ended = run.run_section("evidence", 3, tmp_path, True, tmp_path)
    assert ended["code"] == "stopped"
    child = Path("/proc") / (tmp_path / "evidence" / "child").read_text()
    for _ in range(600):  # it was told to end, and needs a turn of the processor for that
        if ended_or_zombie(child):
            break
        time.sleep(0.05)
    assert ended_or_zombie(child)


def test_no_section_compiles_into_the_cache_of_another(tmp_path: Path) -> None:
    text = "import os, pathlib, sys; folder = pathlib.Path(sys.argv[sys.argv.index('--folder') + 1])\n"
    text += "folder.mkdir(); (folder / 'cache').write_text(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    work, caches = tmp_path / "work", set()
    work.mkdir()
    for name in ("samples", "predictions"):
        (tmp_path / f"{name}.py").write_text(text)
        assert run.run_section(name, 60, work, True, tmp_path)["code"] == 0
        caches.add((work / name / "cache").read_text())
    assert len(caches) == 2
    assert not any(Path(cache).is_relative_to(work) for cache in caches)  # what is compiled is not packed


def test_results_are_packed_first_and_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for name, size in (("a/large.json", 900), ("a/small.json", 10), ("results.json", 500),
                       ("samples/sample_traces/x.json.gz", 80), ("counters/ncu0.csv", 90)):  # fmt: skip
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    run.pack(work, tmp_path, most=700)
    with tarfile.open(tmp_path / "ground_truth.tar.gz") as archive:
        assert archive.getnames() == [
            "results.json", "counters/ncu0.csv", "samples/sample_traces/x.json.gz", "a/small.json",
        ]  # fmt: skip


def case(
    name: str, read: int, traffic: int | None, bound: str, limiter: str, time_ns: float
) -> dict[str, Any]:
    return {
        "family": "made", "name": name, "read_bytes": read, "write_bytes": 0, "traffic_bytes": traffic,
        "bound": bound, "limiter": limiter, "verdict": f"{bound}_bound", "time_ns": time_ns,
    }  # fmt: skip


def kernel(time_ns: float, read: float, memory: float, pipes: float) -> dict[str, float]:
    return {
        "gpu__time_duration.sum": time_ns, "dram__bytes_read.sum": read, "dram__bytes_write.sum": 0,
        "dram__throughput.avg.pct_of_peak_sustained_elapsed": memory,
        "sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_elapsed": pipes,
    }  # fmt: skip


def test_limiters_and_bytes_are_held_against_the_counters() -> None:
    """Three cases of 60, 30 and 10 ns: all bounds agree, the last one's limiter does not."""
    results = {
        "probe": {"l2_bytes": 50_000_000},
        "ours": [
            case("copied", 100_000_000, None, "memory", "memory", 60),
            case("twice", 100_000_000, 200_000_000, "memory", "neither", 30),  # 200 of 210 MB: within 15 %
            case("product", 60_000_000, None, "compute", "neither", 10),  # 60 of 80 MB: 25 % off
        ],
        "counters": {
            "made:copied": [kernel(60, 100_000_000, 90, 10)],
            "made:twice": [
                kernel(10, 110_000_000, 80, 0),
                kernel(20, 100_000_000, 40, 5),
            ],  # (800 + 800) / 30
            "made:product": [kernel(10, 80_000_000, 20, 70)],
        },
    }
    lines = list(tables.bytes_table(results))
    assert "| 100 MB | 200 MB | 210 MB | 0.95 | memory | memory | neither | neither | 53 % |" in lines[3]
    assert lines[-1] == (
        "The bound is the counters' in 3 of 3 cases, with 100.0% of their time; the limiter is the counters' "
        "in 2 of 3 cases, with 90.0% of their time; bytes are within 15% in 2 of 3 larger than the cache."
    )


@pytest.mark.parametrize(("after_ns", "inside"), [(60, "yes"), (95, "no: 0.95 of 0.50 to 0.90")])
def test_headroom_is_held_against_the_changed_step(after_ns: int, inside: str) -> None:
    """Of 200 ns, 100 to 180 remain; without the profiler a step takes 100 ns, changed 60 or 95."""
    band = {"low": 100, "mid": 140, "high": 150}
    proved = {"low": 120, "mid": 160, "high": 180}
    room = {"now_ns": 200, "proved_ns": proved, "all_ns": band, "at_roofs_ns": 90}
    samples = {
        "gpt_eager": {"headroom": room, "recording": {"unprofiled_step_ns": 100}},
        "gpt_fused": {"headroom": None, "recording": {"unprofiled_step_ns": after_ns}},
    }
    *_, line = tables.headroom_table(samples)
    assert line.endswith(f"| {inside} |")


def test_the_page_is_made_of_what_there_is() -> None:
    text = tables.page({"probe": {"torch": "2.13.0", "dry_run": True}})
    assert "in a rehearsal: these figures say nothing" in text and text.count("\n## ") == 14
    assert "None" not in text.replace("CUDA None", "")


def test_samples_to_keep_are_small_and_say_how_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit between the file with its evidence step and without: only that is gone, after the rest."""
    source = ROOT / "sample_traces" / "gpt_eager_cpu.json.gz"
    document = json.loads(gzip.decompress(source.read_bytes()))
    document |= {"host_name": "secret"}
    document["traceEvents"].append({"ph": "M", "name": str(tmp_path / "train.py"), "pid": 1})
    trace = tmp_path / "work" / source.name
    trace.parent.mkdir()
    trace.write_bytes(gzip.compress(json.dumps(document).encode()))
    sizes = [len(data) for data, _ in small_traces.attempts(small_traces.clean(document, tmp_path))]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[-2]
    monkeypatch.setattr(small_traces, "MOST_BYTES", sizes[-2])
    command = [
        "python",
        "-m",
        "traceanalyzer",
        "profile",
        "-o",
        str(trace),
        str(tmp_path / "gpt.py"),
        "--fused",
    ]
    kept = small_traces.small_copy(
        trace, tmp_path / "kept", command, tmp_path, {"name": "a GPU", "torch": "2"}
    )
    assert kept is not None
    assert kept["command"] == f"traceanalyze profile -o {source.name} gpt.py --fused"
    assert (kept["name"], kept["torch"], kept["bytes"]) == ("a GPU", "2", sizes[-1])
    assert kept["left_out"] == tuple(small_traces.SHORTER)
    assert json.loads((tmp_path / "kept" / "samples.json").read_text())[0]["file"] == source.name
    copied = gzip.decompress((tmp_path / "kept" / source.name).read_bytes()).decode()
    assert "secret" not in copied and str(tmp_path) not in copied
    before, after = analyze(source), analyze(tmp_path / "kept" / source.name)
    assert (after.window, after.verdicts) == (before.window, before.verdicts)
