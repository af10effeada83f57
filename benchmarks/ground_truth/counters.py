"""Bytes, FLOPs, bounds and limiters of every case: ours beside the hardware counters'.

Ours come from a trace of the cases as `traceanalyze report` prices it. The counters come from Nsight Compute,
which replays each kernel with the caches emptied; clocks are left as they are. Without a GPU, or without
permission to read counters, only ours are there.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from cases import GPU, REHEARSAL, Case, Scale, cases
from common import Section, run, saved
from counted import MARK

HERE = Path(__file__).parent
REPEATS = 5
METRICS = (
    "gpu__time_duration.sum", "dram__bytes_read.sum", "dram__bytes_write.sum", "lts__t_bytes.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_elapsed",
    "sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "sm__pipe_fp64_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "sm__inst_executed_pipe_xu.avg.pct_of_peak_sustained_elapsed",
    "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum",
    "smsp__sass_thread_inst_executed_op_fadd_pred_on.sum",
    "smsp__sass_thread_inst_executed_op_fmul_pred_on.sum",
)  # fmt: skip
# Families that are counted in one process, the most valuable first; the rest come together at the end.
GROUPS = (
    ("pointwise", "moves"), ("reductions", "norms"), ("products", "convolutions", "attention"), ("compiled",),
)  # fmt: skip
# What the tensor cores did is told by names that differ from one generation to the next.
PRODUCTS = ("products", "convolutions", "attention")
TENSOR_METRICS = ("gpu__time_duration.sum", r"regex:sm__ops_path_tensor_.*\.sum$")


@dataclass(frozen=True, slots=True)
class Ours:
    """What the analysis says of one case; sums over its operators, medians over repetitions."""

    family: str
    name: str
    practical: bool
    operators: tuple[str, ...]
    read_bytes: int | None
    write_bytes: int | None
    flops: int | None
    time_ns: float
    kernels: int
    traffic_bytes: float | None  # what they are known to move, where more than that is proved
    bound: str | None
    limiter: str | None
    efficiency: float | None
    verdict: str | None
    notes: tuple[str, ...]


def recorded(scale: Scale, path: Path) -> list[Case]:
    """Cases that run here, each several times under an annotation of its number."""
    known = []
    activities = [torch.profiler.ProfilerActivity.CPU]
    if scale.device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    for case in cases():
        try:
            once = case.build(scale)
            once()
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            print(f"{case.family} {case.name}: {error}", file=sys.stderr)
            continue
        del once
        known.append(case)
    with torch.profiler.profile(activities=activities, record_shapes=True) as profiler:
        for number, case in enumerate(known):
            once = case.build(scale)
            once()
            for _ in range(REPEATS):
                with torch.profiler.record_function(f"case:{number}:"):
                    once()
                if scale.device == "cuda":
                    torch.cuda.synchronize()
            del once
    profiler.export_chrome_trace(str(path))
    return known


def ours(path: Path, known: Sequence[Case]) -> list[Ours]:
    from traceanalyzer.options import AnalyzeOptions
    from traceanalyzer.pipeline import step_graph_of

    graph = step_graph_of(path, AnalyzeOptions(steps="all"))
    assert graph is not None
    rows = {(row.name, row.input_dims, row.input_types, row.phase): row for row in graph.rows}
    nodes: dict[int, list[Any]] = {}
    for node in graph.nodes:
        scope = next((name for name in graph.scopes(node) if name.startswith("case:")), None)
        if scope is not None:
            nodes.setdefault(int(scope.split(":")[1]), []).append(node)
    return [of_case(case, nodes.get(number, []), rows) for number, case in enumerate(known)]


def of_case(case: Case, mine: Sequence[Any], rows: Mapping[Any, Any]) -> Ours:
    priced = [node for node in mine if node.cost is not None]
    whole = len(priced) == len(mine) and bool(mine)
    keys = [(node.call.name, node.call.shapes, node.call.types, node.phase) for node in mine]
    found = [(node, rows[key]) for node, key in zip(mine, keys, strict=True) if key in rows]
    judged = max((row for _, row in found), key=lambda row: row.time_ns, default=None)
    moved = [row.traffic_bytes / row.calls if row.traffic_bytes else node.bytes for node, row in found]
    more = any(row.traffic_bytes for _, row in found)
    return Ours(
        case.family, case.name, case.practical, tuple(dict.fromkeys(node.name for node in mine)),
        sum(node.cost.read_bytes for node in priced) // REPEATS if whole else None,
        sum(node.cost.write_bytes for node in priced) // REPEATS if whole else None,
        sum(node.cost.flops for node in priced) // REPEATS if whole else None,
        sum(node.time_ns for node in mine) / REPEATS, sum(node.records for node in mine) // REPEATS,
        sum(moved) / REPEATS if whole and more else None,
        judged.bound if judged else None, judged.limiter if judged else None,
        judged.efficiency if judged else None, judged.verdict if judged else None,
        tuple(dict.fromkeys(node.cost.note for node in priced if node.cost.note)),
    )  # fmt: skip


def counted(families: Sequence[str], metrics: Sequence[str], out: Path, limit_s: float) -> str:
    """Nsight Compute's table as CSV text; "" where it cannot be had."""
    tool = shutil.which("ncu")
    if tool is None:
        return ""
    command = [
        tool, "--profile-from-start", "off", "--clock-control", "none", "--cache-control", "all", "--csv",
        "--page", "raw", "--metrics", ",".join(metrics), "--log-file", str(out),
        sys.executable, str(HERE / "counted.py"), *families,
    ]  # fmt: skip
    try:
        run(command, limit_s, cwd=HERE)
    except subprocess.TimeoutExpired:
        print(f"ncu {' '.join(families)}: stopped after {limit_s:.0f} s", file=sys.stderr)
    return out.read_text(errors="replace") if out.exists() else ""


