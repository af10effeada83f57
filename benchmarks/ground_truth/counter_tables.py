"""Tables of the page about hardware counters: bytes, bounds and limiters of operators and of whole models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cells import header, one_line

CLOSE = 0.15  # of the counters' bytes, that ours may be off
BUSY = 60.0  # percent of a peak: below, neither roof explains a kernel
_MEMORY = ("dram__throughput.avg.pct_of_peak_sustained_elapsed",)
_PIPES = (
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_elapsed",
    "sm__pipe_fma_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "sm__pipe_fp64_cycles_active.avg.pct_of_peak_sustained_elapsed",
)

Kernels = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Counted:
    """What the counters say of one case."""

    dram_bytes: float
    memory: float  # percent of the memory's peak
    pipes: float  # of the busiest pipe's

    @classmethod
    def of(cls, kernels: Kernels) -> Counted:
        moved = total(kernels, "dram__bytes_read.sum") + total(kernels, "dram__bytes_write.sum")
        return cls(moved, weighed(kernels, *_MEMORY), weighed(kernels, *_PIPES))

    @property
    def bound(self) -> str:
        return "memory" if self.memory >= self.pipes else "compute"

    @property
    def limiter(self) -> str:
        return self.bound if max(self.memory, self.pipes) >= BUSY else "neither"


def total(kernels: Kernels, metric: str) -> float:
    return sum(kernel.get(metric, 0.0) for kernel in kernels)


def weighed(kernels: Kernels, *metrics: str) -> float:
    """The largest of these percentages, by each kernel's time."""
    time = total(kernels, "gpu__time_duration.sum")
    parts = (
        kernel.get("gpu__time_duration.sum", 0.0) * max(kernel.get(metric, 0.0) for metric in metrics)
        for kernel in kernels
    )
    return sum(parts) / time if time else 0.0


@dataclass(slots=True)
class Agreement:
    """How often ours is what was counted, and with how much of the time."""

    cases: int = 0
    time_ns: float = 0.0
    agreed: dict[str, int] = field(default_factory=lambda: {"bound": 0, "limiter": 0})
    agreed_ns: dict[str, float] = field(default_factory=lambda: {"bound": 0.0, "limiter": 0.0})
    large: int = 0
    close: int = 0

    def add(self, one: Mapping[str, Any], counted: Counted, moved: float, cache_bytes: float) -> None:
        late = one["verdict"] == "latency_bound" and counted.limiter == "neither"
        self.cases += 1
        self.time_ns += one["time_ns"]
        for name, said in (("bound", counted.bound), ("limiter", counted.limiter)):
            same = said == one[name] or (name == "bound" and late)
            self.agreed[name] += same
            self.agreed_ns[name] += one["time_ns"] * same
        if moved > cache_bytes and counted.dram_bytes:
            self.large += 1
            self.close += abs(moved / counted.dram_bytes - 1) <= CLOSE

    def sentence(self) -> str:
        parts = (
            f"the {name} is the counters' in {self.agreed[name]} of {self.cases} cases, with "
            f"{self.agreed_ns[name] / self.time_ns:.1%} of their time"
            for name in ("bound", "limiter")
        )
        return (
            f"{'; '.join(parts)}; bytes are within {CLOSE:.0%} in {self.close} of {self.large} larger than "
            "the cache."
        ).capitalize()


def bytes_table(results: Mapping[str, Any]) -> Iterator[str]:
    counters, cache_bytes = results.get("counters", {}), results["probe"].get("l2_bytes") or 0
    yield from header(
        "family; operator; >our bytes; >traffic; >counted; >ratio; bound; counted; limiter; "
        "counted; >memory; >pipes; verdict"
    )
    agreement = Agreement()
    for one in results.get("ours", []):
        kernels = counters.get(f"{one['family']}:{one['name']}", [])
        start = f"| {one['family']} | {one['name']} "
        if one["read_bytes"] is None or not kernels:
            reason = "not priced" if one["read_bytes"] is None else "not counted"
            known = (one["bound"] or "", one["limiter"] or "", one["verdict"] or "")
            yield start + f"| {reason} | | | | {known[0]} | | {known[1]} | | | | {known[2]} |"
            continue
        counted = Counted.of(kernels)
        bytes_ours = one["read_bytes"] + one["write_bytes"]
        moved = one["traffic_bytes"] or bytes_ours
        agreement.add(one, counted, moved, cache_bytes)
        yield start + _compared(one, counted, bytes_ours, moved)
    if agreement.cases and agreement.time_ns:
        yield ""
        yield agreement.sentence()


def _compared(one: Mapping[str, Any], counted: Counted, bytes_ours: float, moved: float) -> str:
    traffic = f"{moved / 1e6:,.0f} MB" if one["traffic_bytes"] else ""
    ratio = f"{moved / counted.dram_bytes:.2f}" if counted.dram_bytes else "none counted"
    return (
        f"| {bytes_ours / 1e6:,.0f} MB | {traffic} | {counted.dram_bytes / 1e6:,.0f} MB | {ratio} "
        f"| {one['bound']} | {counted.bound} | {one['limiter'] or 'unknown'} | {counted.limiter} "
        f"| {counted.memory:.0f} % | {counted.pipes:.0f} % | {one['verdict']} |"
    )


def own_table(found: Mapping[str, Any]) -> Iterator[str]:
    """Whole models by `profile --counters`."""
    yield from header("model; >rows counted; >our bytes; >counted; >ratio; >rows within 15 %")
    for name, one in found.items():
        rows = [row for row in one.get("rows", ()) if row["read_bytes"] is not None]
        if not rows:
            said = one_line(one.get("failed", "none of its rows was counted"), 300)
            yield f"| {name} | none: {said} | | | | |"
            continue
        moved = [row["traffic_bytes"] or row["read_bytes"] + row["write_bytes"] for row in rows]
        seen = [row["counter_bytes"] for row in rows]
        close = sum(
            abs(ours / counted - 1) <= CLOSE for ours, counted in zip(moved, seen, strict=True) if counted
        )
        ratio = f"{sum(moved) / sum(seen):.2f}" if sum(seen) else ""
        yield (
            f"| {name} | {len(rows)} | {sum(moved) / 1e6:,.0f} MB | {sum(seen) / 1e6:,.0f} MB | {ratio} "
            f"| {close} |"
        )
