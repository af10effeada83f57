"""What is added to a trace, as JSON text: an object in a row's arguments, a color, counters, instants."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from traceanalyzer.annotate.counters import Track
from traceanalyzer.records.annotations import CallCost
from traceanalyzer.records.suggestion import Suggestion
from traceanalyzer.records.vocabulary import Verdict

KEY = "traceanalyze"
# Names of chrome://tracing's reserved colors (catapult, tracing/tracing/base/color_scheme.html).
COLORS: Mapping[Verdict, str] = {
    "compute_bound": "rail_response",  # blue
    "memory_bound": "rail_animation",  # red
    "latency_bound": "rail_idle",  # orange
    "communication": "rail_load",  # green
    "copy": "detailed_memory_dump",  # purple
    "unmodelled": "grey",
}
_OURS = f'"{KEY}":{{"verdict":'.encode()
_COLORS = {verdict: f'"cname":"{color}",'.encode() for verdict, color in COLORS.items()}


class CallTexts:
    """The texts of one call of an op row; only the efficiency differs from record to record."""

    __slots__ = ("_behind", "_front", "_roof_ns", "color", "other")

    def __init__(self, call: CallCost) -> None:
        self.color = _COLORS[call.verdict]
        amounts = (call.flops, call.read_bytes, call.write_bytes)
        roof_ns = call.roof_ns if call.roof_ns is not None and math.isfinite(call.roof_ns) else None
        self._roof_ns = roof_ns
        self._front = _front(call, amounts)
        self._behind = f',"roof_ns":{_number(roof_ns)}}}'
        none = [0 if each is not None else None for each in amounts]
        roof = "null" if roof_ns is None else "0"
        self.other = f'{_front(call, none)}null,"roof_ns":{roof}}}'.encode()

    def of_call(self, call_ns: int) -> bytes:
        """Of the record that carries the cost of a call of so many ns."""
        has_roof = self._roof_ns is not None and call_ns > 0
        efficiency = self._roof_ns / call_ns if has_roof and self._roof_ns is not None else None
        return f"{self._front}{_number(efficiency)}{self._behind}".encode()


def is_annotated(row: bytes) -> bool:
    """Whether a row holds our object; in a string its quotes would be escaped."""
    return _OURS in row


def _front(call: CallCost, amounts: tuple[int | None, ...] | list[int | None]) -> str:
    named = zip(("flops", "read_bytes", "write_bytes"), amounts, strict=True)
    said = {"verdict": call.verdict, "limiter": call.limiter} | dict(named)
    return f'"{KEY}":{_compact(said)[:-1]},"efficiency":'


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.7g}"


def counters(track: Track, record: int, label: str, pid: str) -> bytes:
    """The changes of a track that one record makes, each with a comma in front. `pid`: as JSON."""
    begin, end = track.first[record], track.first[record + 1]
    if begin == end:
        return b""
    front = f',{{"ph":"C","cat":"{KEY}","name":{json.dumps(f"{track.name} ({label})")},"pid":{pid},"ts":'
    behind = f',"args":{{"{track.name}":'
    moments, values = track.time_ns[begin:end].tolist(), track.per_s[begin:end].tolist()
    rows = (f"{front}{us(ns)}{behind}{value}}}}}" for ns, value in zip(moments, values, strict=True))
    return "".join(rows).encode()


def instant(suggestion: Suggestion, time_ns: int, pid: str, tid: str) -> bytes:
    """A suggestion as an instant on the thread of its first record, with a comma in front."""
    band = suggestion.saving_per_step_ns
    said = {
        "rule": suggestion.rule, "action": suggestion.action, "where": suggestion.where,
        "count": suggestion.count, "evidence": suggestion.evidence, "tier": suggestion.tier,
        "saving_per_step_ns": {"low": band.low, "mid": band.mid, "high": band.high} if band else None,
        "saving_of": suggestion.saving_of, "cost_to_try": suggestion.cost_to_try, "docs": suggestion.docs,
    }  # fmt: skip
    row = (
        f',{{"ph":"i","s":"t","cat":"{KEY}","name":{json.dumps(suggestion.title)},"pid":{pid},"tid":{tid},'
        f'"ts":{us(time_ns)},"args":{_compact({KEY: said})}}}'
    )
    return row.encode()


def us(ns: int) -> str:
    """Nanoseconds as a trace writes them, in microseconds, exactly."""
    whole, part = divmod(abs(ns), 1000)
    sign = "-" if ns < 0 else ""
    return f"{sign}{whole}.{part:03d}" if part else f"{sign}{whole}"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
