"""Idle time by cause: hand-made gaps, a twin that looks at every nanosecond, and a simulated host."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.trace.build import Rows
from traceanalyzer.inference.complete import complete
from traceanalyzer.records import IDLE_CAUSES, Notice
from traceanalyzer.records.judged import IdleTimes
from traceanalyzer.records.trace import RecordKind, Trace
from traceanalyzer.roofline import host_names, host_work, launching
from traceanalyzer.roofline.idle import each_in_one_step, idle_by_cause, idle_times
from traceanalyzer.roofline.intervals import gaps
from traceanalyzer.trace.linking.assemble import trace_of

LOADER = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
PAGEABLE = "Memcpy HtoD (Pageable -> Device)"
MS = 1_000_000

Causes = dict[str, int]


def stretches(trace: Trace, window: tuple[int, int]) -> list[tuple[int, int, str, str]]:
    """(start, end, cause, name) of every idle stretch; together they are the gaps."""
    kernels = trace.kernels
    start, end = gaps(kernels.start_ns, kernels.end_ns, window)
    times = idle_times(trace, np.arange(len(kernels), dtype=np.int32), start, end)
    assert (times.end_ns > times.start_ns).all() and (times.start_ns[1:] >= times.end_ns[:-1]).all()
    assert (times.end_ns - times.start_ns).sum() == (end - start).sum()
    parts = idle_by_cause(times, trace.names)
    assert [part.cause for part in parts] == list(IDLE_CAUSES)
    assert sum(part.time_ns for part in parts) == (end - start).sum()
    columns = (times.start_ns.tolist(), times.end_ns.tolist(), times.cause.tolist(), times.name.tolist())
    return [
        (s, e, IDLE_CAUSES[c], trace.names[n] if n >= 0 else "") for s, e, c, n in zip(*columns, strict=True)
    ]


def causes(trace: Trace, window: tuple[int, int]) -> Causes:
    total: Counter[str] = Counter()
    for start, end, cause, _ in stretches(trace, window):
        total[cause] += end - start
    return dict(total)


def names(trace: Trace, window: tuple[int, int]) -> dict[tuple[str, str], int]:
    total: Counter[tuple[str, str]] = Counter()
    for start, end, cause, name in stretches(trace, window):
        total[cause, name] += end - start
    return dict(total)


def two_kernels(launched: int, returned: int, second: int, *, first: int = 100) -> Rows:
    """A kernel until `first`, and one from `second` on that was launched in [launched, returned)."""
    rows = Rows()
    rows.launch(1, -10, end=-5)
    rows.kernel("a", 0, first, 1)
    rows.launch(2, launched, end=returned)
    rows.kernel("b", second, second + 50, 2)
    return rows


def test_a_kernel_launched_too_late_makes_a_launch_gap() -> None:
    assert causes(two_kernels(120, 130, 150).trace(), (0, 200)) == {"launch_gap": 50}


def test_what_comes_long_after_the_launch_is_not_the_launches() -> None:
    """Launched at 120 us, returned at 130 us, started at 500 us: 20 us of latency, and nobody knows why."""
    trace = two_kernels(120_000, 130_000, 500_000, first=100_000).trace()
    assert causes(trace, (0, 500_050)) == {"launch_gap": 50_000, "unknown": 350_000}


def test_a_kernel_launched_in_time_does_not() -> None:
    assert causes(two_kernels(20, 30, 150).trace(), (0, 200)) == {"unknown": 50}


def test_a_kernel_without_a_launch_has_no_launch_gap() -> None:
    rows = Rows()
    rows.kernel("a", 0, 100)
    rows.kernel("b", 150, 200)
    assert causes(rows.trace(), (0, 200)) == {"unknown": 50}


def test_kernels_of_one_graph_launch_wait_for_each_other_not_for_the_host() -> None:
    rows = Rows()
    rows.launch(1, 20, end=60, name="cudaGraphLaunch")
    rows.kernel("a", 100, 200, 1)
    rows.kernel("b", 210, 300, 1)
    assert causes(rows.trace(), (0, 300)) == {"launch_gap": 100, "unknown": 10}


def test_each_instant_has_one_cause_by_priority() -> None:
    """A gap of 1000 ns: loading 200-400, a pageable copy's call 350-550, a sync 500-700, the rest late."""
    rows = Rows()
    rows.launch(1, 0, end=1)
    rows.kernel("a", 0, 100, 1)
    rows.annotation(LOADER, 200, 400)
    rows.launch(2, 350, end=550, name="cudaMemcpyAsync")
    rows.kernel(PAGEABLE, 1100, 1200, 2, kind=RecordKind.MEMCPY)
    rows.launch(-1, 500, end=700, name="cudaStreamSynchronize")
    assert causes(rows.trace(), (0, 1200)) == {
        "data_loading": 200, "host_to_device_copy": 150, "synchronisation": 150, "launch_gap": 500,
    }  # fmt: skip


