"""The wheel holds what the checkout holds, and works in an environment that has nothing but it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.project.tree import ROOT, tracked
from traceanalyzer import __version__

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the source distribution, as a release is: so that one is complete, too."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel and what it depends on; commands run in a folder of their own."""

    folder: Path

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TRACEANALYZE"))}
        program = str(self.folder / "bin" / command[0])
        done = subprocess.run(
            [program, *command[1:]], cwd=self.folder, env=inherited, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment(tmp_path_factory.mktemp("bare"))
    venv.create(made.folder, with_pip=True)
    made.run("python", "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel))
    return made


def test_the_wheel_holds_the_package_the_templates_and_one_sample(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        shipped = {n: archive.read(n) for n in archive.namelist() if n.startswith("traceanalyzer/")}
    expected = {name: name for name in tracked() if name.startswith("traceanalyzer/")}
    expected |= {f"traceanalyzer/{name}": name for name in tracked() if name.startswith("templates/")}
    expected |= {"traceanalyzer/docs/warnings.md": "docs/warnings.md"}
    samples = {name for name in shipped if name.startswith("traceanalyzer/sample_traces/")}
    assert len(samples) == 1
    expected |= {name: name.removeprefix("traceanalyzer/") for name in samples}
    assert shipped.keys() == expected.keys()
    for name, source in expected.items():
        assert shipped[name] == (ROOT / source).read_bytes(), name


def test_the_wheel_names_its_license_and_its_types(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "traceanalyzer/py.typed" in names
    assert f"torch_traceanalyzer-{__version__}.dist-info/licenses/LICENSE" in names


def test_nothing_heavy_comes_with_it(bare: Environment) -> None:
    for package in ("torch", "dask", "hta", "pytest"):
        bare.run("python", "-c", f"import {package}", code=1)


def test_the_demo_runs_from_the_wheel(bare: Environment) -> None:
    done = bare.run("traceanalyze", "demo")
    page = (bare.folder / "demo.report.html").read_text(encoding="utf-8")
    assert "memory-bound" in done.stderr and page.startswith("<!DOCTYPE html>") and done.stdout == ""


def test_a_report_from_the_wheel_is_the_checkout_s(bare: Environment) -> None:
    sample = ROOT / "sample_traces" / "gpt_eager_cpu.json.gz"
    bare.run("traceanalyze", "report", str(sample), "-o", "r.json", "-o", "r.html")
    command = ["-m", "traceanalyzer", "report", "-q", str(sample), "-o", "-", "--format", "json"]
    here = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    assert json.loads((bare.folder / "r.json").read_text()) == json.loads(here.stdout)


def test_every_command_explains_itself(bare: Environment) -> None:
    listed = bare.run("traceanalyze", "--help").stdout
    for command in ("report", "devices", "demo"):
        assert command in listed
        assert bare.run("traceanalyze", command, "--help").stdout.startswith("Usage:")
    assert __version__ in bare.run("traceanalyze", "--version").stdout
