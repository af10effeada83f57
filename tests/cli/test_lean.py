"""Commands that read traces start no threads for linear algebra, which they do not use, and leave Python's
settings as they were."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT
from traceanalyzer.cli.lean import lean

SAMPLE = str(ROOT / "sample_traces" / "gpt_eager_cpu.json.gz")
THREADS = Path("/proc/self/task")
PROGRAM = """
import gc, os
from traceanalyzer.cli import main
before = dict(os.environ), gc.get_threshold(), gc.isenabled()
main({arguments!r}, standalone_mode=False)
assert (dict(os.environ), gc.get_threshold(), gc.isenabled()) == before
print("threads:", len(os.listdir("/proc/self/task")))
"""
COMMANDS = [
    ["report", "-q", SAMPLE, "-o", "r.json"],
    ["check", SAMPLE, "--require", "window.step_count>=1"],
    ["annotate", "-q", SAMPLE, "-o", "a.json"],
    ["diff", "-q", SAMPLE, SAMPLE, "-o", "d.json"],
]


@pytest.mark.skipif(not THREADS.is_dir(), reason="this system does not list a process's threads")
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_command_that_reads_a_trace_has_one_thread(arguments: list[str], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    program = PROGRAM.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "threads: 1"


def test_what_fails_leaves_the_collector_as_it_was() -> None:
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError), lean():
        assert gc.get_threshold() != before
        raise ZeroDivisionError
    assert gc.get_threshold() == before
