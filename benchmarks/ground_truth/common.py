"""What every section shares: where it writes, how long it may take, whether it is a rehearsal."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """One section's run."""

    folder: Path  # for its working files
    results: Path  # results.json of all sections
    dry: bool  # small shapes on a CPU: whether everything runs, not what it says
    until: float  # time.monotonic() at which it has to be done

    @classmethod
    def from_arguments(cls) -> Section:
        options = argparse.ArgumentParser()
        options.add_argument("--folder", type=Path, required=True)
        options.add_argument("--results", type=Path, required=True)
        options.add_argument("--seconds", type=float, default=300)
        options.add_argument("--dry-run", action="store_true")
        chosen = options.parse_args()
        chosen.folder.mkdir(parents=True, exist_ok=True)
        return cls(chosen.folder, chosen.results, chosen.dry_run, time.monotonic() + chosen.seconds)

    def left_s(self, most: int) -> int:
        """Seconds that one part may take."""
        return max(5, min(most, int(self.until - time.monotonic())))


def saved(section: Section, name: str, value: Any) -> None:
    """Adds a result to those that are there; each section's own key."""
    known = json.loads(section.results.read_text()) if section.results.exists() else {}
    known[name] = value
    section.results.write_text(json.dumps(known, indent=1, default=str))
