"""The main figures as OpenMetrics text, for GitLab's metrics reports and for dashboards; base units.

Times are per step, or of the trace where there are no steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from traceanalyzer.records import Analysis
from traceanalyzer.report.report_marker import mark
from traceanalyzer.report.sanitize import cut, visible
from traceanalyzer.report.sentence import is_judged

Unit = Literal["seconds", "bytes", "ratio", "info"]
_LABEL = 120  # characters of a label's value
_NS = 1e9


class Sample(msgspec.Struct, frozen=True):
    """A value and what tells it from others of its family; None: not known, and left out."""

    value: float | None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


class Family(msgspec.Struct, frozen=True):
    """Samples of one name, which ends in its unit."""

    name: str
    unit: Unit
    about: str
    samples: tuple[Sample, ...]


def render(analysis: Analysis, top: int | None = None) -> str:
    """Every family that is known; `top` is for people and changes nothing here."""
    return exposition(_families(analysis))


def exposition(families: Iterable[Family]) -> str:
    """OpenMetrics 1.0 text, ended by `# EOF`."""
    return "".join(line for family in families for line in _lines(family)) + "# EOF\n"


def seconds(ns: float | None) -> float | None:
    """Nanoseconds in the base unit."""
    return None if ns is None else ns / _NS


def _families(analysis: Analysis) -> Iterator[Family]:
    yield _info(analysis)
    yield from _times(analysis)
    yield from _shares(analysis)
    recording = analysis.recording
    peak = recording.peak_memory_bytes if recording is not None else None
    yield Family("traceanalyze_peak_memory_bytes", "bytes", "Most memory that was in use", (Sample(peak),))


def _info(analysis: Analysis) -> Family:
    labels = {"device": analysis.device.id, "version": analysis.tool.version}
    return Family("traceanalyze_report", "info", mark(analysis), (Sample(1, labels),))


def _times(analysis: Analysis) -> Iterator[Family]:
    steps, time = analysis.window.step_count or 1, analysis.time
    median = analysis.window.step_ns.median if analysis.window.step_ns is not None else None
    yield _time("step", "Median step on the device", Sample(seconds(median)))
    yield _time("busy", "Time in which the device worked", Sample(seconds(time.busy_ns / steps)))
    yield _time("idle", "Time in which it waited", Sample(seconds(time.idle_ns / steps)))
    by_verdict = (Sample(seconds(p.time_ns / steps), {"verdict": p.verdict}) for p in analysis.verdicts)
    yield _time("verdict", "Busy time by verdict", *by_verdict)
    by_cause = (Sample(seconds(p.time_ns / steps), {"cause": p.cause}) for p in time.idle_by_cause)
    yield _time("idle_cause", "Idle time by cause", *by_cause)


def _time(name: str, about: str, *samples: Sample) -> Family:
    return Family(f"traceanalyze_{name}_seconds", "seconds", about, samples)


def _shares(analysis: Analysis) -> Iterator[Family]:
    memory, judged = analysis.memory_bound, is_judged(analysis)
    for name, about, value in (
        ("memory_bound", "Memory-bound share of busy time", memory.share_of_busy if judged else None),
        ("memory_bound_at_roof", "Of busy time, memory-bound and at the memory roof",
         memory.at_roof_share_of_busy if judged else None),
        ("memory_bound_below_roof", "Of busy time, memory-bound and below the memory roof",
         memory.below_roof_share_of_busy if judged else None),
        ("mfu", "Model FLOPs utilization of the dense peak", analysis.compute.mfu_share),
        ("modelled", "Share of kernel time that is modelled", analysis.coverage.modelled_share),
    ):  # fmt: skip
        yield Family(f"traceanalyze_{name}_ratio", "ratio", about, (Sample(value),))


def _lines(family: Family) -> Iterator[str]:
    samples = [sample for sample in family.samples if sample.value is not None]
    if not samples:
        return
    is_info = family.unit == "info"
    yield f"# TYPE {family.name} {'info' if is_info else 'gauge'}\n"
    if not is_info:
        yield f"# UNIT {family.name} {family.unit}\n"
    yield f"# HELP {family.name} {_escaped(family.about)}\n"
    for sample in samples:
        values = ((name, _escaped(cut(value, _LABEL))) for name, value in sample.labels.items())
        labels = ",".join(f'{name}="{value}"' for name, value in values)
        name = f"{family.name}_info" if is_info else family.name
        yield f"{name}{{{labels}}} {_number(sample)}\n" if labels else f"{name} {_number(sample)}\n"


def _number(sample: Sample) -> str:
    value = sample.value
    return str(value) if isinstance(value, int) else repr(float(value or 0))


def _escaped(value: str) -> str:
    """Backslash, quote and line feed; what else would act is replaced before."""
    return visible(" ".join(value.split())).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
