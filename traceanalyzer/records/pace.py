"""Whether the host sets the pace of a step: then faster kernels only make the device wait longer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from traceanalyzer.records.times import IdlePart
from traceanalyzer.records.vocabulary import RULE_BY_CAUSE, IdleCause

_CAUSES: tuple[IdleCause, ...] = ("launch_gap", "data_loading", "host_work", "compilation")
_SHARE = 0.3  # of the window, that the device waits for a host that is busy
PACE_RULES = (*(RULE_BY_CAUSE[cause] for cause in _CAUSES), "compiled_launches")
"""Names of the rules that shorten the time in which the device waits for a busy host."""


def paced_ns(device: Literal["gpu", "cpu"], idle: Iterable[IdlePart], window_ns: int) -> int:
    """Idle time for which a GPU waits for a host that is busy; 0 where that is too little to set the pace.

    On a CPU the host is the device. `idle`: the parts by cause of a window of so many ns.
    """
    waited = sum(part.time_ns for part in idle if part.cause in _CAUSES)
    return waited if device == "gpu" and waited >= _SHARE * window_ns else 0
