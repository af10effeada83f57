"""The device a trace was recorded on."""

from __future__ import annotations

from typing import Literal

import msgspec

from traceanalyzer.records.calls import Engine


class Peak(msgspec.Struct, frozen=True):
    """Dense peak of one engine at one precision, in FLOP/s, with fp32 accumulation."""

    engine: Engine
    precision: str
    flop_per_s: float


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The device a trace was recorded on, and the roofs that its rows are compared with."""

    id: str
    name: str
    kind: Literal["gpu", "cpu"]
    how: Literal["trace", "inferred", "derived", "flag", "file", "calibrated", "unknown"]
    confidence: str
    bandwidth_bytes_per_s: float | None = None
    l2_bytes: int | None = None
    multiprocessors: int | None = None
    peaks: tuple[Peak, ...] = ()
    provenance: str = ""

    def peak(self, engine: str, precision: str) -> float | None:
        """FLOP/s of (engine, precision); None where unknown, never another precision's peak."""
        for entry in self.peaks:
            if entry.engine == engine and entry.precision == precision:
                return entry.flop_per_s
        return None
