"""In CI a skipped test fails the run unless it is listed, in one process and with workers alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT

SUITE = """
import pytest

def test_passes():
    pass

def test_is_left_out():
    pytest.skip("no such machine")
"""
WHOLE_FILE = 'import pytest\npytest.skip("no such module", allow_module_level=True)\n'


def suite_run(folder: Path, listed: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The suite under our own conftest, with a list of its own."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    (folder / "allowed_skips.txt").write_text(listed)
    (folder / "test_some.py").write_text(SUITE)
    (folder / "test_none.py").write_text(WHOLE_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.run(
        command, cwd=folder, env=inherited | {"CI": "true"}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("options", [(), ("--numprocesses", "1")], ids=["one process", "workers"])
def test_what_is_skipped_must_be_listed_with_its_reason(options: tuple[str, ...], tmp_path: Path) -> None:
    run = suite_run(tmp_path, "*_some.py* # no such machine\n*_none.py # another reason\n", *options)
    assert run.returncode == 1, run.stdout
    told = [line for line in run.stdout.splitlines() if line.startswith("skipped, and not listed")]
    assert told == ["skipped, and not listed in allowed_skips.txt: test_none.py (no such module)"]
