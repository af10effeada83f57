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
from traceanalyzer.fusion.savings import FORWARD, Fractions, KernelTimes, Work, gpu_ns
from traceanalyzer.records import Analysis, Device, OpRow

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
    device: Device  # as the analysis knows it

    @property
    def ns(self) -> float:
        return sum(ns for _, ns in self.row["kernels"])

    @property
    def compulsory(self) -> float:
        return ((self.op.read_bytes or 0) + (self.op.write_bytes or 0)) / self.op.calls

    @property
    def moved(self) -> float:
        """Traffic of one call, without what is unseen."""
        traffic = self.op.traffic_bytes
        return (traffic / self.op.calls if traffic else self.compulsory) - self.unseen

    @property
    def unseen(self) -> float:
        """Bytes of one call that the counters could not see, be they compulsory or more."""
        return min((self.op.write_bytes or 0) / self.op.calls, DEVICES[self.row["device"]].unseen_bytes)

    @property
    def busier(self) -> str:
        return "memory" if self.row["dram_percent"] >= self.row["sm_percent"] else "compute"

    @property
    def side_agrees(self) -> bool:
        return self.row["limiter"] == "both" or self.op.bound == self.busier

    @property
    def busy_on_the_other_side(self) -> bool:
        return self.row["limiter"] != "neither" and not self.side_agrees

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
        yield Pair(row, ops[0], analysis.device)


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
    busy = [pair for pair in pairs if pair.busy_on_the_other_side]
    yield ""
    calls = "1 call" if len(busy) == 1 else f"{len(busy)} calls"
    time = share(pairs, lambda p: p.busy_on_the_other_side)
    yield f"A busy unit on the other side: {calls}, {time:.2%} of the time."


def bytes_table(pairs: Sequence[Pair]) -> Iterator[str]:
    """Our traffic by the counters' bytes, by family."""
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pair in beyond_the_cache(pairs):
        counted = pair.row["dram_bytes"]
        ratios[pair.row["family"]].append(((pair.compulsory - pair.unseen) / counted, pair.moved / counted))
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


@dataclass(frozen=True, slots=True)
class Timed:
    """An element-wise call's compulsory bytes and its time, which the shipped function is to predict."""

    bytes: int
    ns: float
    device: Device
    floor_ns: float

    def predicted(self, times: KernelTimes | None = None) -> Fractions:
        """At worst, as a rule and at best; `times`: fitted here, not the shipped ones."""
        taken = gpu_ns(Work(self.bytes), self.device, self.floor_ns, times)
        assert taken is not None, "the table has no bandwidth of it"
        return taken

    def error(self, times: KernelTimes | None = None) -> float:
        return abs(self.predicted(times).mid - self.ns) / self.ns

    def inside(self, times: KernelTimes | None = None) -> bool:
        taken = self.predicted(times)
        return taken.high <= self.ns <= taken.low


def timed(pairs: Sequence[Pair]) -> list[Timed]:
    """The element-wise calls in a random order, with the launch floor of their own times."""
    chosen = [pair for pair in pairs if pair.row["family"] in ELEMENT_WISE]
    small = sorted(pair.ns for pair in chosen if pair.compulsory <= SMALL_BYTES)
    floor = small[len(small) // 10]
    calls = [Timed(round(pair.compulsory), pair.ns, pair.device, floor) for pair in chosen]
    random.Random(0).shuffle(calls)
    return calls


def fitted(calls: Sequence[Timed]) -> KernelTimes:
    """The part of the bandwidth of least median error, and the 90th and 10th percentile of whole times."""
    parts = [KernelTimes.within(step / 100, Fractions(1.0, 1.0, 1.0)) for step in range(50, 126)]
    best = min(parts, key=lambda times: median(call.error(times) for call in calls))
    ratios = sorted(call.ns / call.predicted(best).mid for call in calls)
    longest, shortest = ratios[len(ratios) * 9 // 10], ratios[len(ratios) // 10]
    return KernelTimes.within(best.bandwidth.mid, Fractions(longest, 1.0, shortest))


def predicted(calls: Sequence[Timed]) -> Iterator[str]:
    """The shipped function, with its own constants and with those of four fifths, tried on the fifth."""
    left_out: list[tuple[Timed, KernelTimes]] = []
    for fold in range(FOLDS):
        times = fitted([call for place, call in enumerate(calls) if place % FOLDS != fold])
        left_out += ((call, times) for call in calls[fold::FOLDS])
    yield (f"{len(calls):,} element-wise calls, with the launch floor of their own times, "
           f"{calls[0].floor_ns / 1e3:.1f} µs. The band is of the whole time, launch included.")  # fmt: skip
    yield ""
    yield "| constants | part of the bandwidth | band, of the prediction | median error | inside the band |"
    yield "|---|---:|---:|---:|---:|"
    yield _line("fitted to four fifths, tried on the fifth", left_out)
    yield _line("as shipped, on all", [(call, FORWARD) for call in calls])


def _line(name: str, tried: Sequence[tuple[Timed, KernelTimes]]) -> str:
    parts = sorted({times.bandwidth.mid for _, times in tried})
    part = " to ".join(f"{end:.2f}" for end in sorted({parts[0], parts[-1]}))
    low, high = (
        median(ends) for ends in zip(*((t.launch.high, t.launch.low) for _, t in tried), strict=True)
    )
    error = median(call.error(times) for call, times in tried)
    inside = sum(call.inside(times) for call, times in tried) / len(tried)
    return f"| {name} | {part} | {low:.2f} to {high:.2f} | {error:.1%} | {inside:.0%} |"


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
        for title, made in (("agreement", agreement(pairs)), ("traffic", bytes_table(pairs)),
                            ("misses", misses(pairs)), ("times", predicted(timed(pairs)))):  # fmt: skip
            said[title] += [*([""] if said[title] else []), f"**{DEVICES[name].name}**", "", *made]
    for title, text in said.items():
        print("\n".join(text), end="\n\n")
        if chosen.write:
            tables.write("hardware.md", title, text)


if __name__ == "__main__":
    main()
