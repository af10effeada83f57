"""Whether the interval of a change keeps its word: on runs whose truth is known, drawn with a seed."""

from __future__ import annotations

import json
import math
from statistics import median as median_of

import numpy as np
import pytest

from tests.project.tree import ROOT
from traceanalyzer.comparison import noise
from traceanalyzer.comparison.conditions import MINIMUM_CHANGE_SHARE
from traceanalyzer.comparison.noise import change_interval

PAIRS = 400
Runs = list[list[int]]


def drawn(
    numbers: np.random.Generator, runs: int, steps: int, between: float, within: float, slower: float = 0.0
) -> Runs:
    """Steps of 100 ms; runs differ by `between` (standard deviation), steps within a run by `within`."""
    means = 1e8 * (1 + slower) * (1 + between * numbers.standard_normal(runs))
    return [[round(mean * (1 + within * x)) for x in numbers.standard_normal(steps)] for mean in means]


def alarms(runs: int, steps: int, between: float, within: float) -> int:
    """Of PAIRS without a change, those called faster or slower."""
    numbers = np.random.default_rng(7)
    count = 0
    for _ in range(PAIRS):
        base, head = (drawn(numbers, runs, steps, between, within) for _ in range(2))
        interval = change_interval(base, head)
        change = noise.median(head) - noise.median(base)
        assert interval is not None
        count += interval.excludes(0) and abs(change) >= MINIMUM_CHANGE_SHARE * noise.median(base)
    return count


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of them: the ends of an interval move by a hundredth of its length."""
    monkeypatch.setattr(noise, "RESAMPLES", 1000)


@pytest.mark.parametrize(("between", "within"), [(0.01, 0.01), (0.01, 0.003), (0.003, 0.03), (0.0, 0.01)])
def test_three_runs_of_five_steps_raise_few_false_alarms(
    between: float, within: float, fewer_draws: None
) -> None:
    assert alarms(3, 5, between, within) <= 28


@pytest.mark.parametrize("steps", [3, 4, 5, 10])
@pytest.mark.parametrize("within", [0.01, 0.03])
def test_one_run_whose_steps_are_all_that_differs(steps: int, within: float, fewer_draws: None) -> None:
    """At most 5 %; how runs differ beside that no interval of one run can know."""
    assert alarms(1, steps, 0.0, within) <= PAIRS * 0.05


@pytest.mark.parametrize(("between", "within"), [(0.01, 0.01), (0.005, 0.01)])
def test_a_slowdown_of_five_percent_is_found(between: float, within: float, fewer_draws: None) -> None:
    numbers = np.random.default_rng(8)
    caught = inside = 0
    for _ in range(PAIRS):
        base = drawn(numbers, 3, 5, between, within)
        head = drawn(numbers, 3, 5, between, within, slower=0.05)
        interval = change_interval(base, head)
        assert interval is not None
        caught += interval.low > 0
        inside += interval.low <= 5e6 <= interval.high
    assert caught >= 360 and inside >= 368


RECORDED = ROOT / "benchmarks" / "changes" / "step_times.json"


@pytest.mark.parametrize(("runs", "steps"), [(3, 5), (3, 3), (2, 5)])
def test_runs_of_a_real_step_raise_few_false_alarms(runs: int, steps: int, fewer_draws: None) -> None:
    """24 runs of one program, whose medians differ by 13 %, assigned to two sides at random."""
    recorded: Runs = json.loads(RECORDED.read_text())["step_ns"]
    numbers = np.random.default_rng(5)
    count = 0
    for _ in range(PAIRS):
        chosen = numbers.choice(len(recorded), 2 * runs, replace=False)
        drawn = [numbers.permutation(recorded[run])[:steps].tolist() for run in chosen]
        interval = change_interval(drawn[:runs], drawn[runs:])
        assert interval is not None
        count += interval.excludes(0)
    assert count <= 28


def test_below_three_steps_nothing_is_told() -> None:
    assert change_interval([[1, 2]], [[1, 2, 3]]) is None
    assert change_interval([[1], [2]], [[1], [2], [3]]) is None
    assert change_interval([[1, 2, 3]], [[1], [2], [3]]) is not None


def test_the_interval_holds_the_change_of_the_medians() -> None:
    base, head = [[100, 101, 130], [99, 100]], [[90, 92, 91]]
    interval = change_interval(base, head)
    change = median_of(head[0]) - median_of([*base[0], *base[1]])
    assert interval is not None and interval.low <= change <= interval.high
    assert interval == change_interval(base, head), "a fixed seed"


def test_steps_that_are_alike_have_an_interval_of_nothing() -> None:
    interval = change_interval([[100] * 5], [[110] * 5])
    assert interval is not None and (interval.low, interval.high) == (10, 10)


@pytest.mark.parametrize(
    ("runs", "steps", "wider"),
    [
        (2, 5, 2.0), (3, 5, 1.5), (5, 3, 1.25),
        (1, 3, 2.776 / 1.95996 * math.sqrt(3 / 2)), (1, 4, 2.447 / 1.95996 * math.sqrt(4 / 3)),
        (1, 10, 2.120 / 1.95996 * math.sqrt(10 / 9)),
    ],
)  # fmt: skip
def test_how_much_wider_than_its_percentiles(runs: int, steps: int, wider: float) -> None:
    side = [[100 + step for step in range(steps)] for _ in range(runs)]
    assert noise._widened(side, side) == pytest.approx(wider, rel=1e-3)


def test_many_steps_take_no_more_than_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """24,000 steps a side: drawn are 400 of a run."""
    monkeypatch.setattr(noise, "RESAMPLES", 200)
    numbers = np.random.default_rng(3)
    base, head = (drawn(numbers, 1, 24_000, 0, 0.1) for _ in range(2))
    interval = change_interval(base, head)
    assert interval is not None and interval.high - interval.low < 8e6
