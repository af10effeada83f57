"""Jobs of several ranks, simulated event by event: who waits how long is known as they are made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.pipeline.kineto import Kineto

GEMM = "ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_nn"
KERNELS = {"all_reduce": "AllReduce_Sum_bf16_RING_LL", "all_gather": "AllGather_RING_LL",
           "reduce_scatter": "ReduceScatter_Sum_bf16_RING_LL", "broadcast": "Broadcast_RING_LL",
           "all_to_all": "SendRecv", "send": "SendRecv", "recv": "SendRecv"}  # fmt: skip


@dataclass(frozen=True)
class Product:
    """A product of (size, 4096) and (4096, 4096)."""

    us: float
    size: int = 4096


@dataclass(frozen=True)
class Pause:
    """The host waits for its data."""

    us: float


@dataclass(frozen=True)
class Collective:
    name: str
    members: tuple[int, ...]
    us: float
    elements: int = 1 << 20
    group: str = "0"
    peer: int = -1  # of a send or a receive


Work = Product | Pause | Collective


@dataclass
class Truth:
    """Of each rank, µs; and of each collective who came when."""

    waited: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    waited_for: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    arrivals: list[dict[int, float]] = field(default_factory=list)


@dataclass
class Recorded:
    """One thing that a rank did, µs on the one true clock."""

    work: Work
    start: float
    end: float
    step: int
    sequence: int = -1


def run(
    ranks: int, steps: int, program: Callable[[int, int], Sequence[Work]]
) -> tuple[list[list[Recorded]], Truth]:
    """Every rank works through its program; a collective begins when its last member has come."""
    todo = [[(step, work) for step in range(steps) for work in program(rank, step)] for rank in range(ranks)]
    now, place = [1000.0] * ranks, [0] * ranks
    done: list[list[Recorded]] = [[] for _ in range(ranks)]
    truth, count = Truth(), Counter[tuple[object, ...]]()
    while any(place[rank] < len(todo[rank]) for rank in range(ranks)):
        moved = False
        for rank in range(ranks):
            if place[rank] == len(todo[rank]):
                continue
            step, work = todo[rank][place[rank]]
            if not isinstance(work, Collective):
                done[rank].append(Recorded(work, now[rank], now[rank] + work.us, step))
                now[rank] += work.us + 5
                place[rank] += 1
                moved = True
                continue
            there = [
                m
                for m in work.members
                if place[m] < len(todo[m]) and pairs(todo[m][place[m]][1], work, m, rank)
            ]
            if len(there) < len(work.members):
                continue
            arrived = {member: now[member] for member in work.members}
            last = max(arrived.values())
            key = (work.members, work.group, work.peer >= 0)
            for member in work.members:
                mine = todo[member][place[member]][1]
                done[member].append(Recorded(mine, now[member], last + work.us, step, count[key]))
                now[member] = last + work.us + 5
                place[member] += 1
            count[key] += 1
            note(truth, arrived)
            moved = True
        assert moved, "the program hangs"
    return done, truth


def pairs(theirs: Work, mine: Collective, other: int, rank: int) -> bool:
    """Whether the two are one collective."""
    if not isinstance(theirs, Collective) or theirs.members != mine.members or theirs.group != mine.group:
        return False
    if mine.peer < 0 or other == rank:
        return theirs.name == mine.name
    return theirs.peer == rank and mine.peer == other and theirs.name != mine.name


def note(truth: Truth, arrived: dict[int, float]) -> None:
    truth.arrivals.append(arrived)
    order = sorted(arrived.values())
    for rank, at in arrived.items():
        truth.waited[rank] += order[-1] - at
        if at == order[-1]:
            truth.waited_for[rank] += order[-1] - order[-2]


def write(
    folder: Path, done: Sequence[Sequence[Recorded]], *, world: int | None = None, numbered: bool = True,
    arguments: bool = True, clock: Callable[[int, float], float] = lambda _, us: us,
    kept: Callable[[int, int], bool] = lambda rank, step: True, only: Sequence[int] | None = None,
    steps: bool = True,
) -> Path:  # fmt: skip
    """One trace a rank; `clock(rank, us)` is what its clock shows, `kept(rank, step)` what it recorded."""
    folder.mkdir(exist_ok=True)
    for rank, records in enumerate(done):
        if only is not None and rank not in only:
            continue
        trace = Kineto(metadata={"distributedInfo": {"backend": "nccl", "rank": rank,
                                                     "world_size": world or len(done)}})  # fmt: skip
        recorded = [record for record in records if kept(rank, record.step)]
        for record in recorded:
            add(trace, rank, record, clock, numbered=numbered, arguments=arguments)
        for step in sorted({record.step for record in recorded}) if steps else ():
            mine = [record for record in recorded if record.step == step]
            begin, end = mine[0].start - 4, mine[-1].start + 1
            trace.annotation(
                f"ProfilerStep#{step}", clock(rank, begin), clock(rank, end) - clock(rank, begin)
            )
        trace.write(folder / f"rank{rank}.json")
    return folder


def add(
    trace: Kineto, rank: int, record: Recorded, clock: Callable[[int, float], float], *, numbered: bool,
    arguments: bool,
) -> None:  # fmt: skip
    work = record.work
    start, end = clock(rank, record.start), clock(rank, record.end)
    host = start - 3
    if isinstance(work, Product):
        trace.op("aten::mm", host, 2, ([work.size, 4096], "c10::BFloat16"), ([4096, 4096], "c10::BFloat16"))
        trace.kernel(GEMM, start, end - start, trace.launch(host + 0.5, dur=0.5))
    elif isinstance(work, Pause):
        trace.annotation("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", start, end - start)
    else:
        trace.op("record_param_comms", host, 2)
        correlation = trace.launch(host + 0.5, dur=0.5)
        name = f"ncclDevKernel_{KERNELS[work.name]}(ncclDevKernelArgsStorage<4096ul>)"
        given = collective_args(work, record, numbered=numbered) if arguments else {}
        trace.kernel(name, start, end - start, correlation, stream=20, **given)


def collective_args(work: Collective, record: Recorded, *, numbered: bool) -> dict[str, Any]:
    spelled = {"all_reduce": "allreduce", "all_gather": "_allgather_base",
               "reduce_scatter": "_reduce_scatter_base", "all_to_all": "all_to_allv"}  # fmt: skip
    args: dict[str, Any] = {
        "Collective name": spelled.get(work.name, work.name), "dtype": "BFloat16",
        "In msg nelems": work.elements, "Out msg nelems": work.elements, "Group size": len(work.members),
        "Process Group Name": work.group, "Process Group Ranks": str(list(work.members)),
    }  # fmt: skip
    if work.peer >= 0:
        args["Dst Rank" if work.name == "send" else "Src Rank"] = work.peer
    return args | ({"Seq": record.sequence + 100} if numbered else {})
