"""Runs a script as it is and under `profile`, and reads what was captured."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "scripts"
LIMIT_S = 300  # a hang fails the test; no test measures seconds


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def said(self) -> list[str]:
        """Our own lines on stderr."""
        return [line for line in self.stderr.splitlines() if line.startswith("traceanalyze: ")]

    @property
    def others_said(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if not line.startswith("traceanalyze: ")]


def finished(command: Sequence[str], folder: Path, **environment: str) -> Run:
    """With Ctrl-C as in a terminal: a shell ignores it for what it starts in the background."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, timeout=LIMIT_S, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    return Run(done.returncode, done.stdout, done.stderr.decode())


def launched(command: Sequence[str], folder: Path, **environment: str) -> Run:
    """Several processes. Gloo's threads abort one that ends, once in some hundred runs: then once more."""
    for _ in range(3):
        run = finished(command, folder, **environment)
        if "terminate called without an active exception" not in run.stderr:
            break
        for left in folder.glob("*.trace.json.gz"):
            left.unlink()
    return run


def bare(folder: Path, *words: str, **environment: str) -> Run:
    """`python WORDS`."""
    return finished([sys.executable, *words], folder, **environment)


def profiled(folder: Path, *words: str, options: Sequence[str] = (), **environment: str) -> Run:
    """`traceanalyze profile WORDS`, the trace in `folder`/t.trace.json.gz, without roofs and report."""
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--no-roofs",
               "-o", "t.trace.json.gz", *options, *words]  # fmt: skip
    return finished(command, folder, **environment)


def left_alone(alone: Run, ours: Run) -> None:
    """Under the profiler a script prints and says what it does without."""
    assert ours.stdout == alone.stdout and alone.stdout
    assert ours.others_said == alone.others_said


def document(trace: Path) -> dict[str, Any]:
    with gzip.open(trace) as file:
        found: dict[str, Any] = json.load(file)
    return found


def steps(trace: Path) -> list[int]:
    """Numbers of the annotated steps, in the order of time."""
    events = [e for e in document(trace)["traceEvents"] if e.get("name", "").startswith("ProfilerStep#")]
    events = [e for e in events if e.get("cat") == "user_annotation"]
    return [int(e["name"].partition("#")[2]) for e in sorted(events, key=lambda e: e["ts"])]
