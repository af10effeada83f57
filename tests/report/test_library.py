"""Whose code a suggestion's places are, said once."""

from __future__ import annotations

import msgspec
import pytest

from tests.report import example
from traceanalyzer.records import Analysis
from traceanalyzer.records.code import CodePlace
from traceanalyzer.report import render


def place(file: str, library: str | None) -> CodePlace:
    return CodePlace(
        module=None, file=file, line=1, function="forward", count=1, time_ns=1, line_is="call",
        library=library,
    )  # fmt: skip


def of_libraries(*places: CodePlace) -> Analysis:
    """Every suggestion is at all of these places."""
    analysis = example.with_suggestions()
    moved = [msgspec.structs.replace(each, places=places) for each in analysis.suggestions or ()]
    return msgspec.structs.replace(analysis, suggestions=tuple(moved))


@pytest.mark.parametrize("kind", ["html", "md"])
def test_each_library_is_named_once_with_all_of_its_files(kind: str) -> None:
    analysis = of_libraries(
        place("attention.py", "models"), place("norm.py", "models"), place("own.py", None)
    )
    text = render(analysis, kind).split('<script type="application/json"')[0]
    said = "attention.py and norm.py are of the library models: change it there, or replace the module"
    assert text.count(said) == 1
    assert text.count("of the library") == 1


@pytest.mark.parametrize("kind", ["html", "md"])
def test_of_a_users_own_code_nothing_is_said(kind: str) -> None:
    text = render(of_libraries(place("own.py", None)), kind).split('<script type="application/json"')[0]
    assert "of the library" not in text
