"""A failure of the program itself: exit code 1 and one line that can be reported."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from traceanalyzer import __version__
from traceanalyzer.cli import COMMANDS, main


@click.command()
def failing() -> None:
    raise ZeroDivisionError("by hand")


def test_an_internal_error_is_one_line_that_names_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "demo", lambda: failing)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    for word in (
        "internal error: ZeroDivisionError: by hand",
        "test_internal_error.py:15",
        __version__,
        "report",
    ):
        assert word in line
    assert "http" not in line and "://" not in line


def test_the_traceback_is_shown_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "demo", lambda: failing)
    monkeypatch.setenv("TRACEANALYZE_DEBUG", "1")
    assert "Traceback" in CliRunner().invoke(main, ["demo"]).stderr
