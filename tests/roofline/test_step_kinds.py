"""Kinds of steps: grouping against a brute-force twin, and how many comparisons it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.loops import Loop, act, mm
from traceanalyzer.roofline import step_kinds

Step = list[tuple[str, str, bool, int]]  # operator, kernel, whether it is compared, busy time


def random_steps(seed: int, count: int = 40) -> list[Step]:
    """A few patterns, each repeated with an operator more, one fewer, or other kernels."""
    draw = np.random.default_rng(seed)
    pool = [(f"op{i % 12}", f"k{i % 9}", bool(i % 5), int(draw.integers(1, 1000))) for i in range(24)]
    patterns = [[pool[i] for i in sorted(draw.choice(24, 6, replace=False).tolist())] for _ in range(4)]
    steps = []
    for _ in range(count):
        step = list(patterns[draw.integers(4)])
        if draw.random() < 0.3:
            step.pop(int(draw.integers(len(step))))
        if draw.random() < 0.3:
            step.append(pool[draw.integers(24)])
        steps.append(list(dict.fromkeys((op, kernel, seen, ns + int(draw.integers(50)))
                                        for op, kernel, seen, ns in step)))  # fmt: skip
    return steps


def only_in(step: Step, other: Step) -> float:
    ops, kernels = {op for op, *_ in other}, {kernel for _, kernel, *_ in other}
    missing = sum(ns for op, kernel, seen, ns in step if seen and op not in ops and kernel not in kernels)
    return missing / sum(ns for *_, ns in step)


def grouped(steps: list[Step], share: float) -> list[list[int]]:
    """Those of the same work together; else with the first group whose first step is alike."""
    groups: list[list[int]] = []
    home: dict[tuple[tuple[str, str, bool], ...], int] = {}
    for number, step in enumerate(steps):
        same = tuple(sorted({(op, kernel, seen) for op, kernel, seen, _ in step}))
        alike = (
            at for at, group in enumerate(groups)
            if only_in(step, steps[group[0]]) <= share and only_in(steps[group[0]], step) <= share
        )  # fmt: skip
        at = home[same] if same in home else next(alike, len(groups))
        home.setdefault(same, at)
        groups[at:] = groups[at:] or [[]]
        groups[at].append(number)
    return groups


def work_of(steps: list[Step]) -> step_kinds._Work:
    kinds = sorted({each[:3] for step in steps for each in step})
    times: list[dict[int, int]] = []
    for step in steps:
        of_kind: dict[int, int] = {}
        for *each, ns in step:
            at = kinds.index((str(each[0]), str(each[1]), bool(each[2])))
            of_kind[at] = of_kind.get(at, 0) + ns
        times.append(dict(sorted(of_kind.items())))
    every = np.ones(len(kinds), bool)
    return step_kinds._Work(
        [op for op, *_ in kinds],
        np.cumsum([0, *map(len, times)]),
        np.array([at for each in times for at in each], np.int32),
        np.array([ns for each in times for ns in each.values()], np.int64),
        np.array([seen for *_, seen in kinds], bool),
        (
            step_kinds._Column.of([op for op, *_ in kinds], every),
            step_kinds._Column.of([kernel for _, kernel, _ in kinds], every),
        ),
    )


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(25))
def test_groups_are_those_of_every_pair_compared(seed: int, share: float) -> None:
    steps = random_steps(seed)
    assert step_kinds._grouped(range(len(steps)), work_of(steps), share) == grouped(steps, share)


@pytest.mark.parametrize("form", ["shapes", "operators", "alike"])
def test_steps_that_all_differ_are_not_compared_with_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Decoding with a growing dimension, steps with an operator of their own, and steps that are the same."""
    compared = 0
    apart = step_kinds._Work.apart

    def counted(work: step_kinds._Work, step: int, other: int, share: float) -> bool:
        nonlocal compared
        compared += 1
        return apart(work, step, other, share)

    monkeypatch.setattr(step_kinds._Work, "apart", counted)
    loop = Loop()
    for number in range(60):
        size = 64 + number if form == "shapes" else 64
        own = [act(f"lib::op{number}", (64, 64), 20)] if form == "operators" else []
        loop.step(mm(size, 64, 64, 20), *own)
    kinds = loop.told(tmp_path).window.kinds or ()
    assert len(kinds) == (60 if form == "operators" else 0)
    assert compared < 3 * 60
