"""docs/ground-truth.md from the results of a run: `python benchmarks/ground_truth/tables.py RESULTS.json`.

Takes the file that run.py writes (results.json, or the ground_truth.tar.gz that holds it) and needs no GPU.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "ground-truth.md"
CLOSE = 0.15  # of the counters' bytes, that ours may be off
_SLOW = 60.0  # percent of a peak: below, neither roof explains a kernel
CLASSES_2021 = {"tensor_contraction": 0.61, "statistical_normalization": 0.255, "element_wise": 0.135}
_SOURCE_2021 = "Ivanov et al., Data Movement Is All You Need, MLSys 2021, arXiv 2007.00072"


def read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        return dict(json.loads(path.read_text()))
    with tarfile.open(path) as archive:
        member = archive.extractfile("results.json")
        assert member is not None
        return dict(json.loads(member.read()))


def total(kernels: Sequence[Mapping[str, float]], metric: str) -> float:
    return sum(kernel.get(metric, 0.0) for kernel in kernels)


def weighed(kernels: Sequence[Mapping[str, float]], *metrics: str) -> float:
    """The largest of these percentages, by each kernel's time."""
    time = total(kernels, "gpu__time_duration.sum")
    parts = (
        kernel.get("gpu__time_duration.sum", 0.0) * max(kernel.get(metric, 0.0) for metric in metrics)
        for kernel in kernels
    )
    return sum(parts) / time if time else 0.0


def counted_bound(kernels: Sequence[Mapping[str, float]]) -> tuple[str, float, float]:
    """What the counters say limits it, and percent of the memory's and of the busiest pipe's peak."""
    memory = weighed(kernels, "dram__throughput.avg.pct_of_peak_sustained_elapsed")
    pipes = weighed(
        kernels, "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
        "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_elapsed",
        "sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_elapsed",
        "sm__pipe_fp64_cycles_active.avg.pct_of_peak_sustained_elapsed",
    )  # fmt: skip
    return ("memory" if memory >= pipes else "compute"), memory, pipes


def bytes_table(results: Mapping[str, Any]) -> Iterator[str]:
    counters, l2 = results.get("counters", {}), results["probe"].get("l2_bytes") or 0
    yield "| family | operator | our bytes | counted | ratio | bound | counted | memory | pipes | verdict |"
    yield "|---|---|---:|---:|---:|---|---|---:|---:|---|"
    agree = time_agree = time_all = close = large = 0.0
    known = 0
    for one in results.get("ours", []):
        kernels = counters.get(f"{one['family']}:{one['name']}", [])
        start = f"| {one['family']} | {one['name']} "
        if one["read_bytes"] is None or not kernels:
            reason = "not priced" if one["read_bytes"] is None else "not counted"
            yield start + f"| {reason} | | | {one['bound'] or ''} | | | | {one['verdict'] or ''} |"
            continue
        ours = one["read_bytes"] + one["write_bytes"]
        counted = total(kernels, "dram__bytes_read.sum") + total(kernels, "dram__bytes_write.sum")
        bound, memory, pipes = counted_bound(kernels)
        ratio = ours / counted if counted else float("inf")
        same = bound == one["bound"] or (one["verdict"] == "latency_bound" and max(memory, pipes) < _SLOW)
        known += 1
        agree += same
        time_all += one["time_ns"]
        time_agree += one["time_ns"] * same
        if ours > l2:
            large += 1
            close += abs(1 / ratio - 1) <= CLOSE if ratio else 0
        yield start + (
            f"| {ours / 1e6:,.0f} MB | {counted / 1e6:,.0f} MB | {ratio:.2f} | {one['bound']} | {bound} "
            f"| {memory:.0f} % | {pipes:.0f} % | {one['verdict']} |"
        )
    if known:
        yield ""
        yield (
            f"The bound is the counters' in {agree:.0f} of {known} cases, with {time_agree / time_all:.1%} "
            f"of their time; bytes are within {CLOSE:.0%} in {close:.0f} of {large:.0f} larger than the "
            "cache."
        )


