"""Which rank the others wait for, and the sentence that says why, or why none is named."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from traceanalyzer.ranks.late import cause_of
from traceanalyzer.ranks.stages import Stages
from traceanalyzer.ranks.waits import Arrivals, Waits
from traceanalyzer.records.rank_work import RankWork
from traceanalyzer.records.units import duration

_STANDS_OUT = 0.01  # of the window
_MORE_WORK = 0.1  # of the others' compute, by which a stage of a pipeline is the slow one
_NEXT = 0.5  # of the median wait, up to which a second rank is named beside the first


class Verdict(msgspec.Struct, frozen=True):
    """The device that the others wait for, and why; or why there is none."""

    device: int | None
    reason: str


class Evidence(msgspec.Struct, frozen=True):
    """What the ranks of a job are compared by."""

    ranks: Sequence[RankWork]
    names: Sequence[str]  # "rank 3", of each device
    arrivals: Sequence[Arrivals]
    stages: Stages
    caveat: str = ""  # what is missing


def verdict(evidence: Evidence) -> Verdict:
    """The rank with least waiting, where the median of the others waits notably longer."""
    counted = [each for each in evidence.arrivals if not each.scheduled]
    waits = Waits.of(counted)
    late = _least(waits, evidence)
    if late is None and evidence.stages.any:
        late = _slow_stage(evidence)
        if late is None:
            return Verdict(None, f"{_pipelined(evidence)}{evidence.caveat}")
    if late is None:
        return Verdict(None, f"{_none_stands_out(waits, evidence)}{evidence.caveat}")
    return Verdict(late, f"{_late(late, waits, evidence)}{evidence.caveat}")


def _least(waits: Waits, evidence: Evidence) -> int | None:
    waited = waits.waited_ns
    if len(waited) < 2:
        return None
    late = min(waited, key=lambda device: (waited[device], -waits.waited_for_ns[device], device))
    others = median(ns for device, ns in waited.items() if device != late)
    window = evidence.ranks[late].entry.window_ns
    return late if others - waited[late] > _STANDS_OUT * window else None


def _slow_stage(evidence: Evidence) -> int | None:
    """The stage that computes most, by more than stages commonly differ."""
    compute = {device: evidence.ranks[device].compute_ns for device in evidence.stages.pipeline}
    slowest = max(compute, key=lambda device: (compute[device], -device))
    usual = median(ns for device, ns in compute.items() if device != slowest)
    window = evidence.ranks[slowest].entry.window_ns
    waited = Waits.of(evidence.arrivals).waited_ns
    if compute[slowest] < (1 + _MORE_WORK) * usual or compute[slowest] - usual < _STANDS_OUT * window:
        return None
    return slowest if waited.get(slowest) == min(waited.values(), default=None) else None


def _late(device: int, waits: Waits, evidence: Evidence) -> str:
    name, steps = evidence.names[device], evidence.ranks[device].step_count
    why = cause_of(evidence.ranks, device) or "nothing in its own work or idle time explains it"
    if device not in waits.waited_ns or _least(waits, evidence) != device:
        return f"{name} is the slowest stage of a pipeline: {why}; stages do unlike work"
    others = [ns for other, ns in waits.waited_ns.items() if other != device]
    units = steps or 1
    per = " per step" if steps else ""
    typical = duration(median(others) / units)
    text = f"the others wait for {name}: in collectives they wait {typical}{per} (median), it waits "
    text += f"{duration(waits.waited_ns[device] / units)}{_beside(device, waits, evidence)}; {why}"
    return text


def _beside(device: int, waits: Waits, evidence: Evidence) -> str:
    """A second rank that waits far less than most."""
    typical = median(waits.waited_ns.values())
    few = [(ns, other) for other, ns in waits.waited_ns.items() if other != device]
    ns, other = min(few)
    if len(few) < 2 or ns >= typical * (0.5 + _NEXT / 2) or ns > typical - _STANDS_OUT * typical:
        return ""
    units = evidence.ranks[device].step_count or 1
    return f", next is {evidence.names[other]} with {duration(ns / units)}"


def _none_stands_out(waits: Waits, evidence: Evidence) -> str:
    if not waits.waited_ns:
        return "which rank the others wait for is not known: no collective could be matched across ranks"
    least, most = min(waits.waited_ns.values()), max(waits.waited_ns.values())
    window = min(evidence.ranks[device].entry.window_ns for device in waits.waited_ns)
    spread = f"they wait {duration(least)} to {duration(most)} each in a window of {duration(window)}"
    return f"no rank stands out: {spread}"


def _pipelined(evidence: Evidence) -> str:
    waited = Waits.of(evidence.arrivals).waited_ns
    least, most = min(waited.values(), default=0), max(waited.values(), default=0)
    return (
        "no rank stands out: these are stages of a pipeline, whose shapes and work are unlike, and they wait "
        f"{duration(least)} to {duration(most)} by its schedule"
    )
