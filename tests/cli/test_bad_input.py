"""Odd input: one line with what, where and the fix, exit 2; a report with a warning where one is possible."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.pipeline.kineto import Kineto
from traceanalyzer.cli import main
from traceanalyzer.records.notice import DAMAGE
from traceanalyzer.trace.reading.read_stats import MESSAGES

HALF = "c10::BFloat16"


def run(*args: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], input=stdin)


def example() -> Kineto:
    t = Kineto()
    for i in range(50):
        t.run("aten::add", 10 * i, "vectorized_kernel", 1000 + 200 * i, 100,
              ([4096, 4096], HALF), ([4096, 4096], HALF))  # fmt: skip
    return t


def refused(result: Result, *words: str) -> None:
    """Exit 2 and exactly one line that says what, where and the fix."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert re.fullmatch(r"traceanalyze: .+ Fix: .+", lines[0]), lines[0]
    for word in words:
        assert word.lower() in lines[0].lower(), (word, lines[0])


def saved(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.json", b"", ["empty"]),
        ("blank.json", b"  \n", ["empty"]),
        ("text.json", b"hello, world", ["not JSON"]),
        ("number.json", b"42", []),
        (
            "train.py",
            b"import torch\n",
            ["is a Python script, not a trace", "traceanalyze profile ", "train.py`"],
        ),
        ("blank.py", b"# {\n", ["traceanalyze profile"]),
        ("train.ipynb", b'{"cells": [], "metadata": {}, "nbformat": 4}', ["is a notebook"]),
        ("object.json", b'{"a": 1}', ["traceEvents"]),
        ("execution.json", b'{"schema": "1.1.1", "nodes": [{"id": 1, "name": "x"}]}', ["executiontrace"]),
        ("speedscope.json", b'{"$schema": "https://www.speedscope.app/x.json", "profiles": []}', []),
        ("other.json", b'[{"name": "a", "ph": "B", "pid": 1, "tid": 1, "ts": 1}]', []),
        ("nothing.json", b'{"schemaVersion": 1, "traceEvents": []}', []),
        ("binary.json", bytes(range(256)) * 10, []),
        ("image.json.gz", b"\x1f\x8bnot really gzip", []),
    ],
)
def test_refused_in_one_line(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    path = saved(tmp_path, name, content)
    refused(run("report", path), str(path), *words)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refused(run("report", tmp_path / "none.json"), "none.json")
    refused(run("report", tmp_path), str(tmp_path))


def test_zip_is_named_for_what_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.json", "{}")
    refused(run("report", tmp_path / "t.zip"), "zip")


@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_off_file_is_reported_with_a_warning(tmp_path: Path, packed: bool) -> None:
    text = json.dumps(example().document()).encode()
    content = gzip.compress(text)[:-200] if packed else text[: len(text) * 2 // 3]
    path = saved(tmp_path, "cut.json.gz" if packed else "cut.json", content)
    out = tmp_path / "r.json"
    result = run("report", path, "-o", out, "-o", tmp_path / "r.html", "-o", tmp_path / "r.md")
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    kept = report["source"]["salvaged"]["kept_events"]
    assert 0 < kept < 150
    assert "damaged" in result.stderr
    assert str(kept) in (tmp_path / "r.html").read_text()


def test_a_file_cut_off_before_its_gpu_rows_blames_the_cut(tmp_path: Path) -> None:
    document = example().document()
    document["traceEvents"].sort(key=lambda row: row["cat"] == "kernel")
    text = json.dumps(document)
    path = saved(tmp_path, "cut.json", text[: text.index('"cat": "kernel"')].encode())
    said = run("report", path, "-o", tmp_path / "r.json")
    assert said.exit_code == 0, said.output
    report = json.loads((tmp_path / "r.json").read_text())
    (told,) = [n["message"] for n in report["source"]["warnings"] if n["code"] == "gpu_not_captured"]
    assert "the file ends before its rows" in told and "CUPTI" not in told
    assert report["suggestions"] is None and report["headroom"] is None  # the host's time is not the GPU's
    shown = " ".join(said.stderr.split())
    assert "all behind them are missing" in shown and " lost." not in shown


def damaged(kind: str) -> bytes:
    text = json.dumps(example().document()).encode()
    match kind:
        case "truncated":
            return text[: len(text) * 2 // 3]
        case "corrupt_gzip":
            packed = bytearray(gzip.compress(text))
            packed[len(packed) * 2 // 3] ^= 0xFF
            return bytes(packed)
        case "unreadable_rows":
            return text.replace(b'"dur": 100', b'"dur": 1oo', 1)
        case "wrong_types":
            return text.replace(b'"dur": 100', b'"dur": {"a": []}', 1)
        case _:
            return text


@pytest.mark.parametrize("kind", ["truncated", "corrupt_gzip", "unreadable_rows", "wrong_types"])
def test_a_quiet_report_still_says_what_is_wrong_with_the_file(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path, "t.json", damaged(kind))
    out = tmp_path / "r.json"
    result = run("report", path, "-q", "-o", out)
    assert result.exit_code == 0, result.output
    source = json.loads(out.read_text())["source"]
    codes = [notice["code"] for notice in source["warnings"]]
    assert kind in codes
    lines = result.stderr.splitlines()
    assert sum(line.startswith(f"traceanalyze: warning: {kind}: ") for line in lines) == 1, result.stderr
    salvage = [line for line in lines if f"{path}: is damaged: " in line]
    assert len(salvage) == (source["salvaged"] is not None)
    assert len(lines) == len(salvage) + len([code for code in codes if code in DAMAGE])
    again = run("report", out, "-q", "-o", tmp_path / "again.md")
    assert again.stderr == result.stderr, "a saved report says the same of its trace"


def test_a_quiet_report_of_a_whole_file_says_nothing(tmp_path: Path) -> None:
    result = run("report", saved(tmp_path, "t.json", damaged("none")), "-q", "-o", tmp_path / "r.json")
    assert result.exit_code == 0 and result.stderr == ""


def test_every_code_of_damage_is_one_that_the_reader_gives() -> None:
    assert set(MESSAGES) >= DAMAGE - {"rank_failed"}
    assert {code for code in MESSAGES if code.startswith(("truncated", "corrupt", "unreadable"))} <= DAMAGE


def test_gpu_listed_but_not_captured_is_never_presented_as_the_gpus(tmp_path: Path) -> None:
    t = Kineto()
    t.op("aten::mm", 0, 100, ([64, 64], "float"), ([64, 64], "float"))
    out = tmp_path / "r.json"
    assert run("report", t.write(tmp_path / "t.json"), "-o", out).exit_code == 0
    report = json.loads(out.read_text())
    assert "gpu_not_captured" in [w["code"] for w in report["source"]["warnings"]]
    assert report["device"]["kind"] == "cpu"
    assert {r["verdict"] for r in report["ops"]} == {"unmodelled"}


def test_cpu_only_without_roofs_says_how_to_get_verdicts(tmp_path: Path) -> None:
    t = Kineto(device=None)
    t.op("aten::mm", 0, 100, ([64, 64], "float"), ([64, 64], "float"))
    result = run("report", t.write(tmp_path / "t.json"), "-o", tmp_path / "r.json")
    assert result.exit_code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert [r["reason"] for r in report["ops"]] == ["no_device"]
    assert "--device-file" in result.stderr


def test_unknown_device_is_told_what_to_pass(tmp_path: Path) -> None:
    t = example()
    assert t.device is not None
    t.device |= {"name": "Imaginary X1", "totalGlobalMem": 1 << 40, "numSms": 7}
    path = t.write(tmp_path / "t.json")
    result = run("report", path, "-o", tmp_path / "a.json")
    assert result.exit_code == 0
    for option in ("--device", "--bandwidth", "--peak"):
        assert option in result.stderr
    told = run("report", path, "-o", tmp_path / "b.json", "--bandwidth", "3.35TB/s", "--peak", "fp32=67T")
    assert told.exit_code == 0
    report = json.loads((tmp_path / "b.json").read_text())
    assert report["memory_bound"]["share_of_busy"] > 0.9


def test_without_shapes_times_and_reasons_remain(tmp_path: Path) -> None:
    t = Kineto()
    t.op("aten::add", 0, 5)
    t.kernel("vectorized_kernel", 100, 100, t.launch(1))
    run("report", t.write(tmp_path / "t.json"), "-o", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert [p["reason"] for p in report["coverage"]["reasons"]] == ["no_shapes"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--device", "H1000"], "H1000"),
        (["--steps", "5-3"], "steps"),
        (["--steps", "banana"], "steps"),
        (["--steps", "7"], "steps"),
        (["--peak", "bf16"], "peak"),
        (["--bandwidth", "fast"], "bandwidth"),
        (["--link", "fast"], "link"),
        (["--set", "nothing=1"], "nothing"),
        (["--gpu", "3"], "gpu"),
        (["-o", "report.docx"], "report.docx"),
        (["-o", "/no/such/folder/r.html"], "folder"),
        (["--device-file", "/no/such.toml"], "such.toml"),
    ],
)
def test_unusable_options(tmp_path: Path, options: list[str], word: str) -> None:
    path = example().write(tmp_path / "t.json")
    refused(run("report", path, *options), word)


def test_usage_errors_give_2(tmp_path: Path) -> None:
    for args in (["report"], ["report", "--nope"], ["nothing"]):
        assert run(*args).exit_code == 2


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = example().write(tmp_path / "t.json")
    mine = saved(tmp_path, "notes.md", b"mine")
    refused(run("report", path, "-o", mine), "--force")
    assert mine.read_bytes() == b"mine"
    assert run("report", path, "-o", mine, "--force").exit_code == 0
    assert run("report", path).exit_code == 0
    assert run("report", path).exit_code == 0, "our own report of the default name may be replaced"
    (tmp_path / "t.report.html").write_text("<html>somebody's page</html>")
    refused(run("report", path), "t.report.html")
    refused(run("report", path, "-o", path, "--force"), "input")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "no temporary file is left"


def test_stdin_and_stdout(tmp_path: Path) -> None:
    text = json.dumps(example().document()).encode()
    result = run("report", "-", "-o", "-", "--format", "json", "-q", stdin=gzip.compress(text))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["schema_version"] == "1.1"
    assert result.stderr == ""


def test_a_saved_report_is_rendered_again(tmp_path: Path) -> None:
    path = example().write(tmp_path / "t.json")
    run("report", path, "-o", tmp_path / "r.json", "-o", tmp_path / "a.md")
    again = run("report", tmp_path / "r.json", "-o", tmp_path / "b.md")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "a.md").read_bytes() == (tmp_path / "b.md").read_bytes()
    broken = (tmp_path / "r.json").read_text().replace('"schema_version":"1.1"', '"schema_version":"9.0"')
    broken = broken.replace('"schema_version": "1.1"', '"schema_version": "9.0"')
    refused(run("report", saved(tmp_path, "old.json", broken.encode())), "old.json")


def test_every_file_that_is_no_trace_is_refused(real_traces: Path) -> None:
    refused(run("report", real_traces / "not_a_trace_execution_trace.json.gz"), "executiontrace")
    refused(run("report", real_traces / "not_kineto_begin_end_events.json.gz"))


def test_a_rank_is_not_to_be_given_where_no_file_names_one(tmp_path: Path) -> None:
    trace = example().write(tmp_path / "step.json")
    refused(run("report", trace, "--rank", "3"), "no work of rank 3", "names a rank", "leave it out")


def test_a_trace_may_be_called_as_a_script_is(tmp_path: Path) -> None:
    trace = example().write(tmp_path / "step.py")
    assert run("report", trace, "-o", tmp_path / "page.html").exit_code == 0
