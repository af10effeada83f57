"""Verdicts against hardware counters: `python benchmarks/counters.py ROWS.jsonl.gz [--write]`.

Each measured call becomes one operator with its kernels in a Kineto trace; the trace is analyzed as any other
is, and each row is held against what Nsight Compute counted. `--write` puts the tables into docs/hardware.md,
which says where the rows are from. A line of ROWS is one call: device family op dims types concrete strides
kernels [[name, ns]] grid block dram_bytes dram_percent sm_percent limiter.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tables

import traceanalyzer
from traceanalyzer.records import Analysis, OpRow

NEAR = 0.15  # of the counters' bytes
BUSY_PERCENT = 60  # of a unit's peak: from there on it is what limits
CLOSE_PERCENT = 10  # two units whose use differs by less limit both
FOLDS = 5
SMALL_BYTES = 65_536  # of calls whose time is their launch
ELEMENT_WISE = ("relu", "bias_add", "bias_copy", "dropout")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a device's table entry does not say of how it was measured."""

    name: str  # as a trace has it
    properties: dict[str, int]
    peaks: tuple[str, ...]  # at the clock of the measurement
    cache_bytes: int
    unseen_bytes: int = 0  # written last, and still in the cache when counting stopped


# Clocks were lower than boost while counting: 1.10 of 1.41 GHz on the A100, 1.31 of 1.53 on the V100.
DEVICES = {
    "a100-sxm4-80gb": Measured(
        "NVIDIA A100-SXM4-80GB",
        {"totalGlobalMem": 85_197_979_648, "computeMajor": 8, "computeMinor": 0, "numSms": 108},
        ("vector:fp32=15.2T", "vector:fp64=7.6T"), 40_000_000, 20_000_000,
    ),
    "v100-sxm2-16gb": Measured(
        "Tesla V100-SXM2-16GB",
        {"totalGlobalMem": 16_914_055_168, "computeMajor": 7, "computeMinor": 0, "numSms": 80},
        ("vector:fp32=13.4T",), 6_000_000,
    ),
}  # fmt: skip
LIMITS = {
    "maxThreadsPerBlock": 1024, "maxThreadsPerMultiprocessor": 2048, "regsPerBlock": 65536, "warpSize": 32,
    "sharedMemPerBlock": 49152, "regsPerMultiprocessor": 65536, "sharedMemPerMultiprocessor": 98304,
}  # fmt: skip
Row = dict[str, Any]  # a line of the file


@dataclass(frozen=True, slots=True)
class Pair:
    """A measured call and the row that the analysis makes of it."""

    row: Row
    op: OpRow

    @property
    def ns(self) -> float:
        return sum(ns for _, ns in self.row["kernels"])

    @property
    def compulsory(self) -> float:
        return ((self.op.read_bytes or 0) + (self.op.write_bytes or 0)) / self.op.calls

    @property
    def moved(self) -> float:
        """Traffic of one call, as far as counters could have seen it."""
        known = self.op.traffic_bytes / self.op.calls if self.op.traffic_bytes else self.compulsory
        written = (self.op.write_bytes or 0) / self.op.calls
        return known - min(written, DEVICES[self.row["device"]].unseen_bytes)

    @property
    def busier(self) -> str:
        return "memory" if self.row["dram_percent"] >= self.row["sm_percent"] else "compute"

    @property
    def side_agrees(self) -> bool:
        return self.row["limiter"] == "both" or self.op.bound == self.busier

    @property
    def limiter(self) -> str:
        return self.op.limiter or "neither"

    @property
    def limiter_agrees(self) -> bool:
        both = self.row["limiter"] == "both" and self.limiter != "neither"
        return both or self.limiter == self.row["limiter"]


def trace_of(rows: Sequence[Row], measured: Measured) -> Row:
    """One operator a row, one after the other; each with its kernels behind it."""
    events: list[Row] = []
    at = 1_000_000.0
    for row in rows:
        begin, device_at = at, at + 70
        for name, ns in row["kernels"]:
            number = len(events) + 1
            ids = {"External id": number, "correlation": number}
            events.append(_event("cuda_runtime", "cudaLaunchKernel", 1, at + 20, 2.0, ids))
            events.append(_event("kernel", name, 0, device_at, ns / 1000, ids | _geometry(row)))
            at, device_at = at + 3, device_at + ns / 1000 + 2
        end = at + 30
        inputs = {"Input Dims": row["dims"], "Input type": row["types"], "Concrete Inputs": row["concrete"]}
        if row["strides"] is not None:
            inputs["Input Strides"] = row["strides"]
        ids = {"External id": len(events)}
        events.append(_event("cpu_op", row["op"], 1, begin, end - begin, ids | inputs))
        at = max(end, device_at) + 50
    properties = {"id": 0, "name": measured.name, **LIMITS, **measured.properties}
    return {"schemaVersion": 1, "deviceProperties": [properties], "traceEvents": events}


