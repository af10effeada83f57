"""`explain` prints a formula with its units, assumptions and source."""

from __future__ import annotations

import re

from click.testing import CliRunner

from tests.project.tree import ROOT
from traceanalyzer.cli import main
from traceanalyzer.report.warning_texts import warning_line, warning_texts


def test_explain_prints_formula_and_source() -> None:
    for name in ("aten::mm", "mm"):
        result = CliRunner().invoke(main, ["explain", name])
        assert result.exit_code == 0
        for word in ("aten::mm", "FLOPs = 2*b*m*n*k", "Bytes =", "Assumes", "Source: torch/utils/flop_"):
            assert word in result.stdout


def test_explain_of_an_unknown_name_offers_close_ones() -> None:
    result = CliRunner().invoke(main, ["explain", "aten::softmx"])
    assert result.exit_code == 2
    assert "aten::softmax" in result.stderr and "Fix:" in result.stderr


def explained(*words: str) -> str:
    result = CliRunner().invoke(main, ["explain", *words])
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 110
    return result.stdout


def test_a_product_is_worked_through_to_its_roof() -> None:
    said = explained("mm", "--dims", "512x1024,1024x512", "--dtypes", "bf16", "--device", "h100-sxm5")
    for line in (
        "  0  [512, 1024] bf16  1.05 MB",
        "FLOPs      536,870,912  (537 MFLOP)",
        "bytes      2,097,152 read + 524,288 written = 2.62 MB",
        "intensity  205 FLOP/B",                         # 2 * 512 * 512 * 1024 / 2,621,440
        "  memory   2.62 MB / 3.35 TB/s = 783 ns",
        "  compute  537 MFLOP / 989 TFLOP/s = 543 ns  (matrix bf16)",
        "  roof time 783 ns: bound by memory",
    ):  # fmt: skip
        assert line in said


def test_strides_lists_and_values_are_read() -> None:
    expanded = explained("aten::add", "--dims", "512x1024,512x1024", "--strides", "1024x1,0x1")
    assert "4.10 kB of 2.10 MB, the rest being repeated" in expanded
    assert "2,101,248 read" in expanded
    lists = explained("aten::_foreach_mul_", "--dims", "[4x4,8],-", "--dtypes", "bf16")
    assert "bytes      48 read + 48 written" in lists
    window = ["--value", "3=[2, 2]", "--value", "4=[3, 3]", "--value", "5=[1, 1]", "--value", "6=False",
              "--value", "7=[0, 0]", "--value", "8=1"]  # fmt: skip
    convolved = explained("convolution", "--dims", "8x3x224x224,64x3x7x7", *window, "--dtypes", "fp16")
    assert f"{2 * 8 * 64 * 112 * 112 * 3 * 49:,}" in convolved


def test_what_is_not_priced_says_why() -> None:
    said = explained("aten::convolution", "--dims", "8x3x32x32,64x3x3x3")
    assert "not priced: no_concrete_inputs" in said
    masked = CliRunner().invoke(main, ["explain", "aten::bincount", "--dims", "100"])
    assert "data_dependent" in masked.stdout + masked.stderr


def test_inputs_that_do_not_fit_are_refused_in_one_line() -> None:
    for words, told in (
        (["mm", "--dims", "5y4"], "5y4 is no size"),
        (["mm", "--dims", "4x4,4x4", "--dtypes", "fp32,fp32,fp32"], "3 types for 2 tensors"),
        (["mm", "--dims", "4x4,4x4", "--dtypes", "fp31"], "fp31 is no type"),
        (["mm", "--dims", "4x4,4x4", "--value", "x"], "names no argument"),
        (["mm", "--device", "h100-sxm5"], "give --dims"),
        (["mm", "--dims", "4x4,4x4", "--device", "no such"], "devices"),
    ):
        result = CliRunner().invoke(main, ["explain", *words])
        assert result.exit_code == 2 and told in result.stderr and "Fix:" in result.stderr, words


def test_sizes_may_be_given_one_by_one() -> None:
    assert explained("mm", "--dims", "8x4", "--dims", "4x2") == explained("mm", "--dims", "8x4,4x2")


def test_inputs_that_a_formula_cannot_take_are_refused_in_one_line() -> None:
    result = CliRunner().invoke(main, ["explain", "mm", "--dims", "512,64"])
    assert result.exit_code == 2
    assert "cannot take these inputs" in result.stderr and "Fix: " in result.stderr
    assert result.stderr.count("\n") == 1


def test_every_warning_of_the_docs_is_explained() -> None:
    rows = (ROOT / "docs" / "warnings.md").read_text().splitlines()
    named = [row.split("|")[1] for row in rows if row.startswith("| `")]
    codes = [code for cell in named for code in re.findall(r"`(\w+)`", cell)]
    assert len(codes) > 50
    assert set(codes) == set(warning_texts())
    assert explained("steps_differ").startswith("steps_differ: the longest step takes over 10 % longer")
    assert all(warning_line(code) and "`" not in warning_line(code) for code in codes)
