"""Which returns end a step."""

from __future__ import annotations

from traceanalyzer.collect.step_detector import PATIENCE, SILENT_AFTER, StepDetector, Tick


class Owner:
    """Stands for an optimizer or a module."""


A, B = Owner(), Owner()


def test_the_first_optimizer_sets_the_beat() -> None:
    detector = StepDetector()
    ticks = [detector.optimizer(owner) for owner in (A, B, A, B, A)]
    assert ticks == [Tick.STEP, Tick.NOTHING, Tick.STEP, Tick.NOTHING, Tick.STEP]


def test_one_optimizer_for_each_of_many_parameters_is_one_beat() -> None:
    """None of the 200 others steps twice between two steps of the anchor."""
    owners, detector = [Owner() for _ in range(200)], StepDetector()
    ticks = [detector.optimizer(owner) for _ in range(3) for owner in owners]
    assert ticks.count(Tick.STEP) == 3 and Tick.RESTART not in ticks


def test_a_silent_anchor_is_replaced() -> None:
    detector = StepDetector()
    detector.optimizer(A)
    ticks = [detector.optimizer(B) for _ in range(SILENT_AFTER + 2)]
    assert ticks == [Tick.NOTHING] * (SILENT_AFTER - 1) + [Tick.RESTART, Tick.STEP, Tick.STEP]


def test_forwards_count_where_there_is_no_optimizer() -> None:
    detector = StepDetector()
    assert [detector.forward(owner) for owner in (A, B, A)] == [Tick.STEP, Tick.NOTHING, Tick.STEP]


def test_an_optimizer_takes_over_from_forwards() -> None:
    detector = StepDetector()
    detector.forward(A)
    assert detector.optimizer(B) is Tick.RESTART
    assert detector.forward(A) is Tick.NOTHING and detector.optimizer(B) is Tick.STEP


def test_micro_batches_do_not_count_while_an_optimizer_is_awaited() -> None:
    detector = StepDetector(optimizer_exists=True)
    assert {detector.forward(A) for _ in range(PATIENCE - 1)} == {Tick.NOTHING}
    assert detector.optimizer(B) is Tick.STEP


def test_an_optimizer_that_never_steps_is_given_up() -> None:
    detector = StepDetector(optimizer_exists=True)
    ticks = [detector.forward(A) for _ in range(PATIENCE + 1)]
    assert ticks[-2:] == [Tick.STEP, Tick.STEP] and set(ticks[:-2]) == {Tick.NOTHING}


def test_an_anchor_that_is_gone_is_replaced_at_once() -> None:
    detector = StepDetector()
    detector.optimizer(Owner())
    assert [detector.optimizer(B), detector.optimizer(B)] == [Tick.RESTART, Tick.STEP]
