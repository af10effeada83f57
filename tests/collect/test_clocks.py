"""What the collector takes from the driver's properties of a GPU."""

from types import SimpleNamespace

import msgspec
import torch

from traceanalyzer.collect.clocks import clocks_of, gpu_clocks
from traceanalyzer.records import GpuClocks
from traceanalyzer.trace.reading.metadata import recording
from traceanalyzer.trace.reading.read_stats import ReadStats

# As torch.cuda.get_device_properties has it: kHz, kHz, bits.
A100 = SimpleNamespace(
    name="NVIDIA A100-PCIE-40GB", multi_processor_count=108, clock_rate=1410000, memory_clock_rate=1215000,
    memory_bus_width=5120, L2_cache_size=41943040,
)  # fmt: skip


def test_kilohertz_become_hertz() -> None:
    clocks = msgspec.convert(clocks_of(A100, 1), GpuClocks)
    assert (clocks.index, clocks.clock_hz, clocks.memory_clock_hz) == (1, 1.41e9, 1.215e9)
    assert clocks.memory_clock_hz and clocks.memory_bus_bits
    assert 2 * clocks.memory_clock_hz * clocks.memory_bus_bits / 8 == 1555.2e9  # the datasheet's 1,555 GB/s


def test_what_torch_does_not_tell_is_null() -> None:
    """torch before 2.9 has no clocks; a driver may report 0."""
    entry = clocks_of(SimpleNamespace(name="GPU", multi_processor_count=8, clock_rate=0), 0)
    assert entry["clock_hz"] is None and entry["memory_bus_bits"] is None and entry["multiprocessors"] == 8


def test_without_a_gpu_in_use_there_are_none() -> None:
    assert torch.cuda.is_initialized() or gpu_clocks() is None


def test_clocks_that_cannot_be_are_not_read() -> None:
    good = clocks_of(A100, 0)
    for bad in ({"clock_hz": 1.0}, {"memory_bus_bits": -1}, {"memory_clock_hz": 1e15}, {"name": 3}):
        read = recording({"torch": "2.13.0", "clocks": [good | bad]}, ReadStats())
        assert read is not None and read.clocks is None
    read = recording({"torch": "2.13.0", "clocks": [good]}, ReadStats())
    assert read is not None and read.clocks is not None and read.clocks[0].clock_hz == 1.41e9
