"""What the user says goes before what the trace records, and contradictions are said or refused."""

from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from msgspec.structs import replace as replace_fields

from traceanalyzer.device import resolve
from traceanalyzer.device.table import DeviceSpec
from traceanalyzer.device.toml import toml_block
from traceanalyzer.records import CpuRoofs, FunctionRate, GpuClocks, Peak, Recording
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.judged import CpuFigures
from traceanalyzer.records.trace import DeviceProperties

H100 = DeviceProperties(0, "NVIDIA H100 80GB HBM3", 85018279936, 132, "9.0", 32)
UNKNOWN = DeviceProperties(1, "Quadro GX100", 17069309952, 56, "6.0", 32)


def trace(*devices, on_cpu=False, recording=None):
    """The part of a Trace that matters here."""
    return SimpleNamespace(path="t.json", devices=devices, on_cpu=on_cpu, recording=recording, amd=False)


def codes(match):
    return [warning.code for warning in match.warnings]


def test_each_device_of_a_trace_is_matched_by_its_own_number():
    both = trace(UNKNOWN, H100)
    assert resolve(both, 0).device.id == "h100-sxm5"
    assert resolve(both, 1).device.how == "unknown"
    assert resolve(both, 1).device.multiprocessors == 56
    assert codes(resolve(both, 2)) == ["no_device"], "no entry with that number, and they differ"


def test_a_number_that_is_not_listed_is_one_of_those_that_are_if_they_are_alike():
    """ROCm's kernels carry an agent's number: 9 in a process that sees a single MI300X, listed as 0."""
    mi300x = DeviceProperties(0, "AMD Instinct MI300X", 206141652992, 304, "9.4", 64)
    assert resolve(trace(mi300x), 9).device.id == "mi300x"
    assert resolve(trace(mi300x, replace(mi300x, index=1)), 9).device.id == "mi300x"
    assert resolve(trace(mi300x, replace(mi300x, index=1, multiprocessors=38)), 9).device.how == "unknown"
    assert resolve(trace(), 0).device.how == "unknown"


def test_a_named_device_is_believed_and_the_contradiction_said():
    match = resolve(trace(H100), 0, name="a100-sxm4-80gb")
    assert (match.device.id, match.device.how) == ("a100-sxm4-80gb", "flag")
    assert codes(match) == ["device_overridden"]
    assert codes(resolve(trace(H100), 0, name="h100-sxm5")) == []
    assert codes(resolve(trace(UNKNOWN), 1, name="p100-sxm2")) == []


def test_a_bandwidth_and_a_peak_answer_for_an_unknown_device():
    match = resolve(trace(UNKNOWN), 1, peaks=["fp32=10.3T"], bandwidth="717GB/s")
    assert match.device.bandwidth_bytes_per_s == 717e9
    assert (match.device.how, codes(match)) == ("flag", [])
    assert codes(resolve(trace(UNKNOWN), 1, bandwidth="717GB/s")) == ["no_device"]


def test_a_cpu_has_its_recorded_roofs_or_none():
    roofs = CpuRoofs(name="EPYC", bandwidth_bytes_per_s=2e10, peaks=(Peak("matrix", "fp32", 1e11),))
    recorded = trace(on_cpu=True, recording=Recording(cpu_roofs=roofs))
    assert resolve(recorded, 0).device.how == "calibrated"
    assert resolve(trace(on_cpu=True), 0).device.how == "unknown"


@pytest.mark.parametrize("given", [(), ("--bandwidth",)])
def test_what_was_measured_of_a_cpu_beside_its_roofs_reaches_the_judgment(given, tmp_path):
    """From a recording, with a figure of the user's beside it, and from a device file."""
    rates = (FunctionRate("exp", "fp32", 1e9),)
    roofs = CpuRoofs(name="EPYC", bandwidth_bytes_per_s=2e10, peaks=(), rates=rates, write_allocate=True,
                     cache_bytes=2**25)  # fmt: skip
    figures = CpuFigures(rates, write_allocate=True, cache_bytes=2**25)
    recorded = trace(on_cpu=True, recording=Recording(cpu_roofs=roofs))
    assert resolve(recorded, 0, bandwidth="30GB/s" if given else None).cpu == figures
    spec = DeviceSpec(id="epyc", kind="cpu", rates=rates, write_allocate=True, cache_bytes=2**25)
    path = tmp_path / "cpu.toml"
    path.write_text(toml_block(spec))
    assert resolve(trace(on_cpu=True), 0, file=str(path)).cpu == figures
    assert resolve(trace(on_cpu=True), 0).cpu == CpuFigures()


def test_cpu_time_is_never_held_against_a_gpu(tmp_path):
    with pytest.raises(UsageError, match="CPU"):
        resolve(trace(on_cpu=True), 0, name="h100-sxm5")
    path = tmp_path / "cpu.toml"
    path.write_text('[[device]]\nid = "epyc"\nkind = "cpu"\nbandwidth_bytes_per_s = 1e11\n')
    assert resolve(trace(on_cpu=True), 0, file=str(path)).device.id == "epyc"
    with pytest.raises(UsageError, match="GPU"):
        resolve(trace(H100), 0, file=str(path))


def test_two_devices_are_refused():
    with pytest.raises(UsageError, match="two devices"):
        resolve(trace(H100), 0, name="b200", file="x.toml")


def test_recorded_clocks_are_those_of_the_same_device():
    """Number and name have to agree: a recording may be of other devices than the trace's."""
    novel = DeviceProperties(0, "NVIDIA GeForce RTX 4095", 24 * 2**30, 130, "8.9", 32)
    clocks = GpuClocks(index=0, name=novel.name, clock_hz=2.5e9, memory_clock_hz=10.5e9, memory_bus_bits=384)
    match = resolve(trace(novel, recording=Recording(clocks=(clocks,))), 0)
    assert (match.device.how, match.device.bandwidth_bytes_per_s) == ("derived", 1.008e12)
    assert codes(match) == ["device_derived"]
    for other in (replace_fields(clocks, index=1), replace_fields(clocks, name="NVIDIA T4")):
        assert resolve(trace(novel, recording=Recording(clocks=(other,))), 0).device.how == "unknown"
    assert (
        resolve(trace(novel, recording=Recording(clocks=(clocks,))), 0, name="rtx-4090").device.how == "flag"
    )
