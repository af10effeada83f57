"""Idle time by cause: hand-made gaps, and the law that the parts add up to the nanosecond."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.records import IDLE_CAUSES
from traceanalyzer.records.trace import Kernels, Launches, Ops, RecordKind, Trace
from traceanalyzer.roofline.idle import gaps, idle_by_cause

LOADER = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
PAGEABLE = "Memcpy HtoD (Pageable -> Device)"


def ints(values):
    return np.array(values, np.int64)


def trace(kernels, launches=(), ops=()):
    """kernels: (start, end, name, launch row); launches: (start, end, name); ops: (start, end, name)."""
    kernels = sorted(kernels, key=lambda k: k[:2])
    names = sorted({row[2] for row in (*kernels, *launches, *ops)})
    number = {name: i for i, name in enumerate(names)}

    def named(rows):
        return np.array([number[row[2]] for row in rows], np.int32)

    n, minus = len(kernels), -np.ones(len(kernels), np.int64)
    rows = np.array([k[3] for k in kernels], np.int32)
    launch_ns = ints([launches[k[3]][0] if k[3] >= 0 else -1 for k in kernels])
    kind = [RecordKind.MEMCPY if k[2].startswith("Memcpy") else RecordKind.KERNEL for k in kernels]
    ids, long, opsn = minus.astype(np.int32), minus, -np.ones(len(ops), np.int64)
    return Trace(
        path="t",
        bytes=0,
        events=0,
        dialect="nanosecond",
        names=names,
        calls=(),
        ops=Ops(
            ints([o[0] for o in ops]),
            ints([o[1] for o in ops]),
            named(ops),
            opsn.astype(np.int8),
            opsn.astype(np.int32),
            opsn.astype(np.int32),
            opsn.astype(np.int32),
            opsn.astype(np.int8),
            opsn.astype(np.int32),
            opsn,
            opsn.astype(np.int32),
        ),
        launches=Launches(
            ints([c[0] for c in launches]),
            ints([c[1] for c in launches]),
            named(launches),
            np.zeros(len(launches), np.int32),
            np.arange(len(launches)),
            -np.ones(len(launches), np.int32),
        ),
        kernels=Kernels(
            ints([k[0] for k in kernels]),
            ints([k[1] for k in kernels]),
            named(kernels),
            np.array(kind, np.int8),
            np.zeros(n, np.int32),
            long,
            long,
            rows,
            launch_ns,
            ids,
            ids.astype(np.int8),
            long,
            ids,
            long,
            ids,
            long,
            long,
            np.zeros(n, bool),
            ints([k[1] - k[0] for k in kernels]),
        ),
        pieces=None,
        steps=(),
        devices=(),
        rank=None,
        on_cpu=False,
    )


def causes(found, window):
    kernels = found.kernels
    start, end = gaps(kernels.start_ns, kernels.end_ns, window)
    parts = idle_by_cause(found, np.arange(len(kernels), dtype=np.int32), start, end)
    assert [part.cause for part in parts] == list(IDLE_CAUSES)
    assert sum(part.time_ns for part in parts) == (end - start).sum()
    return {part.cause: part.time_ns for part in parts if part.time_ns}


def test_a_kernel_launched_too_late_makes_a_launch_gap():
    found = trace(
        [(0, 100, "a", 0), (150, 200, "b", 1)],
        [(-10, -5, "cudaLaunchKernel"), (120, 130, "cudaLaunchKernel")],
    )
    assert causes(found, (0, 200)) == {"launch_gap": 50}


def test_what_comes_long_after_the_launch_is_not_the_launches():
    """Launched at 120 us, returned at 130 us, started at 500 us: 20 us of latency, and nobody knows why."""
    found = trace(
        [(0, 100_000, "a", 0), (500_000, 600_000, "b", 1)],
        [(-10, -5, "cudaLaunchKernel"), (120_000, 130_000, "cudaLaunchKernel")],
    )
    assert causes(found, (0, 600_000)) == {"launch_gap": 50_000, "unknown": 350_000}


def test_a_kernel_launched_in_time_does_not():
    found = trace(
        [(0, 100, "a", 0), (150, 200, "b", 1)], [(-10, -5, "cudaLaunchKernel"), (20, 30, "cudaLaunchKernel")]
    )
    assert causes(found, (0, 200)) == {"unknown": 50}


def test_a_kernel_without_a_launch_has_no_launch_gap():
    assert causes(trace([(0, 100, "a", -1), (150, 200, "b", -1)]), (0, 200)) == {"unknown": 50}


def test_kernels_of_one_graph_launch_wait_for_each_other_not_for_the_host():
    found = trace([(100, 200, "a", 0), (210, 300, "b", 0)], [(20, 60, "cudaGraphLaunch")])
    assert causes(found, (0, 300)) == {"launch_gap": 100, "unknown": 10}


def test_each_instant_has_one_cause_by_priority():
    """A gap of 1000 ns: loading 100-300, a pageable copy's call 250-450, a sync 400-600, the rest late."""
    found = trace(
        [(0, 100, "a", 0), (1100, 1200, PAGEABLE, 1)],
        [(0, 1, "cudaLaunchKernel"), (350, 550, "cudaMemcpyAsync"), (500, 700, "cudaStreamSynchronize")],
        [(200, 400, LOADER)],
    )
    assert causes(found, (0, 1200)) == {
        "data_loading": 200,
        "host_to_device_copy": 150,
        "synchronisation": 150,
        "launch_gap": 500,
    }


def test_causes_outside_gaps_do_not_count():
    found = trace(
        [(0, 100, "a", 0), (100, 200, "b", 0)],
        [(0, 1, "cudaLaunchKernel"), (50, 150, "cudaDeviceSynchronize")],
        [(20, 40, LOADER)],
    )
    assert causes(found, (0, 200)) == {}


def test_a_copy_from_pinned_memory_does_not_hold_the_host():
    found = trace(
        [(0, 100, "a", 0), (500, 600, "Memcpy HtoD (Pinned -> Device)", 1)],
        [(0, 1, "cudaLaunchKernel"), (200, 300, "cudaMemcpyAsync")],
    )
    assert causes(found, (0, 600)) == {"launch_gap": 400}


def test_a_window_without_activity_is_one_gap():
    assert causes(trace([]), (0, 10)) == {"unknown": 10}


span = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda t: (t[0], t[0] + t[1]))


@given(
    st.lists(st.tuples(span, st.sampled_from(["k", PAGEABLE]), st.integers(-1, 2)), max_size=6),
    st.lists(
        st.tuples(span, st.sampled_from(["cudaLaunchKernel", "cudaStreamSynchronize"])),
        min_size=3,
        max_size=3,
    ),
    st.lists(span, max_size=3),
)
def test_parts_add_up_whatever_overlaps(kernels, launches, loads):
    found = trace(
        [(*s, name, launch) for s, name, launch in kernels],
        [(*s, name) for s, name in launches],
        [(*s, LOADER) for s in loads],
    )
    parts = causes(found, (5, 70))
    busy = {t for (s, e), _, _ in kernels for t in range(s, e)}
    idle = [t for t in range(5, 70) if t not in busy]
    loading = [t for t in idle if any(s <= t < e for s, e in loads)]
    assert sum(parts.values()) == len(idle)
    assert parts.get("data_loading", 0) == len(loading)
    assert all(time >= 0 for time in parts.values())