def _event(category: str, name: str, pid: int, at_us: float, us: float, args: Row) -> Row:
    where = {"pid": pid, "tid": 1 if pid else 7, "ts": round(at_us, 3), "dur": round(us, 3)}
    return {"ph": "X", "cat": category, "name": name, **where, "args": args}


def _geometry(row: Row) -> Row:
    place = {"device": 0, "context": 1, "stream": 7}
    if not row.get("grid"):
        return place
    block = row.get("block") or (256, 1, 1)
    return place | {"grid": row["grid"], "block": block, "registers per thread": 32, "shared memory": 0}


def pairs_of(rows: Sequence[Row], measured: Measured) -> Iterator[Pair]:
    """Each call with its row of the analysis. AssertionError where one has none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(trace_of(rows, measured)))
        options = traceanalyzer.AnalyzeOptions(peaks=measured.peaks, kernels=False)
        analysis = traceanalyzer.analyze(path, options=options)
    assert isinstance(analysis, Analysis)
    found: dict[str, list[OpRow]] = defaultdict(list)
    for op in analysis.op_rows:
        found[_key(op.name, op.input_dims)].append(op)
    for row in rows:
        ops = found[_key(row["op"], row["dims"])]
        for recorded, wanted in (("concrete_inputs", row["concrete"]), ("input_types", row["types"])):
            ops = [op for op in ops if list(getattr(op, recorded) or wanted) == wanted] or ops
        yield Pair(row, ops[0])


def _key(name: str, dims: Any) -> str:
    return f"{name} {json.dumps(dims)}"


def share(pairs: Sequence[Pair], test: Callable[[Pair], object]) -> float:
    """Of time."""
    whole = sum(pair.ns for pair in pairs)
    return sum(pair.ns for pair in pairs if test(pair)) / whole if whole else float("nan")


def beyond_the_cache(pairs: Sequence[Pair]) -> list[Pair]:
    """Memory-side calls whose bytes the counters had to see."""
    return [
        pair for pair in pairs
        if pair.op.bound == "memory" and pair.row["dram_bytes"]
        and pair.compulsory > DEVICES[pair.row["device"]].cache_bytes
    ]  # fmt: skip


def agreement(pairs: Sequence[Pair]) -> Iterator[str]:
    """The table of how verdicts and bytes agree with the counters."""
    firm = [pair for pair in pairs if pair.row["limiter"] != "neither"]
    moved = beyond_the_cache(pairs)
    figures = {
        "limiter as the counters have it": share(pairs, lambda p: p.limiter_agrees),
        "side of the ridge": share(pairs, lambda p: p.side_agrees),
        "side of the ridge, where a unit is busy": share(firm, lambda p: p.side_agrees),
        "at the memory roof, by counters": share(pairs, lambda p: p.row["dram_percent"] >= BUSY_PERCENT),
        "at the memory roof, ours": share(pairs, lambda p: p.limiter == "memory"),
        "verdict memory-bound": share(pairs, lambda p: p.op.verdict == "memory_bound"),
        "of it far below the memory roof": share(
            [p for p in pairs if p.op.verdict == "memory_bound"], lambda p: p.limiter != "memory"
        ),
        f"traffic within {NEAR:.0%}, memory-side calls beyond the cache": share(
            moved, lambda p: abs(p.moved / p.row["dram_bytes"] - 1) <= NEAR
        ),
    }
    yield f"{len(pairs):,} calls, {sum(p.ns for p in pairs) / 1e9:.2f} s of kernels. Shares of that time:"
    yield ""
    yield "| what | share |"
    yield "|---|---:|"
    yield from (f"| {name} | {value:.1%} |" for name, value in figures.items())


def bytes_table(pairs: Sequence[Pair]) -> Iterator[str]:
    """Our traffic by the counters' bytes, by family."""
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pair in beyond_the_cache(pairs):
        unseen = pair.moved - pair.compulsory if not pair.op.traffic_bytes else 0.0
        ours = (pair.compulsory + unseen) / pair.row["dram_bytes"]
        ratios[pair.row["family"]].append((ours, pair.moved / pair.row["dram_bytes"]))
    yield "| family | calls | compulsory bytes / counted, median | traffic / counted, median |"
    yield "|---|---:|---:|---:|"
    for family, values in sorted(ratios.items()):
        compulsory, moved = (median(column) for column in zip(*values, strict=True))
        yield f"| {family} | {len(values)} | {compulsory:.2f} | {moved:.2f} |"


