"""The CPU's roofs, measured in a process of its own, so that the script's process is unaffected."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

_LIMIT_S = 120


def measured(threads: int, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What `recording.cpu_roofs` holds, with the thread count that the script used; None where it fails."""
    command = [sys.executable, "-P", "-m", "traceanalyzer.device.calibrate", "--threads", str(threads)]
    try:
        process = subprocess.run(
            command, env=dict(environment), capture_output=True, timeout=_LIMIT_S, check=True, text=True
        )
        roofs: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None
    return roofs
