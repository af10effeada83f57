"""Where the CPU's roofs of a recording come from: a file, an earlier run, or a measurement at its end.

They are measured in a process of its own, so that the script's process is unaffected.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping

import msgspec

from traceanalyzer.collect.kept_roofs import Setting, cache_folder, keep, kept
from traceanalyzer.machine import processor
from traceanalyzer.records import CpuRoofs
from traceanalyzer.records.errors import UsageError

_LIMIT_S = 120
_LATER = "traceanalyze calibrate --cpu -o cpu.toml, then traceanalyze report TRACE --device-file cpu.toml"

Say = Callable[[str], None]


class RoofSource(msgspec.Struct, frozen=True):
    """What `--roofs` asks for, and whom to tell: `say` what went wrong, `inform` what else is to know."""

    environment: Mapping[str, str]  # as it was before the script changed it
    say: Say
    inform: Say
    given: CpuRoofs | None = None  # of the user's file
    fresh: bool = False  # measure again, whatever is kept

    @classmethod
    def of(cls, wanted: str | None, environment: Mapping[str, str], say: Say, inform: Say) -> RoofSource:
        """`wanted` is None, "fresh" or a device file's path; UsageError or DeviceError of one of no use."""
        if wanted is None or wanted == "fresh":
            return cls(environment, say, inform, fresh=wanted is not None)
        given = from_device_file(wanted)
        if given.name != processor():
            say(f"{wanted}: the roofs of {given.name} are used, and this machine has {processor()}")
        return cls(environment, say, inform, given)

    def unused(self) -> None:
        """The script has used a GPU: say so where roofs of the CPU were asked for."""
        if self.given is not None or self.fresh:
            self.say("--roofs is of no use: the script computes on a GPU, whose roofs are not the CPU's")

    def roofs(self, threads: int, torch: str, *, hurry: bool = False) -> CpuRoofs | None:
        """Those of a script with so many threads; None where there are none, which is said.

        `hurry`: the user waits for the end, so nothing is measured.
        """
        if self.given is not None:
            if self.given.threads not in (None, threads):
                self.say(
                    f"{self.given.file}: measured with {self.given.threads} threads, and the script computes "
                    f"with {threads}. Fix: traceanalyze calibrate --cpu --threads {threads} -o cpu.toml"
                )
            return self.given
        folder, setting = cache_folder(self.environment), Setting.here(threads, torch, self.environment)
        earlier = None if self.fresh and not hurry else kept(folder, setting)
        if earlier is not None:
            self.inform(f"this CPU's roofs are those of {earlier.kept_from} (--roofs fresh measures again)")
            return earlier
        if hurry:
            self.say(f"after Ctrl-C this CPU's roofs are not measured. Fix: {_LATER}")
            return None
        roofs = self._measured(threads)
        if roofs is not None and roofs.load is None:
            keep(folder, setting, roofs)
        return roofs

    def _measured(self, threads: int) -> CpuRoofs | None:
        self.inform("measuring this CPU's roofs for some seconds (Ctrl-C leaves them out)")
        try:
            roofs = measured(threads, self.environment)
        except KeyboardInterrupt:
            self.say(f"interrupted, so the trace holds no roofs. Fix: {_LATER}")
            return None
        if roofs is None:
            self.say("that failed, so the trace holds no roofs. Fix: see the error of traceanalyze calibrate")
        elif roofs.load is not None:
            self.say(
                f"{roofs.load:.0f} other processes were running while the roofs were measured: these are too "
                "low, and not kept. Fix: run again when the machine is idle, or give --roofs FILE"
            )
        return roofs


def measured(threads: int, environment: Mapping[str, str]) -> CpuRoofs | None:
    """Measured now with so many threads; None where that fails."""
    command = [sys.executable, "-P", "-m", "traceanalyzer.device.calibrate", "--threads", str(threads)]
    try:
        process = subprocess.run(
            command, env=dict(environment), capture_output=True, timeout=_LIMIT_S, check=True
        )
        return msgspec.json.decode(process.stdout.strip().splitlines()[-1], type=CpuRoofs)
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None


def from_device_file(path: str) -> CpuRoofs:
    """Of a file that `calibrate` wrote of a CPU; UsageError of another device file, DeviceError of none."""
    from traceanalyzer.device.options import spec_from_file  # which takes numpy with it

    spec = spec_from_file(path)
    if spec.kind != "cpu":
        raise UsageError(f"{path}: --roofs takes a CPU's roofs, and {spec.id} is a GPU",
                         fix="traceanalyze calibrate --cpu -o cpu.toml; a GPU's file goes to "
                         "traceanalyze report --device-file")  # fmt: skip
    if not spec.calibrated or spec.bandwidth_bytes_per_s is None or not spec.peaks:
        raise UsageError(f"{path}: --roofs takes measured roofs, and these are described",
                         fix="traceanalyze calibrate --cpu -o cpu.toml; a described device goes to "
                         "traceanalyze report --device-file")  # fmt: skip
    return CpuRoofs(
        name=spec.names[0] if spec.names else spec.id, bandwidth_bytes_per_s=spec.bandwidth_bytes_per_s,
        peaks=spec.peaks, launch_floor_ns=spec.launch_floor_ns, rates=spec.rates,
        write_allocate=spec.write_allocate, cache_bytes=spec.cache_bytes, threads=spec.threads, file=path,
    )  # fmt: skip
