"""A GPT's training step on a CPU: nearly all of it is named, nearly all of that is priced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.collect.harness import profiled
from traceanalyzer import Analysis, analyze

pytestmark = [pytest.mark.slow, pytest.mark.alone]  # shares of measured time
GPT = str(Path(__file__).parents[2] / "examples" / "gpt.py")
COMPILED_WRAPPERS = "CompiledFunction|CompiledFxGraph|Torch-Compiled Region"


def captured(folder: Path, *words: str) -> Analysis:
    """With roofs, so that what is priced also has a verdict."""
    run = profiled(folder, GPT, *words)
    assert run.code == 0, run.stderr
    return analyze(folder / "t.trace.json.gz")


def named_share(analysis: Analysis) -> float:
    """Part of the steps' time that is some operator's or loop's own, wrappers of compiled code apart."""
    ops = analysis.ops
    named = ops[~ops.name.str.contains(COMPILED_WRAPPERS)]
    return float(named.attributed_ns.sum() / analysis.window.window_ns)


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return captured(tmp_path_factory.mktemp("eager"))


def test_eager_steps_are_named_and_priced(eager: Analysis) -> None:
    analysis = eager
    priced = 1 - sum(
        part.share for part in analysis.coverage.reasons if part.reason not in ("no_device", "no_peak")
    )
    print(f"eager: {named_share(analysis):.1%} of the step named, {priced:.1%} of that priced")
    assert named_share(analysis) >= 0.9 and priced >= 0.9


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_compiled_steps_are_named(tmp_path: Path) -> None:
    analysis = captured(tmp_path, "--compile")
    priced = 1 - sum(
        part.share for part in analysis.coverage.reasons if part.reason not in ("no_device", "no_peak")
    )
    print(f"compiled: {named_share(analysis):.1%} of the step named, {priced:.1%} of that priced")
    assert named_share(analysis) >= 0.9


def test_operators_of_the_model_know_their_module(eager: Analysis) -> None:
    """Forward and backward alike; the optimizer's and the loss's have none."""
    ops = eager.ops
    products = ops[ops.name.isin(["aten::mm", "aten::addmm", "aten::bmm"])]
    assert set(products.phase) == {"forward", "backward"} and products.module.notna().all()
    assert ops[ops.phase == "optimizer"].module.isna().all()
