"""Whether verdicts of CPU traces are true: operators whose bound is known, on this machine's roofs.

`python benchmarks/cpu_verdicts.py [--threads N]` measures the roofs, records three steps of a STREAM triad, a
copy, an addition in place, random numbers, an erf, a large product and a chain of one-element operators, and
prints the verdicts as Markdown. Machines are shared: it measures up to five times and records up to three
times after each, until all is as it should be, and looks at the best call, as the roofs are the best runs
measured just before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import msgspec
import torch

import traceanalyzer
from traceanalyzer.device.calibrate import cache_bytes, cpu_roofs
from traceanalyzer.records import Analysis, CpuRoofs, OpRow

STEPS, CALLS, PRODUCTS, CHAIN = 3, 3, 12, 100
WIDTH = 1024
LEAST = 0.7  # of the roof, for what nothing keeps away from it
MOST = 1.15  # of the roof; more, and the roof was measured while something disturbed it
CALIBRATIONS, RECORDINGS = 5, 3


@dataclass(frozen=True, slots=True)
class Expected:
    """An operator, what must be said of it, and how much more than its compulsory bytes a CPU moves for it.

    Most CPUs read a cache line before they overwrite it, unless it was read anyway (write-allocate): the
    triad moves four arrays for three, the copy three for two, what works in place nothing more.
    """

    what: str
    op: str
    dims: int  # of its first input
    verdict: str
    moved: float | None = 1.0  # bytes over compulsory bytes; None: no roof is expected to be near


EXPECTED = (
    Expected("STREAM triad", "aten::add", 1, "memory_bound", 4 / 3),
    Expected("copy", "aten::copy_", 1, "memory_bound", 3 / 2),
    Expected("addition in place", "aten::add_", 1, "memory_bound"),
    Expected(f"fp32 product, {WIDTH} x {WIDTH}", "aten::mm", 2, "compute_bound"),
    Expected("random numbers", "aten::bernoulli_", 1, "compute_bound", None),
    Expected("error function in place", "aten::erf_", 1, "compute_bound", None),
    Expected("chain of one-element operators", "aten::neg", 1, "latency_bound", None),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was expected, the row that came out, and the shortest of its calls."""

    expected: Expected
    row: OpRow
    shortest_ns: int

    @property
    def best(self) -> float:
        """Efficiency of the shortest call; the row's own is over all calls."""
        return (self.row.efficiency or 0.0) * self.row.time_ns / self.row.calls / self.shortest_ns

    @property
    def near(self) -> bool:
        """Whether the best call comes as near to its roof as it should, and not above."""
        factor = self.expected.moved
        return factor is None or (factor * self.best >= LEAST and self.best <= MOST)

    @property
    def true(self) -> bool:
        return self.row.verdict == self.expected.verdict and self.near


def record(path: Path, roofs: CpuRoofs) -> None:
    """Three profiled steps on tensors that were touched before; the roofs beside the events."""
    elements = max(4 * (cache_bytes() or 2**25), 2**26) // 4
    a, b, c = (torch.full((elements,), value) for value in (0.0, 1.0, 2.0))
    noise = torch.Generator().manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(roofs.threads or before)
    x, y = (torch.rand(WIDTH, WIDTH, generator=noise) for _ in range(2))
    drawn = torch.full((elements // 8,), 0.5)
    z, one = torch.zeros(WIDTH, WIDTH), torch.ones(1)
    with torch.no_grad(), torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU],
        schedule=torch.profiler.schedule(wait=0, warmup=1, active=STEPS, repeat=1),
        record_shapes=True,
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(path)),
    ) as profiler:  # fmt: skip
        for _ in range(1 + STEPS):
            for _ in range(CALLS):
                torch.add(b, c, alpha=3.0, out=a)
                a.copy_(b)
                a.add_(b, alpha=1e-3)
            drawn.bernoulli_(0.5, generator=noise)
            drawn.erf_()
            for _ in range(PRODUCTS):
                torch.mm(x, y, out=z)
            for _ in range(CHAIN):
                one = torch.neg(one)
            profiler.step()
    torch.set_num_threads(before)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["traceanalyze"] = {"cpu_roofs": msgspec.to_builtins(roofs)}
    path.write_text(json.dumps(document), encoding="utf-8")


def attempts(path: Path, threads: int) -> Iterator[Analysis]:
    """Measure, record into `path`, analyze; measuring takes most of the time."""
    for _ in range(CALIBRATIONS):
        roofs = cpu_roofs(threads)
        for _ in range(RECORDINGS):
            record(path, roofs)
            yield traceanalyzer.analyze(path)


def _seen(analysis: Analysis, expected: Expected) -> Seen:
    rows = (r for r in analysis.op_rows if r.name == expected.op)
    (found,) = (r for r in rows if r.input_dims and len(r.input_dims[0] or ()) == expected.dims)
    calls = analysis.kernels
    return Seen(expected, found, int(calls.time_ns[calls.op == expected.op].min()))


def best_attempt(path: Path, threads: int) -> tuple[Analysis, tuple[Seen, ...]]:
    """The last analysis, and of each operator the first true row, else the last."""
    best: tuple[Seen, ...] = ()
    for analysis in attempts(path, threads):
        again = tuple(_seen(analysis, expected) for expected in EXPECTED)
        best = tuple(old if old.true else new for old, new in zip(best or again, again, strict=True))
        if all(seen.true for seen in best):
            break
    return analysis, best


def lines(analysis: Analysis, all_seen: tuple[Seen, ...]) -> Iterator[str]:
    device = analysis.device
    rate, peak = device.bandwidth_bytes_per_s, device.peak("matrix", "fp32")
    assert rate and peak and analysis.recording and analysis.recording.cpu_roofs
    threads = analysis.recording.cpu_roofs.threads
    yield (
        f"On {device.name}, {threads} threads, torch {torch.__version__}, Python "
        f"{platform.python_version()}, {time.strftime('%Y-%m-%d')}: {rate / 1e9:.1f} GB/s, "
        f"{peak / 1e9:.0f} GFLOP/s in fp32, launch floor {analysis.thresholds['launch_floor_ns']:.0f} ns.\n"
    )
    yield "| operator | verdict | of roof | best call | with write-allocate traffic | as expected |"
    yield "|---|---|---:|---:|---:|---|"
    for seen in all_seen:
        factor = seen.expected.moved
        yield (
            f"| {seen.expected.what} | {seen.row.verdict} "
            f"| {seen.row.efficiency or 0.0:.2f} | {seen.best:.2f} "
            f"| {'' if factor is None else f'{factor * seen.best:.2f}'} | {'yes' if seen.true else 'no'} |"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = best_attempt(Path(folder) / "trace.json", chosen.threads)
    print("\n".join(lines(*found)))
    if not all(seen.true for seen in found[1]):
        raise SystemExit("not all is as expected: is the machine busy?")


if __name__ == "__main__":
    main()