def test_causes_outside_gaps_do_not_count() -> None:
    rows = Rows()
    rows.launch(1, 0, end=1)
    rows.kernel("a", 0, 200, 1)
    rows.launch(-1, 50, end=150, name="cudaDeviceSynchronize")
    rows.annotation(LOADER, 20, 40)
    assert causes(rows.trace(), (0, 200)) == {}


def test_a_copy_from_pinned_memory_does_not_hold_the_host() -> None:
    rows = Rows()
    rows.launch(1, 0, end=1)
    rows.kernel("a", 0, 100, 1)
    rows.launch(2, 200, end=300, name="cudaMemcpyAsync")
    rows.kernel("Memcpy HtoD (Pinned -> Device)", 500, 600, 2, kind=RecordKind.MEMCPY)
    assert causes(rows.trace(), (0, 600)) == {"launch_gap": 400}


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        ("cudaMalloc", "memory_allocation"), ("cudaFree", "memory_allocation"),
        ("cudaMallocAsync", "memory_allocation"), ("cudaHostAlloc", "memory_allocation"),
        ("cudaFreeHost", "memory_allocation"), ("hipMalloc", "memory_allocation"),
        ("hipHostMalloc", "memory_allocation"), ("cuMemCreate", "memory_allocation"),
        ("cuMemMap", "memory_allocation"), ("cuMemUnmap", "memory_allocation"),
        ("cuModuleLoadData", "first_use"), ("cuModuleLoadDataEx", "first_use"),
        ("hipModuleLoadData", "first_use"), ("cuLibraryLoadData", "first_use"),
        ("cudaStreamCreateWithFlags", "first_use"), ("cudaStreamCreateWithPriority", "first_use"),
        ("cudaStreamSynchronize", "synchronisation"), ("hipDeviceSynchronize", "synchronisation"),
        ("cudaEventSynchronize", "synchronisation"),
        ("cudaStreamIsCapturing", "launch_gap"), ("cudaPointerGetAttributes", "launch_gap"),
        ("cudaMemsetAsync", "launch_gap"), ("cudaFuncGetAttributes", "launch_gap"),
    ],
)  # fmt: skip
def test_calls_of_the_runtime(call: str, cause: str) -> None:
    rows = two_kernels(900, 910, 920)
    rows.launch(-1, 200, end=700, name=call)
    expected = Counter({"launch_gap": 820})
    expected[cause] += 500
    expected["launch_gap"] -= 500
    assert causes(rows.trace(), (0, 970)) == {c: ns for c, ns in expected.items() if ns}


def test_what_allocates_before_the_first_launch_starts_the_process_up() -> None:
    rows = Rows()
    rows.launch(-1, 0, end=650, name="cudaFree")
    rows.launch(1, 700, end=710)
    rows.kernel("a", 720, 800, 1)
    assert causes(rows.trace(), (0, 800)) == {"first_use": 650, "launch_gap": 70}


