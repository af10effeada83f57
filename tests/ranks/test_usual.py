"""What ranks usually spend: against medians taken one by one, and in how much memory."""

from __future__ import annotations

import random
import tracemalloc
from collections import defaultdict
from statistics import median

import numpy as np
import pytest
from msgspec.structs import replace

from tests.ranks.many import work_of
from traceanalyzer.ranks import usual
from traceanalyzer.ranks.late import _call_ns, cause_of
from traceanalyzer.ranks.usual import Key, keys_of, medians
from traceanalyzer.records.rank_work import Counts, RankWork, WorkForm


def rank_of(forms: tuple[WorkForm, ...], calls: Counts, time_ns: Counts) -> RankWork:
    entry = replace(work_of().entry, window_ns=int(time_ns.sum()) + 1)
    return replace(
        work_of(), entry=entry, forms=forms, calls=calls, time_ns=time_ns, attributed_ns=time_ns
    )  # fmt: skip


def random_rank(chance: random.Random) -> RankWork:
    """Some of a few forms, sums and collectives among them; some without a call."""
    every = [
        WorkForm(name, phase, shape, operator_class)
        for name in ("aten::mm", "(sum of 3 small)", "aten::add", "ncclKernel")
        for phase in ("", "forward")
        for shape in ("", "[2]", "[3]")
        for operator_class in ("elementwise", "tensor_contraction")
    ]
    every += [WorkForm("ncclKernel", "", "", "communication")]
    forms = tuple(sorted(chance.sample(every, chance.randrange(len(every)))))
    calls, time_ns = (
        np.array([chance.randrange(most) for _ in forms], np.int64) for most in (3, 1_000_000)
    )  # fmt: skip
    return rank_of(forms, calls, time_ns)


def by_operator(form: WorkForm) -> Key:
    return form.name, form.phase


@pytest.mark.parametrize("cells", [1, 7, 2**20])
def test_each_is_the_median_of_the_ranks_that_have_it(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual, "_CELLS", cells)
    chance = random.Random(cells)
    for count in range(12):
        ranks = [random_rank(chance) for _ in range(count)]
        ranks += [replace(ranks[0], calls=2 * ranks[0].calls)] if ranks else []
        keys = keys_of(random_rank(chance), by_operator)
        found: dict[Key, list[float]] = defaultdict(list)
        total: dict[Key, list[float]] = defaultdict(list)
        for work in ranks:
            for key in keys:
                rows = [at for at, f in enumerate(work.forms) if f.is_compute and by_operator(f) == key]
                calls, ns = (sum(int(column[at]) for at in rows) for column in (work.calls, work.time_ns))
                total[key].append(ns)
                found[key] += [ns / calls] if calls else []
        each = medians(ranks, keys, by_operator, _call_ns)
        assert each.tolist() == [median(found[key]) if found[key] else 0.0 for key in keys]
        sums = medians(ranks, keys, by_operator, lambda work, part: part.sums(work.time_ns))
        assert sums.tolist() == [median(total[key]) if ranks else 0.0 for key in keys]


def shapes(count: int) -> tuple[WorkForm, ...]:
    return tuple(
        sorted(WorkForm("aten::mm", "", f"[[{at}, 64]]", "tensor_contraction") for at in range(count))
    )


def job(ranks: int, forms: int) -> list[RankWork]:
    """Rank 0 has a tenth more to do everywhere; the columns of the others are one and the same."""
    alike, ones = shapes(forms), np.ones(forms, np.int64)
    others = [rank_of(alike, ones, 1_000 * ones) for _ in range(ranks - 1)]
    return [rank_of(alike, ones, 1_100 * ones), *others]


@pytest.mark.parametrize("ranks", [64, 1_000])
def test_memory_does_not_grow_with_ranks_times_forms(ranks: int) -> None:
    """A table of all would take 24 MB of 1,000 ranks, and a copy of each row as much again."""
    work = job(ranks, 3_000)
    tracemalloc.start()
    try:
        why = cause_of(work, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert why.startswith("all its kernels take 1.10 times as long")
    assert peak < 16e6


def test_nor_where_each_rank_has_forms_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All forms of one operator: a row number for each form of all ranks would be 2.4 MB."""
    monkeypatch.setattr(usual, "_CELLS", 2**14)
    work = [replace(each, forms=tuple(list(each.forms))) for each in job(100, 3_000)]
    assert work[0].forms is not work[1].forms
    tracemalloc.start()
    try:
        medians(work[1:], [("aten::mm", "")], by_operator, lambda each, part: part.sums(each.time_ns))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e6
