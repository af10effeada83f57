"""Everything that a GPU can settle, in one run: `run.py --out FOLDER [--dry-run]`.

Each section is a process of its own, the most valuable first, with a share of the time; what one of them
cannot do costs the others nothing. After each the results so far are packed into FOLDER/ground_truth.tar.gz,
so that a run that is cut off leaves what it had. `tables.py FOLDER` makes docs/ground-truth.md of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import read_results, run, write_results

HERE = Path(__file__).parent
SECTIONS = {"counters": 0.36, "samples": 0.30, "predictions": 0.18, "roofs": 0.06, "own_counters": 0.05,
            "evidence": 0.05}  # fmt: skip
CLOSING_S = 15.0  # of the whole run, to pack what is there
SOFT = 0.9  # of a section's time: by then it ends by itself, at all of it it is stopped
_FIRST = ("results.json", "*.csv", "*/sample_traces/*", "*.toml")  # is packed before traces and reports
_LARGEST_BYTES, _ALL_BYTES = 15_000_000, 60_000_000


def probe() -> dict[str, Any]:
    """What runs here."""
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
    found["driver"] = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    found["ncu"] = _output("ncu", "--version").splitlines()[-1:]
    return found


def _output(*command: str) -> str:
    """What a tool says; "" where it is not there or says nothing."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def probed(dry: bool) -> dict[str, Any]:
    """By a process of its own: what holds a device's context here could keep it from the sections."""
    command = [sys.executable, str(Path(__file__).resolve()), "--probe"]
    try:
        done = run(command, 120, stdout=subprocess.PIPE)
        found = dict(json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        found = {"torch": "unknown", "failed": str(error)[:300]}
    return found | {"date": time.strftime("%Y-%m-%d"), "dry_run": dry}


def order(folder: Path) -> list[Path]:
    """Files to pack: results and counters first, then the smaller ones, so that as many as possible fit."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]

    def key(path: Path) -> tuple[int, int, str]:
        name = path.relative_to(folder)
        group = next((n for n, pattern in enumerate(_FIRST) if name.match(pattern)), len(_FIRST))
        return group, path.stat().st_size, str(name)

    return sorted(files, key=key)


def pack(folder: Path, out: Path, most: int = _ALL_BYTES) -> None:
    """What is there so far; the archive of before stays until the new one is whole."""
    new, size = out / "ground_truth.tar.gz.new", 0
    with tarfile.open(new, "w:gz", compresslevel=4) as archive:
        for path in order(folder):
            file_bytes = path.stat().st_size
            if file_bytes < _LARGEST_BYTES and size + file_bytes <= most:
                archive.add(path, path.relative_to(folder))
                size += file_bytes
    new.replace(out / "ground_truth.tar.gz")


def share_s(left_s: float, name: str, waiting: Sequence[str]) -> float:
    """Seconds of a section, of what is left for it and those behind it: what one leaves, the others get."""
    return max(0.0, left_s) * SECTIONS[name] / sum(SECTIONS[other] for other in waiting)


def run_section(name: str, seconds: float, folder: Path, dry: bool, home: Path = HERE) -> Mapping[str, Any]:
    """How it ended, and how long it took."""
    command = [sys.executable, str(home / f"{name}.py"), "--folder", str(folder / name)]
    command += ["--results", str(folder / "results.json"), "--seconds", str(SOFT * seconds)]
    # A compiler that is stopped can leave a broken file, which no later section is to find.
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(folder.parent / "compiled" / name)}
    started = time.monotonic()
    try:
        code: int | str = run([*command, *["--dry-run"] * dry], seconds, env=environment).returncode
    except subprocess.TimeoutExpired:
        code = "stopped"
    taken = time.monotonic() - started
    return {"code": code, "seconds": round(taken, 1), "granted": round(seconds, 1)}


def sections(
    wanted: Sequence[str], minutes: float, out: Path, dry: bool, home: Path = HERE
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One after the other; results are written and packed before the next one begins."""
    folder, ended = out / "work", {}
    until = time.monotonic() + 60 * minutes - CLOSING_S
    for place, name in enumerate(wanted):
        seconds = share_s(until - time.monotonic(), name, wanted[place:])
        ended[name] = run_section(name, seconds, folder, dry, home)
        results = folder / "results.json"
        write_results(results, read_results(results) | {"sections": ended})
        pack(folder, out)
        yield name, ended[name]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--out", type=Path)
    options.add_argument("--minutes", type=float, default=9.0, help="for all sections together")
    options.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    options.add_argument("--dry-run", action="store_true", help="small shapes on a CPU")
    options.add_argument("--probe", action="store_true", help="only say what runs here")
    chosen = options.parse_args()
    if chosen.probe:
        print(json.dumps(probe()))
        return
    if chosen.out is None:
        options.error("--out FOLDER is missing: where results go")
    begin = time.monotonic()
    (chosen.out / "work").mkdir(parents=True, exist_ok=True)
    write_results(chosen.out / "work" / "results.json", {"probe": probed(chosen.dry_run)})
    minutes = chosen.minutes - (time.monotonic() - begin) / 60
    wanted = [name for name in SECTIONS if name in chosen.only]
    for name, ended in sections(wanted, minutes, chosen.out, chosen.dry_run):
        print(f"{name}: {ended}", flush=True)


if __name__ == "__main__":
    main()
