"""Whose code a suggestion's places are, said once; and why none are named."""

from __future__ import annotations

import msgspec
import pytest

from tests.report import example
from traceanalyzer.records import Analysis
from traceanalyzer.records.code import CodePlace, FunctionTime
from traceanalyzer.report import render

FUNCTION = FunctionTime(file="net.py", line=3, function="forward", line_is="call", time_ns=5, verdicts=())


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


@pytest.mark.parametrize("kind", ["html", "md", "txt"])
def test_without_any_function_one_line_says_how_to_record_them(kind: str) -> None:
    analysis = example.with_suggestions()
    bare = msgspec.structs.replace(analysis, function_rows=None, wait_rows=())
    text = " ".join(render(bare, kind).replace("\\", "").split())
    assert text.count("record with stacks") == 1 and "with_stack=True" in text
    unlinked = msgspec.structs.replace(
        bare, coverage=msgspec.structs.replace(bare.coverage, linked_share=0.0)
    )
    assert "record with stacks" not in render(unlinked, kind), "nothing leads to a function there"
    named = msgspec.structs.replace(bare, function_rows=(FUNCTION,))
    assert "record with stacks" not in render(named, kind)
