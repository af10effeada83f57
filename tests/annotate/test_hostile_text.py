"""Text that is hard to cut: the place for an addition is found, or the row stays as it is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.annotate.copies import (
    KEY,
    added,
    annotate,
    annotated_rows,
    device_rows,
    facts,
    parsed,
    same_analysis,
    same_events,
    text_of,
)
from tests.annotate.test_annotate import SAMPLES, example
from tests.robustness.documents import committed, document
from traceanalyzer.cli import main

FRONT = '{"deviceProperties": [], "traceEvents": ['
ROW = (
    '{"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 1, "dur": 2, "args": {"stream": 7}}'
)


def written(folder: Path, *rows: str, front: str = FRONT, behind: str = "]}") -> Path:
    path = folder / "t.json"
    path.write_text(front + ",\n".join(rows) + behind, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "row",
    [
        ROW.replace('"args": {"stream": 7}', '"args": {}'),
        ROW.replace('"args": {"stream": 7}', '"args" :\t{ \n }'),
        ROW.replace(', "args": {"stream": 7}', ""),
        ROW.replace('{"stream": 7}', "null"),
        ROW.replace('"k"', r'"k<\"args\": {}>"'),
        ROW.replace('"k"', r'"k{\"args\":{\"x\":1}},{\"ph\""'),
        ROW.replace('"k"', r'"\\"'),
        ROW.replace('"k"', '"}, {"'),
        ROW.replace('"k"', '"args"'),
        ROW.replace('"k"', '"кернел 核 😀"'),
        ROW.replace('"args"', r'"\u0061rgs"'),
        ROW.replace('{"stream": 7}', '{"args": {"args": {}}, "stream": 7}'),
        ROW.replace('{"stream": 7}', '{"stream": 7, "list": [{"ph": "X"}, {"ph": "]"}]}'),
        ROW.replace(', "args": {"stream": 7}', ', "more": {"args": {"stream": 9}}'),
        ROW.replace(
            '{"stream": 7}', '{"stream": 7, "cost": 1.50e+00, "big": 123456789012345678901234567890}'
        ),
        ROW.replace('{"ph"', '{"args": {"stream": 7}, "ph"').replace(', "args": {"stream": 7}}', "}"),
        ROW.replace('"cat"', '"cname": "good", "cat"'),
        ROW.replace('"ts": 1,', '"ts": 1.000,'),
        ROW.replace(" ", "").replace(",", "\r\n ,\t"),
        ROW.replace('"cat": "kernel", ', '"cat": "Kernel", '),
    ],
)
def test_one_hard_row_among_others(row: str, tmp_path: Path) -> None:
    for rows in ([row], [row, ROW], [ROW, row, row, ROW]):
        trace = written(tmp_path, *rows)
        copy = annotate(trace, tmp_path)
        same_events(trace, copy)
        same_analysis(trace, copy)
        assert len(annotated_rows(parsed(copy))) == len(rows)


def test_of_two_arguments_the_last_counts(tmp_path: Path) -> None:
    twice = ROW.replace('"args"', '"args": {"stream": 1}, "args"')
    copy = annotate(written(tmp_path, twice), tmp_path)
    assert KEY in device_rows(parsed(copy))[0]["args"]
    assert text_of(copy).count(KEY.encode()) == 1


@pytest.mark.parametrize(
    ("broken", "has_place"),
    [
        (ROW.replace('"k"', '"a "quoted" name"'), True),
        (ROW.replace('"k"', '"C:\\users\\x"'), True),
        (ROW.replace('"k"', '"line\nbreak"'), True),
        (ROW.replace('"stream": 7', '"stream": 7, "occupancy": inf'), True),
        (ROW.replace('"stream": 7', '"stream": 7, "occupancy": NaN'), True),
        (ROW.replace('"k"', '"a "args": {} "quoted" name"'), False),
    ],
)
def test_a_row_that_is_no_json_is_read_as_before(broken: str, has_place: bool, tmp_path: Path) -> None:
    trace = written(tmp_path, ROW, broken, ROW)
    copy = annotate(trace, tmp_path)
    same_analysis(trace, copy)
    assert text_of(copy).count(b'"verdict"') == 2 + has_place


def test_bytes_that_are_not_utf8_stay(tmp_path: Path) -> None:
    trace = written(tmp_path, ROW, ROW.replace('"k"', '"XX"'), ROW)
    trace.write_bytes(trace.read_bytes().replace(b"XX", b"\xff\xfe{\xe4"))
    copy = annotate(trace, tmp_path)
    assert b'"name": "\xff\xfe{\xe4"' in text_of(copy)
    same_events(trace, copy)
    same_analysis(trace, copy)


@pytest.mark.parametrize(
    ("front", "behind"),
    [
        ("[", "]"),
        ("\ufeff" + FRONT, "]}\n\n"),
        (FRONT.replace("[]", '[{"id": 0, "name": "} , {"}]'), '], "traceName": "a]}{[", "x": [{"ph": "X"}]}'),
        ('{"a": {"traceEvents": [1]}, "traceEvents" :\n[\n', "\n] \n }\r\n"),
        (FRONT, ',]}'),
    ],
)  # fmt: skip
def test_what_is_round_the_events_stays(front: str, behind: str, tmp_path: Path) -> None:
    trace = written(tmp_path, ROW, ROW, front=front, behind=behind)
    copy = annotate(trace, tmp_path)
    same_analysis(trace, copy)
    text = text_of(copy).decode()
    assert text.startswith(front) and text.endswith(behind)
    if not behind.startswith(","):
        same_events(trace, copy)


@pytest.mark.parametrize("size", [1, 700, 5000])
def test_blocks_cut_events_anywhere(size: int, tmp_path: Path) -> None:
    """Far more text than a block, its rows as long as they come, so that borders fall everywhere."""
    t = example(2000)
    for number, row in enumerate(t.events):
        row["args"]["pad"] = "}, {" * (number * 7919 % size)
    trace = t.write(tmp_path / "t.json.gz")
    copy = annotate(trace, tmp_path)
    same_events(trace, copy)
    assert len(annotated_rows(parsed(copy))) == 2000


@pytest.mark.parametrize("members", [1, 3])
def test_packed_files(members: int, tmp_path: Path) -> None:
    text = json.dumps(example(50).document()).encode()
    cuts = [len(text) * part // members for part in range(members + 1)]
    trace = tmp_path / "named.json"
    trace.write_bytes(b"".join(gzip.compress(text[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)))
    copy = annotate(trace, tmp_path)
    same_events(trace, copy)
    same_analysis(trace, copy)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.77, 0.93, 0.999])
@pytest.mark.parametrize("bare", [False, True])
def test_what_breaks_off_is_closed_behind_its_last_whole_row(
    share: float, bare: bool, tmp_path: Path
) -> None:
    whole = example(400).document()
    text = json.dumps(whole["traceEvents"] if bare else whole).encode()
    trace = tmp_path / "t.json"
    trace.write_bytes(text[: int(share * len(text))])
    copy = annotate(trace, tmp_path)
    document = parsed(copy)  # valid JSON
    rows = [row for row in document["traceEvents"] if row.get("cat") != KEY]
    assert 0 < len(rows) <= len(whole["traceEvents"])
    names = [row["name"] for row in whole["traceEvents"][: len(rows)]]
    assert [row["name"] for row in rows] == names
    assert len(annotated_rows(document)) == sum(row["cat"] == "kernel" for row in rows)
    before, after = facts(trace), facts(copy)
    assert all(after[part] == before[part] for part in ("time", "window", "ops", "verdicts"))


def test_text_behind_the_events_that_breaks_off_is_left_out(tmp_path: Path) -> None:
    for behind in ("", "]", '], "traceName": "abc', '], "a": 1, "b"', '], "a": {"b": [1, 2', '], "a": 1,'):
        trace = written(tmp_path, ROW, ROW, behind=behind)
        copy = annotate(trace, tmp_path)
        assert len(annotated_rows(parsed(copy))) == 2, behind


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    trace = written(tmp_path, ROW, ROW, behind="")
    result = CliRunner().invoke(main, ["annotate", str(trace), "-o", str(tmp_path / "a.json"), "-q"])
    assert result.exit_code == 0 and result.stderr.startswith("traceanalyze: warning: truncated: ")


def test_a_damaged_stream(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(json.dumps(example(3000).document()).encode(), mtime=0))
    data[len(data) // 2] ^= 0xFF
    trace = tmp_path / "t.json.gz"
    trace.write_bytes(bytes(data))
    copy = annotate(trace, tmp_path)
    assert facts(copy)["time"] == facts(trace)["time"]


@pytest.mark.parametrize("name", committed())
def test_samples_as_if_on_a_gpu_and_sliced(name: str, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    trace.write_text(json.dumps(document(name)), encoding="utf-8")
    copy = annotate(trace, tmp_path)
    same_events(trace, copy)
    same_analysis(trace, copy)
    assert annotated_rows(parsed(copy)) and len(added(parsed(copy))) and SAMPLES
