"""Residency against the theoretical occupancy that CUPTI itself wrote into real traces."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from traceanalyzer.records.trace import DeviceProperties
from traceanalyzer.roofline.occupancy import resident_blocks

FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")
FILES = sorted(Path(FOLDER).glob("*.json.gz")) if FOLDER else []


def kernels_and_devices(path):
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        try:
            data = json.load(file, strict=False)
        except json.JSONDecodeError:
            return [], {}
    if not isinstance(data, dict):
        return [], {}
    wanted = ("registers per thread", "shared memory", "block", "grid", "est. achieved occupancy %")
    rows = [event["args"] for event in data.get("traceEvents", ()) if "args" in event]
    return [a for a in rows if all(key in a for key in wanted)], {
        d["id"]: d for d in data.get("deviceProperties", ()) if d.get("warpSize") == 32
    }


def properties(raw):
    return DeviceProperties(
        0,
        raw["name"],
        None,
        raw["numSms"],
        f"{raw['computeMajor']}.{raw['computeMinor']}",
        32,
        raw["maxThreadsPerMultiprocessor"],
        raw.get("regsPerMultiprocessor"),
        raw.get("sharedMemPerMultiprocessor"),
    )


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER, reason="TRACEANALYZER_REAL_TRACES is not set")
def test_occupancy_of_large_grids():
    """Where the grid fills the device, occupancy = resident warps / most warps, in whole percent."""
    assert sum(compared(path) for path in FILES) > 1000


def compared(path):
    """How many kernels of one trace were compared; a grid must fill the device several times over."""
    rows, devices = kernels_and_devices(path)
    large = [r for r in rows if r.get("device") in devices and np.prod(r["grid"]) > 64 * 200]
    if not large:
        return 0
    threads = np.array([np.prod(r["block"]) for r in large])
    registers = np.array([r["registers per thread"] for r in large])
    shared = np.array([r["shared memory"] for r in large])
    device = properties(devices[large[0]["device"]])
    resident = resident_blocks(threads, registers, shared, device)
    ours = resident * -(-threads // 32) / (device.max_threads_per_multiprocessor // 32) * 100
    theirs = np.array([r["est. achieved occupancy %"] for r in large])
    known = (resident > 0) & (theirs > 0)  # the profiler writes 0 where it could not work it out
    np.testing.assert_allclose(ours[known], theirs[known], atol=1, err_msg=path.name)
    return int(known.sum())
