"""How surely the median step changed: an interval by resampling runs, and steps within them.

Steps of one run share what no step shows: clocks, memory layout, neighbors on the machine. So runs are
drawn first, and steps within each drawn run. A resample of k runs has (k - 1) / k of their variance, and
percentiles take that for the true one; about as much again makes up for it. Of single runs the steps are
the sample, and the interval is widened as that of Student's t is (Hesterberg, What Teachers Should Know
About the Bootstrap, The American Statistician 69, 2015, on percentile intervals of small samples). How
often these intervals are wrong is measured by benchmarks/noise.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import msgspec
import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
LEAST_STEPS = 3  # on either side, below which nothing is told
_UNEVEN = 2  # times as many on one side as on the other
_TELLING_STEPS, _TELLING_RUNS = 5, 3  # whose spread tells how many more are needed
_MOST_STEPS = 400  # drawn of a run: more make the interval no narrower than its runs do
_NORMAL = 1.95996
# 97.5th percentile of Student's t by degrees of freedom.
_STUDENT = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 10: 2.228, 12: 2.179,
            16: 2.120, 20: 2.086, 30: 2.042, 60: 2.000}  # fmt: skip

Floats = npt.NDArray[np.float64]
Runs = Sequence[Sequence[int]]


class Interval(msgspec.Struct, frozen=True):
    """Of the change of the median, in ns."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether it lies outside."""
        return not self.low <= value <= self.high


def median(runs: Runs) -> float:
    """Of all steps together."""
    return float(np.median(np.concatenate([np.asarray(run, np.float64) for run in runs])))


def change_interval(base: Runs, head: Runs) -> Interval | None:
    """Of head - base; None below LEAST_STEPS on a side. Equal inputs give equal intervals."""
    if fewest_steps(base, head) < LEAST_STEPS:
        return None
    numbers = np.random.default_rng(SEED)
    drawn = _medians(head, numbers) - _medians(base, numbers)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    change, wider = median(head) - median(base), _widened(base, head)
    return Interval(
        change - max(0.0, change - float(low)) * wider, change + max(0.0, float(high) - change) * wider
    )


def _medians(runs: Runs, numbers: np.random.Generator) -> Floats:
    """Medians of RESAMPLES sets of steps, as many as there are."""
    kept = [_thinned(np.sort(np.asarray(run, np.float64))) for run in runs]
    longest = max(map(len, kept))
    table = np.full((len(kept), longest), np.nan)
    for row, run in enumerate(kept):
        table[row, : len(run)] = run
    lengths = np.array([len(run) for run in kept])
    result = np.empty(RESAMPLES)
    at_once = max(1, 2_000_000 // (len(kept) * longest))
    for first in range(0, RESAMPLES, at_once):
        count = min(at_once, RESAMPLES - first)
        chosen = numbers.integers(0, len(kept), (count, len(kept)))
        steps = (numbers.random((count, len(kept), longest)) * lengths[chosen][:, :, None]).astype(np.int64)
        values = table[chosen[:, :, None], steps]
        if (lengths == longest).all():
            result[first : first + count] = np.median(values.reshape(count, -1), axis=1)
        else:  # of a run with fewer steps as many as it has
            values[np.arange(longest) >= lengths[chosen][:, :, None]] = np.nan
            result[first : first + count] = np.nanmedian(values.reshape(count, -1), axis=1)
    return result


def _thinned(steps: Floats) -> Floats:
    """Evenly many of its quantiles."""
    if len(steps) <= _MOST_STEPS:
        return steps
    return steps[np.linspace(0, len(steps) - 1, _MOST_STEPS).round().astype(np.int64)]


def _widened(base: Runs, head: Runs) -> float:
    """By how much the resampled interval is too narrow."""
    runs = min(len(base), len(head))
    return _wider_of_runs(runs) if runs > 1 else _wider_of_steps(fewest_steps(base, head))


def _wider_of_runs(runs: int) -> float:
    return runs / (runs - 1)


def _wider_of_steps(steps: int) -> float:
    freedom = max(df for df in _STUDENT if df <= 2 * steps - 2)
    return _STUDENT[freedom] / _NORMAL * sqrt(steps / (steps - 1))


def fewest_steps(base: Runs, head: Runs) -> int:
    """Of all runs of a side together."""
    return min(sum(map(len, base)), sum(map(len, head)))


def enough(base: Runs, head: Runs, half_ns: float, wanted_ns: float) -> int | None:
    """How many runs a side, or steps of single runs, make an interval of `half_ns` to both sides one of
    `wanted_ns`, if further ones differ as these do. None: these are too few to tell, or it takes too many, or
    one side has so many more that its spread is not what makes the interval wide.
    """
    runs, steps = min(len(base), len(head)), fewest_steps(base, head)
    now, wider = (runs, _wider_of_runs) if runs > 1 else (steps, _wider_of_steps)
    most = max(map(len, (base, head))) if runs > 1 else max(sum(map(len, side)) for side in (base, head))
    if now < (_TELLING_RUNS if runs > 1 else _TELLING_STEPS) or most > _UNEVEN * now:
        return None
    least = wanted_ns / half_ns * wider(now) / sqrt(now)
    return next((n for n in range(most + 1, _MOST_STEPS) if wider(n) / sqrt(n) <= least), None)
