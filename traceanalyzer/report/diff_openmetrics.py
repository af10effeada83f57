"""A comparison as OpenMetrics text: both sides of each figure, labelled, and the change of the step."""

from __future__ import annotations

from collections.abc import Iterator

from traceanalyzer.records import Comparison
from traceanalyzer.report.openmetrics import Family, Sample, exposition, seconds


def render(comparison: Comparison, top: int | None = None) -> str:
    """Times in seconds per step, by side; `top` is for people and changes nothing here."""
    return exposition(_families(comparison))


def _families(comparison: Comparison) -> Iterator[Family]:
    step, memory = comparison.step_ns, comparison.memory_bound
    yield _time("step", "Median step on the device", _sides(step.base, step.head))
    for name, about, change in (
        ("busy", "Time in which the device worked", comparison.busy_ns),
        ("idle", "Time in which it waited", comparison.idle_ns),
        ("memory_bound_at_roof", "Memory-bound and at the memory roof", memory and memory.at_roof_ns),
        (
            "memory_bound_below_roof",
            "Memory-bound and below the memory roof",
            memory and memory.below_roof_ns,
        ),
    ):
        yield _time(name, about, _sides(change.base, change.head) if change else ())
    bounds = tuple(
        Sample(seconds(value), {"bound": bound}) for bound, value in (("low", step.low), ("high", step.high))
    )
    yield _time("step_change", "Interval of the change of the step", bounds)
    share = (Sample(step.change_share),)
    yield Family("traceanalyze_step_change_ratio", "ratio", "Change of the step, of the base", share)


def _sides(base: int | None, head: int | None) -> tuple[Sample, ...]:
    return Sample(seconds(base), {"side": "base"}), Sample(seconds(head), {"side": "head"})


def _time(name: str, about: str, samples: tuple[Sample, ...]) -> Family:
    return Family(f"traceanalyze_{name}_seconds", "seconds", about, samples)
