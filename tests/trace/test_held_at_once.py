"""Bytes that reading and linking hold, counted; and that what is held as one number is read right."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.trace.build import Rows
from traceanalyzer.records import OpCall
from traceanalyzer.trace.linking.assemble import trace_of
from traceanalyzer.trace.reading.column_builder import Columns
from traceanalyzer.trace.reading.raw import Raw, RawOps
from traceanalyzer.trace.reading.read_stats import ReadStats

COUNT = 200_000


def read(batches: list[list[int]]) -> Columns:
    """One column of these values, beside times and names."""
    builder = Columns(ReadStats())
    for batch in batches:
        zero = np.zeros(len(batch))
        builder.append(zero, zero, name=zero.astype(np.int32), stream=np.array(batch, np.int64))
        builder.pack()
    return builder


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(7, 8), max_size=3), max_size=6))
def test_a_column_is_what_was_read_whenever_it_changes(batches: list[list[int]]) -> None:
    whole = [value for batch in batches for value in batch]
    column = read(batches).take("stream", np.int32)
    assert column.dtype == np.int32
    assert column.tolist() == whole


def test_a_column_that_says_the_same_of_all_rows_takes_no_memory() -> None:
    """Where one row says something else it takes what it took."""
    for last, at_most in ((7, 1), (8, 2 * 8 * COUNT)):
        builder = read([[7] * 1000] * (COUNT // 1000) + [[last]])
        column = builder.take("stream", np.int64)
        assert len(column) == COUNT + 1
        assert (column.base if column.base is not None else column).nbytes <= max(8, at_most)


def recorded(count: int) -> Raw:
    """Pairs of operators written by their ends, as inference has them: without gradients or modules."""
    outer = 20 * (np.arange(count, dtype=np.int64) // 2)
    inner = np.arange(count) % 2 == 0

    def all_are(value: int, kind: type = np.int32) -> np.ndarray:
        return np.broadcast_to(kind(value), count)

    ops = RawOps(
        np.where(inner, outer + 2, outer), np.where(inner, outer + 5, outer + 10), np.zeros(count, np.int32),
        all_are(0, np.bool_), all_are(0), np.zeros(count, np.int32), all_are(-1),
        np.arange(count, dtype=np.int64), all_are(-1, np.int64), all_are(-1, np.int64),
        np.arange(count, dtype=np.int32),
    )  # fmt: skip
    rows = Rows(names=["aten::add"], calls=[OpCall("aten::add")])
    rows.launch(1, 3)
    rows.kernel("k", 100, 200, 1)
    return replace(rows.raw(), ops=ops)


def test_linking_lets_go_of_the_order_of_the_file_column_by_column() -> None:
    """Of what was read no column is kept beside the one in order, and no number becomes a column."""
    tracemalloc.start()
    waiting = [recorded(COUNT)]
    tracemalloc.reset_peak()
    trace = trace_of(waiting.pop())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trace.ops.start_ns.tolist() == sorted(trace.ops.start_ns.tolist())
    assert most < 100 * COUNT
