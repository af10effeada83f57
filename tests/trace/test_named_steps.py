"""Steps that are not called ProfilerStep: by the documented list, and by --steps-by."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.cli import main
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.step_names import STEP_NAMES
from traceanalyzer.records.trace import Step
from traceanalyzer.trace import load_processes

ROOT = Path(__file__).parents[2]


def annotated(*names: str, length: float = 80, tid: int = 1, t: Kineto | None = None) -> Kineto:
    """One after the other from 0 on, each round one product; 100 µs apart."""
    t = t or Kineto()
    for i, name in enumerate(names):
        t.annotation(name, 100.0 * i, length, tid=tid)
        t.run("aten::mm", 100.0 * i + 5, "gemm", 100.0 * i + 20, 30, ([64, 64], "float"), tid=tid)
    return t


def steps(t: Kineto, folder: Path, by: str | None = None) -> tuple[Step, ...]:
    (trace,) = load_processes(str(t.write(folder / "t.json")), steps_by=by)
    return trace.steps


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["step[DECODE bs=16]"] * 2, ["step[DECODE bs=16]#0", "step[DECODE bs=16]#1"]),
        (["step[EXTEND bs=1]", "step[DECODE bs=2]"], None),
        (["execute_context_1(7)_generation_0(0)", "execute_context_0(0)_generation_1(1)"], None),
        (["execute_8_context_0(sq0)_generation_8(sq8)", "execute_9_context_0(sq0)_generation_9(sq9)"], None),
        (["timed region"] * 3, ["timed region#0", "timed region#1", "timed region#2"]),
        (["Iteration 7", "Iteration 8"], None),
        (["train_step"] * 2, ["train_step#0", "train_step#1"]),
        (["[Executor] _forward_step 3: 1 ctx reqs", "[Executor] _forward_step 4: 0 ctx reqs"], None),
    ],
)  # fmt: skip
def test_names_of_the_list_are_steps_numbered_by_start(
    tmp_path: Path, names: list[str], expected: list[str] | None
) -> None:
    found = steps(annotated(*names), tmp_path)
    assert [step.name for step in found] == (expected or names)
    assert [(step.number, step.start_ns) for step in found] == [(i, 100_000 * i) for i in range(len(names))]


@pytest.mark.parametrize(
    "name",
    [
        "Optimizer.step#AdamW.step",
        "Optimizer.zero_grad#SGD.zero_grad",
        "enumerate(DataLoader)#_Iter.__next__",
        "nccl:all_reduce",
        "data_load step",
        "## forward ##",
        "stepwise",
        "lr_scheduler.step",
        "LayerNorm affine=True",
    ],
)
def test_what_repeats_in_every_training_is_no_step(tmp_path: Path, name: str) -> None:
    assert steps(annotated(*[name] * 5), tmp_path) == ()


def test_one_alone_is_not_repeated_and_one_in_another_is_nested(tmp_path: Path) -> None:
    assert steps(annotated("step[DECODE bs=16]"), tmp_path) == ()
    assert steps(annotated("train_step", "train_step", length=150), tmp_path) == ()
    two_threads = annotated("train_step", tid=2, t=annotated("train_step"))
    assert steps(two_threads, tmp_path) == ()


def nested(*outer: tuple[str, float, float], inner: str = "train_step") -> Kineto:
    """Three products, each in an annotation of 60 µs from 20 µs on, 100 µs apart; `outer`: name, at, µs."""
    t = Kineto()
    for i in range(3):
        t.annotation(inner.format(i), 100.0 * i + 20, 60)
        t.run("aten::mm", 100.0 * i + 25, "gemm", 100.0 * i + 30, 30, ([64, 64], "float"))
    for name, at, length in outer:
        t.annotation(name, at, length)
    return t


@pytest.mark.parametrize("inner", ["train_step", "step {}", "model_iteration_{}"])
def test_of_nested_names_of_one_kind_the_outermost_are_the_steps(tmp_path: Path, inner: str) -> None:
    t = nested(*((f"Iteration {i}", 100.0 * i + 10, 80) for i in range(3)), inner=inner)
    assert [step.name for step in steps(t, tmp_path)] == ["Iteration 0", "Iteration 1", "Iteration 2"]
    same = nested(*(("train_step", 100.0 * i + 10, 80) for i in range(3)))
    assert [step.start_ns // 1000 for step in steps(same, tmp_path)] == [10, 110, 210]


def test_what_one_annotation_encloses_is_the_steps_where_that_one_does_not_repeat(tmp_path: Path) -> None:
    found = steps(nested(("benchmark_iteration", 0, 400), inner="decode step {}"), tmp_path)
    assert [step.name for step in found] == ["decode step 0", "decode step 1", "decode step 2"]


def test_of_several_that_repeat_it_is_what_takes_most_time(tmp_path: Path) -> None:
    t = annotated("model_step", "model_step", length=40)
    t = annotated("step[DECODE bs=4]", "step[DECODE bs=4]", length=90, t=t)
    assert [step.name for step in steps(t, tmp_path)] == ["step[DECODE bs=4]#0", "step[DECODE bs=4]#1"]


def test_the_profilers_own_steps_come_first_unless_others_are_asked_for(tmp_path: Path) -> None:
    t = annotated("train_step", "train_step")
    t.annotation("ProfilerStep#4", 0, 200)
    assert [step.name for step in steps(t, tmp_path)] == ["ProfilerStep#4"]
    assert [step.number for step in steps(t, tmp_path, by="train")] == [0, 1]


@pytest.mark.parametrize("by", ["tick [", "tick \\[[ab]\\]", "^tick"])
def test_a_pattern_is_a_text_or_an_expression_and_the_outermost_count(tmp_path: Path, by: str) -> None:
    t = annotated("tick [a]", "tick [b]", "tock")
    t.annotation("tick [a]", 10, 20)
    assert [(s.name, s.start_ns) for s in steps(t, tmp_path, by)] == [("tick [a]", 0), ("tick [b]", 100_000)]


def test_a_pattern_without_a_match_is_refused_with_the_commonest_names(tmp_path: Path) -> None:
    t = annotated("tick", "tick", "tock")
    with pytest.raises(UsageError, match=re.escape("annotations: tick (2), tock (1)")):
        steps(t, tmp_path, "bang")
    with pytest.raises(UsageError, match=re.escape("no annotations; operators: aten::mm (1)")):
        bare = Kineto()
        bare.run("aten::mm", 5, "gemm", 20, 30)
        steps(bare, tmp_path, "bang")


def test_the_report_divides_by_them_and_selects_them(tmp_path: Path) -> None:
    path = annotated("tick", "tick", "tick", "tock").write(tmp_path / "t.json")
    every = traceanalyzer.analyze(path, options=AnalyzeOptions(steps_by="tick"))
    assert every.window.step_count == 3
    assert every.time.busy_ns + every.time.idle_ns == every.window.window_ns
    last = traceanalyzer.analyze(path, options=AnalyzeOptions(steps_by="tick", steps="1-2"))
    assert last.window.steps == ("tick#1", "tick#2")
    assert last.window.window_ns == 180_000


def test_the_command_takes_them_from_the_option_and_the_environment(tmp_path: Path) -> None:
    path = annotated("tick", "tick").write(tmp_path / "t.json")
    arguments = ["report", str(path), "--force", "-q", "-o", str(tmp_path / "r.json")]
    for more, environment in ((["--steps-by", "tick"], {}), ([], {"TRACEANALYZE_STEPS_BY": "tick"})):
        result = CliRunner(env=environment).invoke(main, [*arguments, *more])
        assert result.exit_code == 0, result.output
        assert json.loads((tmp_path / "r.json").read_text())["window"]["step_count"] == 2
    wrong = CliRunner().invoke(main, [*arguments, "--steps-by", "tack"])
    assert wrong.exit_code == 2


def test_every_pattern_of_the_list_is_documented() -> None:
    listed = (ROOT / "docs" / "steps.md").read_text().replace("\\|", "|")
    assert [pattern.pattern for pattern in STEP_NAMES if f"`{pattern.pattern}`" not in listed] == []
