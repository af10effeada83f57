"""What a comparison concludes: the same work or not, faster or not, and what is to blame."""

from __future__ import annotations

import re

import numpy as np
import pytest
from msgspec import structs

from tests.comparison.sides import product, row, run, with_steps
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.records import IDLE_CAUSES, IdlePart, Job
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.comparisons import render
from traceanalyzer.report.diff_view import diff_view

N = (64, 64)
MS = 1_000_000
STEADY = [100 * MS, 101 * MS, 99 * MS, 100 * MS, 100 * MS]


def of_length(lengths: list[int]) -> Job:
    """A run of steps of these lengths: one operator and a tenth of idle time."""
    total = sum(lengths)
    return with_steps(run(row("mul", total - total // 10, N), idle_ns=total // 10, steps=5), lengths)


def scaled(by: float) -> list[int]:
    return [round(ns * by) for ns in STEADY]


@pytest.mark.parametrize(
    ("by", "verdict", "said"),
    [
        (0.8, "faster", "is 20 ms (20.0 %) faster, by one run a side: 100 ms, now 80.0 ms, change"),
        (1.3, "slower", "is 30 ms (30.0 %) slower, by one run a side: 100 ms, now 130 ms, change"),
        (1.0, "no_change", "stands out from the noise: 100 ms, now 100 ms"),
        (1.004, "no_change", "stands out from the noise: 100 ms, now 100 ms"),
    ],
)  # fmt: skip
def test_faster_slower_or_neither(by: float, verdict: str, said: str) -> None:
    comparison = comparison_of([of_length(STEADY)], [of_length(scaled(by))])
    assert comparison.step_ns.verdict == verdict
    assert f"step under the profiler {said}" in comparison.sentence
    assert comparison.step_ns.change_share == pytest.approx(by - 1, abs=1e-6)
    bare = [[structs.replace(each, recording=None) for each in side]
            for side in ([of_length(STEADY)], [of_length(scaled(by))])]  # fmt: skip
    assert "profiler" not in comparison_of(*bare).sentence, "which step it is goes without saying"


def test_a_change_that_is_sure_and_small_is_none() -> None:
    exact = [[100 * MS] * 5] * 3
    base = [of_length(each) for each in exact]
    head = [of_length([100 * MS + 500_000] * 5) for _ in exact]
    step = comparison_of(base, head).step_ns
    assert step.verdict == "no_change" and (step.low, step.high) == (500_000, 500_000)
    assert comparison_of(base, head).sentence.startswith(
        "The step under the profiler takes as long as before, to 1 %"
    )


def test_one_run_a_side_says_what_its_interval_leaves_out() -> None:
    single = comparison_of([of_length(STEADY)], [of_length(STEADY)]).step_ns
    assert single.reason is not None and "one run a side" in single.reason
    several = comparison_of([of_length(STEADY)] * 3, [of_length(STEADY)] * 3).step_ns
    assert several.reason is None


@pytest.mark.parametrize(("steps", "reason"), [(2, "2 steps on a side, 3 are needed"), (None, "no steps")])
def test_where_nothing_can_be_told(steps: int | None, reason: str) -> None:
    runs = [run(row("mul", 9 * MS, N), steps=steps)], [run(row("mul", 3 * MS, N), steps=steps)]
    step = comparison_of(*runs).step_ns
    assert step.verdict == "cannot_tell" and step.low is step.high is None
    assert step.reason is not None and reason in step.reason
    assert "whether that is noise cannot be told" in comparison_of(*runs).sentence


def test_the_culprit_of_a_slower_step_is_what_made_it_slower() -> None:
    """Something large got faster, yet the step is slower: for it waits."""
    base = with_steps(run(row("mul", 400 * MS, N), idle_ns=100 * MS, steps=5), [100 * MS] * 5)
    head = with_steps(run(row("mul", 100 * MS, N), idle_ns=650 * MS, steps=5), [150 * MS] * 5)
    comparison = comparison_of([base], [head])
    assert comparison.step_ns.verdict == "slower"
    assert comparison.culprit is not None and comparison.culprit.kind == "idle"
    assert "The largest single increase is idle time (" in comparison.sentence


def flops(amount: int, **more: object) -> Job:
    return run(product("mm", 9 * MS, N, N, flops=amount, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "head", "code", "same"),
    [
        (flops(6_000_000), flops(6_100_000), None, True),
        (flops(6_000_000), flops(6_200_000), "flops", False),
        (flops(6_000_000), flops(6_000_000, dtype="fp32"), "precision", True),
        (run(product("mm", 9, (32, 64), (64, 8))), run(product("mm", 9, (64, 64), (64, 8))), "batch", False),
        (run(product("mm", 9, (32, 64), (64, 8))), run(product("mm", 9, (48, 80), (80, 8))), "shapes", False),
        (flops(6_000_000), structs.replace(flops(6_000_000), device=structs.replace(
            flops(6_000_000).device, id="a100", name="NVIDIA A100")), "device", False),
        (flops(6_000_000), run(product("mm", 15 * MS, N, N, flops=10_000_000), steps=5), "step_count", True),
    ],
)  # fmt: skip
def test_the_same_work(base: Job, head: Job, code: str | None, same: bool) -> None:
    comparison = comparison_of([base], [head])
    codes = [reason.code for reason in comparison.same_work.reasons]
    assert comparison.same_work.same == same
    assert codes == ([code] if code else [])
    assert comparison.sentence.startswith("Not the same work (") == (not same)


def test_eager_and_compiled_do_the_same_work() -> None:
    """mm.out of compiled code has its result among its arguments, and chains are one kernel."""
    base = run(product("mm", 9 * MS, N, (64, 8)), row("mul", MS, N), row("add", MS, N))
    head = run(product("mm", 9 * MS, N, (64, 8), (64, 8)), row("triton_poi_fused_add_mul_0", MS, N))
    assert comparison_of([base], [head]).same_work.same


def test_recomputation_is_no_other_work() -> None:
    again = product("mm", 3 * MS, N, (64, 8), phase="recompute")
    base, head = run(product("mm", 9 * MS, N, (64, 8))), run(product("mm", 9 * MS, N, (64, 8)), again)
    assert comparison_of([base], [head]).same_work.same


def test_the_direction_is_that_of_the_median_step() -> None:
    """One slow step in the base, which the median leaves out and the mean does not."""
    slow = [100 * MS] * 14 + [3_000 * MS]
    base = with_steps(run(row("mul", 4_000 * MS, N), idle_ns=400 * MS, steps=15), slow)
    head = with_steps(run(row("mul", 2_400 * MS, N), idle_ns=600 * MS, steps=15), [200 * MS] * 15)
    comparison = comparison_of([base], [head])
    assert comparison.step_ns.verdict == "slower"
    assert comparison.culprit is not None and comparison.culprit.change_ns > 0


def test_what_is_only_the_largest_in_its_direction_is_not_called_the_largest_change() -> None:
    base = with_steps(run(row("mul", 400 * MS, N), idle_ns=100 * MS, steps=5), [100 * MS] * 5)
    rows = [row("mul", 100 * MS, N), *(row("sort", 200 * MS, (size,)) for size in (8, 16))]
    head = with_steps(run(*rows, idle_ns=250 * MS, steps=5), [150 * MS] * 5)
    comparison = comparison_of([base], [head])
    assert "The largest single increase is " in comparison.sentence
    assert diff_view(comparison, 5).more.startswith("The largest single increase is ")


def test_a_step_and_a_trace_without_steps_are_not_held_against_each_other() -> None:
    stepped, whole = run(row("mul", 9 * MS, N), steps=3), run(row("mul", 9 * MS, N), steps=None)
    comparison = comparison_of([stepped], [whole])
    assert comparison.sentence.startswith(
        "A step of the base takes 3.10 ms, the whole trace of the head 9.30 ms, which cannot be compared: "
        "the head has no steps."
    )
    assert "largest" not in comparison.sentence
    assert [reason.code for reason in comparison.same_work.reasons] == ["step_count"]
    assert diff_view(comparison, 5).whole[0].label == "mean step or trace"
    with pytest.raises(UsageError, match="has no steps, other runs"):
        comparison_of([stepped, whole], [stepped])


def test_a_report_that_does_not_hold_its_steps_still_has_steps() -> None:
    older = structs.replace(run(row("mul", 9 * MS, N)), step_rows=None)
    comparison = comparison_of([older], [run(row("mul", 9 * MS, N))])
    assert comparison.base.step_count == 3 and comparison.window_ns.change == 0
    assert comparison.sentence.startswith(
        "The step under the profiler takes 3.10 ms, now 3.10 ms; whether that"
    )
    assert comparison.step_ns.reason == "a report of the base does not hold the times of its steps"


def test_a_side_is_told_with_its_number_of_steps_and_its_device() -> None:
    unnamed = structs.replace(of_length([MS]), device=structs.replace(of_length([MS]).device, name=""))
    sides = dict(diff_view(comparison_of([unnamed], [of_length([MS])]), 5).sides)
    assert sides["base"].endswith(": 1 run, 1 step, rank 0 on an unknown device")


def test_what_runs_at_the_roof_is_not_0_where_it_is_not_known() -> None:
    """A row that reaches less than a roof by its known bytes may move more: the report leaves it open."""
    known = run(row("mul", 9 * MS, N, limiter="memory"))
    left_open = structs.replace(
        known, verdicts=tuple(structs.replace(part, at_roof_ns=None) for part in known.verdicts)
    )
    for base, head in ((known, left_open), (left_open, known)):
        comparison = comparison_of([base], [head])
        assert comparison.memory_bound is None
        assert not {"at_roof", "below_roof"} & {line.key for line in diff_view(comparison, 5).whole}
        assert "memory_bound_at_roof" not in render(comparison, "prom")
        assert render(comparison, "html") and render(comparison, "md")
    both = comparison_of([known], [known]).memory_bound
    assert both is not None and both.at_roof_ns.base == 3 * MS


def noisy(mul_ms: float, sort_ms: float, idle_ms: float) -> Job:
    """Five steps of 100 ms."""
    rows = [row("mul", round(mul_ms * MS), N), row("sort", round(sort_ms * MS), N)]
    return with_steps(run(*rows, idle_ns=round(idle_ms * MS), steps=5), STEADY)


def test_single_runs_name_no_operator_of_a_step_that_did_not_change() -> None:
    """What a row takes differs from run to run, too."""
    comparison = comparison_of([noisy(300, 150, 50)], [noisy(340, 110, 50)])
    assert comparison.step_ns.verdict == "no_change" and "largest" not in comparison.sentence
    assert comparison.culprit is not None and abs(comparison.culprit.change_ns) == 8 * MS


def test_what_is_new_is_named_whatever_the_step_does() -> None:
    head = with_steps(run(row("mul", 300 * MS, N), row("roll", 150 * MS, (7,)), idle_ns=50 * MS, steps=5),
                      STEADY)  # fmt: skip
    base = with_steps(run(row("mul", 450 * MS, N), idle_ns=50 * MS, steps=5), STEADY)
    comparison = comparison_of([base], [head])
    assert comparison.step_ns.verdict == "no_change"
    assert comparison.sentence.endswith("Of what is new, gone or replaced the largest is aten::roll: +30 ms.")
    assert diff_view(comparison, 5).more.startswith("Of what is new")
    assert "`aten::roll`" in render(comparison, "md").splitlines()[0]


def test_several_runs_name_what_they_do_not_differ_by_anyhow() -> None:
    """mul moves by 8 ms a step between runs of one side; sort by none, and takes 4 ms more in the head."""
    base = [noisy(mul, 150, 350 - mul) for mul in (280, 300, 320)]
    head = [noisy(mul, 170, 330 - mul) for mul in (290, 310, 330)]
    sentence = comparison_of(base, head).sentence
    assert "The largest single change beyond the noise of runs is aten::sort: +4.0 ms." in sentence
    same = comparison_of(base, [noisy(mul, 150, 350 - mul) for mul in (290, 310, 330)])
    assert "largest" not in same.sentence


@pytest.mark.parametrize(
    ("norm_ns", "named", "said"),
    [
        (1_500_000, "aten::norm",
         "The largest single change with a name is aten::norm: +500 µs, "
         "beside idle time (cause unknown): +1.0 ms."),
        (60_000, "unknown", "The largest single change is idle time (cause unknown): +1.0 ms."),
    ],
)  # fmt: skip
def test_idle_time_that_nothing_explains_goes_behind_what_has_a_name(
    norm_ns: int, named: str, said: str
) -> None:
    """Unless what has a name is under 1 % of the step."""
    base = [run(row("mm", 9_000_000, (8, 8), (8, 8)), idle_ns=0)]
    head = [run(row("mm", 9_000_000, (8, 8), (8, 8)), row("norm", norm_ns, (8, 8)), idle_ns=3_000_000)]
    unknown = tuple(IdlePart(cause, 3_000_000 * (cause == "unknown")) for cause in IDLE_CAUSES)
    head = [structs.replace(head[0], time=structs.replace(head[0].time, idle_by_cause=unknown))]
    comparison = comparison_of(base, head)
    assert comparison.culprit is not None and comparison.culprit.name == "unknown"  # the largest, strictly
    assert said in comparison.sentence
    view = diff_view(comparison, 5)
    assert view.more.startswith("The largest") and view.lead.endswith("(95 %).")
    first = render(comparison, "md").splitlines()[0]
    assert ("`aten::norm`" in first) == (named == "aten::norm") and "beside idle time \\(cause" not in first


def uneven(by: float, count: int) -> list[int]:
    """Steps around 100 ms, a tenth up and down, `by` of them longer or shorter altogether."""
    return [round(by * ns * MS) for ns in (90, 110, 100, 95, 105, 100, 92, 108, 97, 103)[:count]]


def steady(by: float) -> list[int]:
    """Steps around 100 ms, two in a hundred up and down."""
    return [round(by * ns * MS) for ns in (98, 102, 100, 99, 101, 100, 98.4, 101.6, 99.4, 100.6)]


ALIKE_RUNS = [steady(1 + i / 200)[:5] for i in range(5)]
THREE_RUNS = [uneven(1 + i / 40, 3) for i in range(3)]


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        ([steady(1.0)], [steady(1.005)], " steps a side tell a change of 1 % from noise."),
        ([uneven(1.0, 4)], [uneven(1.02, 4)], "; more steps on both sides may tell."),
        ([uneven(1.0, 10) * 30], [uneven(1.02, 10)], "; more steps on both sides may tell."),
        (ALIKE_RUNS, [steady(1.001 + i / 200)[:5] for i in range(5)],
         " runs a side tell a change of 1 % from noise."),
        (THREE_RUNS[:2], [uneven(1.02 + i / 40, 3) for i in range(2)],
         "; more runs on both sides may tell."),
        (THREE_RUNS, [uneven(1.03, 10)], "; more runs of the head may tell."),
    ],
    ids=["steps", "too few steps", "uneven", "runs", "too few runs", "runs of one side alone"],
)  # fmt: skip
def test_a_change_that_noise_may_hide_says_what_would_tell(
    base: list[list[int]], head: list[list[int]], said: str
) -> None:
    comparison = comparison_of([of_length(each) for each in base], [of_length(each) for each in head])
    assert comparison.step_ns.verdict == "no_change" and said in comparison.sentence, comparison.sentence
    assert (" about " in comparison.sentence) == ("more" not in said)


ASKS = re.compile("may tell|from noise;? about|a side tell")


def test_what_is_settled_asks_for_nothing() -> None:
    for head in (STEADY, scaled(0.8)):
        longer = [of_length(STEADY * 20)], [of_length([*head] * 20)]
        assert not ASKS.search(comparison_of(*longer).sentence), "the interval is within 1 %, or excludes 0"
    same = comparison_of([of_length(uneven(1.0, 10))], [of_length(uneven(1.0, 10))], shared=True)
    assert not ASKS.search(same.sentence), "the same file says nothing however long it is"


def test_so_many_steps_as_are_told_make_an_interval_of_one_percent() -> None:
    """Drawn like those that were recorded, whatever the change is that the first ones seem to have."""
    numbers = np.random.default_rng(3)

    def drawn(mean: float, count: int) -> list[int]:
        return [round(ns) for ns in numbers.normal(mean * 100 * MS, 3 * MS, count)]

    widths = []
    for _ in range(12):
        first = comparison_of([of_length(drawn(1.0, 40))], [of_length(drawn(1.002, 40))])
        count = re.search(r"about (\d+) steps a side", first.sentence)
        if count is None:
            continue
        step = comparison_of(*([of_length(drawn(by, int(count[1])))] for by in (1.0, 1.002))).step_ns
        assert step.low is not None and step.high is not None and step.base is not None
        widths.append((step.high - step.low) / 2 / step.base)
    assert len(widths) >= 6 and float(np.median(widths)) == pytest.approx(0.01, rel=0.3)
