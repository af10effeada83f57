"""Every limit behind a verdict, in one place; shown in the report and set with `--set NAME=X`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from traceanalyzer.records.errors import UsageError


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The defaults are the method; whoever changes one says so in the report."""

    efficiency: float = 0.6  # below it a row is inefficient, or latency-bound
    latency_floors: float = 3.0  # latency-bound: median call of at most so many launch floors
    latency_multiprocessors: float = 0.5  # latency-bound: fewer blocks than this share of multiprocessors
    wave_floors: float = 10.0  # latency-bound: less than a wave and at most so many launch floors
    balanced: float = 0.1  # compute and memory time within this share of the larger
    bytes_only: float = 0.6  # FLOPs unknown, but bytes alone explain this share of the time
    floor_bytes: float = 65536.0  # the launch floor is taken from kernels of at most so many bytes,
    floor_kernels: float = 50.0  # if there are at least so many,
    floor_percentile: float = 10.0  # as this percentile of their durations,
    floor_min_ns: float = 1000.0  # not below
    floor_max_ns: float = 5000.0  # and not above; else it is
    floor_default_ns: float = 2000.0  # on a GPU and
    floor_cpu_ns: float = 5000.0  # on a CPU that was not calibrated

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def from_settings(settings: Sequence[str]) -> Thresholds:
    """The limits of `--set NAME=X ...`; UsageError lists the names."""
    defaults = Thresholds().as_dict()
    chosen: dict[str, float] = {}
    for setting in settings:
        left, equals, text = setting.partition("=")
        name = left.strip()
        if name not in defaults or not equals:
            fix = f"write NAME=X with one of {', '.join(defaults)}"
            raise UsageError(f"--set {setting}: names no limit", fix=fix)
        try:
            chosen[name] = float(text)
        except ValueError:
            chosen[name] = -1.0
        if not 0 <= chosen[name] < float("inf"):
            fix = f"write {name}={defaults[name]:g}, its default, or another number"
            raise UsageError(f"--set {setting}: {text!r} is not a number of 0 or more", fix=fix)
    limits = replace(Thresholds(), **chosen)
    if limits.floor_min_ns > limits.floor_max_ns or limits.floor_percentile > 100:
        raise UsageError(
            "--set: floor_min_ns is above floor_max_ns, or floor_percentile above 100",
            fix="set both ends of the launch floor, and a percentile of 0 to 100",
        )
    return limits