def by_case(text: str, known: Sequence[Case]) -> Iterator[tuple[Case, list[Mapping[str, float]]]]:
    """Kernels of each case in their order, each metric by its name."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    if len(lines) < 3:
        return
    groups: list[list[Mapping[str, float]]] = []
    for row in list(csv.DictReader(lines))[1:]:  # the first one has units
        if MARK in row["Kernel Name"]:
            groups.append([])
        elif groups:
            values = {name: _number(value) for name, value in row.items()}
            groups[-1].append({name: value for name, value in values.items() if value is not None})
    yield from zip(known, groups, strict=False)


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return None


def main(section: Section) -> None:
    scale = REHEARSAL if section.dry else GPU
    trace = section.folder / "cases.json"
    known = recorded(scale, trace)
    saved(section, "ours", [asdict(one) for one in ours(trace, known)])
    found: dict[str, list[Mapping[str, float]]] = {}
    saved(section, "counters", found)
    parts = [] if section.dry else runs(cases())
    for number, (families, metrics, suffix) in enumerate(parts):
        if section.over:
            break
        limit_s = section.left_s(1.5 * section.left_s(600) / (len(parts) - number))
        text = counted(families, metrics, section.folder / f"ncu{number}.csv", limit_s)
        mine = [case for case in cases() if case.family in families]
        for case, kernels in by_case(text, mine):
            found[f"{case.family}:{case.name}{suffix}"] = kernels
        saved(section, "counters", found)


def runs(every: Sequence[Case]) -> list[tuple[tuple[str, ...], Sequence[str], str]]:
    """Families, metrics, and what is put behind a case's name; each is one run of Nsight Compute."""
    grouped = {family for group in GROUPS for family in group}
    rest = tuple(dict.fromkeys(case.family for case in every if case.family not in grouped))
    all_families = [*GROUPS[:-1], rest, GROUPS[-1]]
    return [*((group, METRICS, "") for group in all_families), (PRODUCTS, TENSOR_METRICS, ":tensor")]


if __name__ == "__main__":
    main(Section.from_arguments())
