"""What few scripts do, and some do all the same: handlers, hooks, threads, forks, closed streams."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, bare, document, finished, profiled, steps

slow = pytest.mark.slow
UNUSUAL = str(SCRIPTS / "unusual.py")
TRACE = "t.trace.json.gz"
WHOLE = [5, 6, 7]

CASES = [
    ("looked_up_first", WHOLE),
    ("thread", WHOLE),
    ("thread_ends_early", [5, 6]),
    ("executor_at_work", WHOLE),
    ("forked_early", WHOLE),
    ("profiled_later", WHOLE),
    ("hook_exits", [5, 6]),
    ("hook_fails", [5, 6]),
    ("no_stderr", WHOLE),
    ("awkward_module", WHOLE),
    ("second_training", WHOLE),
]


@slow
@pytest.mark.parametrize(("how", "whole"), CASES)
def test_an_unusual_script_is_captured_and_left_alone(how: str, whole: list[int], tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    alone = bare(tmp_path, UNUSUAL, how)
    ours = profiled(tmp_path, UNUSUAL, how, TMPDIR=str(scratch))
    assert (ours.stdout, ours.code) == (alone.stdout, alone.code) and alone.stdout
    assert steps(tmp_path / TRACE) == whole
    assert not list(scratch.glob("traceanalyze*"))
    if how != "no_stderr":  # torch's own lines come where nobody can hold them back
        assert without_torch(ours.others_said) == without_torch(alone.others_said)
    record = document(tmp_path / TRACE)["traceanalyze"]
    assert record["complete"] is (whole == WHOLE)


def without_torch(lines: list[str]) -> list[str]:
    """Lines of the profiler that a script starts itself carry the time and the process."""
    return [line for line in lines if not line.startswith("USDT:")]


@slow
def test_a_handler_of_sigterm_does_not_meet_ours(tmp_path: Path) -> None:
    alone, ours = bare(tmp_path, UNUSUAL, "terminated"), profiled(tmp_path, UNUSUAL, "terminated")
    assert b"checkpoint saved True" in alone.stdout
    assert (ours.stdout, ours.code) == (alone.stdout, alone.code) == (alone.stdout, 0)
    assert steps(tmp_path / TRACE) == WHOLE


@slow
def test_steps_in_threads_that_end_are_not_captured_and_break_nothing(tmp_path: Path) -> None:
    alone, ours = (run(tmp_path, UNUSUAL, "threads_of_one_call") for run in (bare, profiled))
    assert (ours.stdout, ours.code) == (alone.stdout, alone.code) == (b"served\n", 0)
    assert len(ours.said) == 1 and "threads" in ours.said[0]


@slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
@pytest.mark.parametrize("run", range(3))
def test_a_whole_compiled_step_is_captured(run: int, tmp_path: Path) -> None:
    """From cold caches, and more than once: what went wrong here did so every other time."""
    alone = bare(tmp_path, UNUSUAL, "compiled_step")
    ours = profiled(tmp_path, UNUSUAL, "compiled_step", TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    assert (ours.stdout, ours.code) == (alone.stdout, alone.code)
    assert len(steps(tmp_path / TRACE)) == 3


@slow
def test_modules_made_anew_have_the_name_of_their_class(tmp_path: Path) -> None:
    profiled(tmp_path, UNUSUAL, "temporary_modules")
    events = document(tmp_path / TRACE)["traceEvents"]
    names = [e["name"].removeprefix("nn.Module: ") for e in events if e["name"].startswith("nn.Module: ")]
    assert set(names) == {"Sequential", "0", "0.inner"}


@slow
def test_a_sibling_called_like_a_module_of_ours_is_the_scripts(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("mine = 'the sibling'\n")
    (tmp_path / "resource.py").write_text("print('imported by nobody but the script')\n")
    (tmp_path / "train.py").write_text(
        "import statistics\nprint(statistics.mine)\n" + (SCRIPTS / "plain.py").read_text()
    )
    alone, ours = bare(tmp_path, "train.py"), profiled(tmp_path, "train.py")
    assert (ours.stdout, ours.code) == (alone.stdout, alone.code) and b"the sibling" in ours.stdout
    assert steps(tmp_path / TRACE) == WHOLE


def test_what_a_module_fails_to_import_is_named(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import not_installed_here\n")
    (package / "train.py").write_text("print('never')\n")
    ours = profiled(tmp_path, "package.train", options=["-m"])
    assert ours.code == 1 and "No module named 'not_installed_here'" in ours.stderr
    missing = profiled(tmp_path, "package_x.train", options=["-m"])
    assert missing.code == 2 and "no such module" in missing.stderr


@slow
def test_a_rank_without_a_world_is_a_process_like_any_other(tmp_path: Path) -> None:
    ours = profiled(tmp_path, str(SCRIPTS / "plain.py"), RANK="1")
    assert ours.code == 0 and steps(tmp_path / TRACE) == WHOLE


@slow
def test_peak_memory_is_the_scripts_and_not_the_profilers(tmp_path: Path) -> None:
    script = tmp_path / "many.py"
    script.write_text(
        "import resource, torch\n"
        "x, w = torch.ones(4), torch.nn.Parameter(torch.ones(4))\n"
        "o = torch.optim.SGD([w], lr=0.1)\n"
        "for step in range(12):\n"
        "    for _ in range(6000):\n"
        "        x + 1\n"
        "    w.grad = torch.ones(4)\n"
        "    o.step()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
    )
    alone = int(bare(tmp_path, "many.py").stdout)
    profiled(tmp_path, "many.py")
    stored = document(tmp_path / TRACE)["traceanalyze"]["peak_memory_bytes"]
    assert stored == pytest.approx(alone, rel=0.25)


@slow
def test_a_callback_saves_what_an_exception_interrupts(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import torch, traceanalyzer\n"
        "p = traceanalyzer.profile('t.trace.json.gz', roofs=False)\n"
        "p.__enter__()\n"
        "for step in range(7):\n"
        "    torch.ones(8) + 1\n"
        "    p.step()\n"
        "raise ValueError('and nobody leaves the with')\n"
    )
    run = finished([sys.executable, "train.py"], tmp_path)
    assert run.code == 1 and "nobody leaves" in run.stderr
    assert steps(tmp_path / TRACE) == [5, 6]
