"""What every section shares: where it writes, how long it may take, whether it is a rehearsal."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_S = 5  # below this nothing more is begun
_KILL_S = 3  # from asking a process to end until it is made to


@dataclass(frozen=True, slots=True)
class Section:
    """One section's run."""

    folder: Path  # for its working files
    results: Path  # results.json of all sections
    dry: bool  # small shapes on a CPU: whether everything runs, not what it says
    until: float  # time.monotonic() at which it has to be done
    granted_s: float

    @classmethod
    def from_arguments(cls) -> Section:
        options = argparse.ArgumentParser()
        options.add_argument("--folder", type=Path, required=True)
        options.add_argument("--results", type=Path, required=True)
        options.add_argument("--seconds", type=float, default=300)
        options.add_argument("--dry-run", action="store_true")
        chosen = options.parse_args()
        chosen.folder.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that `run` ends its own
        return cls(chosen.folder, chosen.results, chosen.dry_run, time.monotonic() + chosen.seconds,
                   chosen.seconds)  # fmt: skip

    def left_s(self, most: float) -> float:
        """Seconds that one part may take."""
        return max(1.0, min(most, self.until - time.monotonic()))

    @property
    def over(self) -> bool:
        """Whether no time is left to begin another part."""
        return self.until - time.monotonic() < LEAST_S


def run(command: Sequence[str], limit_s: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """A process and all that it starts, ended together at the limit. TimeoutExpired where it was reached."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)
    try:
        out, errors = process.communicate(timeout=limit_s)
    except BaseException:  # also where this process is told to end
        _end(process)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def _end(process: subprocess.Popen[str]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.communicate(timeout=_KILL_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def captured(command: Sequence[str], limit_s: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """The same, with what it writes."""
    return run(command, limit_s, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def read_results(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Whole or not at all, for a section can be stopped at any moment."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1, default=str))
    new.replace(path)


def saved(section: Section, name: str, value: Any) -> None:
    """Adds a result to those that are there; each section's own key."""
    write_results(section.results, read_results(section.results) | {name: value})
