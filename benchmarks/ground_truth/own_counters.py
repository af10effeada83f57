"""Bytes that `traceanalyze profile --counters` counts of a model's kernels, beside those that are predicted.

PyTorch built for CUDA 12.6 and before can count them; where it cannot, what `profile` says instead is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import Section, captured, saved
from samples import ROOT, SAMPLES, arguments

MODELS = ("bert_layer_eager", "gpt_eager", "resnet")
KEYS = ("name", "input_dims", "calls", "read_bytes", "write_bytes", "traffic_bytes", "counter_bytes")


def counted(name: str, section: Section) -> dict[str, Any]:
    script, words = SAMPLES[name]
    trace = section.folder / f"{name}.trace.json.gz"
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--counters", "--no-report", "--force"]
    command += ["--no-roofs", "--no-evidence", "-o", str(trace), str(script)]
    done = captured([*command, *arguments(script, words, section.dry)], section.left_s(60), cwd=ROOT)
    if done.returncode:
        return {"failed": done.stderr[-400:]}
    recorded = trace.with_name(f"{name}.counters.trace.json.gz")
    if not recorded.exists():
        said = [line for line in done.stderr.splitlines() if "hardware counters" in line]
        return {"failed": " ".join(said)[-400:] or "no counters were recorded"}
    return {"rows": rows(recorded, section)}


def rows(recorded: Path, section: Section) -> list[dict[str, Any]]:
    """Of the report, those whose bytes were counted."""
    report = recorded.with_name(f"{recorded.name}.report.json")
    told = [sys.executable, "-m", "traceanalyzer", "report", str(recorded), "--force", "-o", str(report)]
    captured(told, section.left_s(60)).check_returncode()
    found = json.loads(report.read_text())["ops"]
    return [{key: row[key] for key in KEYS} for row in found if row["counter_bytes"] is not None]


def main(section: Section) -> None:
    found: dict[str, Any] = {}
    for name in MODELS[:1] if section.dry else MODELS:
        if section.over:
            break
        try:
            found[name] = counted(name, section)
        except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            found[name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
        saved(section, "own_counters", found)


if __name__ == "__main__":
    main(Section.from_arguments())
