"""`activity_of`: what a judged trace tells the job of its ranks."""

from __future__ import annotations

from traceanalyzer.records.judged import Judged
from traceanalyzer.records.rank_result import RankActivity


def activity_of(judged: Judged) -> RankActivity:
    """Of one judged device, when it took part in collectives; no columns of the trace are kept."""
    trace, window = judged.priced.trace, judged.window
    return RankActivity(
        rank=trace.rank, device_index=judged.device_index, path=trace.path, base_ns=trace.base_ns,
        window_start_ns=window.start_ns, window_end_ns=window.end_ns,
    )  # fmt: skip
