"""Thresholds, the launch floor, and waves."""

import numpy as np
import pytest

from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.records.trace import DeviceProperties
from traceanalyzer.roofline.floor import cpu_floor_ns, gpu_floor_ns
from traceanalyzer.roofline.occupancy import resident_blocks, waves
from traceanalyzer.roofline.thresholds import from_settings

DEFAULT = Thresholds()


def test_settings_change_one_limit_and_are_shown():
    limits = from_settings(["efficiency=0.5", " latency_floors = 4"])
    assert (limits.efficiency, limits.latency_floors) == (0.5, 4.0)
    assert limits.as_dict() == DEFAULT.as_dict() | {"efficiency": 0.5, "latency_floors": 4.0}
    assert from_settings([]) == DEFAULT


@pytest.mark.parametrize(
    "setting",
    [
        "efficency=0.5",
        "efficiency",
        "efficiency=",
        "efficiency=much",
        "efficiency=-1",
        "efficiency=nan",
        "efficiency=inf",
        "floor_percentile=101",
        "floor_min_ns=9000",
    ],
)
def test_wrong_settings(setting):
    with pytest.raises(UsageError, match="--set"):
        from_settings([setting])


def test_an_unknown_name_lists_the_names():
    with pytest.raises(UsageError) as caught:
        from_settings(["x=1"])
    assert all(name in caught.value.fix for name in DEFAULT.as_dict())


def floor(durations, priced):
    return gpu_floor_ns(np.array(durations, np.int64), np.array(priced, np.int64), DEFAULT)


def test_the_floor_is_a_low_percentile_of_tiny_kernels():
    durations = list(range(1000, 3000, 20))  # a hundred: the 10th percentile is 1198
    assert floor(durations, [65536] * 100) == 1198
    assert floor(durations + [100] * 500, [0] * 100 + [65537] * 500) == 1198, "large ones do not count"
    assert floor(durations + [100] * 500, [0] * 100 + [-1] * 500) == 1198, "unpriced ones do not count"


@pytest.mark.parametrize(("duration", "wanted"), [(200, 1000), (1500, 1500), (9000, 5000)])
def test_the_floor_is_within_bounds(duration, wanted):
    assert floor([duration] * 50, [64] * 50) == wanted


def test_too_few_tiny_kernels_leave_the_default():
    assert floor([1200] * 49, [64] * 49) == 2000
    assert floor([], []) == 2000


def test_the_floor_of_a_cpu_is_measured_or_the_default():
    assert cpu_floor_ns(None, DEFAULT) == 5000
    assert cpu_floor_ns(1700, DEFAULT) == 1700


A100 = DeviceProperties(0, "A100", 40 << 30, 108, "8.0", 32, 2048, 65536, 167936)


def resident(threads, registers, shared, device=A100):
    found = resident_blocks(np.array([threads]), np.array([registers]), np.array([shared]), device)
    return int(found[0])


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "wanted"),
    [
        (1024, 16, 0, 2),  # 2048 threads
        (128, 16, 0, 16),  # 64 warps
        (32, 16, 0, 32),  # at most 32 blocks
        (256, 255, 0, 1),  # 255 -> 8192 registers a warp: 8 warps
        (128, 128, 0, 4),  # 4096 a warp: 16 warps
        (128, 16, 49152, 3),  # 48 KiB + 1 reserved, three times in 164
        (128, 16, 163840, 1),
        (256, 33, 0, 6),  # 33 -> 1280 a warp: 12 a scheduler, 48 warps
    ],
)
def test_resident_blocks_by_each_limit(threads, registers, shared, wanted):
    """Worked by hand from the limits of compute capability 8.0."""
    assert resident(threads, registers, shared) == wanted


def test_residency_is_unknown_without_its_facts():
    assert resident(0, 16, 0) == 0
    assert resident(128, -1, 0) == 0
    assert resident(128, 16, -1) == 0
    assert resident(128, 16, 0, None) == 0
    amd = DeviceProperties(0, "AMD", 1, 304, "9.4", 64, 2048, 65536, 65536)
    assert resident(128, 16, 0, amd) == 0
    bare = DeviceProperties(0, "old", 1, 80, "7.0", 32)
    assert resident(128, 16, 0, bare) == 0


def test_waves():
    found = waves(np.array([108, 216, 54, -1, 100]), np.array([1, 1, 2, 1, 0]), 108)
    assert found[:3].tolist() == [1.0, 2.0, 0.25]
    assert np.isnan(found[3:]).all()
    assert np.isnan(waves(np.array([5]), np.array([1]), None)).all()