def test_a_kernel_whose_code_is_loaded_at_its_first_launch() -> None:
    """The first launch takes 900 ms; a later one as long as that of the same kernel has another cause."""
    rows = two_kernels(200, 200 + 900 * MS, 210 + 900 * MS)
    assert names(rows.trace(), (0, 260 + 900 * MS))["first_use", "cudaLaunchKernel"] == 900 * MS
    rows = two_kernels(200, 200 + 900 * MS, 210 + 900 * MS)
    rows.launch(9, -30, end=-20)
    rows.kernel("b", -20, -10, 9)
    assert "first_use" not in causes(rows.trace(), (0, 260 + 900 * MS))


def test_the_profilers_own_work_is_its_own() -> None:
    rows = two_kernels(200, 9000, 9010)
    rows.span("Activity Buffer Request", 300, 8900, profiler=True)
    rows.span("Lazy Function Loading", 8900, 8950, profiler=True)
    assert causes(rows.trace(), (0, 9060)) == {"profiler": 8600, "first_use": 50, "launch_gap": 260}


@pytest.mark.parametrize("name", [
    "_compile.compile_inner (dynamo_timed)", "backend_compile (dynamo_timed)",
    "torch/_dynamo/convert_frame.py(1): x",
    "torch/_inductor/codecache.py(812): codegen_and_compile", "torch/_inductor/codecache.py(2010): load",
    "torch/_inductor/codecache.py(1990): load_by_key_path", "torch/_inductor/codecache.py(60): _compile_end",
    "torch/_inductor/compile_fx.py(701): fx_codegen_and_compile", "torch/_inductor/async_compile.py(9): wait",
    "triton/compiler/compiler.py(226): compile", "triton/runtime/jit.py(700): _do_compile",
    "triton/compiler/code_generator.py(1300): ast_to_ttir",
    "torch/utils/cpp_extension.py(1900): _jit_compile",
])  # fmt: skip
def test_what_compiles(name: str) -> None:
    rows = two_kernels(90 * MS, 90 * MS + 5, 90 * MS + 9)
    if "/" in name:
        rows.span(name, 10 * MS, 80 * MS)
    else:
        rows.annotation(name, 10 * MS, 80 * MS)
    assert causes(rows.trace(), (0, 90 * MS + 59))["compilation"] == 70 * MS


@pytest.mark.parametrize("name", [
    "torch/_inductor/codecache.py(374): __call__", "torch/_inductor/codecache.py(912): _run_from_cache",
    "torch/_inductor/codecache.py(1702): g", "torch/_inductor/codecache.py(2900): _wrapped_func",
    "torch/_inductor/compile_fx.py(1100): run", "torch/_inductor/compile_fx.py(1310): compiled_fn",
    "torch/_inductor/output_code.py(590): __call__", "torch/_dynamo/eval_frame.py(791): compile_wrapper",
    "triton/compiler/compiler.py(487): launch_metadata", "triton/compiler/compiler.py(380): __init__",
    "triton/compiler/compiler.py(444): _init_handles", "triton/runtime/jit.py(560): run",
    "CompiledFunction", "Torch-Compiled Region: 0/0",
])  # fmt: skip
def test_what_runs_compiled_code_compiles_nothing(name: str) -> None:
    """50 small kernels, launched every 200 us inside of it."""
    rows = Rows()
    for number in range(50):
        rows.launch(number, number * 200_000, end=number * 200_000 + 5_000)
        rows.kernel("k", number * 200_000 + 9_000, number * 200_000 + 12_000, number)
    rows.span(name, -10, 50 * 200_000)
    assert causes(rows.trace(), (9_000, 49 * 200_000 + 12_000)) == {"launch_gap": 49 * 197_000}


LONG = (0, 500 * MS + 50)


