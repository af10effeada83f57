"""A saved trace is the profiler's text, with our sections in front and a cut-off step renamed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from traceanalyzer.collect import trace_writer


@pytest.mark.parametrize("block", [7, 64, 1 << 20])
def test_the_text_is_kept_and_the_unfinished_step_renamed(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the blocks cut: `#1` is renamed, `#12` and the rest are as they were."""
    monkeypatch.setattr(trace_writer, "_BLOCK", block)
    names = ["ProfilerStep#1", "ProfilerStep#12", "aten::mm", "ProfilerStep#1"]
    raw = tmp_path / "raw.json"
    raw.write_text(json.dumps({"schemaVersion": 1, "traceEvents": [{"name": name} for name in names]}))
    target = tmp_path / "t.json.gz"
    trace_writer.write(target, raw, {"traceanalyze": '{"torch":"2.13"}', "more": "[1]"}, "ProfilerStep#1")
    found = json.loads(gzip.decompress(target.read_bytes()))
    assert list(found) == ["traceanalyze", "more", "schemaVersion", "traceEvents"]
    assert [e["name"] for e in found["traceEvents"]] == [
        "Unfinished 1", "ProfilerStep#12", "aten::mm", "Unfinished 1",
    ]  # fmt: skip
    assert found["traceanalyze"] == {"torch": "2.13"} and found["more"] == [1]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "t.json.gz"
    target.write_bytes(b"earlier")
    with pytest.raises(OSError):
        trace_writer.write(target, tmp_path / "missing.json", {})
    assert target.read_bytes() == b"earlier" and [p.name for p in tmp_path.iterdir()] == ["t.json.gz"]
