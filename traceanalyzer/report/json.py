"""The Analysis as JSON, field by field; its schema; and reading a saved report back."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from traceanalyzer.records import (
    OPERATOR_CLASSES,
    SCHEMA_VERSION,
    VERDICTS,
    Analysis,
    Job,
    OpRow,
    StepTime,
    StepTimeline,
)
from traceanalyzer.records.critical_path import CriticalPath
from traceanalyzer.report.sanitize import cut, visible

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SLOWEST = 1.0  # bytes or FLOPs a second
_SMALLEST, _LARGEST = 1e-40, 1e60  # of numbers: FLOPs of tensors that 62 bits can count stay below
_SIGNED = ("device_start_ns", "clock_offset_ns")  # before a clock's 0, or another clock
_DATA = re.compile(rb'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def render(analysis: Analysis, top: int | None = None) -> str:
    """Every row, unrounded; two spaces of indentation. `top` is for people and changes nothing here."""
    shown = analysis if isinstance(analysis, Job) else Job.of(analysis)
    text = msgspec.json.encode(msgspec.structs.replace(shown, kernel_table=msgspec.UNSET))
    return msgspec.json.format(text, indent=2).decode() + "\n"


def schema_text() -> str:
    """JSON Schema (draft 2020-12) of a report, as shipped in `schema.json`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"traceanalyze report {SCHEMA_VERSION}",
        **_schema(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema() -> dict[str, Any]:
    """The model's, without what is not in the JSON."""
    schema = msgspec.json.schema(Job)
    del schema["$defs"]["Job"]["properties"]["kernel_table"]
    return schema


def read_back(content: bytes) -> Job:
    """The Analysis of a saved JSON report, or of the data inside an HTML page.

    ValueError, in one line, where it is of another version or no report at all.
    """
    inside = _DATA.search(content)
    text = inside.group(1) if inside else content
    try:
        version = msgspec.json.decode(text, type=_Version).schema_version
        _check_numbers(msgspec.json.decode(text))
    except _UNREADABLE as error:
        raise ValueError(f"no report of traceanalyze: {error}") from None
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise ValueError(
            f"its schema version is {cut(visible(version), 20)}, this program reads {SCHEMA_VERSION}"
        )
    try:
        analysis = msgspec.json.decode(text, type=Job)
    except _UNREADABLE as error:
        raise ValueError(f"not a report of schema version {SCHEMA_VERSION}: {error}") from None
    _check(analysis)
    return msgspec.structs.replace(
        analysis, op_rows=tuple(map(_as_made, analysis.op_rows)), critical_path=_path_as_made(analysis)
    )


class _Version(msgspec.Struct):
    schema_version: str


def _check_numbers(value: Any) -> None:
    """No number of a report is below 0, or so large or small that rates made of it have no number."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left += item
        elif isinstance(item, dict):
            left += [each for name, each in item.items() if name not in _SIGNED]
        elif isinstance(item, int | float) and item != 0 and not _SMALLEST <= item <= _LARGEST:
            raise ValueError(f"it holds {float(item):g}, which is no figure of a report")


def _check(analysis: Analysis) -> None:
    """What the types do not say and every renderer relies on."""
    if tuple(p.verdict for p in analysis.verdicts) != VERDICTS:
        raise ValueError("its verdicts are not the six in their order")
    if tuple(p.operator_class for p in analysis.operator_classes) != OPERATOR_CLASSES:
        raise ValueError("its operator classes are not the six in their order")
    if not analysis.source.files:
        raise ValueError("it names no source file")
    time, window_ns = analysis.time, analysis.window.window_ns
    if time.busy_ns + time.idle_ns != window_ns or sum(p.time_ns for p in analysis.verdicts) != time.busy_ns:
        raise ValueError("its times do not add up to its window")
    if any(not _adds_up(step) for step in analysis.step_rows or ()):
        raise ValueError("a step's times do not add up to it")
    if analysis.step_rows and sum(step.device_ns for step in analysis.step_rows) != window_ns:
        raise ValueError("its steps do not add up to its window")
    if max(share for p in analysis.verdicts for share in (p.share_of_busy, p.share_of_window)) > 1 + 1e-9:
        raise ValueError("a verdict has more than all of its time")
    if max((row.attributed_ns for row in analysis.op_rows), default=0) > time.busy_ns:
        raise ValueError("a row takes more than its busy time")
    if analysis.critical_path is not None and not _path_adds_up(analysis.critical_path):
        raise ValueError("its critical path does not add up")
    if any(not _is_whole(entry) for entry in analysis.step_timelines or ()):
        raise ValueError("a timeline's parts do not have a time for each of its bins")
    room = analysis.headroom
    if room is not None and not room.at_roofs_ns <= room.all_ns.low <= room.proved_ns.low <= room.now_ns:
        raise ValueError("its headroom is out of order")
    device = analysis.device
    rates = [device.bandwidth_bytes_per_s or _SLOWEST, *(peak.flop_per_s for peak in device.peaks)]
    if min(rates) < _SLOWEST:
        raise ValueError("it has a roof that no device has")


def _adds_up(step: StepTime) -> bool:
    parts = [*(part.time_ns for part in step.verdicts), *(part.time_ns for part in step.idle_by_cause)]
    return sum(parts) == step.device_ns


def _is_whole(entry: StepTimeline) -> bool:
    return entry.bin_ns > 0 and all(len(part.time_ns) == len(entry.phase) for part in entry.parts)


def _path_adds_up(path: CriticalPath) -> bool:
    parts = [*(part.time_ns for part in path.by_verdict), *(part.time_ns for part in path.other)]
    return sum(parts) == path.length_ns == sum(part.time_ns for part in path.by_module) <= path.step_ns


def _as_made(row: OpRow) -> OpRow:
    """Nested lists as tuples again, so that a report read back equals the one saved."""
    return msgspec.structs.replace(
        row, input_dims=_tuples(row.input_dims), input_strides=_tuples(row.input_strides)
    )


def _path_as_made(analysis: Analysis) -> CriticalPath | None:
    path = analysis.critical_path
    if path is None:
        return None
    ops = tuple(msgspec.structs.replace(row, input_dims=_tuples(row.input_dims)) for row in path.ops)
    return msgspec.structs.replace(path, ops=ops)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