def misses(pairs: Sequence[Pair]) -> Iterator[str]:
    """Where the limiter is another one, by family; the most time first."""
    missed: dict[tuple[str, str, str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if not pair.limiter_agrees:
            name = pair.row["kernels"][0][0].removeprefix("void ").split("<")[0]
            key = (pair.row["family"], name, pair.limiter, pair.row["limiter"])
            missed[key].append(pair)
    whole = sum(pair.ns for pair in pairs)
    by_time = sorted(missed.items(), key=lambda item: -sum(p.ns for p in item[1]))
    yield "| family | kernel | ours | counters | calls | of time |"
    yield "|---|---|---|---|---:|---:|"
    for (family, kernel, ours, theirs), of in by_time[:12]:
        time = sum(pair.ns for pair in of) / whole
        yield f"| {family} | `{kernel}` | {ours} | {theirs} | {len(of)} | {time:.2%} |"


def predicted(pairs: Sequence[Pair], bandwidth: float) -> Iterator[str]:
    """Floor + bytes / (fraction x bandwidth), the fraction fitted on four fifths and tried on the fifth."""
    points = [(p.compulsory / bandwidth * 1e9, p.ns) for p in pairs if p.row["family"] in ELEMENT_WISE]
    small = sorted(ns for bytes_ns, ns in points if bytes_ns * bandwidth / 1e9 <= SMALL_BYTES)
    floor = small[len(small) // 10]
    random.Random(0).shuffle(points)
    errors, inside, fractions, bands = [], 0, [], []
    for fold in range(FOLDS):
        left_out = points[fold::FOLDS]
        rest = [point for place, point in enumerate(points) if place % FOLDS != fold]
        fraction = min((step / 100 for step in range(50, 126)), key=lambda f: _error(rest, floor, f))
        ratios = sorted(ns / (floor + bytes_ns / fraction) for bytes_ns, ns in rest)
        low, high = ratios[len(ratios) // 10], ratios[len(ratios) * 9 // 10]
        for bytes_ns, ns in left_out:
            guess = floor + bytes_ns / fraction
            errors.append(abs(guess - ns) / ns)
            inside += low * guess <= ns <= high * guess
        fractions.append(fraction)
        bands.append((low, high))
    low, high = (median(column) for column in zip(*bands, strict=True))
    yield (f"{len(points):,} element-wise calls; floor {floor / 1e3:.1f} µs (the tool's: not used anywhere), "
           f"fraction {min(fractions):.2f} to {max(fractions):.2f} of the bandwidth. Median error of "
           f"left-out times {median(errors):.1%}; {inside / len(points):.0%} of them between {low:.2f} and "
           f"{high:.2f} times the prediction.")  # fmt: skip


def _error(points: Sequence[tuple[float, float]], floor: float, fraction: float) -> float:
    return median(abs(floor + bytes_ns / fraction - ns) / ns for bytes_ns, ns in points)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("rows", type=Path)
    options.add_argument("--write", action="store_true", help="into docs/hardware.md")
    chosen = options.parse_args()
    by_device: dict[str, list[Row]] = defaultdict(list)
    with gzip.open(chosen.rows, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            by_device[row["device"]].append(row)
    known = {name: rows for name, rows in by_device.items() if name in DEVICES}
    said: dict[str, list[str]] = {"agreement": [], "traffic": [], "misses": [], "times": []}
    for name, rows in known.items():
        pairs = list(pairs_of(rows, DEVICES[name]))
        bandwidth = next(d for d in [_bandwidth(name)] if d)
        for title, made in (("agreement", agreement(pairs)), ("traffic", bytes_table(pairs)),
                            ("misses", misses(pairs)), ("times", predicted(pairs, bandwidth))):  # fmt: skip
            said[title] += [*([""] if said[title] else []), f"**{DEVICES[name].name}**", "", *made]
    for title, text in said.items():
        print("\n".join(text), end="\n\n")
        if chosen.write:
            tables.write("hardware.md", title, text)


def _bandwidth(name: str) -> float:
    from traceanalyzer.device.table import by_id

    part = by_id()[name if name in by_id() else name.rpartition("-")[0]]
    assert part.bandwidth_bytes_per_s is not None
    return part.bandwidth_bytes_per_s


if __name__ == "__main__":
    main()
