"""Who waits for whom, against simulated jobs whose waits are known, and real ones counted by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.ranks.made import Collective, Pause, Product, Truth, Work, run, write
from traceanalyzer import AnalyzeOptions, Job, analyze

RANKS = (0, 1, 2, 3)


def program(late: int, us: float = 400, seed: int = 1) -> Callable[[int, int], Sequence[Work]]:
    """Products of about 1 ms and an all-reduce, five times a step; one rank has `us` more before each."""
    noise = random.Random(seed)

    def of(rank: int, step: int) -> list[Work]:
        works: list[Work] = []
        for _ in range(5):
            works.append(Product(1000 + noise.uniform(0, 60)))
            works += [Product(us)] if rank == late else []
            works.append(Collective("all_reduce", RANKS, 150))
        return works

    return of


def agrees(job: Job, truth: Truth, within_us: float = 1.0) -> None:
    """Every rank's waits are those of the simulation."""
    assert job.job is not None
    for entry in job.job.ranks:
        assert entry.rank is not None and entry.waited_ns is not None and entry.waited_for_ns is not None
        assert entry.waited_ns == pytest.approx(1e3 * truth.waited[entry.rank], abs=1e3 * within_us)
        assert entry.waited_for_ns == pytest.approx(1e3 * truth.waited_for[entry.rank], abs=1e3 * within_us)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("arguments", [True, False])
@pytest.mark.parametrize("late", [0, 3])
def test_waits_are_those_of_the_simulation(
    tmp_path: Path, late: int, arguments: bool, numbered: bool
) -> None:
    done, truth = run(4, 4, program(late))
    job = analyze(write(tmp_path / "job", done, numbered=numbered, arguments=arguments))
    agrees(job, truth)
    assert job.job is not None and job.job.straggler_rank == late
    assert job.source.files[0].rank == late, "the report is of the rank that the others wait for"
    assert "`aten::mm`" in job.job.reason and "5 more times per step" in job.job.reason
    assert job.job.unmatched_calls == job.job.contradictory_calls == 0


def test_waits_of_a_collective_add_up_to_those_of_the_ranks(tmp_path: Path) -> None:
    done, _ = run(4, 3, program(2))
    info = analyze(write(tmp_path / "job", done)).job
    assert info is not None
    assert sum(c.waited_ns for c in info.collectives) == sum(r.waited_ns or 0 for r in info.ranks)
    assert all(sum(each.calls for each in c.last) == c.calls for c in info.collectives)


def test_recordings_that_start_and_stop_at_other_times(tmp_path: Path) -> None:
    """Rank 1 has three steps more at the start, rank 2 two more at the end: the order has to be found."""
    done, _ = run(4, 12, program(0))
    first, last = {0: 4, 1: 1, 2: 4, 3: 3}, {0: 8, 1: 9, 2: 11, 3: 9}
    folder = write(tmp_path / "job", done, numbered=False, steps=False,
                   kept=lambda rank, step: first[rank] <= step <= last[rank])  # fmt: skip
    info = analyze(folder).job
    assert info is not None and info.straggler_rank == 0
    late = next(r for r in info.ranks if r.rank == 0)
    assert late.waited_ns == 0 and (late.waited_for_ns or 0) > 5 * 5 * 300_000
    assert info.contradictory_calls == 0


OFFSETS = {0: 0.0, 1: 3_700.0, 2: -41_000.0, 3: 1_250_000.0}  # µs


@pytest.mark.parametrize("numbered", [True, False])
def test_clocks_that_differ_are_set_by_the_ends(tmp_path: Path, numbered: bool) -> None:
    done, truth = run(4, 6, program(1))
    folder = write(tmp_path / "job", done, numbered=numbered,
                   clock=lambda rank, us: us + 2_000_000 + OFFSETS[rank])  # fmt: skip
    job = analyze(folder)
    agrees(job, truth)
    assert job.job is not None and job.job.straggler_rank == 1
    for entry in job.job.ranks:
        assert entry.clock_offset_ns == pytest.approx(-1e3 * OFFSETS[entry.rank or 0], abs=1000)


