"""Each example runs as it is, learns, says the same twice, and knows nothing of the tool that profiles it."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests.project.tree import ROOT

EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
SMALL = {  # arguments that make a run short; what each learns in that time is sure
    "gpt.py": "--steps 4 --width 64 --length 32",
    "convnet.py": "--steps 4 --batch 4 --size 32",
    "mlp_block.py": "--steps 4 --batch 32 --width 64",
    "memory_block.py": "--steps 4 --batch 32 --width 64",
    "hf_trainer.py": "--steps 4 --width 32 --length 32 --batch 4",
    "lightning_module.py": "--steps 8 --width 64 --batch 32",
    "ddp.py": "--steps 4 --width 64 --batch 32",
}
# Each step sees the same; no dropout.
ONE_BATCH = {"gpt.py", "convnet.py", "mlp_block.py", "memory_block.py", "ddp.py"}
FRAMEWORKS = {"hf_trainer.py", "lightning_module.py"}  # seconds to import
LOSS = re.compile(r"^step (\d+) loss (\d+\.\d{6})$")
# A process that ends while a thread of gloo's still runs is aborted, once in some hundred runs, by libstdc++:
# nothing of the example's, or ours, that could fail. So gloo stays out of the tests' own process.
TRIES = 3
GLOO = "ddp.py"
TIME = re.compile(r"^median step \d+\.\d{3} ms$")
OWN_PROCESS = FRAMEWORKS | {GLOO}
EACH = [pytest.param(n, marks=pytest.mark.slow) if n in OWN_PROCESS else n for n in SCRIPTS]
HERE = [name for name in SCRIPTS if name not in OWN_PROCESS]
AS_SCRIPTS = [n if n == "gpt.py" else pytest.param(n, marks=pytest.mark.slow) for n in HERE]
COMPILED = ["gpt.py", "mlp_block.py", "memory_block.py"]
PLACE = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}  # on the CPU whatever the machine has, and offline


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An example and its arguments, in a process of its own."""
    shown = os.environ | PLACE | environment
    for _ in range(TRIES):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, env=shown, cwd=EXAMPLES, check=False
        )
        if "terminate called without an active exception" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return done


def called(name: str, *words: str, **environment: str) -> tuple[str, str]:
    """What its `main` prints and says on stderr, here: torch takes seconds to load."""
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with (
        mock.patch.object(sys, "argv", [name, *words]),
        mock.patch.dict(os.environ, PLACE | environment),
        mock.patch.object(torch.cuda, "is_available", lambda: False),
        contextlib.redirect_stdout(io.StringIO()) as printed,
        contextlib.redirect_stderr(io.StringIO()) as said,
    ):
        spec.loader.exec_module(module)
        module.main()
    return printed.getvalue(), said.getvalue()


def small(name: str) -> str:
    """What it prints in its small size."""
    words = SMALL[name].split()
    return run(name, *words).stdout if name in OWN_PROCESS else called(name, *words)[0]


@cache
def eager(name: str) -> list[float]:
    """Losses of one run of the small size."""
    return losses(small(name))


def losses(stdout: str) -> list[float]:
    """Of the steps, which are counted from 0; lines of another kind are not allowed, a time at the end is."""
    lines = stdout.splitlines()
    if TIME.match(lines[-1]):
        lines.pop()
    matches = [LOSS.match(line) for line in lines]
    assert all(matches), lines
    assert [int(m[1]) for m in matches if m] == list(range(len(lines)))
    return [float(m[2]) for m in matches if m]


def test_every_example_has_a_small_size() -> None:
    assert set(SMALL) == set(SCRIPTS)


@pytest.mark.parametrize("name", EACH)
def test_it_learns_and_says_the_same_twice(name: str) -> None:
    first, second = eager(name), losses(small(name))
    assert first == second
    assert len(first) == int(SMALL[name].split()[1])
    assert first[-1] < first[0]
    if name in ONE_BATCH:
        assert first == sorted(first, reverse=True)


@pytest.mark.parametrize("name", AS_SCRIPTS)
def test_a_process_of_its_own_says_the_same(name: str) -> None:
    assert losses(run(name, *SMALL[name].split()).stdout) == eager(name)


def test_the_mlp_block_times_itself_on_its_last_line() -> None:
    assert TIME.match(small("mlp_block.py").splitlines()[-1])


@pytest.mark.parametrize("name", COMPILED)
def test_without_a_compiler_the_steps_stay_eager(name: str, tmp_path: Path) -> None:
    told, said = called(name, *SMALL[name].split(), "--compile", PATH=str(tmp_path), CXX="")
    assert losses(told) == eager(name)
    assert said == f"{name}: no C++ compiler for --compile; the steps stay eager\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_steps_learn_as_eager_ones(name: str, tmp_path: Path) -> None:
    """Compiled in truth: torch passes some modules over and says nothing."""
    logged = {"TORCH_LOGS": "output_code", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = run(name, *SMALL[name].split(), "--compile", **logged)
    assert "cpp_fused" in done.stderr or "no C++ compiler" in done.stderr
    assert losses(done.stdout) == pytest.approx(eager(name), rel=1e-4)


@pytest.mark.slow
def test_ddp_averages_over_two_processes() -> None:
    """Each process has data of its own, so that the mean loss is not that of one process."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "ddp.py"]
    both = losses(run(*launch, *SMALL["ddp.py"].split()).stdout)
    assert len(both) == len(eager("ddp.py")) and both != eager("ddp.py")
    assert both == sorted(both, reverse=True)


def test_fused_attention_learns_as_the_written_one() -> None:
    fused, _ = called("gpt.py", *SMALL["gpt.py"].split(), "--fused")
    assert losses(fused) == pytest.approx(eager("gpt.py"), abs=1e-4)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_a_script_of_its_own(name: str) -> None:
    """Short, with its command on top, importable without effect, and unaware of being profiled."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert f"\ntraceanalyze profile examples/{name}\n" in (ast.get_docstring(tree, clean=False) or "")
    assert isinstance(tree.body[-1], ast.If) and ast.unparse(tree.body[-1].test) == "__name__ == '__main__'"
    assert "import traceanalyzer" not in text and "from traceanalyzer" not in text
    assert len(text.splitlines()) <= 100


def test_the_table_lists_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[`(\w+\.py)`\]\(\1\)", readme, re.MULTILINE)) == SCRIPTS
    assert not [name for name in SCRIPTS if f"`traceanalyze profile examples/{name}`" not in readme]
