"""`explain` prints a formula with its units, assumptions and source."""

from __future__ import annotations

from click.testing import CliRunner

from traceanalyzer.cli import main


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
