"""Bytes that are held at a time, counted: they are of a stretch of the trace, however long it is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from msgspec.structs import replace

from traceanalyzer.records.trace import OpKind, Ops
from traceanalyzer.roofline.attribution import attributed, extent
from traceanalyzer.roofline.host_names import _Table
from traceanalyzer.roofline.intervals import Intervals, common, covered, joined, merged, without
from traceanalyzer.roofline.launching import Calls, launching_in
from traceanalyzer.trace.linking.cpu_records import host_records

SHORT, LONG = 100_000, 400_000
A_BLOCK = 4_000_000  # bytes of what is made of some rows at a time, however many there are


def most_held(work: Callable[[], object]) -> tuple[int, int]:
    """Bytes at the most, and in the end, while what it gives is held."""
    tracemalloc.start()
    given = work()
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert given is not None
    return most, kept


def table(count: int) -> Ops:
    """Outermost operators of 10 ns, each with one inside, one behind the other on one thread."""
    outer = 20 * np.arange(count // 2, dtype=np.int64)
    start, end = (np.stack(pair, axis=1).ravel() for pair in ((outer, outer + 2), (outer + 10, outer + 5)))
    none = np.full(count, -1, np.int32)
    parent = np.where(np.arange(count) % 2, np.arange(count) - 1, -1).astype(np.int32)
    zero, code = np.zeros(count, np.int32), np.zeros(count, np.int8)
    return Ops(start, end, zero, code + np.int8(OpKind.OP), zero, parent, zero, code, none, none)


def test_time_is_attributed_a_stretch_at_a_time() -> None:
    """Pairs that overlap: they go the long way."""
    most = {}
    for count in (SHORT, LONG):
        start = 20 * (np.arange(count, dtype=np.int64) // 2)
        end, record = start + 5 + np.arange(count) % 2, np.arange(count, dtype=np.int32)
        work_class = np.zeros(count, np.int8)

        def busy_ns(start=start, end=end, record=record, work_class=work_class) -> int:
            parts = attributed(start, end, record, work_class, (0, int(end[-1])))
            return sum(int(part.time_ns.sum()) for part in parts)

        most[count] = most_held(busy_ns)[0]
    assert most[LONG] < 1.2 * most[SHORT]


def test_what_lies_in_the_window_is_summed_a_block_at_a_time() -> None:
    beyond = {}
    for count in (SHORT, LONG):
        start = 10 * np.arange(count, dtype=np.int64)
        end, record = start + 5, np.arange(count, dtype=np.int32)
        most, kept = most_held(lambda s=start, e=end, r=record: extent(s, e, r, len(r), (0, 10**9)))
        beyond[count] = (most - kept) / count
    assert beyond[LONG] < 12  # what a record takes: one sum, and whether it is below


def test_records_of_a_host_take_little_beyond_themselves() -> None:
    for count in (SHORT, LONG):
        ops, file_row = table(count), np.arange(count, dtype=np.int32)
        most, kept = most_held(lambda o=ops, f=file_row: host_records(["aten::add"], o, f))
        assert most < 1.5 * kept


def test_looking_up_what_covers_a_moment_turns_no_column_into_another() -> None:
    """It is done for each step: what it took a row would be the square of the trace."""
    ops = table(LONG)
    columns = _Table(ops.start_ns, ops.end_ns, ops.name, ops.thread, ops.parent, ops.kind == OpKind.OP)
    most, _ = most_held(lambda: columns.open_or_begun(1001, 1100, 0))
    assert most < 20_000


def one_behind_the_other(count: int, shift: int) -> Intervals:
    start = 10 * np.arange(count, dtype=np.int64) + shift
    return Intervals(start, start + 5, np.arange(count, dtype=np.int32))


def test_sets_of_instants_are_compared_some_rows_at_a_time() -> None:
    """Beside what is given a row takes at most where it stands, how many pieces it has, or the complement."""
    these, other = one_behind_the_other(LONG, 0), one_behind_the_other(LONG, 3)
    for work, beyond in ((common, 8), (without, 52)):
        most, kept = most_held(lambda f=work: f(these, other))
        assert most < kept + beyond * LONG + A_BLOCK


def test_sets_of_instants_are_put_together_some_rows_at_a_time() -> None:
    """Parts, and what is made of them."""
    these, other = one_behind_the_other(LONG, 0), one_behind_the_other(LONG, 5)
    for work in (merged, joined):
        most, kept = most_held(lambda f=work: f(these, other))
        assert most < 2 * kept + A_BLOCK


def test_instants_that_touch_are_held_as_one_stretch() -> None:
    """A host that launches without a break: as many calls as pauses, and one time of launching."""
    start = 10 * np.arange(LONG, dtype=np.int64)
    row = np.zeros(LONG, np.int32)
    calls, pauses = Intervals(start, start + 4, row), Intervals(start + 4, start + 10, row)
    most, kept = most_held(lambda: covered(calls, pauses))
    assert kept < A_BLOCK // 100
    assert most < A_BLOCK


def test_operators_inside_others_are_not_looked_at_between_launches() -> None:
    """Nine of ten lie in another one."""
    number, count = np.arange(LONG), LONG // 10
    first = number // 10 * 10
    ops = replace(
        table(LONG), start_ns=2 * number, end_ns=np.where(number == first, 2 * first + 19, 2 * number + 1),
        parent=np.where(number == first, -1, first).astype(np.int32),
    )  # fmt: skip
    none = np.full(count, -1, np.int32)
    start = 20 * np.arange(count) + 17
    calls = Calls(start, start + 1, none + 1, none)
    pauses = Intervals(calls.end_ns[:-1], calls.start_ns[1:], np.arange(1, count, dtype=np.int32))
    nothing = Intervals(start[:0], start[:0], none[:0])
    trace: Any = SimpleNamespace(ops=ops)
    most, _ = most_held(lambda: launching_in(trace, calls, pauses, nothing))
    assert most < 10 * LONG + A_BLOCK
