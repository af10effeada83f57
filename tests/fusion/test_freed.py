"""What a free proves and what it does not, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trace.build import Rows
from traceanalyzer.cost.price import price
from traceanalyzer.fusion.evidence.dataflow import dataflow
from traceanalyzer.fusion.evidence.free_events import Lifetimes, freed_in_step, lifetimes_of, proved
from traceanalyzer.fusion.step_ops import step_ops
from traceanalyzer.records import Dims, OpCall
from traceanalyzer.records.trace import Step, Trace
from traceanalyzer.trace import load

X = (64, 128)
BYTES = 4 * 64 * 128
WHOLE = Step("ProfilerStep#1", 1, 0, 10_000)
ADDRESS = 4096


def call(name: str, *shapes: Dims) -> OpCall:
    return OpCall(name, shapes, tuple("fp32" if s else None for s in shapes),
                  tuple("float" if s else "" for s in shapes), concrete=("",) * len(shapes))  # fmt: skip


def three(second: OpCall, *, freed: int, size: int = BYTES, thread: int = 0, made: int = 15) -> Trace:
    """exp at 10 makes a tensor; `second` at 100 and a third operator at 200 follow."""
    rows = Rows()
    rows.op("aten::exp", 10, 50, call=call("aten::exp", X))
    rows.op(second.name, 100, 150, call=second, thread=thread)
    rows.op("aten::log", 200, 250, call=call("aten::log", X))
    rows.allocation(made, ADDRESS, size)
    rows.allocation(freed, ADDRESS, -size)
    return rows.trace()


def lifetimes(trace: Trace) -> Lifetimes:
    assert trace.memory is not None
    return lifetimes_of(trace.memory)


def edges(trace: Trace) -> list[tuple[int, int]]:
    return proved(trace, step_ops(price(trace), WHOLE), lifetimes(trace))


MUL = call("aten::mul", X, X)


def test_freed_before_the_third_begins() -> None:
    assert edges(three(MUL, freed=160)) == [(0, 1)]
    assert edges(three(MUL, freed=120)) == [(0, 1)], "inside the second"
    assert edges(three(MUL, freed=160, size=BYTES + 384)) == [(0, 1)], "rounded up by the allocator"


@pytest.mark.parametrize(
    "trace",
    [
        three(MUL, freed=60),                                   # before the second begins
        three(MUL, freed=210),                                  # somebody held it for longer
        three(MUL, freed=160, size=BYTES // 2),                 # no argument is as large
        three(MUL, freed=160, size=BYTES + 512),
        three(MUL, freed=160, made=60),                         # made by nobody
        three(MUL, freed=160, thread=3),
        three(call("aten::copy_", X, (3, 3), ()), freed=160),   # written, not read
        three(call("aten::mul", (64, 64), (64, 64)), freed=160),
    ],
)  # fmt: skip
def test_what_proves_nothing(trace: Trace) -> None:
    assert edges(trace) == []


def test_an_address_is_used_again() -> None:
    rows = Rows()
    for start in (0, 100, 200):
        rows.op("aten::exp", start + 10, start + 50, call=call("aten::exp", X))
    for made, freed in ((15, 160), (170, 180), (215, 400)):
        rows.allocation(made, ADDRESS, BYTES)
        rows.allocation(freed, ADDRESS, -BYTES)
    assert edges(rows.trace()) == [(0, 1)]


def test_without_memory_events_nothing_is_proved() -> None:
    rows = Rows()
    rows.op("aten::exp", 10, 50, call=call("aten::exp", X))
    rows.op("aten::mul", 100, 150, call=MUL)
    trace = rows.trace()
    flow = dataflow(price(trace), WHOLE)
    assert trace.memory is None and not flow.freed_in_step and not flow.notices
    assert {edge.tier for edge in flow.edges} == {"T3"}, "that they are neighbors is all there is"


def test_memory_events_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    def event(ts: float, size: int, address: int) -> dict[str, object]:
        return {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 1, "tid": 7,
                "ts": ts, "args": {"Bytes": size, "Addr": address, "Device Type": 1}}  # fmt: skip

    op = {"ph": "X", "cat": "cpu_op", "name": "aten::exp", "pid": 1, "tid": 7, "ts": 1, "dur": 9, "args": {}}
    rows = [op, event(8.5, -512, 1 << 40), event(2.25, 512, 1 << 40)]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"traceEvents": rows, "baseTimeNanoseconds": 0}))
    memory = load(str(path)).memory
    assert memory is not None
    assert memory.time_ns.tolist() == [2250, 8500] and memory.bytes.tolist() == [512, -512]
    assert memory.address.tolist() == [1 << 40] * 2 and memory.thread.tolist() == [0, 0]


@pytest.mark.parametrize(("freed", "gone"), [(60, True), (900, True), (1000, False), (20_000, False)])
def test_a_result_dies_when_it_is_freed_before_the_step_ends(freed: int, gone: bool) -> None:
    trace = three(MUL, freed=freed)
    assert freed_in_step(trace, step_ops(price(trace), WHOLE), lifetimes(trace), 1000) == (
        frozenset({0}) if gone else frozenset()
    )


def test_a_copy_dies_with_what_its_caller_allocated() -> None:
    rows = Rows()
    rows.op("aten::clone", 10, 100, call=call("aten::clone", X))
    rows.op("aten::copy_", 30, 90, call=call("aten::copy_", X, X))
    rows.allocation(15, ADDRESS, BYTES)
    rows.allocation(200, ADDRESS, -BYTES)
    trace = rows.trace()
    working = step_ops(price(trace), WHOLE)
    assert [trace.calls[trace.ops.call[row]].name for row in working.op] == ["aten::copy_"]
    assert freed_in_step(trace, working, lifetimes(trace), 1000) == frozenset({0})
    assert freed_in_step(trace, working, lifetimes(trace), 150) == frozenset()
