"""docs/ground-truth.md from the results of a run: `python benchmarks/ground_truth/tables.py RESULTS.json`.

Takes the file that run.py writes (results.json, or the ground_truth.tar.gz that holds it) and needs no GPU.
What a run did not come to has an empty table.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from cells import header, one_line
from counter_tables import bytes_table, own_table
from sample_tables import headroom_table, kept_table, paper_table, places_table, samples_table, steps_table

PAGE = Path(__file__).parents[2] / "docs" / "ground-truth.md"


def read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        return dict(json.loads(path.read_text()))
    with tarfile.open(path) as archive:
        member = archive.extractfile("results.json")
        assert member is not None
        return dict(json.loads(member.read()))


def savings_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from header("what; size; >before, ms; >after, ms; >saved, ms; >promised, ms; >error; inside")
    errors, inside = [], 0
    for row in rows:
        start = f"| {row['name']} | {row['size']} "
        if "failed" in row or row.get("before_ms") is None:
            said = one_line(row.get("failed", "no rule applies"))
            yield start + f"| {said} | | | | | |"
            continue
        saved = row["before_ms"] - row["after_ms"]
        start += f"| {row['before_ms']:.3f} | {row['after_ms']:.3f} | {saved:.3f} "
        band = row["promised_ms"]
        if not band:
            yield start + "| nothing promised | | |"
            continue
        hit = band["low"] <= saved <= band["high"]
        inside += hit
        told = f"{band['low']:.3f} / {band['mid']:.3f} / {band['high']:.3f}"
        error = (band["mid"] - saved) / abs(saved) if saved else float("inf")
        errors.append(abs(error))
        yield start + f"| {told} | {error:+.0%} | {'yes' if hit else 'no'} |"
    if errors:
        yield ""
        yield (
            f"{len(errors)} are promised a saving: the median error of the middle is {median(errors):.1%}, "
            f"and {inside} lie inside low..high ({inside / len(errors):.0%})."
        )


def tiers_table(tiers: Mapping[str, Any]) -> Iterator[str]:
    yield from header("model; >edges; >T2 said; >true; >T3 said; >true")
    for name, found in tiers.items():
        if "failed" in found:
            yield f"| {name} | not recorded: {one_line(found['failed'])} | | | | |"
            continue
        second, third = found["T2"], found["T3"]
        yield (f"| {name} | {found['edges']} | {second['said']} | {second['true']} | {third['said']} "
               f"| {third['true']} |")  # fmt: skip


def roofs_table(roofs: Mapping[str, Any]) -> Iterator[str]:
    """Calibrated beside the table's, and what a CPU does of functions in a second."""
    yield from header("roof; >calibrated; >table; >ratio")
    measured, known = roofs.get("calibrated") or {}, roofs.get("table") or {}
    if bandwidth := measured.get("bandwidth_bytes_per_s"):
        yield _roof("bandwidth, TB/s", bandwidth, known.get("bandwidth_bytes_per_s"))
    tabled = {(peak["engine"], peak["precision"]): peak["flop_per_s"] for peak in known.get("peaks", ())}
    for peak in measured.get("peaks", ()):
        key = (peak["engine"], peak["precision"])
        yield _roof(f"{' '.join(key)}, TFLOP/s", peak["flop_per_s"], tabled.get(key))
    if floor := measured.get("launch_floor_ns"):
        yield f"| launch floor, ns | {floor} | {known.get('launch_floor_ns') or ''} | |"
    for rate in measured.get("rates") or ():
        yield f"| {rate['function']} {rate['precision']}, G/s | {rate['per_s'] / 1e9:.2f} | | |"


def _roof(name: str, measured: float, tabled: float | None) -> str:
    if not tabled:
        return f"| {name} | {measured / 1e12:.3g} | | |"
    return f"| {name} | {measured / 1e12:.3g} | {tabled / 1e12:.3g} | {measured / tabled:.2f} |"


def copies_table(results: Mapping[str, Any]) -> Iterator[str]:
    yield from header(">read and written, MB; >copied at")
    for one in results.get("copies", []):
        yield f"| {one['bytes'] / 1e6:,.1f} | {one['bytes_per_s'] / 1e12:.2f} TB/s |"
    for wait, found in results.get("queued", {}).items():
        how = "after" if wait == "True" else "without"
        yield f"\nRecorded {how} a wait for the device: {found['without a launch']} of {found['kernels']} "
        yield "kernels have no launch."


def sections_table(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """How each section ended: what is missing above was not reached, or failed."""
    yield from header("section; ended; >seconds; >of")
    for name, ended in sections.items():
        how = {0: "done", "stopped": "stopped at its limit"}.get(ended["code"], f"exit code {ended['code']}")
        yield f"| {name} | {how} | {ended['seconds']} | {ended.get('granted', '')} |"


def page(results: Mapping[str, Any]) -> str:
    probe = results["probe"]
    rehearsed = "a CPU, in a rehearsal: these figures say nothing"
    where = rehearsed if probe.get("dry_run") else probe.get("name", rehearsed)
    head = f"On {where}, driver {probe.get('driver') or 'none'}, CUDA {probe.get('cuda')}, "
    head += f"torch {probe['torch']}, {probe.get('date', 'on an unknown day')}."
    samples = results.get("samples", {})
    tables = {
        "Bytes, bounds and limiters against hardware counters": bytes_table(results),
        "Whole models, by `profile --counters`": own_table(results.get("own_counters", {})),
        "Savings, whole steps": savings_table(results.get("whole", [])),
        "Savings, regions": savings_table(results.get("regions", [])),
        "The published layer": paper_table(samples),
        "Traces": samples_table(samples),
        "Steps as the device saw them": steps_table(samples),
        "Headroom against the changed step": headroom_table(samples),
        "Modules, functions and waits": places_table(samples),
        "What memory proves": tiers_table(results.get("tiers", {})),
        "Roofs": roofs_table(results.get("roofs", {})),
        "Copies, by size": copies_table(results),
        "Traces to keep": kept_table(samples),
        "How the run went": sections_table(results.get("sections", {})),
    }
    parts = [
        "# Ground truth: our figures held against a GPU's own\n",
        "`benchmarks/ground_truth/run.py` measures, `tables.py` writes this page; its "
        "[README](../benchmarks/ground_truth/README.md) says how.\n",
        head,
    ]
    for title, lines in tables.items():
        parts += [f"\n## {title}\n", *lines]
    return "\n".join(parts) + "\n"


def main() -> None:
    results = read(Path(sys.argv[1]))
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else PAGE
    target.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
