"""Top-level metadata of a trace: devices, rank, clock base, the collector's recording."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, TypeGuard

import msgspec

from traceanalyzer.records import CpuRoofs, GpuClocks, RecordedStep, Recording
from traceanalyzer.records.collectives import NOT_DISTRIBUTED, Distributed
from traceanalyzer.records.trace import DeviceProperties
from traceanalyzer.trace.reading.events import clean
from traceanalyzer.trace.reading.names import in_archive
from traceanalyzer.trace.reading.read_stats import ReadStats

EVENTS_KEY = "traceEvents"
EVIDENCE_KEY = "traceanalyzeEvidence"  # of the collector: large, kept as text until needed
KEPT_KEYS = frozenset({"deviceProperties", "distributedInfo", "baseTimeNanoseconds", "traceanalyze"})
# Top-level key -> what a file without `traceEvents` is then.
FOREIGN_KEYS = {
    "nodes": "is a PyTorch ExecutionTrace, not a profiler trace",
    "rocprofiler-sdk-tool": "is JSON of rocprofv3, not a PyTorch profiler trace",
    "profiles": "is a speedscope profile, not a PyTorch profiler trace",
    "device_traces": "is a PyTorch memory snapshot, not a profiler trace",
    "memory_bound": "is a saved report of traceanalyze, which is shown alone, not a trace",
    "nbformat": "is a notebook, not a profiler trace",
    "stackFrames": "is another tool's profile, not a PyTorch profiler trace",
}
_AMD_KEYS = ("hip_", "roctracer", "rocprofiler")
_AMD_NAMES = re.compile(r"\b(?:AMD|Radeon|Instinct)\b", re.IGNORECASE)
_RANK = re.compile(r"(?<![a-z])rank[-_.]?(\d{1,9})(?!\d)", re.IGNORECASE | re.ASCII)
_NANOSECONDS = re.compile(r"\d{1,18}", re.ASCII)
_COUNTS = range(2**63)  # what a count, a size or a time can be
_RATES = (1e6, 1e21)  # bytes and FLOPs a second, of whatever computes


def loaded(text: str) -> Any:
    """The value of a member, lone surrogates in its texts replaced. Errors: ValueError, RecursionError."""
    value = json.loads(text, strict=False)
    if "\\ud" not in text.lower():
        return value
    return json.loads(clean(json.dumps(value, ensure_ascii=False)))


def devices(value: Any) -> tuple[DeviceProperties, ...]:
    """The entries of `deviceProperties`."""
    if not isinstance(value, list):
        return ()
    return tuple(_device(entry, place) for place, entry in enumerate(value) if isinstance(entry, dict))


def _device(entry: Mapping[str, Any], place: int) -> DeviceProperties:
    def whole(*keys: str) -> int | None:
        counts = (entry[key] for key in keys if _is_count(entry.get(key)))
        return next(counts, None)

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
        if _is_count(recorded):
            return recorded
    return named_rank(path)


def named_rank(path: str) -> int | None:
    """The rank that the name of a file says."""
    archive, member = in_archive(path)
    named = _RANK.search(PurePath(member or archive).name)
    return int(named[1]) if named else None


def distributed(value: Any) -> Distributed:
    """What `distributedInfo` says of the whole job."""
    if not isinstance(value, dict):
        return NOT_DISTRIBUTED
    world = value.get("world_size")
    groups = [each for each in _listed(value.get("pg_config")) if isinstance(each, dict)]
    members = {str(each.get("pg_name")): _listed(each.get("ranks")) for each in groups}
    complete = {name: tuple(ranks) for name, ranks in members.items() if ranks and all(map(_is_count, ranks))}
    return Distributed(world if _is_count(world) and world else None, complete)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def base_ns(value: Any) -> int | None:
    """`baseTimeNanoseconds`; None where it is absent or no number of nanoseconds."""
    if isinstance(value, str) and _NANOSECONDS.fullmatch(value.strip()):
        return int(value)
    return value if _is_count(value) else None


def _is_count(value: Any) -> TypeGuard[int]:
    """A whole number from 0 on that 63 bits hold."""
    return type(value) is int and value in _COUNTS


def is_amd(keys: frozenset[str], listed: tuple[DeviceProperties, ...]) -> bool:
    """Any sign of AMD: a wave of 64 lanes, ROCm's own keys, a device's name."""
    return (
        any(key.startswith(_AMD_KEYS) for key in keys)
        or any(device.warp_size == 64 for device in listed)
        or any(_AMD_NAMES.search(device.name) for device in listed)
    )


def recording(value: Any, stats: ReadStats) -> Recording | None:
    """The collector's recording; a field of another type than expected counts as not recorded.

    So does one whose numbers cannot be: below 0, beyond 63 bits, rates that nothing computes at.
    """
    if isinstance(value, str):
        try:
            value = loaded(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, dict):
        return None
    facts = {}
    for field in msgspec.structs.fields(Recording):
        if field.name in value:
            try:
                facts[field.name] = msgspec.convert(value[field.name], field.type)
            except (msgspec.ValidationError, RecursionError):
                continue
    possible = {name: fact for name, fact in facts.items() if _is_possible(fact)}
    stats.add("impossible_facts", len(facts) - len(possible))
    return Recording(**possible)


def _is_possible(fact: Any) -> bool:
    """Whether a recorded fact can be true, as far as its numbers say."""
    if isinstance(fact, CpuRoofs):
        low, high = _RATES
        figures = (fact.launch_floor_ns, fact.threads, fact.cache_bytes)
        counts = [count for count in figures if count is not None]
        return all(map(_is_count, counts)) and all(low <= rate <= high for rate in _rates(fact))
    if isinstance(fact, tuple):
        return all(map(_are_possible_times if _of_steps(fact) else _are_possible_clocks, fact))
    return _is_count(fact) or not isinstance(fact, int | float) or isinstance(fact, bool)


def _of_steps(fact: tuple[object, ...]) -> bool:
    return any(isinstance(each, RecordedStep) for each in fact)


def _are_possible_times(step: RecordedStep) -> bool:
    """Counts from 0 on, where they are known."""
    counts = (step.profiled_ns, step.unprofiled_ns, step.minor_faults, step.system_ns)
    return all(count is None or _is_count(count) for count in counts)


def _are_possible_clocks(clocks: GpuClocks) -> bool:
    """Between a megahertz and a hundred gigahertz; counts above 0."""
    counts = (clocks.multiprocessors, clocks.memory_bus_bits, clocks.l2_bytes)
    rates = (clocks.clock_hz, clocks.memory_clock_hz)
    return all(count is None or (_is_count(count) and 0 < count < 2**40) for count in counts) and all(
        rate is None or 1e6 <= rate <= 1e11 for rate in rates
    )


def _rates(roofs: CpuRoofs) -> Iterator[float]:
    yield roofs.bandwidth_bytes_per_s
    yield from (peak.flop_per_s for peak in roofs.peaks)
    yield from (rate.per_s for rate in roofs.rates)
