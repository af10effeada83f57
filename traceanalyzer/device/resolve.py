"""The device of one analysis: what the user says, else what the trace records; then the overrides."""

from __future__ import annotations

from collections.abc import Sequence

from traceanalyzer.columns import Trace
from traceanalyzer.device.match import Match, find
from traceanalyzer.device.options import cpu, from_file, named, override


def resolve(
    trace: Trace, index: int, *, name: str | None, file: str | None,
    peaks: Sequence[str], bandwidth: str | None,
) -> Match:  # fmt: skip
    """Roofs for device `index` of `trace`. DeviceError where an option cannot be used."""
    match = _chosen(trace, index, name, file)
    device = override(match.device, peaks, bandwidth)
    settled = device is not match.device
    kept = tuple(w for w in match.warnings if not (settled and w.code in ("no_device", "no_bandwidth")))
    return Match(device, kept)


def _chosen(trace: Trace, index: int, name: str | None, file: str | None) -> Match:
    if file is not None:
        return Match(from_file(file))
    if name is not None:
        return Match(named(name))
    if trace.on_cpu:
        return Match(cpu(trace.recording.cpu_roofs if trace.recording else None))
    recorded = next((d for d in trace.devices if d.index == index), None)
    return find(recorded, amd=trace.amd)