def savings_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| what | size | before, ms | after, ms | saved, ms | promised, ms | error | inside |"
    yield "|---|---|---:|---:|---:|---:|---:|---|"
    errors, inside = [], 0
    for row in rows:
        start = f"| {row['name']} | {row['size']} "
        if "failed" in row or row.get("before_ms") is None:
            yield start + f"| {str(row.get('failed', 'no rule applies'))[:80]} | | | | | |"
            continue
        saved = row["before_ms"] - row["after_ms"]
        start += f"| {row['before_ms']:.3f} | {row['after_ms']:.3f} | {saved:.3f} "
        band = row["promised_ms"]
        if not band:
            yield start + "| nothing promised | | |"
            continue
        hit = band["low"] <= saved <= band["high"]
        error = (band["mid"] - saved) / saved
        errors.append(abs(error))
        inside += hit
        told = f"{band['low']:.3f} / {band['mid']:.3f} / {band['high']:.3f}"
        yield start + f"| {told} | {error:+.0%} | {'yes' if hit else 'no'} |"
    if errors:
        yield ""
        yield (
            f"{len(errors)} are promised a saving: the median error of the middle is {median(errors):.1%}, "
            f"and {inside} lie inside low..high ({inside / len(errors):.0%})."
        )


def paper_table(samples: Mapping[str, Any]) -> Iterator[str]:
    yield "| class | runtime 2021 (V100) | FLOPs, eager | runtime, eager | runtime, compiled |"
    yield "|---|---:|---:|---:|---:|"
    parts = {
        name: {part["operator_class"]: part for part in samples.get(name, {}).get("operator_classes") or []}
        for name in ("bert_layer_eager", "bert_layer_compiled")
    }
    for known, share in CLASSES_2021.items():
        eager, compiled = (parts[name].get(known) for name in parts)
        yield (
            f"| {known.replace('_', ' ')} | {share:.1%} | {_share(eager, 'flops_share')} "
            f"| {_share(eager, 'time_share')} | {_share(compiled, 'time_share')} |"
        )
    yield f"\n2021: {_SOURCE_2021}."


def _share(part: Mapping[str, Any] | None, key: str) -> str:
    return f"{part[key]:.2%}" if part and part.get(key) is not None else "not recorded"


def samples_table(samples: Mapping[str, Any]) -> Iterator[str]:
    yield "| trace | memory-bound of busy | outside contractions | modelled | first suggestion |"
    yield "|---|---:|---:|---:|---|"
    for name, found in samples.items():
        if "failed" in found:
            yield f"| {name} | not recorded: {found['failed'][-100:]} | | | |"
            continue
        memory, told = found["memory_bound"], found["suggestions"] or []
        yield (
            f"| {name} | {memory['share_of_busy']:.1%} | {memory['non_contraction_share_of_busy']:.1%} "
            f"| {found['coverage']['modelled_share']:.1%} | {told[0]['rule'] if told else ''} |"
        )


def tiers_table(tiers: Mapping[str, Any]) -> Iterator[str]:
    yield "| model | edges | T2 said | true | T3 said | true |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, found in tiers.items():
        if "failed" in found:
            yield f"| {name} | not recorded: {found['failed'][:80]} | | | | |"
            continue
        second, third = found["T2"], found["T3"]
        yield (f"| {name} | {found['edges']} | {second['said']} | {second['true']} | {third['said']} "
               f"| {third['true']} |")  # fmt: skip


def page(results: Mapping[str, Any]) -> str:
    probe = results["probe"]
    where = probe.get("name", "a CPU, in a rehearsal: these figures say nothing")
    head = f"On {where}, driver {probe.get('driver', 'none')}, "
    head += f"CUDA {probe.get('cuda')}, torch {probe['torch']}."
    samples = results.get("samples", {})
    parts = [
        "# Ground truth: our figures held against a GPU's own\n",
        "`benchmarks/ground_truth/run.py` measures, `tables.py` writes this page; its "
        "[README](../benchmarks/ground_truth/README.md) says how.\n",
        head + "\n",
        "## Bytes and verdicts against hardware counters\n", *bytes_table(results),
        "\n## Savings, whole steps\n", *savings_table(results.get("whole", [])),
        "\n## Savings, regions\n", *savings_table(results.get("regions", [])),
        "\n## The published layer\n", *paper_table(samples),
        "\n## Traces\n", *samples_table(samples),
        "\n## What memory proves\n", *tiers_table(results.get("tiers", {})),
        "\n## Roofs\n", *roofs(results),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def roofs(results: Mapping[str, Any]) -> Iterator[str]:
    yield "| read and written, MB | copied at |"
    yield "|---:|---:|"
    for one in results.get("copies", []):
        yield f"| {one['bytes'] / 1e6:,.1f} | {one['bytes_per_s'] / 1e12:.2f} TB/s |"
    queued = results.get("queued", {})
    for wait, found in queued.items():
        how = "after" if wait == "True" else "without"
        yield f"\nRecorded {how} a wait for the device: {found['without a launch']} of {found['kernels']} "
        yield "kernels have no launch."


def main() -> None:
    results = read(Path(sys.argv[1]))
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else PAGE
    target.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
