"""Broken files: what is repaired, what is kept of a cut-off file, and no traceback for any bytes."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trace import twin
from traceanalyzer.records.errors import TraceAnalyzerError
from traceanalyzer.trace.reading import blocks, source
from traceanalyzer.trace.reading.raw import Raw
from traceanalyzer.trace.reading.reader import read


def op(number: int, name: str = "aten::mm", **more: Any) -> dict[str, Any]:
    args = {"External id": number, "Input Dims": [[2, 3], [3, 4]], "Input type": ["float", "float"]}
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 7, "tid": 8, "ts": 1000.5 + 10 * number,
            "dur": 5.25, "args": args, **more}  # fmt: skip


def kernel(number: int, name: str = "gemm") -> dict[str, Any]:
    args = {"External id": number, "device": 0, "stream": 7, "correlation": number, "grid": [4, 2, 1],
            "block": [128, 1, 1], "blocks per SM": 1.5}  # fmt: skip
    return {"ph": "X", "cat": "kernel", "name": name, "pid": 0, "tid": 7, "ts": 1003.5 + 10 * number,
            "dur": 4.75, "args": args}  # fmt: skip


def launch(number: int) -> dict[str, Any]:
    args = {"External id": number, "cbid": 211, "correlation": number}
    return {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 7, "tid": 8,
            "ts": 1001.5 + 10 * number, "dur": 2.125, "args": args}  # fmt: skip


ROWS = [row(number) for number in range(1, 9) for row in (op, launch, kernel)]
HEAD = {"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "Tesla V100", "numSms": 80}]}
TAIL = {"traceName": "x.json", "baseTimeNanoseconds": 7889238000000000}


def text_of(rows: list[dict[str, Any]], indent: int | None = 2) -> str:
    return json.dumps({**HEAD, "traceEvents": rows, **TAIL}, indent=indent)


def read_text(tmp_path: Path, text: str | bytes) -> Raw:
    file = tmp_path / "trace.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(str(file))


def codes(raw: Raw) -> dict[str, int]:
    return {warning.code: warning.count for warning in raw.warnings}


def names(raw: Raw) -> list[str]:
    return [row[2] for row in twin.read_tables(raw)["kernels"]]


def renamed(name: str) -> Callable[[str], str]:
    return lambda text: text.replace("gemm", name)


def valued(value: str) -> Callable[[str], str]:
    return lambda text: text.replace(": 1.5", f": {value}")


REPAIRS: dict[str, tuple[Callable[[str], str | bytes], str, str]] = {
    "unescaped quotes": (renamed('ge"m"m'), 'ge"m"m', "repaired_quotes"),
    "one unescaped quote": (renamed('ge"mm'), 'ge"mm', "repaired_quotes"),
    "quotes around a comma": (renamed('f<"a", "b">(x)'), 'f<"a", "b">(x)', "repaired_quotes"),
    "quote before a colon": (renamed('op"":x'), 'op"":x', "repaired_quotes"),
    "quote and braces": (renamed('a"{"b}'), 'a"{"b}', "repaired_quotes"),
    "bad escape": (renamed(r"C:\dir\x"), r"C:\dir\x", "repaired_escapes"),
    "backslash before the closing quote": (renamed("D:\\"), "D:\\", "repaired_escapes"),
    "raw newline": (renamed("ge\nmm"), "ge\nmm", "repaired_control"),
    "raw control character": (renamed("ge\x01mm"), "ge\x01mm", "repaired_control"),
    "not UTF-8": (
        lambda t: t.encode().replace(b"gemm", b"ge\xff\xfemm"), "ge\ufffd\ufffdmm", "repaired_utf8"
    ),
    "bare inf": (valued("inf"), "gemm", "nonfinite_values"),
    "bare nan": (valued("-nan"), "gemm", "nonfinite_values"),
    "Infinity": (valued("-Infinity"), "gemm", "nonfinite_values"),
    "NaN and a newline": (
        lambda t: renamed("ge\nmm")(valued("NaN")(t)), "ge\nmm", "repaired_control"
    ),
}  # fmt: skip


@pytest.mark.parametrize("block", [200, 1 << 18])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("case", REPAIRS)
def test_repairs_are_made_and_counted(
    case: str, indent: int | None, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it, name, code = REPAIRS[case]
    for module in (source, blocks):
        monkeypatch.setattr(module, "BLOCK", block)
    raw = read_text(tmp_path, break_it(text_of(ROWS, indent)))
    assert names(raw) == [name] * 8
    whole = twin.tables([row if row["cat"] != "kernel" else {**row, "name": name} for row in ROWS])
    assert twin.read_tables(raw) == whole
    assert codes(raw) == {code: 8}
    assert raw.salvaged is None
    assert raw.devices[0].name == "Tesla V100"


def test_huge_integers_and_odd_types(tmp_path: Path) -> None:
    rows = [
        op(1), kernel(1), op(2, pid=None, tid=1.0), op(3, args=None), op(4, args=[1]), op(5, ts="1000"),
        op(6, dur=None), op(7, name=None), op(8, dur=-1), {"ph": "X"}, {"ph": "X", "cat": "cpu_op"}, {},
    ]  # fmt: skip
    rows[0]["args"]["External id"] = 10159970886766084423
    rows[1]["args"] |= {"correlation": 10**30, "registers per thread": 1e3, "shared memory": "12"}
    rows[1]["args"]["stream"] = "9"
    raw = read_text(tmp_path, text_of(rows))
    assert len(raw.ops.name) == 3
    assert raw.ops.call.tolist() == [0, 0, 1]
    assert raw.kernels.registers.tolist() == [1000]
    assert raw.kernels.shared_bytes.tolist() == [-1]
    assert raw.kernels.stream.tolist() == [9]
    assert raw.kernels.correlation[0] > 0
    assert codes(raw) == {"wrong_types": 2, "missing_fields": 3, "negative_duration": 1}
    assert raw.events == len(rows)


def test_clamped_rows_are_dropped_only_where_the_profiler_clamps(tmp_path: Path) -> None:
    rows = [op(1), op(2, ts=0, dur=0), kernel(1)]
    assert codes(read_text(tmp_path, text_of(rows))) == {"clamped_rows": 1}
    whole_us = [{**row, "ts": int(row["ts"]), "dur": 0} for row in rows]
    raw = read_text(tmp_path, json.dumps(whole_us))
    assert len(raw.ops.name) == 2
    assert codes(raw) == {"quantised_time": 1}


def test_unfinished_rows_leave_the_others_in_place(tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    rows[0] = op(1, args={**rows[0]["args"], "finished": False})
    rows[3] = op(2, "step", cat="user_annotation")
    raw = read_text(tmp_path, text_of(rows))
    assert codes(raw) == {"unfinished_rows": 1}
    assert raw.ops.annotation.tolist() == [True] + [False] * 6
    assert raw.names[raw.ops.name[0]] == "step"


@pytest.mark.parametrize("indent", [None, 2])
def test_cut_anywhere_keeps_every_complete_row(indent: int | None, tmp_path: Path) -> None:
    text = text_of(ROWS[:6], indent)
    first = text.index("[", text.index("traceEvents"))
    for length in range(first, len(text.rstrip("}\n "))):
        cut = text[:length]
        try:
            raw = read_text(tmp_path, cut)
        except TraceAnalyzerError:
            assert _complete_rows(cut[first + 1 :]) == 0
            continue
        complete = _complete_rows(cut[first + 1 :])
        assert raw.salvaged is not None
        assert raw.salvaged.kept_events == complete == raw.events - raw.salvaged.dropped_events
        assert raw.salvaged.dropped_events in (0, 1)
        assert twin.read_tables(raw)["kernels"] == twin.tables(ROWS[:complete])["kernels"]
        assert "truncated" in codes(raw)


def _complete_rows(text: str) -> int:
    rows, position = 0, 0
    decoder = json.JSONDecoder()
    while position < len(text):
        while position < len(text) and text[position] in " \n,":
            position += 1
        try:
            _, position = decoder.raw_decode(text, position)
        except ValueError:
            return rows
        rows += 1
    return rows


def test_cut_gzip_keeps_what_was_compressed_before(tmp_path: Path) -> None:
    noise = random.Random(1)
    rows = [op(n, f"aten::op{noise.random()}") for n in range(1, 4000)]
    whole = gzip.compress(text_of(rows).encode())
    raw = read_text(tmp_path, whole[: len(whole) // 2])
    assert raw.salvaged is not None
    assert 1000 < raw.salvaged.kept_events < 3000
    assert raw.bytes - 500 < (raw.salvaged.at_byte or 0) <= raw.bytes
    assert twin.read_tables(raw)["ops"] == twin.tables(rows[: raw.salvaged.kept_events])["ops"]


def test_damaged_gzip_keeps_what_came_before(tmp_path: Path) -> None:
    noise = random.Random(1)
    rows = [op(n, f"aten::op{noise.random()}") for n in range(1, 4000)]
    whole = bytearray(gzip.compress(text_of(rows).encode()))
    middle = len(whole) // 2
    whole[middle : middle + 200] = bytes(200)
    raw = read_text(tmp_path, bytes(whole))
    assert raw.salvaged is not None
    assert raw.salvaged.kept_events > 1000
    assert "corrupt_gzip" in codes(raw) or "unreadable_rows" in codes(raw)


def test_gzip_of_several_members_is_one_text(tmp_path: Path) -> None:
    text = text_of(ROWS).encode()
    raw = read_text(tmp_path, gzip.compress(text[:1000]) + gzip.compress(text[1000:]) + b"\0\0\0")
    assert twin.read_tables(raw) == twin.tables(ROWS)
    assert raw.salvaged is None


def test_a_hole_costs_the_rows_in_it(tmp_path: Path) -> None:
    text = bytearray(text_of(ROWS * 4).encode())
    middle = len(text) // 2
    text[middle : middle + 500] = b"\0" * 500
    raw = read_text(tmp_path, bytes(text))
    assert raw.salvaged is not None
    assert raw.salvaged.kept_events >= len(ROWS) * 4 - 5
    assert middle - 600 < (raw.salvaged.at_byte or 0) <= middle
    assert codes(raw)["unreadable_rows"] == raw.salvaged.dropped_events


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"note": "a "b" c", ', ""),
        ('"x": NaN, "y": [Infinity, {"z": "]"}], ', ""),
        ("", ', "INFO": ["a ] } {", "}], ["], "z": {"traceEvents": []}'),
        ("", ', "host_name": "a"b", "WARNING": ["x"]'),
    ],
)
def test_text_around_the_events_does_not_matter(before: str, after: str, tmp_path: Path) -> None:
    rows = json.dumps(ROWS)
    devices = json.dumps(HEAD["deviceProperties"])
    raw = read_text(
        tmp_path,
        f'{{{before}"deviceProperties": {devices}, "traceEvents": {rows}{after}, "baseTimeNanoseconds": 12}}',
    )
    assert twin.read_tables(raw) == twin.tables(ROWS)
    assert raw.devices[0].multiprocessors == 80
    assert raw.base_ns == 12
    assert raw.salvaged is None


def mutated(data: bytes, draw: Callable[[int], int]) -> bytes:
    """A few random deletions, overwritings, insertions and cuts."""
    for _ in range(1 + draw(3)):
        place, length = draw(len(data)), 1 + draw(40)
        kind = draw(6)
        if kind == 0:
            data = data[:place]
        elif kind == 1:
            data = data[:place] + data[place + length :]
        elif kind == 2:
            data = data[:place] + bytes(draw(256) for _ in range(length)) + data[place + length :]
        elif kind == 3:
            mark = b'{}[],:"\\\n\0'[draw(10) :][:1]
            data = data[:place] + mark + data[place:]
        elif kind == 4:
            data = data[:place] + data[place : place + length] * 2 + data[place + length :]
        else:
            data = data[:place] + data[place + 1 :]
    return data


def survives(data: bytes, tmp_path: Path) -> None:
    """A Raw of consistent columns, or an error that a user can read."""
    try:
        raw = read_text(tmp_path, data)
    except TraceAnalyzerError as error:
        assert "\n" not in str(error)
        assert error.fix
        return
    rows = twin.read_tables(raw)
    assert raw.salvaged is None or raw.salvaged.kept_events + raw.salvaged.dropped_events == raw.events
    assert sum(map(len, rows.values())) <= raw.events
    assert (raw.ops.end_ns >= raw.ops.start_ns).all()
    json.dumps(list(raw.names)).encode()


def fuzz(seeds: range, tmp_path: Path) -> None:
    texts = [text_of(ROWS, indent).encode() for indent in (None, 2)] + [json.dumps(ROWS).encode()]
    for seed in seeds:
        noise = random.Random(seed)
        data = mutated(noise.choice(texts), lambda limit, noise=noise: noise.randrange(max(limit, 1)))
        if noise.random() < 0.2:
            data = mutated(gzip.compress(data), lambda limit, noise=noise: noise.randrange(max(limit, 1)))
        survives(data, tmp_path)


def test_no_traceback_for_mutations(tmp_path: Path) -> None:
    fuzz(range(400), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("block", [64, 300, 5000])
def test_no_traceback_for_many_mutations(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (source, blocks):
        monkeypatch.setattr(module, "BLOCK", block)
    fuzz(range(1000, 11000), tmp_path)


json_like = st.text('{}[],:"\\ae1.-', max_size=99).map(lambda text: ("{" + text).encode())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | json_like)
def test_no_traceback_for_any_bytes(data: bytes, tmp_path: Path) -> None:
    survives(data, tmp_path)
    survives(b'{"traceEvents": [' + data, tmp_path)


def test_an_endless_row_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_LARGEST", 5000)
    for module in (source, blocks):
        monkeypatch.setattr(module, "BLOCK", 1000)
    text = text_of(ROWS, None).replace('], "traceName"', ', {"ph": "' + "x" * 20000 + '"}], "traceName"')
    raw = read_text(tmp_path, text)
    assert twin.read_tables(raw) == twin.tables(ROWS)
    assert raw.salvaged is not None
    assert (raw.salvaged.kept_events, raw.salvaged.dropped_events) == (len(ROWS), 1)
