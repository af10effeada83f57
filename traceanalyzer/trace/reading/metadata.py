"""Top-level metadata of a trace: devices, rank, clock base, the collector's recording."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from traceanalyzer.records import Recording
from traceanalyzer.records.trace import DeviceProperties

EVENTS_KEY = "traceEvents"
EVIDENCE_KEY = "traceanalyzeEvidence"  # of the collector: large, kept as text until needed
KEPT_KEYS = frozenset({"deviceProperties", "distributedInfo", "baseTimeNanoseconds", "traceanalyze"})
# Top-level key -> what a file without `traceEvents` is then.
FOREIGN_KEYS = {
    "nodes": "is a PyTorch ExecutionTrace, not a profiler trace",
    "profiles": "is a speedscope profile, not a PyTorch profiler trace",
    "device_traces": "is a PyTorch memory snapshot, not a profiler trace",
    "memory_bound": "is a saved report of traceanalyze, which is shown alone, not a trace",
    "stackFrames": "is another tool's profile, not a PyTorch profiler trace",
}
_AMD_KEYS = ("hip_", "roctracer", "rocprofiler")
_AMD_NAMES = re.compile(r"\b(?:AMD|Radeon|Instinct)\b", re.IGNORECASE)
_RANK = re.compile(r"(?<![a-z])rank[-_.]?(\d+)", re.IGNORECASE)


def devices(value: Any) -> tuple[DeviceProperties, ...]:
    """The entries of `deviceProperties`."""
    if not isinstance(value, list):
        return ()
    return tuple(_device(entry, place) for place, entry in enumerate(value) if isinstance(entry, dict))


def _device(entry: Mapping[str, Any], place: int) -> DeviceProperties:
    def whole(*keys: str) -> int | None:
        found = (entry[key] for key in keys if type(entry.get(key)) is int)
        return next(found, None)

    major, minor = whole("computeMajor"), whole("computeMinor")
    multiprocessors = whole("numSms")
    index, name = whole("id"), entry.get("name")
    return DeviceProperties(
        index=place if index is None else index,
        name=name if isinstance(name, str) else "",
        memory_bytes=whole("totalGlobalMem"),
        multiprocessors=multiprocessors,
        compute_capability=None if major is None else f"{major}.{minor or 0}",
        warp_size=whole("warpSize", "waveSize"),
        # Where numSms is missing, torch's own exporter wrote the number of multiprocessors here
        # (torch/profiler/_chrome_trace_export.py, 2.13), so that neither is known.
        max_threads_per_multiprocessor=(
            None if multiprocessors is None else whole("maxThreadsPerMultiprocessor")
        ),
        registers_per_multiprocessor=whole("regsPerMultiprocessor"),
        shared_bytes_per_multiprocessor=whole(
            "sharedMemPerMultiprocessor", "maxSharedMemoryPerMultiProcessor"
        ),
    )  # fmt: skip


def rank(distributed: Any, path: str) -> int | None:
    """From `distributedInfo`, else from a file name such as `rank3.json` or `rank-34.Jul_15.json.gz`."""
    if isinstance(distributed, dict):
        recorded = distributed.get("rank")
        if type(recorded) is int and recorded >= 0:
            return recorded
    named = _RANK.search(PurePath(path).name)
    return int(named[1]) if named else None


def base_ns(value: Any) -> int | None:
    """`baseTimeNanoseconds`; None where it is absent or no number."""
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    return value if type(value) is int else None


def is_amd(keys: frozenset[str], listed: tuple[DeviceProperties, ...]) -> bool:
    """Any sign of AMD: a wave of 64 lanes, ROCm's own keys, a device's name."""
    return (
        any(key.startswith(_AMD_KEYS) for key in keys)
        or any(device.warp_size == 64 for device in listed)
        or any(_AMD_NAMES.search(device.name) for device in listed)
    )


def recording(value: Any) -> Recording | None:
    """The collector's recording; a field of another type than expected counts as not recorded."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if not isinstance(value, dict):
        return None
    facts = {}
    for field in msgspec.structs.fields(Recording):
        if field.name in value:
            try:
                facts[field.name] = msgspec.convert(value[field.name], field.type)
            except msgspec.ValidationError:
                continue
    return Recording(**facts)
