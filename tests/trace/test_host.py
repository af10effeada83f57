"""CPU traces: each operator's own time, to the nanosecond, against a twin that paints every instant."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trace.build import Rows, name_of
from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.records.trace import UNLINKED, OpKind, RecordKind, Trace
from traceanalyzer.trace import devices_with_work, load

FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")


def pieces_of(trace: Trace) -> dict[str, list[tuple[int, int]]]:
    """Name of each record's op -> its pieces; names must differ."""
    assert trace.pieces is not None
    found: dict[str, list[tuple[int, int]]] = {}
    columns = (trace.pieces.start_ns, trace.pieces.end_ns, trace.pieces.record)
    for start, end, record in zip(*(column.tolist() for column in columns), strict=True):
        found.setdefault(name_of(trace, trace.kernels.op[record]), []).append((start, end))
    return found


def own_time(trace: Trace) -> dict[str, int]:
    kernels = trace.kernels
    return {name_of(trace, op): int(d) for op, d in zip(kernels.op, kernels.duration_ns, strict=True)}


def test_self_time_is_what_no_child_covers() -> None:
    rows = Rows()
    rows.op("aten::linear", 0, 100)
    rows.op("aten::t", 10, 20)
    rows.op("aten::addmm", 20, 70)
    rows.op("aten::copy_", 30, 40)
    rows.op("aten::relu", 100, 130)
    trace = rows.trace()
    assert trace.on_cpu and trace.pieces is not None
    assert pieces_of(trace) == {
        "aten::linear": [(0, 10), (70, 100)], "aten::t": [(10, 20)], "aten::copy_": [(30, 40)],
        "aten::addmm": [(20, 30), (40, 70)], "aten::relu": [(100, 130)],
    }  # fmt: skip
    assert own_time(trace)["aten::linear"] == 40
    first = trace.kernels
    assert (first.start_ns[0], first.end_ns[0], first.duration_ns[0], first.launch_ns[0]) == (0, 100, 40, 0)
    assert set(first.kind.tolist()) == {RecordKind.HOST}


def test_an_annotation_is_no_record_and_takes_no_time_away() -> None:
    rows = Rows()
    rows.annotation("ProfilerStep#1", 0, 100)
    rows.op("aten::outer", 10, 90)
    rows.annotation("mine", 20, 80)
    rows.op("aten::inner", 30, 50)
    assert pieces_of(rows.trace()) == {"aten::outer": [(10, 30), (50, 90)], "aten::inner": [(30, 50)]}


def test_an_op_that_its_children_cover_wholly_still_has_a_record() -> None:
    rows = Rows()
    rows.op("aten::to", 0, 50)
    rows.op("aten::_to_copy", 0, 50)
    trace = rows.trace()
    assert own_time(trace) == {"aten::to": 0, "aten::_to_copy": 50}
    assert pieces_of(trace)["aten::to"] == [(0, 0)]


def test_each_thread_counts_and_threads_run_at_once() -> None:
    rows = Rows()
    rows.op("aten::mm", 0, 100, thread=0)
    rows.op("aten::bmm", 50, 120, thread=1)
    trace = rows.trace()
    assert own_time(trace) == {"aten::mm": 100, "aten::bmm": 70}
    assert devices_with_work(trace) == {0: 120}
    assert trace.kernels.stream.tolist() == [0, 1]


def test_time_in_a_compiled_region_has_its_reason() -> None:
    rows = Rows()
    rows.op("Torch-Compiled Region: 0/0", 0, 100)
    rows.op("aten::mm", 10, 30)
    trace = rows.trace()
    reasons = [UNLINKED[code] if code >= 0 else None for code in trace.kernels.unlinked.tolist()]
    assert reasons == ["compiled_region", None]


def test_a_gpu_that_was_not_captured_is_told() -> None:
    rows = Rows(gpu_listed=True)
    rows.op("aten::mm", 0, 100)
    assert [warning.code for warning in rows.trace().warnings] == ["gpu_not_captured"]
    rows = Rows()
    rows.op("aten::mm", 0, 100)
    rows.launch(1, 50)
    assert [warning.code for warning in rows.trace().warnings] == ["gpu_not_captured"]
    rows = Rows()
    rows.op("aten::mm", 0, 100)
    assert rows.trace().warnings == ()


def test_annotations_alone_are_no_trace() -> None:
    rows = Rows()
    rows.annotation("mine", 0, 100)
    with pytest.raises(TraceFormatError, match="neither operators nor GPU"):
        rows.trace()


rows_of_host = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 60), st.integers(0, 40), st.booleans()),
    min_size=1, max_size=14,
)  # fmt: skip


@settings(max_examples=300)
@given(rows_of_host)
def test_pieces_are_the_painted_instants(host: list[tuple[int, int, int, bool]]) -> None:
    rows = Rows()
    rows.op("far away", 10_000, 10_001)
    for i, (thread, start, length, annotation) in enumerate(host):
        (rows.annotation if annotation else rows.op)(f"op{i}", start, start + length, thread=thread)
    trace = rows.trace()
    ops = trace.ops
    painted: dict[tuple[int, int], int] = {}
    for op in range(len(ops)):  # an op comes after all that enclose it
        if ops.kind[op] != OpKind.ANNOTATION:
            for instant in range(ops.start_ns[op], ops.end_ns[op]):
                painted[int(ops.thread[op]), instant] = op
    expected: dict[str, set[int]] = {}
    for (_, instant), op in painted.items():
        expected.setdefault(name_of(trace, op), set()).add(instant)
    found = pieces_of(trace)
    assert len(trace.kernels) == int((ops.kind != OpKind.ANNOTATION).sum())
    for name, parts in found.items():
        instants = [instant for start, end in parts for instant in range(start, end)]
        assert len(instants) == len(set(instants))
        assert set(instants) == expected.get(name, set())
        assert parts == sorted(parts)
    assert own_time(trace) == {n: len(expected.get(n, ())) for n in found}


@pytest.mark.skipif(not FOLDER, reason="TRACEANALYZER_REAL_TRACES is not set")
def test_own_times_of_a_real_trace_add_up_to_the_time_in_operators() -> None:
    assert FOLDER
    trace = load(str(Path(FOLDER) / "cpu_only_rank34of300.json.gz"))
    ops = trace.ops
    collective = np.array([name.startswith("gloo:") for name in trace.names])[ops.name]
    operator = (ops.kind != OpKind.ANNOTATION) | collective
    inside = np.zeros(len(ops), bool)
    for row in np.flatnonzero(operator).tolist():
        up = ops.parent[row]
        while up >= 0 and not operator[up]:
            up = ops.parent[up]
        inside[row] = up >= 0
    outermost = operator & ~inside
    assert int(trace.kernels.duration_ns.sum()) == int((ops.end_ns - ops.start_ns)[outermost].sum())
    assert (trace.kernels.duration_ns >= 0).all()
    assert trace.pieces is not None
    total = np.zeros(len(trace.kernels), np.int64)
    np.add.at(total, trace.pieces.record, trace.pieces.end_ns - trace.pieces.start_ns)
    assert (total == trace.kernels.duration_ns).all()
