"""Measured roofs of this machine's CPU, kept in the user's cache folder from one run to the next.

One file for each combination of what decides them, which the file names in full: what does not agree, does
not parse or cannot be is as if it were not there, and nothing fails where nothing can be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from traceanalyzer.files import replacing
from traceanalyzer.machine import cache_bytes, processor, quota_cores
from traceanalyzer.records import CpuRoofs

# To be raised where `device.calibrate` measures otherwise: what is kept is not used then.
_METHOD = 1
# What the libraries under PyTorch's CPU operators read: threads and where they run, instruction sets, memory.
_PREFIXES = ("ATEN_", "BLIS_", "DNNL_", "GOMP_", "KMP_", "MALLOC_", "MKL_", "OMP_", "ONEDNN_", "OPENBLAS_",
             "VECLIB_")  # fmt: skip
_VARIABLES = ("DYLD_INSERT_LIBRARIES", "GLIBC_TUNABLES", "LD_PRELOAD")
_LEAST_PER_S, _MOST_PER_S = 1e6, 1e18


class Setting(msgspec.Struct, frozen=True):
    """All that decides what is measured."""

    method: int
    machine: str  # its name: a home folder may be shared by several
    processor: str
    cache_bytes: int | None
    processors: tuple[int, ...]  # that this process may run on
    quota: str  # of processor time, by the control group
    threads: int
    torch: str
    environment: dict[str, str]

    @classmethod
    def here(cls, threads: int, torch: str, environment: Mapping[str, str]) -> Setting:
        """Of a process that measures here and now, in this environment."""
        variables = {
            name: value for name, value in sorted(environment.items())
            if name.startswith(_PREFIXES) or name in _VARIABLES
        }  # fmt: skip
        return cls(_METHOD, platform.node(), processor(), cache_bytes(), _processors(), _quota(), threads,
                   torch, variables)  # fmt: skip

    @property
    def file_name(self) -> str:
        """One for each setting."""
        digest = hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()
        return f"cpu-roofs-{digest[:24]}.json"


class KeptRoofs(msgspec.Struct, frozen=True):
    """What a file holds."""

    setting: Setting
    measured: datetime
    roofs: CpuRoofs


def kept(folder: Path | None, setting: Setting) -> CpuRoofs | None:
    """Those measured earlier in this setting, with the day; None where there are none to be trusted."""
    if folder is None:
        return None
    try:
        content = msgspec.json.decode((folder / setting.file_name).read_bytes(), type=KeptRoofs)
    except (OSError, msgspec.DecodeError, ValueError, RecursionError):
        return None
    if content.setting != setting or not _are_possible(content.roofs, setting.threads):
        return None
    return msgspec.structs.replace(content.roofs, kept_from=content.measured.date().isoformat())


def keep(folder: Path | None, setting: Setting, roofs: CpuRoofs) -> bool:
    """Keep them instead of what was kept; whether that was possible. Of a busy machine they are not kept."""
    if folder is None or roofs.load is not None or not _are_possible(roofs, setting.threads):
        return False
    content = KeptRoofs(setting, datetime.now(UTC).replace(microsecond=0), roofs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / setting.file_name) as file:
            file.write(msgspec.json.encode(content))
    except OSError:
        return False
    return True


def cache_folder(environment: Mapping[str, str], system: str = sys.platform) -> Path | None:
    """`traceanalyze` in the user's cache folder of that system; None where the user has no home."""
    base: Path | None = None
    with contextlib.suppress(RuntimeError, KeyError):
        if system == "win32":
            base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif system == "darwin":
            base = _home(environment) / "Library" / "Caches"
        else:
            named = Path(environment.get("XDG_CACHE_HOME", ""))
            base = named if named.is_absolute() else _home(environment) / ".cache"
    return None if base is None else base / "traceanalyze"


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or Path.home())


def _are_possible(roofs: CpuRoofs, threads: int) -> bool:
    """Whether something that measures could have said so."""
    rates = [
        roofs.bandwidth_bytes_per_s,
        *(p.flop_per_s for p in roofs.peaks),
        *(r.per_s for r in roofs.rates),
    ]
    within = all(_LEAST_PER_S <= rate <= _MOST_PER_S for rate in rates)
    return within and bool(roofs.peaks) and roofs.threads == threads and roofs.load is None


def _processors() -> tuple[int, ...]:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return tuple(sorted(affinity(0))) if affinity else tuple(range(os.cpu_count() or 1))


def _quota() -> str:
    """Cores' worth of time that the control groups allow; nothing where they set no limit."""
    cores = quota_cores()
    return "" if cores is None else f"{cores:g}"
