"""Repairing damaged text is work that grows as the text does, whatever stands in it.

Counted is the text that is looked at.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading import blocks, repair
from traceanalyzer.trace.reading.reader import read

ROWS = 1000  # of the smallest input
OP = '{"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 7, "tid": 8, "ts": %d, "dur": 5}'
INPUTS: dict[str, Callable[[int], str]] = {
    "lists": lambda i: f"[{i}, {i + 1}]",
    "numbers": lambda i: str(i),
    "texts": lambda i: f'"{i}"',
    "other objects, broken": lambda i: f'{{"id": {i}, "name": "a"b"}}',
    "objects never closed": lambda i: f'{{"ph": "X", "args": {{"name": "{i}"',
    "lists never closed": lambda i: f'[{{"ph": "X", "name": "{i}"}}',
    "a quote too many": lambda i: (OP % i).replace("aten", 'at"en'),
    "text never closed": lambda i: (OP % i).replace('mm"', "mm"),
    "backslashes": lambda i: (OP % i).replace("aten::mm", rf"C:\Users\me\x{i}.py"),
    "braces in texts": lambda i: (OP % i).replace("aten", '}, {"ph": "a"n'),
}


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of text that were decoded, in vain or not, and walked over."""
    total = [0]

    def counted(decode: Callable[..., Any]) -> Callable[..., Any]:
        def count(text: bytes | str, *args: Any, **options: Any) -> Any:
            total[0] += len(text)
            return decode(text, *args, **options)

        return count

    def walked(text: bytes, begin: int, limit: int | None = None) -> int | None:
        end = value_end(text, begin, limit)
        reached = end if end is not None and end >= 0 else limit or len(text)
        total[0] += reached - begin
        return end

    value_end = repair.value_end
    monkeypatch.setattr(repair, "value_end", walked)
    monkeypatch.setattr(repair, "decode_batch", counted(repair.decode_batch))
    monkeypatch.setattr(blocks, "decode_batch", counted(blocks.decode_batch))
    monkeypatch.setattr(repair.json, "loads", counted(json.loads))
    return total


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("kind", INPUTS)
def test_work_grows_as_the_text_does(kind: str, bare: bool, tmp_path: Path, looked_at: list[int]) -> None:
    work = []
    for size in (1, 2, 4):
        file = tmp_path / f"{size}.json"
        rows = ", ".join(INPUTS[kind](i) for i in range(size * ROWS))
        file.write_text(f"[{rows}]" if bare else f'{{"traceEvents": [{rows}]}}')
        looked_at[0] = 0
        with contextlib.suppress(TraceFormatError):
            read(str(file))
        work.append(looked_at[0])
    few = 12 * file.stat().st_size  # so little is in proportion, wherever blocks happen to begin
    assert work[2] <= max(5 * work[0], few), work
