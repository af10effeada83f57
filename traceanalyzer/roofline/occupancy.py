"""How many blocks of a kernel a multiprocessor holds at once, and how many rounds the grid takes.

The trace's own `blocks per SM` is the grid divided by the multiprocessors, not residency. Limits and
allocation units are those of the CUDA C++ Programming Guide ("Technical Specifications per Compute
Capability") and of NVIDIA's occupancy calculator. Other vendors' traces record no registers: unknown.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from traceanalyzer.records.trace import DeviceProperties, Ids, Ints

Floats = npt.NDArray[np.float64]

_WARP = 32
_REGISTERS_PER_WARP_UNIT = 256
_PARTITIONS = 4  # a multiprocessor is four schedulers, each with its share of the registers
_MAX_BLOCKS = {
    "6.0": 32,
    "6.1": 32,
    "7.0": 32,
    "7.2": 32,
    "7.5": 16,
    "8.0": 32,
    "8.6": 16,
    "8.7": 16,
    "8.9": 24,
    "9.0": 32,
    "10.0": 32,
    "10.3": 32,
    "12.0": 24,
    "12.1": 24,
}
_SHARED_UNIT = {6: 256, 7: 256}  # 128 bytes from compute capability 8.0 on
_SHARED_RESERVED = 1024  # a block, from compute capability 8.0 on


def resident_blocks(
    threads: Ids, registers: Ids, shared_bytes: Ints, device: DeviceProperties | None
) -> Ints:
    """Blocks of each kernel that fit on one multiprocessor; 0 where the trace does not say. Shape (n,)."""
    unknown = np.zeros(len(threads), np.int64)
    if device is None or device.warp_size != _WARP:
        return unknown
    capability = device.compute_capability or ""
    most = _MAX_BLOCKS.get(capability)
    if most is None or not device.max_threads_per_multiprocessor:
        return unknown
    if not device.registers_per_multiprocessor or not device.shared_bytes_per_multiprocessor:
        return unknown
    warps = np.maximum(-(-threads.astype(np.int64) // _WARP), 1)
    by_threads = device.max_threads_per_multiprocessor // _WARP // warps
    by_registers = _warps_by_registers(registers, device.registers_per_multiprocessor) // warps
    by_shared = device.shared_bytes_per_multiprocessor // _shared(shared_bytes, capability)
    fit = np.minimum(np.minimum(by_threads, by_registers), np.minimum(by_shared, most))
    recorded = (threads > 0) & (registers > 0) & (shared_bytes >= 0)
    return np.where(recorded, fit, 0)


def waves(blocks: Ints, resident: Ints, multiprocessors: int | None) -> Floats:
    """Rounds of the grid over the whole device; nan where blocks, residency or the device is unknown."""
    slots = resident * float(multiprocessors or 0)
    recorded = (blocks >= 0) & (slots > 0)
    return np.where(recorded, blocks / np.where(recorded, slots, 1.0), np.nan)


def _warps_by_registers(registers: Ids, per_multiprocessor: int) -> Ints:
    """Warps a multiprocessor's registers hold; a scheduler's share serves whole warps only."""
    a_warp = np.maximum(registers.astype(np.int64), 1) * _WARP
    a_warp = -(-a_warp // _REGISTERS_PER_WARP_UNIT) * _REGISTERS_PER_WARP_UNIT
    held: Ints = per_multiprocessor // _PARTITIONS // a_warp * _PARTITIONS
    return held


def _shared(shared_bytes: Ints, capability: str) -> Ints:
    """Bytes a block takes, in allocation units and with what the system reserves; at least 1."""
    major = int(capability.partition(".")[0])
    unit = _SHARED_UNIT.get(major, 128)
    reserved = _SHARED_RESERVED if major >= 8 else 0
    taken: Ints = -(-(np.maximum(shared_bytes, 0) + reserved) // unit) * unit
    return np.maximum(taken, 1)
