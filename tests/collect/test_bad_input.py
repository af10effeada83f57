"""What cannot be profiled or saved: one line with the fix, nothing lost, the script's own exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.collect.harness import SCRIPTS, Run, finished, profiled, steps

PLAIN = str(SCRIPTS / "plain.py")


def refused(run: Run) -> str:
    """The one line of a run that never started."""
    assert run.code == 2 and run.stdout == b"" and len(run.stderr.splitlines()) == 1, run.stderr
    assert run.said and "Fix: " in run.said[0]
    return run.said[0]


@pytest.mark.parametrize(
    "words, expected",
    [
        (("nope.py",), "nope.py: no such script"),
        (("-m", "no.such.module"), "no.such.module: no such module"),
        ((".",), ".: is a folder, not a script"),
        (("torchrun", "--nproc-per-node", "2", "train.py", "--lr", "1"),
         "Fix: torchrun --nproc-per-node 2 --no-python traceanalyze profile train.py --lr 1"),
        (("-m", "torch.distributed.run", "train.py"),
         "Fix: python -m torch.distributed.run --no-python traceanalyze profile train.py"),
        (("accelerate", "launch", "--num_processes", "2", "train.py"),
         "Fix: accelerate launch --num_processes 2 --no_python traceanalyze profile train.py"),
        (("python", "train.py"), "Fix: traceanalyze profile train.py"),
    ],
)  # fmt: skip
def test_what_is_no_script_is_refused(words: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    assert expected in refused(profiled(tmp_path, *words))


def test_an_unknown_option_of_ours_is_not_the_scripts(tmp_path: Path) -> None:
    run = profiled(tmp_path, PLAIN, options=["--nope"])
    assert run.code == 2 and run.stdout == b"" and "--nope" in run.stderr


def test_an_output_that_exists_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "t.trace.json.gz").write_text("mine")
    assert "exists and would be replaced" in refused(profiled(tmp_path, PLAIN))
    assert (tmp_path / "t.trace.json.gz").read_text() == "mine"


def test_a_page_of_another_make_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "t.trace.report.html").write_text("mine")
    command = [sys.executable, "-m", "traceanalyzer", "profile", "-o", "t.trace.json.gz", PLAIN]
    assert "t.trace.report.html: exists" in refused(finished(command, tmp_path))


@pytest.mark.parametrize(
    "output, expected", [("no/such/t.json.gz", "does not exist"), ("t.txt", "no name for a trace")]
)
def test_an_output_that_cannot_be_is_refused_before_the_script_runs(
    output: str, expected: str, tmp_path: Path
) -> None:
    assert expected in refused(profiled(tmp_path, PLAIN, options=["-o", output]))


@pytest.mark.parametrize("version, expected", [(None, "torch is not installed"), ("1.13.1", "is too old")])
def test_torch_must_be_there_and_recent(version: str | None, expected: str, tmp_path: Path) -> None:
    """A finder in front that hides torch, or a distribution in front that says it is old."""
    place = tmp_path / "site"
    place.mkdir()
    if version is None:
        (place / "sitecustomize.py").write_text(
            "import importlib.util as u\nreal = u.find_spec\n"
            "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a)\n"
        )
    else:
        info = place / f"torch-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    line = refused(profiled(tmp_path, PLAIN, PYTHONPATH=str(place)))
    assert expected in line and (version is not None or "torch-traceanalyzer[profile]" in line)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_keeps_the_exit_code(tmp_path: Path) -> None:
    """The trace's folder becomes unwritable while the script runs; the copy elsewhere is named."""
    folder = tmp_path / "out"
    folder.mkdir()
    script = tmp_path / "vanish.py"
    loop = "for step in range(10):\n"
    text = Path(PLAIN).read_text().replace(loop, f"{loop}    if step == 4: shutil.rmtree({str(folder)!r})\n")
    script.write_text(f"import shutil, sys\n{text}sys.exit(3)\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = profiled(tmp_path, str(script), options=["-o", "out/t.trace.json.gz"], TMPDIR=str(scratch))
    assert run.code == 3
    (kept,) = scratch.glob("traceanalyze*")
    assert steps(kept) == [5, 6, 7]
    (told,) = (line for line in run.said if "cannot be written" in line)
    assert f"the trace is in {kept}" in told and f"traceanalyze report {kept}" in told
