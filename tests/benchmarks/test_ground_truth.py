"""The run that needs a GPU, rehearsed on a CPU: every section runs, cases are priced, the page is made."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tests.project.tree import ROOT

HERE = ROOT / "benchmarks" / "ground_truth"
pytestmark = pytest.mark.slow
# Without a GPU's kernels nothing tells the type of what is in a list; compiled loops are ops of their own.
ON_A_CPU = {"concatenate", "adamw fused", "adamw foreach", "sgd with momentum fused", "gradients clipped"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ground_truth")
    command = [sys.executable, str(HERE / "run.py"), "--out", str(out), "--dry-run", "--minutes", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    codes = [line for line in done.stdout.splitlines() if "'code'" in line]
    assert len(codes) == 6 and all("'code': 0" in line for line in codes), codes
    return out


def results(folder: Path) -> dict[str, object]:
    with tarfile.open(folder / "ground_truth.tar.gz") as archive:
        member = archive.extractfile("results.json")
        assert member is not None
        return dict(json.loads(member.read()))


def test_every_case_is_recorded_and_priced(folder: Path) -> None:
    ours = results(folder)["ours"]
    assert isinstance(ours, list) and len(ours) >= 60
    assert len({(one["family"], one["name"]) for one in ours}) == len(ours)
    open_ = [one["name"] for one in ours if one["read_bytes"] is None and one["family"] != "compiled"]
    assert set(open_) <= ON_A_CPU
    assert len(Counter(one["family"] for one in ours)) >= 12


def test_every_sample_is_recorded(folder: Path) -> None:
    samples = results(folder)["samples"]
    assert isinstance(samples, dict) and len(samples) == 14
    assert not {name: found["failed"] for name, found in samples.items() if "failed" in found}
    assert all(found["steps"] and found["headroom"] for found in samples.values())
    assert samples["gpt_stacks"]["in_functions_ns"] > 0 and samples["gpt_eager"]["in_modules_ns"] > 0


def test_small_copies_say_how_they_were_made(folder: Path) -> None:
    kept = json.loads((folder / "work" / "samples" / "sample_traces" / "samples.json").read_text())
    assert 3 <= len(kept) <= 5
    assert all(one["bytes"] < 300_000 and one["torch"] and one["command"] for one in kept)


def test_roofs_are_calibrated_and_missing_counters_say_why(folder: Path) -> None:
    found = results(folder)
    roofs, counted = found["roofs"], found["own_counters"]
    assert isinstance(roofs, dict) and isinstance(counted, dict)
    assert roofs["calibrated"]["bandwidth_bytes_per_s"] > 0 and roofs["calibrated"]["rates"]
    assert all("hardware counters" in one["failed"] for one in counted.values())


def test_predictions_and_tiers_are_there(folder: Path) -> None:
    found = results(folder)
    whole, regions, tiers = found["whole"], found["regions"], found["tiers"]
    assert isinstance(whole, list) and isinstance(regions, list) and isinstance(tiers, dict)
    assert len(whole) == 5 and not [one for one in [*whole, *regions] if "failed" in one]
    assert len(tiers) == 12 and all(one["executed"] for one in tiers.values())


def test_the_page_says_that_it_is_a_rehearsal(folder: Path) -> None:
    page = folder / "page.md"
    command = [sys.executable, str(HERE / "tables.py"), str(folder / "ground_truth.tar.gz"), str(page)]
    subprocess.run(command, check=True)
    text = page.read_text(encoding="utf-8")
    assert "in a rehearsal: these figures say nothing" in text
    assert text.count("\n## ") == 14 and "| attention | fused |" in text