def waiting(*things: tuple[str, str, float, float]) -> Trace:
    """A gap of 500 ms before a kernel whose operator begins 1 us before its launch.

    Each thing as (kind, name, start, end), in ms.
    """
    rows = two_kernels(500 * MS - 9_000, 500 * MS - 4_000, 500 * MS)
    rows.op("aten::mm", 500 * MS - 10_000, 500 * MS - 1_000)
    rows.annotation("ProfilerStep#3", -10, 600 * MS)
    for kind, name, start, end in things:
        add = {"op": rows.op, "annotation": rows.annotation, "frame": rows.span}[kind]
        add(name, int(start * MS), int(end * MS))
    return rows.trace()


def many(name: str, starts: range, length: float) -> list[tuple[str, str, float, float]]:
    """Operators of one name."""
    return [("op", name, start, start + length) for start in starts]


OPTIMIZER = "Optimizer.step#CPUAdam.step"


@pytest.mark.parametrize(
    ("things", "shown"),
    [
        ([("annotation", OPTIMIZER, 10, 480)], {OPTIMIZER: 470}),
        ([("annotation", OPTIMIZER, 10, 480), *many("aten::mul", range(20, 470, 10), 2)], {OPTIMIZER: 470}),
        ([("op", "aten::sort", 10, 400), ("annotation", "evaluate", 400, 450)],
         {"aten::sort": 390, "evaluate": 50}),
        ([("annotation", "outer", 3, 490), ("annotation", "inner", 20, 400)], {"inner": 380, "outer": 107}),
        ([*many("aten::a", range(200), 0.9), *many("aten::b", range(200, 499), 0.9)], {"aten::b": 500}),
        ([("frame", "train.py(3): main", -1, 600), ("frame", "train.py(9): log", 5, 480),
          ("frame", "<built-in sleep>", 6, 479)], {"train.py(9): log": 475}),
        ([("annotation", "train", -1, 600), ("frame", "train.py(9): log", 5, 480)],
         {"train.py(9): log": 475}),
        ([("annotation", "short", 10, 100), ("annotation", "shorter", 300, 310)],
         {"short": 90, "shorter": 10}),
        ([("annotation", "tiny", 10, 10)], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_a_long_wait_for_the_host_has_the_names_of_what_it_did(
    things: list[tuple[str, str, float, float]], shown: dict[str, int]
) -> None:
    """To the millisecond: shorter rests go with their neighbors."""
    found = names(waiting(*things), LONG)
    named = {name: round(ns / MS) for (cause, name), ns in found.items() if cause == "host_work"}
    assert named == shown
    assert round(found.get(("unknown", ""), 0) / MS) == 500 - sum(shown.values())
    assert found["launch_gap", ""] < 50_000


def test_a_step_by_another_name_names_no_wait() -> None:
    rows = two_kernels(90 * MS, 90 * MS + 5, 90 * MS + 9)
    for number in (0, 1):
        rows.annotation(f"step[DECODE bs={number}]", (100 * number - 1) * MS, (100 * number + 95) * MS)
    trace = rows.trace()
    assert len(trace.steps) == 2 and "host_work" not in causes(trace, (0, 90 * MS + 59))


@pytest.mark.parametrize("chosen", [None, "training loop body"])
@pytest.mark.parametrize(
    "name", ["training loop body", "train_step", "train.py(30): run_epoch", "decode step 4"]
)
@pytest.mark.parametrize("work", ["", "tokenize"])
def test_what_encloses_a_step_is_no_cause(name: str, chosen: str | None, work: str) -> None:
    """Three steps of 20 ms; in each a pause of 10 ms between two rows of kernels.

    Whoever names the steps, the profiler's own name explains nothing either.
    """
    rows = Rows()
    for number in range(3):
        begin = number * 20 * MS
        rows.annotation(f"ProfilerStep#{number}", begin, begin + 20 * MS)
        add = rows.span if ".py" in name else rows.annotation
        add(name, begin + 40_000, begin + 20 * MS - 40_000)
        if chosen and chosen != name:
            rows.annotation(chosen, begin + 50_000, begin + 20 * MS - 50_000)
        if work:
            rows.annotation(work, begin + 6 * MS, begin + 14 * MS)
        for at in (*range(100_000, 5 * MS, 100_000), *range(15 * MS, 19 * MS, 100_000)):
            rows.launch(begin + at, begin + at, end=begin + at + 5_000)
            rows.kernel("k", begin + at + 9_000, begin + at + 99_000, begin + at)
    trace = complete(trace_of(rows.raw(), chosen))
    assert len(trace.steps) == 3
    found = names(trace, (0, 60 * MS))
    assert {key: round(ns / MS) for key, ns in found.items() if key[0] == "host_work"} == (
        {("host_work", "tokenize"): 24} if work else {}
    )
    assert round(found["unknown", ""] / MS) == (3 * 10 if not work else 3 * 2) + 3


def test_a_part_of_a_step_may_be_a_cause() -> None:
    """Half of the launches and four fifths of the time: no name of a step, and neither is its whole work."""
    rows = Rows()
    for number in range(3):
        begin = number * 20 * MS
        rows.annotation(f"ProfilerStep#{number}", begin, begin + 20 * MS)
        rows.annotation("generate", begin + 2 * MS, begin + 18 * MS)
        for at in (0, 2_200_000, 17_800_000, 19 * MS):
            rows.launch(begin + at, begin + at, end=begin + at + 5_000)
            rows.kernel("k", begin + at + 9_000, begin + at + 99_000, begin + at)
    assert names(rows.trace(), (0, 60 * MS))["host_work", "generate"] == 3 * (17_800_000 - 2_299_000)


def test_where_times_are_stamped_late_no_cause_is_known() -> None:
    late = replace(two_kernels(120, 130, 150).trace(), warnings=(Notice("late_timestamps", ""),))
    assert causes(late, (0, 200)) == {"unknown": 50}


@pytest.mark.parametrize("kind", ["loader", "sync", "malloc", "compile"])
def test_what_a_thread_that_feeds_nothing_waits_for_holds_nothing_up(kind: str) -> None:
    for thread, held in ((0, True), (5, False)):
        rows = two_kernels(900, 910, 920)
        if kind == "loader":
            rows.annotation(LOADER, 200, 700, thread=thread)
        elif kind == "compile":
            rows.annotation("x (dynamo_timed)", 200, 700, thread=thread)
        else:
            name = "cudaStreamSynchronize" if kind == "sync" else "cudaMalloc"
            rows.launch(-1, 200, end=700, name=name, thread=thread)
        launching = causes(rows.trace(), (0, 970))["launch_gap"]
        assert launching == (320 if held else 820)


HOLDS = {"loader": "data_loading", "sync": "synchronisation", "malloc": "memory_allocation",
         "compile": "compilation"}  # fmt: skip


def two_threads(kind: str, start: int, end: int, launches: list[tuple[int, int]]) -> Causes:
    """Thread 0 is held up from `start` to `end`; launches of 5 us, each of a 3 us kernel, as (start, thread).

    The causes from the first kernel to the last.
    """
    rows = Rows()
    for number, (begin, thread) in enumerate(launches):
        rows.launch(number, begin, end=begin + 5_000, thread=thread)
        rows.kernel("k", begin + 9_000, begin + 12_000, number)
    if kind == "loader":
        rows.annotation(LOADER, start, end)
    elif kind == "compile":
        rows.span("torch/_inductor/codecache.py(9): load", start, end)
    else:
        rows.launch(-1, start, end=end, name="cudaEventSynchronize" if kind == "sync" else "cudaMalloc")
    return causes(rows.trace(), (launches[0][0] + 9_000, launches[-1][0] + 12_000))


@pytest.mark.parametrize("kind", sorted(HOLDS))
def test_what_one_thread_waits_for_while_another_launches_holds_nothing_up(kind: str) -> None:
    """Thread 1 launches every 100 us, from 0.1 to 8 ms; thread 0 before and behind."""
    launches = [(0, 0), *((at, 1) for at in range(100_000, 8 * MS, 100_000)), (8 * MS, 0)]
    found = two_threads(kind, 200_000, 7 * MS, launches)
    assert found == {"launch_gap": 80 * 97_000}


@pytest.mark.parametrize("kind", sorted(HOLDS))
def test_what_one_thread_waits_for_before_another_goes_on_holds_the_device_up(kind: str) -> None:
    """Thread 0 launches, waits for 0.5 ms or for 5 ms, and hands over to thread 1; or thread 1 pauses."""
    for end in (600_000, 5_100_000):
        found = two_threads(kind, 100_000, end, [(0, 0), (end + 50_000, 1)])
        assert found == {HOLDS[kind]: end - 100_000, "launch_gap": 147_000}
    found = two_threads(kind, 100_000, 5 * MS, [(-50_000, 0), (0, 1), (5 * MS, 1), (5_050_000, 0)])
    assert found[HOLDS[kind]] == 5 * MS - 100_000


def test_names_are_of_the_thread_that_feeds_the_device() -> None:
    rows = two_kernels(90 * MS, 90 * MS + 5, 90 * MS + 9)
    rows.annotation("elsewhere", 10, 80 * MS, thread=5)
    assert "host_work" not in causes(rows.trace(), (0, 90 * MS + 59))


def test_behind_the_last_kernel_the_host_works_or_nothing_is_known() -> None:
    rows = Rows()
    rows.launch(1, 0, end=5)
    rows.kernel("a", 10, 100, 1)
    rows.annotation("save", 200, 9 * MS)
    assert names(rows.trace(), (10, 10 * MS)) == {("host_work", "save"): 9 * MS - 100, ("unknown", ""): MS}


def test_a_window_without_activity_is_one_gap() -> None:
    rows = Rows()
    rows.kernel("before", -20, -10)
    assert causes(rows.trace(), (0, 10)) == {"unknown": 10}


# A twin: what the heads of idle.py and launching.py say, read out loud for one nanosecond after the other.
# Dispatch takes 5 ns here, twice the usual is far, no launching takes 12, and kernels arrive within 3: small
# numbers meet every border.
DISPATCH, FAR, CLOSE, ARRIVES = 5, 2.0, 12, 3
SOURCES = ("profiler", "compilation", "data_loading", "memory_allocation", "first_use", "host_to_device_copy",
           "synchronisation")  # fmt: skip
Span = tuple[int, int]


def twin(
    kernels: list[tuple[Span, int]],
    calls: list[Span],
    sources: dict[str, list[Span]],
    functions: list[Span],
    window: Span,
) -> dict[int, str]:
    """Cause of each idle ns. `kernels`: span and the call that launched it, -1: not recorded; in order."""
    busy = {t for (start, end), _ in kernels for t in range(start, end)}
    idle = [t for t in range(*window) if t not in busy]
    cause = {}
    for t in idle:
        cause[t] = next((s for s in SOURCES if any(a <= t < b for a, b in sources.get(s, []))), "")
    used = [calls[call] for call in {call for _, call in kernels if call >= 0}]
    launching = launching_twin(
        used, [span for source in SOURCES for span in sources.get(source, [])], functions, idle
    )
    for gap in runs(idle):
        following = [(span, call) for span, call in kernels if span[0] > gap[-1] and span[1] > span[0]]
        call = following[0][1] if following else -1
        if not following:
            until = gap[-1] + 1
        elif call >= 0 and calls[call][0] >= gap[0]:
            until = min(gap[-1] + 1, calls[call][1] + ARRIVES)
            launching |= set(range(calls[call][0], until))
        else:
            until = gap[0]
        for t in gap:
            cause[t] = cause[t] or ("launch_gap" if t < until and t in launching else "unknown")
    return cause


def launching_twin(calls: list[Span], known: list[Span], functions: list[Span], idle: list[int]) -> set[int]:
    """The instants at which the host is in a call, or on its way to one."""
    in_calls = {t for start, end in calls for t in range(start, max(end, start + 1))}
    waiting = in_calls | {t for start, end in known for t in range(start, end)}
    everything = waiting | set(idle)
    pauses = runs([t for t in range(min(everything, default=0), max(everything, default=0) + 1)
                   if t not in waiting])  # fmt: skip
    held = {
        t for start, end in functions if end - start >= DISPATCH for pause in pauses if len(pause) < CLOSE
        and {start, end - 1} <= set(pause) for t in range(start, end)
    }  # fmt: skip
    others = sorted(len(set(p) - held) for p in pauses if p[-1] + 1 in {start for start, _ in calls})
    usual = (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2 if others else 0
    limit = min(max(FAR * usual, DISPATCH), CLOSE)
    launching = set(in_calls)
    for pause in pauses:
        follows = any(start > pause[-1] for start, _ in calls)
        if follows and len(pause) < CLOSE and len(set(pause) - held) < limit:
            launching |= set(pause) - held
    return launching


def runs(instants: list[int]) -> list[list[int]]:
    """Unbroken runs of ascending numbers."""
    found: list[list[int]] = []
    for t in instants:
        if found and t == found[-1][-1] + 1:
            found[-1].append(t)
        else:
            found.append([t])
    return found


span = st.tuples(st.integers(0, 80), st.integers(0, 15)).map(lambda t: (t[0], t[0] + t[1]))
NAMED = {
    "cudaLaunchKernel": "", "cudaStreamSynchronize": "synchronisation", "cudaMalloc": "memory_allocation",
    "cudaStreamCreate": "first_use",
}  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(span, st.integers(-1, 3)), max_size=6),
    st.lists(span, min_size=4, max_size=4),
    st.lists(st.tuples(span, st.sampled_from(sorted(NAMED))), max_size=4),
    st.lists(st.tuples(span, st.sampled_from(["profiler", "data_loading", "compilation"])), max_size=4),
    st.lists(span, max_size=4),
)
def test_equals_the_twin(
    kernels: list[tuple[Span, int]],
    launches: list[Span],
    calls: list[tuple[Span, str]],
    others: list[tuple[Span, str]],
    functions: list[Span],
) -> None:
    rows = Rows()
    rows.launch(99, -40, end=-39)
    rows.kernel("first", -38, -37, 99)  # so that what allocates does not start the process up
    for number, (start, end) in enumerate(launches):
        rows.launch(number + 1, start, end=end)
    for number, ((start, end), call) in enumerate(kernels):
        rows.kernel(f"k{number}", start, end, call + 1 if call >= 0 else -1)
    sources: dict[str, list[Span]] = {}
    for (start, end), name in calls:
        rows.launch(-1, start, end=end, name=name)
        sources.setdefault(NAMED[name], []).append((start, end))
    for (start, end), cause in others:
        if cause == "profiler":
            rows.span("Buffer Flush", start, end, profiler=True)
        else:
            rows.annotation(LOADER if cause == "data_loading" else "x (dynamo_timed)", start, end)
        sources.setdefault(cause, []).append((start, end))
    for start, end in functions:
        rows.span("train.py(9): log", start, end)
    in_order = sorted((((-38, -37), len(launches)), *kernels), key=lambda k: (k[0][0], k[0][1], k[1]))
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (launching, "DISPATCH_NS", DISPATCH), (host_names, "DISPATCH_NS", DISPATCH),
            (launching, "FAR_FROM_USUAL", FAR), (launching, "LONGEST_NS", CLOSE),
            (host_work, "LONGEST_NS", CLOSE), (host_work, "LATENCY_NS", ARRIVES),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        found = stretches(rows.trace(), (0, 100))
    shown = {
        t: "unknown" if cause == "host_work" else cause
        for start, end, cause, _ in found for t in range(start, end)
    }  # fmt: skip
    assert shown == twin(in_order, [*launches, (-40, -39)], sources, functions, (0, 100))


# A host whose every action is known, and a device that works off what it launches.
ACTIONS = {
    "load": ("data_loading", 4 * MS), "allocate": ("memory_allocation", 2 * MS),
    "compile": ("compilation", 30 * MS),
    "work": ("host_work", 5 * MS), "nothing": ("unknown", 6 * MS), "think": ("launch_gap", 60_000),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(sorted(ACTIONS)), st.integers(10_000, 3 * MS), st.just("wait")), max_size=25
    )
)
def test_a_simulated_host_is_told_what_it_did(program: list[str | int]) -> None:
    """A number launches a kernel of so many ns. Launch and arrival take 5 us each and are launching."""
    rows, now, free = Rows(), 0, 0
    truth: Counter[str] = Counter()
    did: list[tuple[int, int, str]] = []
    runs_: list[Span] = []
    for number, action in enumerate([20_000, *program, 20_000]):
        begin = now
        if isinstance(action, int):
            now += 5_000
            rows.launch(number + 1, begin, end=now)
            start = max(now + 5_000, free)
            free = start + action
            rows.kernel(f"k{number}", start, free, number + 1)
            runs_.append((start, free))
            did.append((begin, now, "launch_gap"))
        elif action == "wait":
            now = max(now, free) + 3_000
            rows.launch(-1, begin, end=now, name="cudaDeviceSynchronize")
            did.append((begin, now, "synchronisation"))
        else:
            cause, length = ACTIONS[action]
            now += length
            did.append((begin, now, cause))
            if action == "load":
                rows.annotation(LOADER, begin, now)
            elif action == "allocate":
                rows.launch(-1, begin, end=now, name="cudaMalloc")
            elif action == "compile":
                rows.annotation("_compile.compile_inner (dynamo_timed)", begin, now)
            elif action == "work":
                rows.annotation("evaluate", begin, now)
    for (_, end), (start, _) in pairwise(runs_):
        for begin, stop, cause in did:
            truth[cause] += max(0, min(stop, start) - max(begin, end))
        arrives = max(end, start - 5_000)
        at_once = sum(max(0, min(stop, start) - max(begin, arrives)) for begin, stop, _ in did)
        truth["launch_gap"] += max(0, start - arrives) - at_once
    window = (runs_[0][0], runs_[-1][1])
    found = Counter(causes(rows.trace(), window))
    assert sum(found.values()) == sum(truth.values())
    for cause in IDLE_CAUSES:
        # Waits that touch are told apart at their borders: a launch, its arrival and 60 us of Python.
        slack = (
            0
            if cause in ("data_loading", "memory_allocation", "compilation", "synchronisation")
            else 80_000 * len(program)
        )
        assert abs(found[cause] - truth[cause]) <= slack, cause


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 40), max_size=12, unique=True).map(sorted),
    st.lists(st.integers(0, 40), min_size=2, max_size=6).map(sorted),
)
def test_each_stretch_lies_in_one_step(moments: list[int], cuts: list[int]) -> None:
    """The same instants, each with its cause and name; no step begins inside a stretch."""
    count = len(moments) // 2
    start, end = np.array(moments[: 2 * count], np.int64).reshape(-1, 2).T
    whole = IdleTimes(
        start, end, np.arange(count, dtype=np.int8), np.arange(100, 100 + count, dtype=np.int32)
    )
    given_out = each_in_one_step(whole, cuts)

    def instants(idle: IdleTimes) -> list[tuple[int, int, int]]:
        columns = (idle.start_ns, idle.end_ns, idle.cause, idle.name)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [(at, cause, name) for start, end, cause, name in rows for at in range(start, end)]

    assert instants(given_out) == instants(whole)
    parts = list(zip(given_out.start_ns.tolist(), given_out.end_ns.tolist(), strict=True))
    assert all(start < end for start, end in parts)
    assert not any(start < cut < end for start, end in parts for cut in cuts)
