"""The launch floor: the duration (ns) of a nearly empty kernel, below which bandwidth cannot be judged."""

from __future__ import annotations

import numpy as np

from traceanalyzer.records.judged import Thresholds
from traceanalyzer.records.trace import Ints


def gpu_floor_ns(duration_ns: Ints, priced_bytes: Ints, limits: Thresholds) -> int:
    """A low percentile of the durations of kernels that move next to nothing, within bounds.

    One entry a kernel; `priced_bytes` is its call's compulsory traffic, -1 where it is not priced.
    Kernels of a few KiB take 1.1 to 2 us on current parts; where the trace has too few, 2 us.
    """
    tiny = duration_ns[(priced_bytes >= 0) & (priced_bytes <= limits.floor_bytes)]
    if len(tiny) < limits.floor_kernels or not len(tiny):
        return round(limits.floor_default_ns)
    low = float(np.percentile(tiny, limits.floor_percentile))
    return round(min(max(low, limits.floor_min_ns), limits.floor_max_ns))


def cpu_floor_ns(measured_ns: int | None, limits: Thresholds) -> int:
    """The calibrated self time of a one-element add under the profiler, else the default."""
    return round(limits.floor_cpu_ns) if measured_ns is None else measured_ns
