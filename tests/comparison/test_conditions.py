"""What hides a change: the profiler, other work on the machine, and what every row differs by anyhow."""

from __future__ import annotations

import random

import pytest
from msgspec import structs

from tests.comparison.sides import product, row, run, with_steps
from traceanalyzer.comparing import check
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.comparison.expressions import parsed
from traceanalyzer.comparison.requirements import compared
from traceanalyzer.records import Comparison, Job, Notice, OpRow
from traceanalyzer.report.check import text
from traceanalyzer.report.comparisons import render
from traceanalyzer.report.diff_view import diff_view

MS = 1_000_000


def timed(lengths_ms: list[int], unprofiled_ms: int, mul_ms: int | None = None) -> Job:
    """Steps of these lengths under the profiler, a tenth of them idle, and of this one without it."""
    total = sum(lengths_ms) * MS
    made = with_steps(
        run(row("mul", total - total // 10, (64, 64)), idle_ns=total // 10, steps=len(lengths_ms)),
        [each * MS for each in lengths_ms],
    )
    assert made.recording is not None
    recording = structs.replace(made.recording, unprofiled_step_ns=unprofiled_ms * MS)
    return structs.replace(made, recording=recording)


def told(base: Job, head: Job) -> Comparison:
    comparison = comparison_of([base], [head])
    first = comparison.sentence.split(".")[0]
    for name in ("txt", "html"):
        assert first.split(" (")[0] in " ".join(render(comparison, name).split())
    return comparison


def test_a_change_that_the_steps_without_the_profiler_contradict_does_not_lead() -> None:
    """20 % faster under it, 6 % without it, and the steps of a recording differ by 2 %."""
    comparison = told(timed([340, 342, 346], 332), timed([271, 272, 276], 313))
    assert comparison.step_ns.verdict == "faster", "as by the interval"
    assert comparison.sentence.startswith(
        "Without the profiler the step is 19 ms (5.7 %) faster: 332 ms, now 313 ms; under it 70 ms (20.5 %) "
        "faster, by one run a side: 342 ms, now 272 ms, change between"
    )
    assert "The profiler or the load of the machine is part of one of them." in comparison.sentence
    assert render(comparison, "md").count("332 ms, now 313 ms") == 1


def test_a_change_that_both_have_is_told_as_one() -> None:
    for without in (270, 272, 275):
        comparison = told(timed([340, 342, 346], 340), timed([271, 272, 276], without))
        assert comparison.sentence.startswith("The step under the profiler is 70 ms (20.5 %) faster")


@pytest.mark.parametrize(("base", "head"), [((272, 313), (299, 282)), ((299, 282), (272, 313))])
def test_opposite_changes_are_said_first_and_nothing_is_called_their_cause(
    base: tuple[int, int], head: tuple[int, int]
) -> None:
    runs = [timed([profiled - 2, profiled, profiled + 2], without) for profiled, without in (base, head)]
    comparison = told(*runs)
    first = comparison.sentence
    assert first.startswith("Without the profiler the step is ") and "The profiler and the load" in first
    assert "hide which is true" in first and "largest" not in first
    assert ("faster, under it" in first) == (base[0] < head[0])


def test_what_steps_differ_by_is_no_contradiction() -> None:
    comparison = told(timed([300, 342, 390], 330), timed([250, 290, 330], 300))
    assert "Without the profiler" not in comparison.sentence


def rows_of(scale: float, spread: float, seed: int, **others: float) -> list[OpRow]:
    """Thirty operators of 1 to 10 ms in three steps, each `scale` times as long, give or take `spread`."""
    numbers = random.Random(seed)
    each = {f"op{number}": (1 + number % 10) * (1 + numbers.uniform(-spread, spread)) for number in range(30)}
    times = {name: scale * ms * others.get(name, 1.0) for name, ms in each.items()}
    return [row(name, round(ms * MS), (64, 64)) for name, ms in times.items()]


def test_what_every_operator_drifts_by_is_no_cause() -> None:
    """All within a third up or down, as beside other work; one is new."""
    base = run(*rows_of(1.0, 0.3, 1))
    head = run(*rows_of(0.9, 0.3, 2), row("roll", 20 * MS, (7,)))
    comparison = told(base, head)
    drift = comparison.drift
    assert drift is not None and drift.rows >= 28 and 0.7 < drift.ratio < 1.1
    within = [op for op in comparison.ops if op.within_noise]
    assert len(within) == drift.rows and sum(op.change_ns for op in within) == drift.change_ns
    view = diff_view(comparison, 10)
    assert view.ops[0].name == "aten::roll" and len(view.ops) + len(within) + view.hidden == 31
    assert f"{len(within)} other operators, the same on both sides, drifted by " in view.drift
    for name in ("txt", "md", "html"):
        assert "drifted by" in render(comparison, name)
    assert sum(op.change_ns for op in comparison.ops) == comparison.busy_ns.change, "the JSON has every one"


@pytest.mark.parametrize("times", [0.3, 3.0])
def test_what_changes_by_more_than_the_others_is_a_cause(times: float) -> None:
    """Others within 2 %: op9 alone takes 3 times as long, or a third."""
    comparison = told(run(*rows_of(1.0, 0.02, 1)), run(*rows_of(1.0, 0.02, 2, op9=times)))
    assert [op.name for op in comparison.ops if not op.within_noise][0] == "aten::op9"
    assert "is aten::op9: " in comparison.sentence


def test_few_operators_have_no_drift() -> None:
    base, head = (run(*rows_of(1.0, 0.3, seed)[:7]) for seed in (1, 2))
    comparison = told(base, head)
    assert comparison.drift is None and not any(op.within_noise for op in comparison.ops)
    assert diff_view(comparison, 10).drift == ""


def loaded(made: Job) -> Job:
    """As the analysis says it of a recording in which nothing comes near a roof."""
    rows = tuple(structs.replace(each, efficiency=0.04) for each in made.op_rows)
    notice = Notice("far_below_roofs", "what a roof could limit gets to 4.0 % of it on average")
    return structs.replace(made, op_rows=rows, source=structs.replace(made.source, warnings=(notice,)))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_recording_under_load_does_not_compare_with_a_quiet_one(swapped: bool) -> None:
    slow, quiet = loaded(run(*rows_of(6.0, 0.3, 1))), run(*rows_of(1.0, 0.02, 2))
    comparison = told(*((quiet, slow) if swapped else (slow, quiet)))
    side = "head" if swapped else "base"
    assert comparison.sentence.startswith(
        "The two recordings do not compare: what a roof could limit reached 4.0 % of it in "
        f"the {side}, 50.0 % in the "
    )
    assert f"record the {side} again, on a quiet machine" in comparison.sentence
    assert not any(word in comparison.sentence for word in ("faster", "slower", "largest"))
    assert comparison.recorded_apart is not None
    page, text = render(comparison, "html"), render(comparison, "txt")
    assert "What changed" not in page and "Where the recordings differ" in page
    assert "for whatever reason" in text and "for whatever reason" in render(comparison, "md")


def test_bad_kernels_that_were_mended_are_a_change() -> None:
    """What is the same took as long on both sides: the base had one operator that came near no roof."""
    slow = loaded(run(*rows_of(1.0, 0.02, 1), row("conv", 900 * MS, (7, 7))))
    comparison = told(slow, run(*rows_of(1.0, 0.02, 2), row("conv", 90 * MS, (7, 7))))
    assert comparison.recorded_apart is None and "aten::conv: -270 ms" in comparison.sentence


def test_both_far_below_their_roofs_compare() -> None:
    comparison = told(loaded(run(*rows_of(2.0, 0.02, 1))), loaded(run(*rows_of(1.0, 0.02, 2))))
    assert comparison.recorded_apart is None and " faster" in comparison.sentence


def program(dtype: str = "bf16", size: int = 64, *others: OpRow) -> Job:
    rows = [product("mm", 60 * MS, (size, 32), (32, 64), dtype=dtype), row("mul", 30 * MS, (64, 64))]
    return run(*rows, *others)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (program(), None),
        (program("bf16", 64, row("rare", 2 * MS, (7,))), None),
        (program("fp32"), "precision of most contractions: bf16, then fp32"),
        (program("bf16", 128), "leading sizes: 2 times as large"),
        (program("bf16", 64, row("roll", 30 * MS, (7,))), "25.0 % of the time of one is in operators"),
    ],
)
def test_files_that_are_no_runs_of_one_program_are_warned_of(other: Job, why: str | None) -> None:
    for runs in ([program(), other], [other, program()]):
        result = check(runs, "memory_bound.share_of_busy<=1")
        codes = [notice.code for notice in result.source.warnings]
        assert ("other_program" in codes) == (why is not None)
        (requirement,) = result.requirements
        assert ("are not runs of one program" in (requirement.reason or "")) == (why is not None)
        assert requirement.outcome == "holds", "the number is the median of what was given"
        side = comparison_of(runs, [program()])
        assert ("other_program" in side.base.warnings) == (why is not None)
        assert ("Base: of several files that are taken" in render(side, "txt")) == (why is not None)
    if why:
        (requirement,) = check([program(), other], "memory_bound.share_of_busy<=1").requirements
        assert why in text(requirement)
        (requirement,) = check(program(), "time.busy_ns<=+500%", baseline=[program(), other]).requirements
        assert why in text(requirement)


def test_a_check_against_a_baseline_under_load_says_so() -> None:
    slow, quiet = loaded(run(*rows_of(6.0, 0.3, 1))), run(*rows_of(1.0, 0.02, 2))
    (requirement,) = check(quiet, "window.step_ns.median<=+5%", baseline=slow).requirements
    assert "the recordings do not compare: what a roof could limit reached 4.0 % of it in the base" in text(
        requirement
    )
    assert "recording.unprofiled_step_ns is" in text(requirement) and "in the baseline" in text(requirement)
    (requirement,) = compared([parsed("step_ns.change_share<=0.05")], comparison_of([slow], [quiet]))
    assert "the recordings do not compare" in text(requirement)
    (absolute,) = check(quiet, "window.step_count==3", baseline=slow).requirements
    assert absolute.reason is None
