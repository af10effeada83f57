"""Finished analyses to render: shares add up by construction, one builder for each case a report meets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.report.example_rows import H100, training_rows
from traceanalyzer.records import (
    IDLE_CAUSES,
    OPERATOR_CLASSES,
    VERDICTS,
    AboveRoof,
    Band,
    ClassPart,
    Compute,
    Coverage,
    Device,
    FormulaText,
    IdlePart,
    Job,
    MemoryBound,
    NamedTime,
    Notice,
    OpRow,
    Peak,
    Projection,
    RankEntry,
    ReasonPart,
    Recording,
    Salvaged,
    Source,
    SourceFile,
    Spread,
    StepKind,
    StepPart,
    StepTime,
    Suggestion,
    TimeInfo,
    Tool,
    VerdictPart,
    WindowInfo,
)
from traceanalyzer.records.critical_path import CriticalPath, PathModule, PathOp, PathPart, PathVerdict
from traceanalyzer.records.vocabulary import Verdict

_NON_CONTRACTION = ("statistical_normalization", "element_wise")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def analysis_of(
    rows: Sequence[OpRow],
    *,
    device: Device = H100,
    steps: int | None = 3,
    idle_ns: int = 21_400_117,
    outside_ns: int = 180_004,
    name: str = "train_gpt.rank0.trace.json.gz",
    **changes: Any,
) -> Job:
    """An Analysis of `rows`, every total summed from them; `changes` replace top-level fields."""
    busy = sum(r.attributed_ns for r in rows)
    window = busy + idle_ns
    analysis = Job(
        schema_version="1.0",
        tool=Tool("traceanalyze", "0.1.0"),
        source=Source(
            (SourceFile(f"/home/alice/runs/{name}", 48_211_904, 412_233, 0, 0),), "kineto-cuda", None, ()
        ),
        recording=_recording(),
        device=device,
        thresholds={
            "efficiency": 0.6, "at_roof": 0.6, "latency_floors": 3.0, "balanced": 0.1,
            "launch_floor_ns": 1850.0,
        },
        window=_window(window, steps),
        time=TimeInfo(
            busy_ns=busy, idle_ns=idle_ns, kernel_sum_ns=sum(r.time_ns for r in rows),
            outside_window_ns=outside_ns, hidden_copy_ns=0,
            hidden_communication_ns=sum(
                r.time_ns - r.attributed_ns for r in rows if r.verdict == "communication"
            ),
            idle_by_cause=_idle(idle_ns),
        ),
        verdicts=tuple(_verdict(v, rows, busy, window) for v in VERDICTS),
        step_rows=_steps(rows, idle_ns, steps),
        memory_bound=_memory_bound(rows, busy, window),
        compute=_compute(rows, window),
        coverage=_coverage(rows),
        operator_classes=_classes(rows, busy),
        op_rows=tuple(sorted(rows, key=_order)),
        suggestions=None, what_if=None,
        self_check=(AboveRoof(
            roof="bandwidth", reason="all that a call moves fits in the cache of 52.4 MB", rows=2,
            time_ns=busy // 200, share_of_busy=0.005, highest_efficiency=1.08, example="aten::add"),),
        formulas=(FormulaText("aten::mm", "C = A @ B\n\nFLOPs = 2*m*n*k\nBytes = A, B, C", "torch"),),
    )  # fmt: skip
    return msgspec.structs.replace(analysis, **changes)


def _steps(rows: Sequence[OpRow], idle_ns: int, count: int | None) -> tuple[StepTime, ...] | None:
    """Alike to the nanosecond, of which the last has what is left over."""
    if not count:
        return None

    def part(total: int, step: int) -> int:
        return total // count + (total % count if step == count - 1 else 0)

    total = {v: sum(r.attributed_ns for r in rows if r.verdict == v) for v in VERDICTS}
    reached = {v: _at_roof(v, rows) for v in VERDICTS}
    made, at = [], 1_000_000
    for step in range(count):
        verdicts = tuple(StepPart(v, part(ns, step), part(reached[v], step)) for v, ns in total.items())
        idle = tuple(IdlePart(p.cause, part(p.time_ns, step)) for p in _idle(idle_ns))
        length = sum(p.time_ns for p in verdicts) + sum(p.time_ns for p in idle)
        made.append(StepTime(
            name=f"ProfilerStep#{5 + step}", host_ns=length - 1000, device_start_ns=at, device_ns=length,
            host_lead_ns=500, verdicts=verdicts, idle_by_cause=idle,
        ))  # fmt: skip
        at += length
    return tuple(made)


def _order(row: OpRow) -> tuple[int, str, str, str]:
    return -row.attributed_ns, row.name, str(row.input_dims), row.module or ""


def example_analysis(**changes: Any) -> Job:
    """A bf16 training run on an H100: all verdicts, several precisions and phases, one warning."""
    analysis = analysis_of(training_rows())
    warnings = (Notice("clipped", "calls are cut by the window's ends: their time inside counts, "
                                   "their rates do not", 14),)  # fmt: skip
    source = msgspec.structs.replace(analysis.source, warnings=warnings)
    return msgspec.structs.replace(analysis, **{"source": source, **changes})


def _recording() -> Recording:
    return Recording(
        torch="2.13.0+cu130", python="3.12.4", command="train.py --bf16 --data /home/alice/data",
        script="/home/alice/work/train.py", cuda="13.0", tf32=True, wait=3, warmup=2, active=3, complete=True,
        unprofiled_step_ns=30_950_000, profiled_step_ns=33_100_000, peak_memory_bytes=41_231_686_041,
    )  # fmt: skip


def _window(window_ns: int, steps: int | None) -> WindowInfo:
    if steps is None:
        return WindowInfo(None, (), window_ns, None)
    each = window_ns // steps
    names = tuple(f"ProfilerStep#{5 + i}" for i in range(steps))
    return WindowInfo(steps, names, window_ns, Spread(each, each - 210_000, each + 385_000))


def _idle(idle_ns: int) -> tuple[IdlePart, ...]:
    shares = dict(launch_gap=46, synchronisation=12, host_to_device_copy=7, data_loading=11, host_work=10)
    names = {"host_work": (NamedTime("Optimizer.step#AdamW.step", idle_ns * 10 // 100),)}
    parts = {cause: idle_ns * shares.get(cause, 0) // 100 for cause in IDLE_CAUSES}
    parts["unknown"] = idle_ns - sum(parts.values())
    return tuple(IdlePart(cause, time, names.get(cause, ())) for cause, time in parts.items())


def _verdict(verdict: Any, rows: Sequence[OpRow], busy: int, window: int) -> VerdictPart:
    mine = [r for r in rows if r.verdict == verdict]
    time = sum(r.attributed_ns for r in mine)
    return VerdictPart(
        verdict, time, _share(time, busy), _share(time, window), sum(r.kernels for r in mine),
        _at_roof(verdict, rows),
    )  # fmt: skip


def _at_roof(verdict: Any, rows: Sequence[OpRow]) -> int:
    return sum(r.attributed_ns for r in rows if r.verdict == verdict and r.runs_at_a_roof)


def _memory_bound(rows: Sequence[OpRow], busy: int, window: int) -> MemoryBound:
    time = sum(r.attributed_ns for r in rows if r.verdict == "memory_bound")
    return MemoryBound(
        time_ns=time, share_of_busy=_share(time, busy), share_of_window=_share(time, window),
        at_roof_share_of_busy=_share(_at_roof("memory_bound", rows), busy),
        below_roof_share_of_busy=_share(time - _at_roof("memory_bound", rows), busy),
        memory_side_share_of_busy=_share(sum(r.attributed_ns for r in rows if r.bound == "memory"), busy),
        non_contraction_share_of_busy=_share(
            sum(r.attributed_ns for r in rows if r.operator_class in _NON_CONTRACTION), busy
        ),
    )  # fmt: skip


def _compute(rows: Sequence[OpRow], window: int) -> Compute:
    flops = sum(r.flops or 0 for r in rows)
    again = sum(r.recomputed_flops or 0 for r in rows)
    return Compute(
        flops=flops, flop_per_s=_share(flops * 1e9, window),
        mfu_share=_share((flops - again) * 1e9, window) / 989.4e12,
        hardware_utilisation_share=_share(flops * 1e9, window) / 989.4e12,
        recompute_share=_share(again, flops), contraction_flop_per_s=_share((flops - again) * 1e9, window),
        contraction_coverage_share=1.0, peak=Peak("matrix", "bf16", 989.4e12),
    )  # fmt: skip


def _coverage(rows: Sequence[OpRow]) -> Coverage:
    ours = [r for r in rows if r.verdict not in ("communication", "copy")]
    total = sum(r.time_ns for r in ours)
    shaped = sum(r.time_ns for r in ours if r.input_dims)
    reasons: dict[str, list[OpRow]] = {}
    for row in ours:
        if row.verdict == "unmodelled":
            reasons.setdefault(row.reason or "no_formula", []).append(row)
    parts = [
        ReasonPart(reason, sum(r.time_ns for r in of), _share(sum(r.time_ns for r in of), total), of[0].name)  # type: ignore[arg-type]
        for reason, of in reasons.items()
    ]
    return Coverage(
        modelled_share=1 - _share(sum(p.time_ns for p in parts), total),
        linked_share=_share(shaped, total),
        shaped_share=_share(shaped, total),
        modelled_of_shaped_share=1 - _share(
            sum(r.time_ns for r in ours if r.input_dims and r.verdict == "unmodelled"), shaped
        ),
        reasons=tuple(sorted(parts, key=lambda p: -p.time_ns)),
    )  # fmt: skip


def _classes(rows: Sequence[OpRow], busy: int) -> tuple[ClassPart, ...]:
    flops = sum(r.flops or 0 for r in rows)
    parts = []
    for operator_class in OPERATOR_CLASSES:
        mine = [r for r in rows if r.operator_class == operator_class]
        own, time = sum(r.flops or 0 for r in mine), sum(r.attributed_ns for r in mine)
        parts.append(ClassPart(operator_class, own, _share(own, flops), time, _share(time, busy)))
    return tuple(parts)


def without_steps() -> Job:
    """A trace without step annotations."""
    return analysis_of(training_rows(), steps=None, recording=None)


def unjudged(row: OpRow, reason: str) -> OpRow:
    if row.verdict in ("communication", "copy"):
        return row
    return msgspec.structs.replace(
        row, verdict="unmodelled", reason=row.reason or reason, roof_ns=None, efficiency=None, bound=None,
        flags=(),
    )  # fmt: skip


def unknown_device(name: str = "NVIDIA Drawing Board 9000") -> Job:
    """A GPU that no table knows."""
    device = Device(id="unknown", name=name, kind="gpu", how="unknown", confidence="unknown")
    return analysis_of([unjudged(r, "no_device") for r in training_rows()], device=device)


def without_bandwidth() -> Job:
    """A GPU whose peaks are known but not its bandwidth."""
    device = msgspec.structs.replace(H100, id="h100", bandwidth_bytes_per_s=None, how="inferred")
    return analysis_of([unjudged(r, "no_peak") for r in training_rows()], device=device)


def without_shapes() -> Job:
    """Known device, recorded without record_shapes."""
    rows = [
        msgspec.structs.replace(unjudged(r, "no_shapes"), input_dims=None, input_types=None, flops=None,
                                recomputed_flops=None, read_bytes=None, write_bytes=None, intensity=None)
        for r in training_rows()
    ]  # fmt: skip
    return analysis_of(rows, recording=None)


def on_cpu(*, gpu_lost: bool = False) -> Job:
    """Operators alone; `gpu_lost`: the trace lists a GPU all the same."""
    device = Device(id="cpu", name="CPU", kind="cpu", how="unknown", confidence="unknown")
    rows = [r for r in training_rows() if r.verdict not in ("communication", "copy")]
    analysis = analysis_of([unjudged(r, "no_device") for r in rows], device=device)
    if not gpu_lost:
        return analysis
    warning = Notice("gpu_not_captured", "the trace lists a GPU but holds no GPU activity")
    return msgspec.structs.replace(
        analysis, source=msgspec.structs.replace(analysis.source, warnings=(warning,))
    )


def mostly_idle() -> Job:
    """Twelve times as much waiting as work."""
    busy = sum(r.attributed_ns for r in training_rows())
    return analysis_of(training_rows(), idle_ns=busy * 23 // 2)


def latency_dominated() -> Job:
    """Many kernels too small to fill the device."""
    rows = [
        msgspec.structs.replace(r, verdict="latency_bound", efficiency=(r.efficiency or 1) / 4)
        if r.verdict == "memory_bound" else r
        for r in training_rows()
    ]  # fmt: skip
    return analysis_of(rows)


def communication_dominated() -> Job:
    """Collectives that nothing hides."""
    rows = [
        msgspec.structs.replace(r, time_ns=r.time_ns * 60, attributed_ns=r.time_ns * 60)
        if r.verdict == "communication" else r
        for r in training_rows()
    ]  # fmt: skip
    return analysis_of(rows)


def little_coverage() -> Job:
    """Two in three rows have no formula."""
    rows = [unjudged(r, "no_formula") if i % 3 else r for i, r in enumerate(training_rows())]
    return analysis_of(rows)


def nothing_done() -> Job:
    """A window without device activity."""
    return analysis_of([], idle_ns=5_000_000)


def salvaged() -> Job:
    """A file that was cut off, with activity outside the window."""
    analysis = analysis_of(training_rows(), outside_ns=9_000_000)
    warning = Notice("truncated", "the file ends before the trace does; rows after the end are missing")
    source = msgspec.structs.replace(
        analysis.source, salvaged=Salvaged(401_120, 13, 48_211_900), warnings=(warning,)
    )
    return msgspec.structs.replace(analysis, source=source)


def of_ranks(count: int = 8) -> Job:
    """Rank 3 of several; it is the busiest."""
    analysis = analysis_of(training_rows())
    busy = analysis.time.busy_ns
    ranks = tuple(
        RankEntry(
            rank=i, device_index=0, device=H100.name, file=f"/home/alice/runs/rank{i}.json.gz",
            window_ns=analysis.window.window_ns, busy_ns=busy - busy * abs(i - 3) // (2 * count),
            memory_bound_share_of_busy=0.5 + 0.01 * i, exposed_communication_ns=1_000_000 * (i + 1),
        )
        for i in range(count)
    )  # fmt: skip
    file = msgspec.structs.replace(analysis.source.files[0], rank=3, path="/home/alice/runs/rank3.json.gz")
    source = msgspec.structs.replace(analysis.source, files=(file,))
    return msgspec.structs.replace(analysis, ranks=ranks, source=source)


def with_suggestions() -> Job:
    """Four findings, one of them without a time; and a projection on other devices."""
    analysis = example_analysis()
    step = analysis.window.window_ns / 3

    def finding(rule: str, title: str, tier: Any, band: Band | None) -> Suggestion:
        return Suggestion(
            rule=rule, title=title, tier=tier, action="compile the block, or call the fused kernel",
            snippet="model = torch.compile(model)\n", where="model.layers.*.mlp, [8192, 4096] bf16", count=48,
            evidence="equal shapes, one consumer, and the intermediate is freed before the next op but one",
            bytes_saved_per_step=402_653_184, saving_per_step_ns=band,
            share_of_step=band.mid / step if band else None,
            caveats=("would be wrong if a hook reads the intermediate",), docs="TA101",
        )  # fmt: skip

    return msgspec.structs.replace(
        analysis,
        suggestions=(
            finding("TA101", "Fuse 48 chains of pointwise operators", "T2", Band(1.1e6, 1.6e6, 1.9e6)),
            finding("TA110", "Use the fused AdamW", "T0", Band(0.8e6, 0.9e6, 1.0e6)),
            finding("TA120", "Fold residual add into the norm", "T3", Band(0.0, 0.2e6, 0.4e6)),
            finding("TA130", "Do not keep the attention mask", "T1", None),
        ),
        what_if=(
            Projection(device="nvidia-b200", busy_ns=analysis.time.busy_ns * 6 // 10, step_ns=None,
                       memory_bound_share_of_busy=0.66),
            Projection(device="nvidia-a100-sxm-80gb", busy_ns=analysis.time.busy_ns * 2,
                       step_ns=int(step * 1.9), memory_bound_share_of_busy=0.41),
        ),
    )  # fmt: skip


def with_path() -> Job:
    """With the critical path of one step."""
    return msgspec.structs.replace(with_suggestions(), critical_path=critical_path())


def critical_path() -> CriticalPath:
    """Of a step of 26.7 ms: two rows of kernels, an operator on the host, gaps."""

    def row(name: str, verdict: Verdict | None, kernels: int, time_ns: int, gain_ns: int | None) -> PathOp:
        module, dims = ("blocks.0.mlp", ((64, 64), (64, 64))) if verdict else (None, None)
        return PathOp(name=name, input_dims=dims, phase=None, module=module, verdict=verdict,
                      kernels=kernels, time_ns=time_ns, gain_ns=gain_ns)  # fmt: skip

    times = {"memory_bound": (12_000_000, 40), "compute_bound": (8_000_000, 10)}
    return CriticalPath(
        step="ProfilerStep#5", step_ns=26_700_000, length_ns=22_100_000,
        by_verdict=tuple(PathVerdict(verdict, *times.get(verdict, (0, 0))) for verdict in VERDICTS),
        other=(PathPart("host", 1_500_000), PathPart("launch", 500_000),
               PathPart("between_kernels", 100_000)),
        by_module=(PathModule("blocks.0.mlp", 20_000_000), PathModule(None, 2_100_000)),
        ops=(row("aten::add", "memory_bound", 40, 12_000_000, 9_000_000),
             row("aten::mm", "compute_bound", 10, 8_000_000, 8_000_000),
             row("aten::item", None, 0, 1_500_000, None)),
    )  # fmt: skip


def of_two_kinds() -> Job:
    """Three steps with suggestions, of which the last takes three times as long: it saves a checkpoint."""
    analysis = with_suggestions()
    assert analysis.step_rows
    last, more = analysis.step_rows[-1], 2 * analysis.step_rows[-1].device_ns
    saving = tuple(
        IdlePart("host_work", p.time_ns + more, (NamedTime("save_checkpoint", p.time_ns + more),))
        if p.cause == "host_work" else p
        for p in last.idle_by_cause
    )  # fmt: skip
    longer = msgspec.structs.replace(last, device_ns=last.device_ns + more, idle_by_cause=saving)
    steps, window_ns = (*analysis.step_rows[:-1], longer), analysis.window.window_ns + more
    names = analysis.window.steps
    kinds = (
        StepKind(names[:2], f"those like {names[0]}, the step that is shown"),
        StepKind(names[2:], "3 times as long"),
    )
    parts = (msgspec.structs.replace(p, share_of_window=p.time_ns / window_ns) for p in analysis.verdicts)
    total = tuple(
        msgspec.structs.replace(p, time_ns=p.time_ns + more) if p.cause == "host_work" else p
        for p in analysis.time.idle_by_cause
    )
    return msgspec.structs.replace(
        analysis, step_rows=steps, verdicts=tuple(parts),
        window=msgspec.structs.replace(analysis.window, window_ns=window_ns, kinds=kinds),
        time=msgspec.structs.replace(
            analysis.time, idle_ns=analysis.time.idle_ns + more, idle_by_cause=total
        ),
    )  # fmt: skip


HOSTILE_NAMES = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a|b", "=cmd()", "@SUM(1+1)", "-2+3", "+1",
    "</script><script>document.title='owned'</script>", "</style><b>", "<!-- x -->", "`code` ``` fence",
    "@everyone fixes #123", "[link](javascript:alert(1))", "ядро_δ_内核 𝛁 \u202etxt",
    "\x1b[31mred\x07", "a\nb\rc\td",
    "void at::native::" + "vectorized_elementwise_kernel<4, at::native::CUDAFunctor<c10::BFloat16>, " * 60,
    "{{ 7*7 }}{% raw %}", "&lt;b&gt; &amp;", "$(touch /tmp/x)", "http://example.com/x.js", "' onfocus='x",
    "/home/alice/secret/kernel.cu",
)  # fmt: skip


def hostile() -> Job:
    """Every text that a trace can set is an attack."""
    rows = training_rows()
    for i, text in enumerate(HOSTILE_NAMES):
        rows[i] = msgspec.structs.replace(
            rows[i], name=text, module=text, input_types=(text,), concrete_inputs=(text,), note=text,
            kernel_names=(NamedTime(text, rows[i].time_ns),),
        )  # fmt: skip
    analysis = analysis_of(rows, name='<img src=x onerror="x">|`-->.json')
    text = "".join(HOSTILE_NAMES[:9])
    source = msgspec.structs.replace(analysis.source, dialect=text, warnings=(Notice(text, text, 3),))
    return msgspec.structs.replace(
        analysis,
        source=source,
        device=msgspec.structs.replace(analysis.device, name=text, provenance=text, confidence=text),
        recording=Recording(torch=text, python=text, command=text, script=text, cuda=text),
        coverage=msgspec.structs.replace(
            analysis.coverage, reasons=tuple(ReasonPart(p.reason, p.time_ns, p.share, text)
                                             for p in analysis.coverage.reasons)
        ),
    )  # fmt: skip


def many_rows(count: int) -> Job:
    """The training run with so many distinct rows."""
    seed = training_rows()
    rows = [
        msgspec.structs.replace(
            seed[i % len(seed)], module=f"model.layers.{i}.mlp", time_ns=seed[i % len(seed)].time_ns + i,
            attributed_ns=seed[i % len(seed)].attributed_ns + i,
        )
        for i in range(count)
    ]  # fmt: skip
    return analysis_of(rows)


EVERY_CASE = {
    "training": example_analysis, "without_steps": without_steps, "unknown_device": unknown_device,
    "unnamed_device": lambda: unknown_device(""), "without_bandwidth": without_bandwidth,
    "without_shapes": without_shapes, "cpu": on_cpu, "gpu_lost": lambda: on_cpu(gpu_lost=True),
    "idle": mostly_idle, "latency": latency_dominated, "communication": communication_dominated,
    "little_coverage": little_coverage, "nothing": nothing_done, "salvaged": salvaged, "ranks": of_ranks,
    "suggestions": with_suggestions, "two_kinds": of_two_kinds, "path": with_path, "hostile": hostile,
}  # fmt: skip
