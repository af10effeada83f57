"""Every real trace against json.load: same rows, names, times, arguments; refusals of what is no trace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trace import twin
from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.trace.reading.raw import Raw
from traceanalyzer.trace.reading.reader import read

FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")
TRACES = sorted(Path(FOLDER).rglob("*.json.gz")) if FOLDER else []
FOREIGN = [path for path in TRACES if path.name.startswith("not_")]
REAL = [path for path in TRACES if path not in FOREIGN]

pytestmark = pytest.mark.skipif(not FOLDER, reason="TRACEANALYZER_REAL_TRACES is not set")


@pytest.fixture(scope="module", params=REAL, ids=lambda path: path.name)
def trace(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Raw]:
    """The document as `json` reads it, and as we do."""
    return twin.load(request.param), read(str(request.param))


def test_same_rows_as_plain_json(trace: tuple[dict[str, Any], Raw]) -> None:
    document, raw = trace
    expected = twin.tables(document["traceEvents"])
    found = twin.read_tables(raw)
    for table, rows in expected.items():
        assert found[table] == rows, table
    assert raw.events == len(document["traceEvents"])
    assert raw.salvaged is None
    assert raw.base_ns == document.get("baseTimeNanoseconds", 0)
    listed = document.get("deviceProperties", [])
    assert [device.name for device in raw.devices] == [entry["name"] for entry in listed]


def test_calls_and_threads_are_distinct(trace: tuple[dict[str, Any], Raw]) -> None:
    document, raw = trace
    assert len(set(raw.calls)) == len(raw.calls)
    used = raw.ops.call[raw.ops.call >= 0]
    assert set(np.unique(used).tolist()) == set(range(len(raw.calls)))
    has_dims = raw.calls.facts.dims  # type: ignore[attr-defined]
    assert has_dims.tolist() == [any(dims != () for dims in call.shapes) for call in raw.calls]
    threads = {(e["pid"], int(e["tid"])) for e in document["traceEvents"]
               if e.get("cat") in {"cpu_op", "Operator", "user_annotation", "cuda_runtime", "cuda_driver",
                                   "Runtime"} and e["ph"] == "X"}  # fmt: skip
    assert len(np.unique(np.concatenate([raw.ops.thread, raw.launches.thread]))) == len(threads)


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path.name)
def test_foreign_files_are_refused_in_one_line(path: Path) -> None:
    with pytest.raises(TraceFormatError) as refusal:
        read(str(path))
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
    assert refusal.value.fix
