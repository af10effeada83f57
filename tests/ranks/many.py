"""Traces of several ranks, small, and formulas that do something to the process that runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.pipeline.kineto import Kineto
from traceanalyzer.records import RankEntry
from traceanalyzer.records.rank_work import RankWork

FORMULA = '''
import os, signal, time
from traceanalyzer import op_cost
from traceanalyzer.formulas import Cost

@op_cost("my::odd", source="a test")
def odd(call):
    """FLOPs = 0

    Bytes = 0
    Assumes nothing.
    """
    {body}
    return Cost(4096, 32768, 16384)
'''


def trace(folder: Path, rank: int, busy_us: int = 100, op: str = "aten::add") -> Path:
    t = Kineto(metadata={"distributedInfo": {"rank": rank}})
    t.run(op, 0, "add_kernel", 100, busy_us, ([4096], "float"), ([4096], "float"))
    return t.write(folder / f"rank{rank:03}.trace.json")


def folder_of(folder: Path, ranks: int, **odd: int) -> Path:
    """`odd`: the rank with the operator that the formula is for."""
    folder.mkdir()
    for rank in range(ranks):
        trace(folder, rank, 100 + 10 * (rank % 7), "my::odd" if rank == odd.get("odd") else "aten::add")
    return folder


def formula(folder: Path, body: str) -> str:
    path = folder / "own_formulas.py"
    path.write_text(FORMULA.format(body=body), encoding="utf-8")
    return str(path)


def work_of(rank: int = 0, device_index: int = 0, busy_ns: int = 1, communication_ns: int = 1) -> RankWork:
    """A device that did nothing that is known."""
    entry = RankEntry(
        rank=rank, device_index=device_index, device="", file="", window_ns=100, busy_ns=busy_ns,
        memory_bound_share_of_busy=0.0, exposed_communication_ns=communication_ns,
    )  # fmt: skip
    none = np.zeros(0, np.int64)
    return RankWork(entry, None, 0, (), (), none, none, none)
