"""The device of one analysis: what the user gives, else what the trace records, else unknown."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from traceanalyzer.device.match import DeviceMatch, find
from traceanalyzer.device.options import cpu, described, named, override, spec_from_file
from traceanalyzer.device.table import DeviceSpec
from traceanalyzer.records import CpuRoofs, Device, GpuClocks, Notice
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.judged import CpuFigures
from traceanalyzer.records.trace import DeviceProperties, Trace


def resolve(
    trace: Trace,
    index: int,
    *,
    name: str | None = None,
    file: str | None = None,
    peaks: Sequence[str] = (),
    bandwidth: str | None = None,
) -> DeviceMatch:
    """The device number `index` of `trace`, with `--device`, `--device-file`, `--peak`, `--bandwidth`.

    DeviceError where an option cannot be used as given, UsageError where options contradict each other
    or compare a CPU's time with a GPU's roofs.
    """
    recorded = _recorded(trace, index)
    chosen = _chosen(name, file)
    if chosen is not None:
        _same_kind(chosen.device, trace)
        floor_ns = chosen.launch_floor_ns or recorded.launch_floor_ns
        notices = _contradiction(recorded.device, chosen.device)
        if file is not None:
            notices = (*notices, *_other_threads(spec_from_file(file).threads, trace))
        recorded = replace(chosen, warnings=notices, launch_floor_ns=floor_ns)
    device = override(recorded.device, peaks, bandwidth)
    if bandwidth is not None and device.peaks and chosen is None:
        return replace(recorded, device=device, warnings=())  # the user has answered what they ask for
    return replace(recorded, device=device)


def check(name: str | None, file: str | None, peaks: Sequence[str], bandwidth: str | None) -> None:
    """DeviceError or UsageError where `resolve` would raise it of any trace, before one is read."""
    _chosen(name, file)
    override(cpu(None), peaks, bandwidth)


def _recorded(trace: Trace, index: int) -> DeviceMatch:
    if trace.on_cpu:
        roofs = trace.recording.cpu_roofs if trace.recording else None
        if roofs is None:
            return DeviceMatch(cpu(None))
        match = _measured(roofs)
        return replace(match, warnings=(*match.warnings, *_other_threads(roofs.threads, trace)))
    properties = properties_of(trace.devices, index)
    return find(properties, amd=trace.amd, clocks=_clocks(trace, properties))


def _clocks(trace: Trace, properties: DeviceProperties | None) -> GpuClocks | None:
    """Those the recording has of this device; by number and name, since both count the visible ones."""
    recorded = (trace.recording and trace.recording.clocks) or ()
    same = (c for c in recorded if properties and (c.index, c.name) == (properties.index, properties.name))
    return next(same, None)


def _measured(roofs: CpuRoofs) -> DeviceMatch:
    """The recording machine's CPU as it was measured, with a notice where others kept it busy meanwhile."""
    match = DeviceMatch(cpu(roofs), (), roofs.launch_floor_ns, _figures(roofs))
    if roofs.load is None:
        return match
    text = f"the CPU's roofs were measured while others kept the machine busy (load {roofs.load:.1f}): they "
    text += "are too low, and the step may be slowed as well; record again when it is idle"
    return replace(match, warnings=(Notice("roofs_measured_busy", text),))


def _other_threads(measured: int | None, trace: Trace) -> tuple[Notice, ...]:
    """Where a CPU's roofs were measured with another number of threads than the script computed with."""
    used = trace.recording.threads if trace.recording else None
    if not trace.on_cpu or not measured or not used or measured == used:
        return ()
    text = f"the CPU's roofs are those of {measured} threads, and the script computed with {used}"
    return (Notice("roofs_of_other_threads", text),)


def properties_of(devices: Sequence[DeviceProperties], index: int) -> DeviceProperties | None:
    """What is recorded of the device whose number the kernels carry; None where it is unknown.

    ROCm numbers devices by HSA agent, CPUs among them, so that a kernel of the only GPU may carry 2 or
    9. All visible devices are listed: where they are alike, it is one of those, whatever its number.
    """
    listed = next((entry for entry in devices if entry.index == index), None)
    alike = {replace(entry, index=index) for entry in devices}
    return listed or (alike.pop() if len(alike) == 1 else None)


def _chosen(name: str | None, file: str | None) -> DeviceMatch | None:
    if name is not None and file is not None:
        raise UsageError("--device and --device-file name two devices", fix="give one of them")
    if name is not None:
        return DeviceMatch(named(name))
    if file is None:
        return None
    spec = spec_from_file(file)
    return DeviceMatch(described(spec, file), (), spec.launch_floor_ns, _figures(spec))


def _figures(measured: CpuRoofs | DeviceSpec) -> CpuFigures:
    return CpuFigures(measured.rates, bool(measured.write_allocate), measured.cache_bytes)


def _same_kind(chosen: Device, trace: Trace) -> None:
    theirs = "cpu" if trace.on_cpu else "gpu"
    if chosen.kind != theirs:
        raise UsageError(
            f"{trace.path}: is {theirs.upper()} time, but {chosen.id} is a {chosen.kind.upper()}",
            fix=f'describe the {theirs.upper()} in a --device-file with kind = "{theirs}"',
        )


def _contradiction(recorded: Device, chosen: Device) -> tuple[Notice, ...]:
    """The option wins; a notice names what the trace records."""
    if recorded.how != "trace" or recorded.id == chosen.id:
        return ()
    message = f"recorded on {recorded.name!r} ({recorded.id}), compared with {chosen.id} as requested"
    return (Notice("device_overridden", message),)
