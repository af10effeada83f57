"""The schedule that is proposed to a run that was too short for the one asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.collect.schedule import Schedule


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 9), st.integers(2, 30))
def test_a_proposed_schedule_fits_and_captures(wait: int, warmup: int, active: int, steps: int) -> None:
    shorter = Schedule(wait, warmup, active).within(steps)
    assert shorter is not None
    assert shorter.steps <= steps and shorter.wait >= 1 and shorter.active >= 1 and shorter.warmup >= 0


def test_one_step_cannot_be_captured() -> None:
    assert Schedule().within(1) is None
