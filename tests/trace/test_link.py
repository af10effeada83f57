"""Kernel -> launch -> operator against an O(n^2) twin, case by case, and counted on real traces."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trace.build import Rows, link_names
from traceanalyzer.records.trace import UNLINKED, OpKind, Trace
from traceanalyzer.trace import devices_with_work, load, of_device
from traceanalyzer.trace.linking.link import latest_before, ops_open_at

FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")


def reasons(trace: Trace) -> dict[str, str | None]:
    return {
        trace.names[name]: UNLINKED[code] if code >= 0 else None
        for name, code in zip(trace.kernels.name.tolist(), trace.kernels.unlinked.tolist(), strict=True)
    }


def test_a_kernel_belongs_to_the_innermost_op_open_at_its_launch() -> None:
    rows = Rows()
    rows.op("aten::linear", 0, 100)
    rows.op("aten::t", 10, 20)
    rows.op("aten::addmm", 30, 90)
    rows.op("aten::add", 200, 300)
    rows.launch(1, 40)
    rows.launch(2, 95)
    rows.kernel("gemm", 500, 600, 1)
    rows.kernel("late", 600, 700, 2)
    assert link_names(rows.trace()) == {"gemm": "aten::addmm", "late": "aten::linear"}


def test_an_annotation_is_no_operator() -> None:
    rows = Rows()
    rows.op("aten::outer", 0, 100)
    rows.annotation("mine", 10, 90)
    rows.annotation("alone", 200, 300)
    rows.launch(1, 50)
    rows.launch(2, 250)
    rows.kernel("inside", 500, 600, 1)
    rows.kernel("outside", 600, 700, 2)
    trace = rows.trace()
    assert link_names(trace) == {"inside": "aten::outer", "outside": None}
    assert reasons(trace) == {"inside": None, "outside": "no_op"}


def test_the_launching_thread_counts_and_not_the_time_alone() -> None:
    rows = Rows()
    rows.op("aten::mm", 0, 100, thread=0)
    rows.op("MmBackward0", 0, 100, thread=1)
    rows.launch(1, 50, thread=1)
    rows.kernel("gemm", 500, 600, 1)
    assert link_names(rows.trace()) == {"gemm": "MmBackward0"}


def test_one_correlation_may_own_many_kernels_and_many_launches() -> None:
    rows = Rows()
    rows.op("aten::a", 0, 10)
    rows.op("aten::b", 100, 110)
    rows.launch(1, 5)
    rows.launch(1, 105)
    rows.kernel("first", 50, 60, 1)
    rows.kernel("second", 150, 160, 1)
    rows.kernel("third", 160, 170, 1)
    rows.launch(2, 107)
    rows.kernel("before its launch", 106, 120, 2)
    assert link_names(rows.trace()) == {
        "first": "aten::a", "second": "aten::b", "third": "aten::b", "before its launch": "aten::b",
    }  # fmt: skip


def test_external_id_only_where_times_give_nothing_and_it_is_not_the_correlation() -> None:
    rows = Rows()
    rows.op("aten::wrong", 0, 10, external=7)
    rows.op("aten::right", 20, 30, external=8)
    rows.annotation("range", 21, 29, external=9)
    rows.launch(7, 25)
    rows.kernel("by time", 50, 60, 7, external=7)
    rows.kernel("by time first", 50, 60, 7, external=7)
    rows.kernel("collides", 60, 70, 8, external=8)
    rows.kernel("by id", 70, 80, 99, external=8)
    rows.kernel("by id of an annotation", 80, 90, 99, external=9)
    rows.kernel("neither", 90, 95, 99, external=1234)
    rows.kernel("no correlation", 95, 99, -1, external=-1)
    trace = rows.trace()
    assert link_names(trace) == {
        "by time": "aten::right", "by time first": "aten::right", "collides": None, "by id": "aten::right",
        "by id of an annotation": "aten::right", "neither": None, "no correlation": None,
    }  # fmt: skip
    found = reasons(trace)
    assert (found["collides"], found["neither"]) == ("no_launch", "no_launch")
    assert (found["no correlation"], found["by id"]) == ("no_correlation", None)


@pytest.mark.parametrize(
    "api", ["cudaGraphLaunch", "hipGraphLaunch", "cuGraphLaunch", "cudaGraphLaunch_v10000"]
)
def test_a_graph_launch_is_no_link_but_keeps_its_op(api: str) -> None:
    rows = Rows()
    rows.op("CUDAGraph.replay", 0, 100)
    rows.launch(1, 50, name=api)
    rows.launch(2, 150, name=api)
    for i in range(3):
        rows.kernel(f"k{i}", 200 + i, 201 + i, 1)
    rows.kernel("outside of any op", 300, 301, 2)
    trace = rows.trace()
    assert set(reasons(trace).values()) == {"cuda_graph"}
    assert link_names(trace)["k1"] == "CUDAGraph.replay"
    assert link_names(trace)["outside of any op"] is None


@pytest.mark.parametrize(
    "name", ["Torch-Compiled Region: 0/0", "CompiledFunction", "CompiledFunctionBackward",
             "CompiledFxGraph abc", "## Call CompiledFxGraph f0a1 ##"],
)  # fmt: skip
@pytest.mark.parametrize("annotated", [False, True])
def test_a_compiled_region_alone_is_no_link(name: str, annotated: bool) -> None:
    rows = Rows()
    (rows.annotation if annotated else rows.op)(name, 0, 100)
    rows.op("aten::mm", 10, 20)
    rows.launch(1, 15)
    rows.launch(2, 50)
    rows.kernel("gemm", 200, 300, 1)
    rows.kernel("fused", 300, 400, 2)
    assert reasons(rows.trace()) == {"gemm": None, "fused": "compiled_region"}


def test_the_clocks_resolution_counts_only_where_no_op_holds_the_launch() -> None:
    rows = Rows(integer_us=True, dialect="integer_us")
    rows.op("aten::outer", 0, 10_000)
    rows.op("aten::inner", 1_000, 4_000)
    rows.op("aten::alone", 20_000, 24_000)
    rows.launch(1, 5_000)  # a microsecond after `inner`, well inside `outer`
    rows.launch(2, 25_000)  # a microsecond after `alone`: rounding
    rows.launch(3, 26_000)
    for c in (1, 2, 3):
        rows.kernel(f"k{c}", 90_000 + c, 91_000 + c, c)
    assert link_names(rows.trace()) == {"k1": "aten::outer", "k2": "aten::alone", "k3": None}


def test_kernels_stand_in_the_order_of_their_columns_names_by_text() -> None:
    rows = Rows()
    rows.op("aten::mm", 0, 10)
    unsorted = (("z", 5, 9, 7), ("b", 5, 9, 7), ("a", 5, 9, 8), ("c", 5, 8, 9), ("d", 1, 9, 7))
    for name, start, end, stream in unsorted:
        rows.kernel(name, start, end, -1, stream=stream)
    trace = rows.trace()
    assert [trace.names[n] for n in trace.kernels.name.tolist()] == ["d", "c", "b", "z", "a"]


def test_each_device_has_its_own_records() -> None:
    rows = Rows()
    rows.op("aten::mm", 0, 10)
    rows.kernel("a", 0, 10, device=0, stream=1)
    rows.kernel("b", 5, 15, device=0, stream=2)
    rows.kernel("c", 0, 40, device=3)
    trace = rows.trace()
    assert devices_with_work(trace) == {0: 15, 3: 40}
    assert [trace.names[n] for n in of_device(trace, 3).kernels.name.tolist()] == ["c"]
    assert of_device(trace, 0).kernels.duration_ns.tolist() == [10, 10]


numbers = st.integers(0, 12)
pairs = st.lists(st.tuples(st.integers(0, 4), numbers), max_size=20)


@given(pairs, pairs)
def test_latest_before_is_the_twins(rows: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    keys, moments = (np.array([r[i] for r in rows], np.int64) for i in (0, 1))
    asked, at = (np.array([r[i] for r in wanted], np.int64) for i in (0, 1))
    for (key, moment), found in zip(wanted, latest_before(keys, moments, asked, at).tolist(), strict=True):
        before = [m for k, m in rows if k == key and m <= moment]
        assert (found >= 0) == bool(before)
        assert found < 0 or rows[found] == (key, max(before))


host_rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 60), st.integers(0, 40), st.booleans()), max_size=15
)
launch_rows = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 100), st.integers(0, 1)), max_size=8)
kernel_rows = st.lists(st.tuples(st.integers(-1, 7), st.integers(0, 120), st.integers(-1, 12)), max_size=8)


@settings(max_examples=300)
@given(host_rows, launch_rows, kernel_rows)
def test_linking_is_the_twins(host: list, launches: list, kernels: list) -> None:
    rows = Rows()
    rows.op("aten::far away", 10_000, 10_001)
    for i, (thread, start, length, annotation) in enumerate(host):
        add = rows.annotation if annotation else rows.op
        add(f"op{i}", start, start + length, thread=thread, external=i)
    for correlation, start, thread in launches:
        rows.launch(correlation, start, thread=thread)
    for i, (correlation, start, external) in enumerate(kernels):
        rows.kernel(f"k{i}", start, start + 5, correlation, external=external)
    if not kernels:
        return
    trace = rows.trace()
    ops, found = trace.ops, trace.kernels
    by_external = {i: f"op{i}" for i in range(len(host))}
    for k in range(len(found)):
        correlation, start, external = kernels[int(trace.names[found.name[k]][1:])]
        alike = [row for row in launches if row[0] == correlation]
        before = [row for row in alike if row[1] <= start]
        moment = max(b[1] for b in before) if before else min((a[1] for a in alike), default=None)
        if moment is None:  # in the operator that an id names, which began before
            assert found.launch_ns[k] <= start and (found.launch_ns[k] < 0) == (found.op[k] < 0)
        else:
            assert found.launch_ns[k] == moment
        expected = -1
        if moment is not None:
            launch, called = found.launch[k], trace.launches
            thread = called.thread[launch]
            assert (called.correlation[launch], called.start_ns[launch]) == (correlation, moment)
            expected = max(
                (j for j in range(len(ops)) if ops.kind[j] != OpKind.ANNOTATION and ops.thread[j] == thread
                 and ops.start_ns[j] <= moment <= ops.end_ns[j]), default=-1,
            )  # fmt: skip
        if expected < 0 and correlation != external and external in by_external:
            named = [j for j in range(len(ops)) if trace.names[ops.name[j]] == by_external[external]]
            begun_by = start if moment is None else moment
            expected = named[0] if ops.start_ns[named[0]] <= begun_by else -1
            while expected >= 0 and ops.kind[expected] == OpKind.ANNOTATION:
                expected = int(ops.parent[expected])
        assert found.op[k] == expected
        if expected < 0:
            reason = "no_correlation" if correlation < 0 else "no_launch" if moment is None else "no_op"
            assert UNLINKED[found.unlinked[k]] == reason


# Kernels, copies and fills of each file; those with an op round their launch; those without one;
# those of the latter whose launch was not recorded. Counted by programs that share nothing with this one.
COUNTS = {
    "infer_owlv2_h100": (5165, 5165, 0, 0),
    "infer_sd35_compiled_mi300x": (8066, 8066, 0, 0),
    "train_v100_float_epoch": (6095, 6095, 0, 0),
    "infer_sam_a100_large": (26796, 26796, 0, 0),
    "train_megatron_tp8_a100/rank0": (777, 777, 0, 0),
    "train_recsys_a100_rank3of8": (9450, 9402, 48, 0),
    "train_recsys_v100_rank1of2": (15632, 14970, 662, 614),
    "infer_qwen_h100": (1707, 1198, 509, 509),
    "train_resnet_checkpoint_mi300x_rank0of8": (3653, 2685, 968, 968),
    "train_gpt_compiled_h100_rank0of8": (3746, 2706, 1040, 1028),
    "decode_vllm_graph_noname": (434, 13, 421, 0),
    "decode_sglang_qwen3_mi300x": (558, 11, 547, 0),
    "gpu_only_mi210": (562, 0, 562, 0),
}


@pytest.mark.skipif(not FOLDER, reason="TRACEANALYZER_REAL_TRACES is not set")
@pytest.mark.parametrize("name", COUNTS)
def test_real_traces_link_as_counted(name: str) -> None:
    assert FOLDER
    found = load(str(Path(FOLDER) / f"{name}.json.gz")).kernels
    inside = int((found.op >= 0).sum())
    no_launch = int((found.unlinked == UNLINKED.index("no_launch")).sum())
    assert (len(found), inside, len(found) - inside, no_launch) == COUNTS[name]


@pytest.mark.skipif(not FOLDER, reason="TRACEANALYZER_REAL_TRACES is not set")
@pytest.mark.parametrize(
    "name", ["infer_owlv2_h100", "infer_sd35_compiled_mi300x", "train_v100_float_epoch", "norm_layers_mi300x"]
)
def test_where_ids_are_op_ids_they_say_the_same_as_times(name: str) -> None:
    from traceanalyzer.trace.reading.reader import read

    assert FOLDER
    path = str(Path(FOLDER) / f"{name}.json.gz")
    raw, trace = read(path), load(path)
    by_id = {
        external: (start, raw.names[name])
        for external, start, name in zip(
            raw.ops.external.tolist(), raw.ops.start_ns.tolist(), raw.ops.name.tolist(), strict=True
        )
    }
    rows = list(zip(raw.kernels.correlation.tolist(), raw.kernels.external.tolist(), strict=True))
    ids = {correlation: external for correlation, external in rows if external != correlation}
    checked = 0
    for correlation, op in zip(trace.kernels.correlation.tolist(), trace.kernels.op.tolist(), strict=True):
        if ids.get(correlation, -1) >= 0:
            assert by_id[ids[correlation]] == (trace.ops.start_ns[op], trace.names[trace.ops.name[op]])
            checked += 1
    assert checked > 0.9 * len(rows)


host_row = st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 1), st.booleans())


@settings(max_examples=300, deadline=None)
@given(st.lists(host_row, max_size=12), st.integers(0, 3))
def test_the_operator_open_at_a_moment_is_the_first_that_is_above_the_last_begun(
    placed: list[tuple[int, int, int, bool]], tolerance: int
) -> None:
    """Annotations in any number between operators; each moment of each thread is asked for."""
    rows = Rows()
    rows.op("aten::add", 50, 51, thread=2)
    for start, length, thread, annotated in placed:
        add = rows.annotation if annotated else rows.op
        add("a", start, start + length, thread=thread)
    trace = rows.trace()
    ops, threads = trace.ops, sorted(set(trace.ops.thread.tolist()))
    asked = [(thread, moment) for thread in [*threads, len(threads)] for moment in range(64)]

    def open_at(thread: int, moment: int, slack: int) -> int:
        begun = (ops.thread == thread) & (ops.start_ns <= moment + slack) & (ops.kind != OpKind.ANNOTATION)
        row = int(np.flatnonzero(begun).max(initial=-1))
        while row >= 0 and (ops.kind[row] == OpKind.ANNOTATION or ops.end_ns[row] + slack < moment):
            row = int(ops.parent[row])
        return row

    wanted = [open_at(*one, 0) for one in asked]
    wanted = [row if row >= 0 else open_at(*one, tolerance) for row, one in zip(wanted, asked, strict=True)]
    thread, moment = np.array(asked, np.int64).T
    assert ops_open_at(ops, thread.astype(np.int32), moment, tolerance).tolist() == wanted
