"""Scripts of many kinds, run for real: under the profiler they do, print and return what they do without."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, Run, bare, document, left_alone, profiled, steps

slow = pytest.mark.slow
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")

WHOLE = [5, 6, 7]  # wait 3, warm-up 2, active 3

KINDS = [
    pytest.param(("arguments.py", "-o", "x", "-m", "--lr", "0.1", "a", "b"), id="argparse"),
    pytest.param(("ending.py", "exit7"), id="sys.exit(7)", marks=slow),
    pytest.param(("ending.py", "exception"), id="an exception in step 9"),
    pytest.param(("inference.py",), id="inference only", marks=slow),
    pytest.param(("scaler.py",), id="GradScaler", marks=slow),
    pytest.param(("closure.py",), id="closures", marks=slow),
    pytest.param(("two_optimizers.py",), id="two optimizers", marks=slow),
    pytest.param(("subclass.py",), id="super().step()", marks=slow),
    pytest.param(("compiled.py",), id="compiled model", marks=[slow, needs_compiler]),
    pytest.param(("compiled.py", "--in-place"), id="compiled in place", marks=[slow, needs_compiler]),
    pytest.param(("workers.py", "fork"), id="forked workers", marks=slow),
    pytest.param(("workers.py", "spawn"), id="spawned workers", marks=slow),
    pytest.param(("executor.py",), id="idle threads at the end", marks=slow),
    pytest.param(("ending.py", "message"), id="sys.exit(text)", marks=slow),
    pytest.param(("ending.py", "interrupt"), id="SIGINT", marks=slow),
    pytest.param(("ending.py", "terminate"), id="SIGTERM", marks=slow),
    pytest.param(("ending.py", "os_exit"), id="os._exit", marks=slow),
]


Profiled = Callable[..., tuple[Run, Path]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Profiled:
    """A script under `profile`, and the folder of its trace; what several tests look at is run once."""
    known: dict[tuple[str, ...], tuple[Run, Path]] = {}

    def once(*words: str) -> tuple[Run, Path]:
        if words not in known:
            folder = tmp_path_factory.mktemp("run")
            known[words] = profiled(folder, str(SCRIPTS / words[0]), *words[1:]), folder
        return known[words]

    return once


@pytest.mark.parametrize("words", KINDS)
def test_a_script_is_captured_and_left_alone(words: tuple[str, ...], run: Profiled, tmp_path: Path) -> None:
    alone = bare(tmp_path, str(SCRIPTS / words[0]), *words[1:])
    ours, folder = run(*words)
    left_alone(alone, ours)
    if words[-1] == "interrupt":  # Python dies of the signal, 130 in a shell; we return 130
        assert (alone.code, ours.code) == (-2, 130)
    else:
        assert ours.code == alone.code
    assert steps(folder / "t.trace.json.gz") == WHOLE
    assert document(folder / "t.trace.json.gz")["traceanalyze"]["complete"] is True


@pytest.mark.parametrize(
    "how, code, when, whole",
    [
        pytest.param("exception", 1, 6, [5], marks=slow),
        ("terminate", -15, 7, [5, 6]),
        ("interrupt", 130, 5, []),
        pytest.param("exit7", 7, 7, [5, 6], marks=slow),
    ],
)
def test_what_was_captured_before_an_end_is_kept(
    how: str, code: int, when: int, whole: list[int], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    # PyTorch makes the folder of its compiler's cache as soon as there is an optimizer: elsewhere, here.
    places = {"TMPDIR": str(scratch), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    ours = profiled(tmp_path, str(SCRIPTS / "ending.py"), how, str(when), **places)
    assert ours.code == code
    assert not list(scratch.iterdir())
    assert steps(tmp_path / "t.trace.json.gz") == whole
    record = document(tmp_path / "t.trace.json.gz")["traceanalyze"]
    assert record["complete"] is False and record["active"] == 3
    assert any("t.trace.json.gz" in line for line in ours.said)


def test_a_traceback_shows_the_script_and_not_us(run: Profiled) -> None:
    ours, _ = run("ending.py", "exception")
    assert "ValueError: step 9 is bad" in ours.stderr and "ending.py" in ours.stderr
    assert "traceanalyzer" not in "".join(ours.others_said)


@pytest.mark.parametrize(
    "words, expected",
    [
        (("ending.py", "exception", "0"), "before its first step. Fix: fix it"),
        (("ending.py", "exit7", "4"), "the script made 4 steps; 3 are waited for and 2 warm up"),
        (("sibling.py",), "never imported torch"),
        (("no_steps.py",), "no optimizer stepped and no module was called"),
    ],
)
def test_nothing_captured_is_said_with_the_fix(words: tuple[str, ...], expected: str, run: Profiled) -> None:
    ours, folder = run(*words)
    assert [expected in line and "Fix: " in line for line in ours.said] == [True]
    assert not list(folder.iterdir())


def test_the_shorter_schedule_that_is_proposed_captures(run: Profiled, tmp_path: Path) -> None:
    short, _ = run("ending.py", "exit7", "4")
    options = short.said[0].partition("longer, or ")[2].split()
    ours = profiled(tmp_path, str(SCRIPTS / "ending.py"), "exit7", "4", options=options)
    assert steps(tmp_path / "t.trace.json.gz") == [1, 2, 3] and ours.code == 7


@pytest.mark.slow
def test_its_own_profilers_answer_and_ours_captures(tmp_path: Path) -> None:
    words = (str(SCRIPTS / "own_profiler.py"),)
    alone, ours = bare(tmp_path, *words), profiled(tmp_path, *words)
    assert (ours.code, ours.stdout) == (alone.code, alone.stdout) == (0, alone.stdout)
    assert steps(tmp_path / "t.trace.json.gz") == WHOLE
    assert sum("torch.profiler is disabled" in line for line in ours.said) == 1


@pytest.mark.slow
def test_an_evaluation_before_training_gives_way_to_it(tmp_path: Path) -> None:
    """Ten forwards without gradients are captured; then the optimizer steps, and that is what is kept."""
    ours = profiled(tmp_path, str(SCRIPTS / "evaluated_first.py"))
    events = document(tmp_path / "t.trace.json.gz")["traceEvents"]
    assert steps(tmp_path / "t.trace.json.gz") == WHOLE and ours.code == 0
    assert sum(e.get("name") == "Optimizer.step#SGD.step" for e in events) == 3