def test_a_clock_that_runs_faster(tmp_path: Path) -> None:
    """Two milliseconds in a second: between the first and the last collective far more than any wait."""
    done, truth = run(4, 40, program(1))
    folder = write(tmp_path / "job", done, clock=lambda rank, us: us * (1 + 0.002 * (rank == 2)))
    info = analyze(folder).job
    assert info is not None and info.straggler_rank == 1
    for entry in info.ranks:
        assert entry.waited_ns == pytest.approx(1e3 * truth.waited[entry.rank or 0], rel=0.02, abs=2e5)


def test_a_rank_whose_clock_nothing_ties(tmp_path: Path) -> None:
    """A broadcast's root may leave early: it sets no clock, so that the waits of its ranks are unknown."""
    done, _ = run(2, 4, lambda rank, step: [Product(1000 + 300 * rank), Collective("broadcast", (0, 1), 50)])
    info = analyze(write(tmp_path / "job", done)).job
    assert info is not None and info.straggler_rank is None and "not known" in info.reason
    assert [entry.waited_ns for entry in info.ranks] == [None, None]
    assert info.collectives == ()


def test_ranks_that_do_the_same_work_have_no_straggler(tmp_path: Path) -> None:
    done, _ = run(4, 4, lambda rank, step: [Product(2000), Collective("all_reduce", RANKS, 150)])
    job = analyze(write(tmp_path / "job", done))
    assert job.job is not None and job.job.straggler_rank is None
    assert job.job.reason.startswith("no rank stands out")


def test_kernels_that_all_take_longer(tmp_path: Path) -> None:
    def of(rank: int, step: int) -> list[Work]:
        factor = 1.35 if rank == 2 else 1.0
        return [Product(800 * factor), Product(300 * factor, 1024), Collective("all_reduce", RANKS, 150)]

    done, truth = run(4, 4, of)
    job = analyze(write(tmp_path / "job", done))
    agrees(job, truth)
    assert job.job is not None and job.job.straggler_rank == 2
    assert "1.35 times as long" in job.job.reason


def test_a_rank_that_waits_for_data(tmp_path: Path) -> None:
    def of(rank: int, step: int) -> list[Work]:
        wait: list[Work] = [Pause(700)] if rank == 3 else []
        return [*wait, Product(900), Product(900), Collective("all_reduce", RANKS, 150)]

    done, truth = run(4, 5, of)
    job = analyze(write(tmp_path / "job", done))
    agrees(job, truth)
    assert job.job is not None and job.job.straggler_rank == 3 and "data" in job.job.reason


def test_larger_shapes_are_the_reason(tmp_path: Path) -> None:
    def of(rank: int, step: int) -> list[Work]:
        return [Product(1500, 6144) if rank == 1 else Product(1000), Collective("all_reduce", RANKS, 150)]

    info = analyze(write(tmp_path / "job", run(4, 4, of)[0])).job
    assert info is not None and info.straggler_rank == 1 and "other shapes" in info.reason


