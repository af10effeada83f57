"""Everything that a GPU can settle, in one run: `run.py --out FOLDER [--dry-run]`.

Each section is a process of its own, the most valuable first, with a share of the time; what one of them
cannot do costs the others nothing. After each the results so far are packed into FOLDER/ground_truth.tar.gz,
so that a run that is cut off leaves what it had. `tables.py FOLDER` makes docs/ground-truth.md of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECTIONS = {"counters": 0.40, "samples": 0.25, "predictions": 0.25, "roofs": 0.06, "evidence": 0.04}
_MOST_BYTES = 15_000_000  # of one file that is packed


def probe() -> dict[str, Any]:
    """What runs here, and whether counters may be read."""
    import torch

    found: dict[str, Any] = {
        "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version(),
    }  # fmt: skip
    if torch.cuda.is_available():
        part = torch.cuda.get_device_properties(0)
        found |= {
            "name": part.name,
            "multiprocessors": part.multi_processor_count,
            "memory_bytes": part.total_memory,
            "l2_bytes": getattr(part, "L2_cache_size", None),
        }
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found["driver"] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    found["ncu"] = shutil.which("ncu")
    return found


def packed(folder: Path, out: Path) -> None:
    with tarfile.open(out / "ground_truth.tar.gz", "w:gz") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size < _MOST_BYTES and ".git" not in path.parts:
                archive.add(path, path.relative_to(folder))


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--minutes", type=float, default=9.0, help="for all sections together")
    options.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    options.add_argument("--dry-run", action="store_true", help="small shapes on a CPU")
    chosen = options.parse_args()
    folder = chosen.out / "work"
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.json"
    results.write_text(json.dumps({"probe": probe(), "dry_run": chosen.dry_run}))
    begin, ended = time.monotonic(), {}
    wanted = [name for name in SECTIONS if name in chosen.only]
    for place, name in enumerate(wanted):
        left = 60 * chosen.minutes - (time.monotonic() - begin)
        seconds = left * SECTIONS[name] / sum(SECTIONS[other] for other in wanted[place:])
        command = [sys.executable, str(HERE / f"{name}.py"), "--folder", str(folder / name)]
        command += ["--results", str(results), "--seconds", str(seconds)]
        command += ["--dry-run"] if chosen.dry_run else []
        started = time.monotonic()
        try:
            code: int | str = subprocess.run(command, timeout=seconds + 30, check=False).returncode
        except subprocess.TimeoutExpired:
            code = "stopped"
        ended[name] = {"code": code, "seconds": round(time.monotonic() - started, 1)}
        print(f"{name}: {ended[name]}", flush=True)
        known = json.loads(results.read_text())
        results.write_text(json.dumps(known | {"sections": ended}, indent=1))
        packed(folder, chosen.out)


if __name__ == "__main__":
    main()
