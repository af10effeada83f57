"""An annotated copy taken apart: what was added, and whether all else is as it was, numbers by their text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import traceanalyzer
from traceanalyzer.cli import main
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.report import render

KEY = "traceanalyze"
# Reserved names of chrome://tracing: catapult, tracing/tracing/base/color_scheme.html.
RESERVED = frozenset({
    "thread_state_uninterruptible", "thread_state_iowait", "thread_state_running",
    "thread_state_runnable", "thread_state_sleeping", "thread_state_unknown", "background_memory_dump",
    "light_memory_dump", "detailed_memory_dump", "vsync_highlight_color", "generic_work", "good", "bad",
    "terrible", "black", "grey", "white", "yellow", "olive", "rail_response", "rail_animation",
    "rail_idle", "rail_load", "startup", "heap_dump_stack_frame", "heap_dump_object_type",
    "heap_dump_child_node_arrow", "cq_build_running", "cq_build_passed", "cq_build_failed",
    "cq_build_abandoned", "cq_build_attempt_runnig", "cq_build_attempt_passed",
    "cq_build_attempt_failed",
})  # fmt: skip
_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset"}
Row = dict[str, Any]


class Number(str):
    """A number by its text: 1.50 is not 1.5 here."""


def text_of(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def parsed(path: Path) -> dict[str, Any]:
    text = text_of(path).decode("utf-8-sig", errors="replace")
    loaded = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number, strict=False)
    return loaded if isinstance(loaded, dict) else {"traceEvents": loaded}


def annotate(trace: Path, folder: Path, *options: str) -> Path:
    copy = folder / "annotated.json.gz"
    result = CliRunner().invoke(main, ["annotate", str(trace), "-o", str(copy), "--force", *options])
    assert result.exit_code == 0, result.output
    return copy


def added(document: dict[str, Any]) -> list[Row]:
    """Events of our own."""
    return [row for row in document["traceEvents"] if row.get("cat") == KEY]


def annotated_rows(document: dict[str, Any]) -> list[Row]:
    return [
        row for row in document["traceEvents"] if row.get("cat") != KEY and KEY in (row.get("args") or {})
    ]


def device_rows(document: dict[str, Any]) -> list[Row]:
    return [row for row in document["traceEvents"]
            if row.get("ph") == "X" and str(row.get("cat")).lower() in _DEVICE]  # fmt: skip


def without_additions(document: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """`document` with everything of ours taken out again; `before` says which rows had no arguments."""
    kept = [row for row in document["traceEvents"] if row.get("cat") != KEY]
    assert len(kept) == len(before["traceEvents"])
    rows = [_stripped(row, old) for row, old in zip(kept, before["traceEvents"], strict=True)]
    return document | {"traceEvents": rows}


def _stripped(row: Row, old: Row) -> Row:
    if KEY not in (row.get("args") or {}):
        return row
    args = {key: value for key, value in row["args"].items() if key != KEY}
    stripped = row | {"args": args}
    if not args and not old.get("args"):
        stripped.pop("args")
        stripped |= {"args": old["args"]} if "args" in old else {}
    if "cname" not in old:
        assert stripped.pop("cname") in RESERVED
    return stripped


def same_events(trace: Path, copy: Path) -> None:
    """Every event and member of the original is there, in its place, its numbers as they were written."""
    before, after = parsed(trace), parsed(copy)
    assert without_additions(after, before) == before
    follows_the_format(after)


def follows_the_format(document: dict[str, Any]) -> None:
    """Of what is added: the rules of the Trace Event Format for counters, instants and colors."""
    for row in added(document):
        assert row["ph"] in "Ci" and type(row["ts"]) is Number and "pid" in row and row["name"]
        if row["ph"] == "C":
            assert row["args"] and all(type(value) is Number for value in row["args"].values())
            assert all(float(value) >= 0 for value in row["args"].values())
        else:
            assert row["s"] in ("g", "p", "t") and "tid" in row
    assert all(row["cname"] in RESERVED for row in annotated_rows(document))


def facts(path: Path, options: AnalyzeOptions | None = None) -> Row:
    """All of an analysis but what it says of the file itself."""
    whole: Row = json.loads(render(traceanalyzer.analyze(path, options=options), "json"))
    whole.pop("source")
    for entry in whole.get("ranks") or ():
        entry.pop("path", None)
    return whole


def same_analysis(trace: Path, copy: Path) -> None:
    assert facts(copy) == facts(trace)