def test_groups_of_other_members_with_one_name(tmp_path: Path) -> None:
    """Tensor parallel pairs (0, 1) and (2, 3) call their group the same; the data parallel ones too."""

    def of(rank: int, step: int) -> list[Work]:
        pair, peers = ((0, 1), (2, 3))[rank // 2], ((0, 2), (1, 3))[rank % 2]
        works: list[Work] = []
        for _ in range(4):
            works += [Product(700 + (200 if rank == 2 else 0)), Collective("all_reduce", pair, 60, group="1")]
        return [*works, Collective("reduce_scatter", peers, 90, group="2")]

    done, truth = run(4, 5, of)
    job = analyze(write(tmp_path / "job", done))
    agrees(job, truth)
    assert job.job is not None
    assert {(c.name, c.group, c.calls) for c in job.job.collectives} == {
        ("all_reduce", "ranks 0, 1", 20), ("all_reduce", "ranks 2, 3", 20),
        ("reduce_scatter", "ranks 0, 2", 5), ("reduce_scatter", "ranks 1, 3", 5),
    }  # fmt: skip
    assert job.job.straggler_rank == 2


def pipeline(slow: int | None) -> Callable[[int, int], Sequence[Work]]:
    """Four stages, four micro-batches: forward down, then backward up; the last one has the head."""

    def of(rank: int, step: int) -> list[Work]:
        us = 500 * (1.6 if rank == slow else 1)
        works: list[Work] = []
        for way in (1, -1):
            before, after = rank - way, rank + way
            for _ in range(4):
                if 0 <= before < 4:
                    works.append(transfer("recv", before, rank))
                works.append(Product(us * (1 if way > 0 else 2)))
                works += [Product(100, 8192)] if rank == 3 and way > 0 else []
                if 0 <= after < 4:
                    works.append(transfer("send", after, rank))
        return works

    return of


def transfer(name: str, peer: int, rank: int) -> Collective:
    return Collective(name, tuple(sorted((peer, rank))), 20, peer=peer)


def test_a_pipeline_waits_by_its_schedule(tmp_path: Path) -> None:
    done, truth = run(4, 3, pipeline(None))
    job = analyze(write(tmp_path / "job", done))
    agrees(job, truth)
    assert job.job is not None and job.job.straggler_rank is None and "pipeline" in job.job.reason


def test_a_stage_that_is_the_slow_one(tmp_path: Path) -> None:
    info = analyze(write(tmp_path / "job", run(4, 3, pipeline(1))[0])).job
    assert info is not None and info.straggler_rank == 1 and "stage" in info.reason


def test_files_of_some_ranks_only(tmp_path: Path) -> None:
    """Rank 1 of four is late; of the files of 1 and 3 it is still told, and that two are missing."""
    done, truth = run(4, 4, program(1))
    info = analyze(write(tmp_path / "job", done, only=(1, 3))).job
    assert info is not None and (info.rank_count, info.world_size, info.straggler_rank) == (2, 4, 1)
    assert "only 2 of 4 ranks are given" in info.reason
    waited = sum(max(a[1], a[3]) - a[3] for a in truth.arrivals)
    assert info.ranks[1].waited_ns == pytest.approx(1e3 * waited, abs=1000)
    assert all(c.bus_bytes_per_s is None for c in info.collectives), "who came last is not known"


def test_calls_that_cannot_be_one_are_not_matched(tmp_path: Path) -> None:
    def of(rank: int, step: int) -> list[Work]:
        return [Product(500 + 100 * rank), Collective("all_reduce", (0, 1), 50)]

    done, _ = run(2, 4, of)
    other = Collective("all_reduce", (0, 1), 50, elements=77)
    done[1][3].work = other
    info = analyze(write(tmp_path / "job", done)).job
    assert info is not None and info.contradictory_calls == 2
    assert [c.calls for c in info.collectives] == [3]


def test_bus_bandwidth_by_hand(tmp_path: Path) -> None:
    """2 MiB of bf16 in 150 µs over four ranks: x 2 x 3 / 4; gathered x 3 / 4; from a root x 1."""

    def of(rank: int, step: int) -> list[Work]:
        return [Product(500 + 50 * rank), Collective("all_reduce", RANKS, 150),
                Collective("all_gather", RANKS, 150), Collective("broadcast", RANKS, 150)]  # fmt: skip

    folder = write(tmp_path / "job", run(4, 3, of)[0])
    info = analyze(folder, options=AnalyzeOptions(link="100GB/s")).job
    assert info is not None
    rate = {c.name: c.bus_bytes_per_s for c in info.collectives}
    base = 2 * (1 << 20) / 150e-6
    assert rate["all_reduce"] == pytest.approx(base * 1.5, rel=0.01)
    assert rate["all_gather"] == pytest.approx(base * 0.75, rel=0.01)
    assert rate["broadcast"] == pytest.approx(base, rel=0.01)
    share = next(c.link_share for c in info.collectives if c.name == "all_reduce")
    assert share == pytest.approx(base * 1.5 / 100e9, rel=0.01)


def test_one_rank_is_no_job(tmp_path: Path) -> None:
    assert analyze(write(tmp_path / "job", run(4, 3, program(1))[0], only=(1,))).job is None
