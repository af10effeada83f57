"""Collectives of a CPU: their threads work while the host computes, waits, or does nothing else."""

from __future__ import annotations

import pytest

from tests.fusion.scenes import CPU
from tests.trace.build import Rows
from traceanalyzer.cost.price import price
from traceanalyzer.device import DeviceMatch
from traceanalyzer.records import OpCall
from traceanalyzer.records.judged import Judged
from traceanalyzer.roofline.judge import judge
from traceanalyzer.trace import select_window

X = (64, 64)
MM = OpCall("aten::mm", (X, X), ("fp32", "fp32"), ("float", "float"))


def step(name: str = "gloo:all_reduce", *, asked: str = "c10d::allreduce_") -> Judged:
    """340 ns: the host computes, asks for a collective at 100, computes until 200, waits until 300.

    The collective runs from 105 to 290 on a thread of its own.
    """
    rows = Rows()
    rows.annotation("ProfilerStep#0", 0, 340)
    rows.op("aten::mm", 0, 100, call=MM)
    rows.op(asked, 100, 110)
    rows.op("aten::mm", 110, 200, call=MM)
    rows.op("aten::mm", 300, 340, call=MM)
    rows.annotation(name, 105, 290, thread=1)
    trace = rows.trace()
    return judge(price(trace), 0, select_window(trace, 0, "complete"), DeviceMatch(CPU))


@pytest.mark.parametrize("name", ["gloo:all_reduce", "gloo:broadcast", "mpi:all_gather", "ucc:all_to_all"])
def test_what_no_operator_hides_of_a_collective_is_communication(name: str) -> None:
    judged = step(name)
    assert judged.verdict_ns("communication") == (110 - 100) + (290 - 200)
    assert judged.time.hidden_communication_ns == 200 - 110
    assert judged.time.busy_ns == 290 + 40 and judged.time.idle_ns == 300 - 290
    assert sum(row.attributed_ns for row in judged.rows) == judged.time.busy_ns
    mine = next(row for row in judged.rows if row.name == name)
    assert mine.verdict == "communication" and mine.operator_class == "communication"
    assert mine.time_ns == 290 - 105


def test_an_instant_of_two_communications_is_counted_once() -> None:
    rows = {row.name: row.attributed_ns for row in step().rows if row.verdict == "communication"}
    assert sum(rows.values()) == 100 and set(rows) == {"gloo:all_reduce", "c10d::allreduce_"}


def test_what_asks_for_a_collective_is_communication_too() -> None:
    judged = step(asked="record_param_comms")
    asked = next(row for row in judged.rows if row.name == "record_param_comms")
    assert asked.verdict == "communication" and asked.time_ns == 10


def test_other_annotations_are_no_work() -> None:
    judged = step("DistributedDataParallel.forward")
    assert judged.time.busy_ns == 100 + 10 + 90 + 40 and judged.time.idle_ns == 100


def test_operators_inside_a_collective_keep_their_own_time() -> None:
    rows = Rows()
    rows.annotation("ProfilerStep#0", 0, 100)
    rows.annotation("gloo:reduce", 10, 90)
    rows.op("aten::mm", 20, 50, call=MM)
    trace = rows.trace()
    judged = judge(price(trace), 0, select_window(trace, 0, "complete"), DeviceMatch(CPU))
    assert {row.name: row.attributed_ns for row in judged.rows} == {"gloo:reduce": 50, "aten::mm": 30}
    assert judged.time.busy_ns == 80 and judged.time.idle_ns == 20
