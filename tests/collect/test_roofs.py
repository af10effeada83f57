"""The CPU's roofs are measured once a setting and kept; what was kept is checked before it is used."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.collect.harness import SCRIPTS, document, finished, profiled
from tests.collect.test_bad_input import refused
from tests.collect.test_options import PROFILE
from traceanalyzer.collect import roofs as sources
from traceanalyzer.collect.kept_roofs import Setting, cache_folder, keep, kept
from traceanalyzer.collect.roofs import RoofSource, from_device_file
from traceanalyzer.device import DeviceSpec, calibrate, toml_block
from traceanalyzer.device.options import cpu
from traceanalyzer.records import CpuRoofs, Peak
from traceanalyzer.records.errors import UsageError

PLAIN = str(SCRIPTS / "plain.py")
ROOFS = CpuRoofs(name="a CPU", bandwidth_bytes_per_s=2e10, peaks=(Peak("matrix", "fp32", 1e11),), threads=2)
SPEC = DeviceSpec(
    id="my-cpu", kind="cpu", names=("My CPU",), bandwidth_bytes_per_s=3e10, launch_floor_ns=900,
    peaks=(Peak("matrix", "fp32", 3e11),), confidence="measured", source="measured here", calibrated=True,
)  # fmt: skip
SETTING = Setting.here(2, "2.13.0", {"OMP_PROC_BIND": "true", "HOME": "/nowhere"})


def test_what_is_kept_comes_back_with_its_day(tmp_path: Path) -> None:
    assert kept(tmp_path, SETTING) is None
    assert keep(tmp_path / "new" / "folder", SETTING, ROOFS)
    again = kept(tmp_path / "new" / "folder", SETTING)
    assert again is not None and again.kept_from is not None and len(again.kept_from) == len("2026-11-20")
    assert msgspec.structs.replace(again, kept_from=None) == ROOFS


def test_every_part_of_a_setting_decides(tmp_path: Path) -> None:
    """Another machine, processor, thread count, torch, affinity, quota or environment is measured anew."""
    keep(tmp_path, SETTING, ROOFS)
    others = {
        "method": 0, "machine": "another", "processor": "another", "cache_bytes": 1, "processors": (77,),
        "quota": "50000 100000", "threads": 3, "torch": "2.12.0", "environment": {},
    }  # fmt: skip
    assert set(others) == set(Setting.__struct_fields__)
    for name, value in others.items():
        other = msgspec.structs.replace(SETTING, **{name: value})
        assert other.file_name != SETTING.file_name and kept(tmp_path, other) is None, name


def test_only_variables_that_decide_count() -> None:
    some = {"OMP_NUM_THREADS": "1", "LD_PRELOAD": "libiomp5.so", "PWD": "/here", "TORCHELASTIC_RUN_ID": "7"}
    assert set(Setting.here(1, "2.13.0", some).environment) == {"OMP_NUM_THREADS", "LD_PRELOAD"}


@pytest.mark.parametrize("damage", ["cut", "empty", "another", "rate", "busy", "threads", "binary"])
def test_a_file_that_cannot_be_is_as_if_it_were_not_there(damage: str, tmp_path: Path) -> None:
    keep(tmp_path, SETTING, ROOFS)
    (file,) = tmp_path.iterdir()
    content = json.loads(file.read_text())
    texts = {"cut": file.read_text()[:-20], "empty": "", "binary": "\x00\xff"}
    match damage:
        case "another":
            content["setting"]["machine"] = "another"
        case "rate":
            content["roofs"]["bandwidth_bytes_per_s"] = -1.0
        case "busy":
            content["roofs"]["load"] = 4.0
        case "threads":
            content["roofs"]["threads"] = 8
    file.write_text(texts.get(damage, json.dumps(content)), encoding="latin-1")
    assert kept(tmp_path, SETTING) is None
    assert keep(tmp_path, SETTING, ROOFS) and kept(tmp_path, SETTING) is not None


def test_nothing_fails_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert not keep(tmp_path / "file", SETTING, ROOFS) and not keep(None, SETTING, ROOFS)
    assert kept(tmp_path / "file", SETTING) is None and kept(None, SETTING) is None
    assert (tmp_path / "file").read_text() == "mine"


def test_the_folder_is_the_system_s() -> None:
    linux = {"HOME": "/h", "XDG_CACHE_HOME": "/x"}
    assert cache_folder(linux, "linux") == Path("/x/traceanalyze")
    assert cache_folder(linux | {"XDG_CACHE_HOME": "relative"}, "linux") == Path("/h/.cache/traceanalyze")
    assert cache_folder({"HOME": "/h"}, "linux") == Path("/h/.cache/traceanalyze")
    assert cache_folder(linux, "darwin") == Path("/h/Library/Caches/traceanalyze")
    assert cache_folder({"LOCALAPPDATA": "/l"}, "win32") == Path("/l/traceanalyze")


class Machine:
    """A fake one: what it measures next, how often it has, and what was said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.next: CpuRoofs | BaseException | None = ROOFS
        self.measurements = 0
        self.said: list[str] = []
        self.informed: list[str] = []
        self.environment = {"XDG_CACHE_HOME": str(folder)}
        monkeypatch.setattr(sources, "measured", self._measured)
        monkeypatch.setattr(sources.sys, "platform", "linux")

    def _measured(self, threads: int, environment: object) -> CpuRoofs | None:
        self.measurements += 1
        if isinstance(self.next, BaseException):
            raise self.next
        return self.next

    def roofs(self, wanted: str | None = None, *, hurry: bool = False) -> CpuRoofs | None:
        source = RoofSource.of(wanted, self.environment, self.said.append, self.informed.append)
        return source.roofs(2, "2.13.0", hurry=hurry)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def test_a_second_run_measures_nothing_and_says_since_when(machine: Machine) -> None:
    assert machine.roofs() == ROOFS and machine.measurements == 1
    again = machine.roofs()
    assert again is not None and again.kept_from and machine.measurements == 1 and not machine.said
    assert machine.informed[-1].endswith(f"those of {again.kept_from} (--roofs fresh measures again)")


