"""Other people's training loops, unmodified: Trainer, Accelerate, Lightning, torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, bare, document, finished, launched, profiled, steps

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PROFILE = ["traceanalyzer", "profile", "--no-report", "--no-roofs"]


@pytest.mark.parametrize(
    "script",
    [EXAMPLES / "hf_trainer.py", EXAMPLES / "lightning_module.py", SCRIPTS / "accelerated.py"],
    ids=["Trainer", "Lightning", "Accelerate"],
)
def test_a_framework_is_captured_and_left_alone(script: Path, tmp_path: Path) -> None:
    alone, ours = bare(tmp_path, str(script)), profiled(tmp_path, str(script))
    assert (ours.code, ours.stdout) == (0, alone.stdout) and alone.code == 0 and b"loss" in alone.stdout
    assert steps(tmp_path / "t.trace.json.gz") == [5, 6, 7]


def test_a_step_of_accumulated_gradients_holds_all_its_forwards(tmp_path: Path) -> None:
    profiled(tmp_path, str(SCRIPTS / "accelerated.py"))
    events = document(tmp_path / "t.trace.json.gz")["traceEvents"]
    assert sum(e.get("name") == "nn.Module: Linear" for e in events) == 2 * 3


@pytest.mark.parametrize("kind", ["huggingface", "lightning"])
def test_callbacks_capture_optimizer_steps(kind: str, tmp_path: Path) -> None:
    run = bare(tmp_path, str(SCRIPTS / "callbacks.py"), kind)
    assert run.code == 0, run.stderr
    assert run.stdout.decode().splitlines()[-1] == "('ProfilerStep#5', 'ProfilerStep#6') True"


@pytest.mark.parametrize("ranks, traces", [("0", [0]), ("all", [0, 1])])
def test_two_processes_give_a_file_each_as_asked(ranks: str, traces: list[int], tmp_path: Path) -> None:
    script = str(EXAMPLES / "ddp.py")
    one_thread = {"OMP_NUM_THREADS": "1"}
    alone = launched([*TORCHRUN, script], tmp_path, **one_thread)
    ours = launched([*TORCHRUN, "-m", *PROFILE, "--ranks", ranks, script], tmp_path, **one_thread)
    assert (ours.code, ours.stdout) == (0, alone.stdout) and alone.code == 0, ours.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"ddp.rank{r}.trace.json.gz" for r in traces]
    for rank in traces:
        trace = tmp_path / f"ddp.rank{rank}.trace.json.gz"
        assert steps(trace) == [5, 6, 7]
        assert document(trace)["distributedInfo"]["rank"] == rank


def test_the_command_proposed_for_a_launcher_works(tmp_path: Path) -> None:
    words = ["torchrun", "--standalone", "--nproc-per-node", "2", str(EXAMPLES / "ddp.py"), "--steps", "9"]
    refused = finished([sys.executable, "-m", "traceanalyzer", "profile", *words], tmp_path)
    assert refused.code == 2 and refused.stdout == b""
    line = refused.said[0].partition("Fix: ")[2].split()
    assert line[:6] == ["torchrun", "--standalone", "--nproc-per-node", "2", "--no-python", "traceanalyze"]
    scripts = Path(sys.executable).parent
    command = [str(scripts / "torchrun"), *line[1:5], str(scripts / "traceanalyze"), *line[6:]]
    done = launched(command, tmp_path, OMP_NUM_THREADS="1", TRACEANALYZE_PROFILE_NO_REPORT="1",
                    TRACEANALYZE_PROFILE_NO_ROOFS="1")  # fmt: skip
    assert done.code == 0 and steps(tmp_path / "ddp.rank0.trace.json.gz") == [5, 6, 7]
