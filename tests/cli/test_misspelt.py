"""A misspelt name is told in one line with the one that was meant, whatever it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from traceanalyzer.cli import COMMANDS, main
from traceanalyzer.comparison.side_values import of_runs
from traceanalyzer.records.spelling import did_you_mean, spelled_alike

SAMPLE = str(Path(__file__).parents[2] / "sample_traces" / "gpt_eager_cpu.json.gz")


def fix_of(*args: str) -> str:
    """What the one line of an error with exit code 2 advises."""
    said = CliRunner().invoke(main, list(args))
    assert said.exit_code == 2, said.output
    (line,) = said.stderr.splitlines()
    assert line.startswith("traceanalyze: ")
    return line.partition(" Fix: ")[2]


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (("repot", SAMPLE), "report"),
        (("--versoin",), "--version"),
        (("report", SAMPLE, "--fromat", "md"), "--format"),
        (("profile", "--no-reprt", "x.py"), "--no-report"),
        (("report", SAMPLE, "--format", "htm"), "html"),
        (("report", SAMPLE, "-o", "a.htmll"), "html"),
        (("report", SAMPLE, "--device", "h10"), "h100-sxm5"),
        (("devices", "H1000"), "h100-sxm5"),
        (("report", SAMPLE, "--what-if", "mi300xx"), "mi300x"),
        (("report", SAMPLE, "--set", "efficency=0.5"), "efficiency"),
        (("report", SAMPLE, "--assume-dtype", "bf61"), "bf16"),
        (("verify", SAMPLE, "pointwise_chan"), "pointwise_chain"),
        (("explain", "memory_bond"), "memory_bound"),
        (("explain", "aten::softmx"), "aten::softmax"),
        (("explain", "mm", "--dims", "4x4,4x4", "--dtypes", "fp23"), "fp32"),
    ],
)
def test_the_name_that_was_meant_comes_first(args: tuple[str, ...], meant: str) -> None:
    fix = fix_of(*args)
    first = fix.removeprefix("did you mean ").partition("?")[0].replace(" or ", ", ").split(", ")[0]
    assert fix.startswith("did you mean ") and first == meant, fix
    assert "? Else " in fix


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_is_found_by_a_letter_less(name: str) -> None:
    assert fix_of(name[:2] + name[3:]).startswith(f"did you mean {name}")


def test_what_is_like_nothing_is_asked_about_nothing() -> None:
    assert "did you mean" not in fix_of("xyzzy")
    assert "did you mean" not in fix_of("report", SAMPLE, "--xyzzy")
    assert "did you mean" not in fix_of("report", SAMPLE, "-o", "report.docx")
    assert "did you mean" not in fix_of("profile", "--gpu", "x.py"), "dashes make nothing alike"


def test_a_metric_that_is_like_none_is_told_with_those_that_may_be_meant() -> None:
    import traceanalyzer

    every = of_runs([traceanalyzer.analyze(SAMPLE)]).values
    fix = fix_of("check", SAMPLE, "--require", "foo<=1")
    listed = fix.removeprefix("take ").partition(", or another of ")[0].split(", ")
    assert len(listed) >= 5 and set(listed) <= set(every), "a name that is advised is one that is taken"
    assert f"the {len(every)} single values" in fix


@pytest.mark.parametrize(
    ("name", "meant"),
    [("window.step_ns.medain", "window.step_ns.median"), ("mfu", "compute.mfu_share")],
)
def test_a_metric_is_found_by_its_words(name: str, meant: str) -> None:
    assert fix_of("check", SAMPLE, "--require", f"{name}<=1").startswith(f"did you mean {meant}")


def test_case_does_not_matter_and_the_closest_comes_first() -> None:
    assert spelled_alike("Memory_Bond", ["memory", "memory_bound", "loss"]) == ["memory_bound", "memory"]
    assert did_you_mean(["a", "b", "c"], "see x") == "did you mean a, b or c? Else see x"
    assert did_you_mean([], "see x") == "see x"