def test_fresh_measures_again_and_replaces(machine: Machine) -> None:
    machine.roofs()
    machine.next = msgspec.structs.replace(ROOFS, bandwidth_bytes_per_s=5e10)
    assert machine.roofs("fresh") == machine.next and machine.measurements == 2
    again = machine.roofs()
    assert again is not None and again.bandwidth_bytes_per_s == 5e10 and machine.measurements == 2


def test_what_others_disturbed_is_told_and_not_kept(machine: Machine) -> None:
    machine.next = msgspec.structs.replace(ROOFS, load=6.0)
    assert machine.roofs() == machine.next
    (line,) = machine.said
    assert line.startswith("6 other processes were running") and "Fix: " in line
    machine.next = ROOFS
    assert machine.roofs() == ROOFS and machine.measurements == 2


def test_a_disturbed_measurement_does_not_replace_a_kept_one(machine: Machine) -> None:
    machine.roofs()
    machine.next = msgspec.structs.replace(ROOFS, load=6.0, bandwidth_bytes_per_s=1e9)
    machine.roofs("fresh")
    again = machine.roofs()
    assert again is not None and again.bandwidth_bytes_per_s == ROOFS.bandwidth_bytes_per_s


def test_who_waits_for_the_end_gets_kept_roofs_or_none(machine: Machine) -> None:
    assert machine.roofs(hurry=True) is None and machine.measurements == 0
    assert "after Ctrl-C" in machine.said[0] and "Fix: traceanalyze calibrate --cpu" in machine.said[0]
    machine.roofs()
    assert machine.roofs(hurry=True) is not None and machine.roofs("fresh", hurry=True) is not None
    assert machine.measurements == 1


def test_ctrl_c_while_measuring_leaves_the_roofs_out(machine: Machine) -> None:
    machine.next = KeyboardInterrupt()
    assert machine.roofs() is None and "interrupted" in machine.said[0]


def test_what_fails_is_said_and_not_kept(machine: Machine) -> None:
    machine.next = None
    assert machine.roofs() is None and "that failed" in machine.said[0]
    assert machine.roofs() is None and machine.measurements == 2


def test_a_device_file_is_used_instead(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "cpu.toml"
    file.write_text(toml_block(SPEC))
    roofs = machine.roofs(str(file), hurry=True)
    assert roofs is not None and machine.measurements == 0
    assert (roofs.bandwidth_bytes_per_s, roofs.peaks, roofs.launch_floor_ns) == (3e10, SPEC.peaks, 900)
    assert f"this machine has {calibrate.processor()}" in machine.said[0]
    assert str(file) in cpu(roofs).provenance and cpu(roofs).how == "calibrated"


@pytest.mark.parametrize(("threads", "told"), [(1, True), (2, False), (None, False)])
def test_a_device_file_of_other_threads_is_used_and_told(
    threads: int | None, told: bool, machine: Machine, tmp_path: Path
) -> None:
    file = tmp_path / "cpu.toml"
    file.write_text(toml_block(msgspec.structs.replace(SPEC, threads=threads)))
    roofs = machine.roofs(str(file))
    assert roofs is not None and roofs.threads == threads
    assert any("--threads 2 -o" in line for line in machine.said) is told


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [('"cpu"', '"gpu"', "is a GPU"), ("calibrated = true", "", "are described"),
     ("bandwidth_bytes_per_s = 3e10", "", "are described")],
)  # fmt: skip
def test_a_device_file_of_another_kind_is_refused(old: str, new: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(toml_block(SPEC).replace(old, new))
    with pytest.raises(UsageError, match=expected):
        from_device_file(str(file))


def test_the_report_says_where_they_come_from() -> None:
    said = cpu(ROOFS).provenance
    assert "with 2 threads" in said and said.endswith("right after the run.")
    earlier = cpu(msgspec.structs.replace(ROOFS, kept_from="2026-11-20")).provenance
    assert earlier.endswith("on 2026-11-20, and kept.")


def test_roofs_and_no_roofs_contradict_each_other(tmp_path: Path) -> None:
    assert "--roofs and --no-roofs" in refused(profiled(tmp_path, PLAIN, options=["--roofs", "fresh"]))


def test_a_device_file_that_is_none_is_refused_before_the_script_runs(tmp_path: Path) -> None:
    command = [*PROFILE[:-1], "--roofs", "none.toml", PLAIN]
    assert "none.toml: cannot be read" in refused(finished(command, tmp_path))


@pytest.mark.slow
def test_a_second_profile_takes_the_roofs_of_the_first(tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    lines = []
    for name in ("a.json.gz", "b.json.gz"):
        run = finished([*PROFILE[:-1], "--no-report", "-o", name, PLAIN], tmp_path, **cache)
        assert run.code == 0
        lines.append("\n".join(run.said))
    first, second = (
        document(tmp_path / name)["traceanalyze"]["cpu_roofs"] for name in ("a.json.gz", "b.json.gz")
    )
    assert "measuring this CPU's roofs" in lines[0] and first["kept_from"] is None
    if first["load"] is None:  # else the machine was busy, and nothing is kept
        assert "measuring" not in lines[1] and second == first | {"kept_from": second["kept_from"]}
