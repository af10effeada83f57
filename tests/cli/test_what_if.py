"""`report --what-if`: other devices by name or file, of a trace or of a saved report."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from traceanalyzer.cli import main

SAMPLES = Path(__file__).parents[2] / "sample_traces"
TRACE = str(sorted(SAMPLES.glob("*.json.gz"))[0])


def report(tmp_path: Path, trace: str, *more: str) -> list[dict[str, object]] | None:
    out = tmp_path / "report.json"
    said = CliRunner().invoke(main, ["report", trace, "-q", "--force", "-o", str(out), *more])
    assert said.exit_code == 0, said.stderr
    found: list[dict[str, object]] | None = json.loads(out.read_text(encoding="utf-8"))["what_if"]
    return found


def test_devices_are_named(tmp_path: Path) -> None:
    assert report(tmp_path, TRACE) is None
    found = report(tmp_path, TRACE, "--what-if", "b200, h200-sxm")
    assert found is not None and [entry["device"] for entry in found] == ["NVIDIA B200", "NVIDIA H200"]


def test_a_saved_report_is_projected(tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    CliRunner().invoke(main, ["report", TRACE, "-q", "-o", str(saved)])
    assert report(tmp_path, str(saved), "--what-if", "b200") == report(tmp_path, TRACE, "--what-if", "b200")


def test_a_name_that_is_none(tmp_path: Path) -> None:
    out = str(tmp_path / "r.json")
    said = CliRunner().invoke(main, ["report", TRACE, "-q", "-o", out, "--what-if", "h9000"])
    assert said.exit_code == 2 and "h9000" in said.stderr and len(said.stderr.splitlines()) == 1
