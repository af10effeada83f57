"""Whatever the layout of a valid document and whichever path reads it: the rows of json.load."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trace import twin
from traceanalyzer.trace.reading import blocks, repair, source
from traceanalyzer.trace.reading.reader import read

NASTY = ('}, {"ph": "X", "name": "', '}], "traceName": "x"}', "]", "\\", '"', "void f<float, 4>(a[], b)",
         "{", "}", "\t", "µ ☃", "\u2028", "NaN", "traceEvents", '"traceEvents": [')  # fmt: skip
names = st.one_of(st.sampled_from(NASTY), st.text(max_size=12)).map(
    lambda text: text.encode("utf-8", "replace").decode()
)
sizes = st.integers(0, 4096)
dims = st.lists(st.one_of(st.lists(sizes, max_size=4), st.lists(st.lists(sizes, max_size=3), max_size=3)),
                max_size=3)  # fmt: skip
whole_us = st.integers(1, 2**50)
millis = st.integers(1, 10**15).map(lambda thousandths: round(thousandths / 1000, 3))
nested = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    | st.lists(st.fixed_dictionaries({"name": inner, "id": inner}), max_size=3),
    max_leaves=6,
)  # fmt: skip
ids = st.integers(1, 2**40)
op_args = st.fixed_dictionaries(
    {},
    optional={
        "External id": ids, "Input Dims": dims, "Input type": st.lists(names, max_size=3),
        "Input Strides": dims, "Concrete Inputs": st.lists(names, max_size=3), "Sequence number": ids,
        "Fwd thread id": st.integers(0, 3), "kernel_kwargs": nested, "stream": st.integers(0, 9), "x": nested,
    },
)  # fmt: skip
volumes = st.lists(st.integers(1, 99), min_size=3, max_size=3)
gpu_args = st.fixed_dictionaries(
    {"device": st.integers(0, 7), "stream": st.integers(0, 99)},
    optional={
        "External id": ids, "correlation": st.integers(-1, 2**40), "grid": volumes, "block": volumes,
        "registers per thread": st.integers(0, 255), "shared memory": st.integers(0, 2**17), "bytes": ids,
        "Collective name": names, "blocks per SM": nested,
    },
)  # fmt: skip


def event(cat: st.SearchStrategy[str], args: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({
        "ph": st.just("X"), "cat": cat, "name": names, "pid": st.integers(0, 9), "tid": st.integers(0, 99),
        "ts": whole_us | millis, "dur": st.integers(0, 10**9) | millis, "args": args,
    })  # fmt: skip


flow = st.fixed_dictionaries({"ph": st.sampled_from("sf"), "cat": st.just("ac2g"), "id": ids, "pid": ids,
                              "tid": names, "ts": whole_us, "name": names})  # fmt: skip
any_args = st.dictionaries(names, nested, max_size=2)
other = st.fixed_dictionaries({"ph": st.sampled_from("iCM"), "name": names, "args": any_args})
events = st.lists(
    st.one_of(
        event(st.sampled_from(["cpu_op", "user_annotation"]), op_args),
        event(st.sampled_from(["kernel", "gpu_memcpy", "gpu_memset"]), gpu_args),
        event(st.sampled_from(["cuda_runtime", "cuda_driver"]), gpu_args),
        event(st.sampled_from(["python_function", "Trace", "made_up"]), op_args),
        flow,
        other,
    ),
    max_size=12,
)
metadata = st.dictionaries(names.filter(lambda name: name != "traceEvents"), nested, max_size=3)
layouts = st.sampled_from(
    [
        {"indent": None},
        {"indent": 2},
        {"indent": 0},
        {"separators": (",", ":")},
        {"indent": 4, "ensure_ascii": False},
    ]  # fmt: skip
)
anchor = {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1, "ts": 10, "dur": 5,
          "args": {"Input Dims": [[2, 3], [3, 4]], "Input type": ["float", "float"]}}  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[dict[str, Any]]]:
    """Text of a trace, and its events."""
    rows = draw(events)
    rows.insert(draw(st.integers(0, len(rows))), anchor)
    order = random.Random(draw(st.integers(0, 9)))
    rows = [dict(order.sample(list(row.items()), len(row))) for row in rows]
    members = [*draw(metadata).items(), ("baseTimeNanoseconds", 7889238000000000)]
    members.insert(draw(st.integers(0, len(members))), ("traceEvents", rows))
    bare = draw(st.booleans())
    text = json.dumps(rows if bare else dict(members), **draw(layouts)).encode()
    return text, rows


def refuse(*_: object) -> Any:
    raise msgspec.DecodeError("not this path")


def set_path(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    if path != "one block":
        for module in (source, blocks):
            monkeypatch.setattr(module, "BLOCK", 300)
    if path in ("rows", "lenient"):
        monkeypatch.setattr(blocks, "decode_batch", refuse)
    if path == "lenient":
        monkeypatch.setattr(repair, "decode_batch", refuse)


@pytest.mark.parametrize("path", ["one block", "blocks", "rows", "lenient"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture,
                                                                  HealthCheck.too_slow])  # fmt: skip
@given(document=documents(), zipped=st.booleans())
def test_every_path_agrees_with_json(
    document: tuple[bytes, list[dict[str, Any]]], zipped: bool, path: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    text, rows = document
    file = tmp_path / "trace.json"
    file.write_bytes(gzip.compress(text) if zipped else text)
    with monkeypatch.context() as patch:
        set_path(patch, path)
        raw = read(str(file))
    assert twin.read_tables(raw) == twin.tables(rows)
    assert raw.events == len(rows)
    assert raw.bytes == len(text)
    assert raw.salvaged is None
    assert len(set(raw.calls)) == len(raw.calls)
