"""Which returns end a step."""

from __future__ import annotations

from traceanalyzer.collect.step_detector import PATIENCE, SILENT_AFTER, StepDetector, Tick


class Owner:
    """Stands for an optimizer or a module."""


A, B = Owner(), Owner()


def test_the_first_optimizer_sets_the_beat() -> None:
    beat = StepDetector()
    ticks = [beat.optimizer(owner) for owner in (A, B, A, B, A)]
    assert ticks == [Tick.STEP, Tick.NOTHING, Tick.STEP, Tick.NOTHING, Tick.STEP]


def test_one_optimizer_for_each_of_many_parameters_is_one_beat() -> None:
    """None of the 200 others steps twice between two steps of the anchor."""
    owners, beat = [Owner() for _ in range(200)], StepDetector()
    ticks = [beat.optimizer(owner) for _ in range(3) for owner in owners]
    assert ticks.count(Tick.STEP) == 3 and Tick.RESTART not in ticks


def test_a_silent_anchor_is_replaced() -> None:
    beat = StepDetector()
    beat.optimizer(A)
    ticks = [beat.optimizer(B) for _ in range(SILENT_AFTER + 2)]
    assert ticks == [Tick.NOTHING] * (SILENT_AFTER - 1) + [Tick.RESTART, Tick.STEP, Tick.STEP]


def test_forwards_count_where_there_is_no_optimizer() -> None:
    beat = StepDetector()
    assert [beat.forward(owner) for owner in (A, B, A)] == [Tick.STEP, Tick.NOTHING, Tick.STEP]


def test_an_optimizer_takes_over_from_forwards() -> None:
    beat = StepDetector()
    beat.forward(A)
    assert beat.optimizer(B) is Tick.RESTART
    assert beat.forward(A) is Tick.NOTHING and beat.optimizer(B) is Tick.STEP


def test_micro_batches_do_not_count_while_an_optimizer_is_awaited() -> None:
    beat = StepDetector(optimizer_exists=True)
    assert {beat.forward(A) for _ in range(PATIENCE - 1)} == {Tick.NOTHING}
    assert beat.optimizer(B) is Tick.STEP


def test_an_optimizer_that_never_steps_is_given_up() -> None:
    beat = StepDetector(optimizer_exists=True)
    ticks = [beat.forward(A) for _ in range(PATIENCE + 1)]
    assert ticks[-2:] == [Tick.STEP, Tick.STEP] and set(ticks[:-2]) == {Tick.NOTHING}


def test_an_anchor_that_is_gone_is_replaced_at_once() -> None:
    beat = StepDetector()
    beat.optimizer(Owner())
    assert [beat.optimizer(B), beat.optimizer(B)] == [Tick.RESTART, Tick.STEP]
