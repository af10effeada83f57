"""Limits on the tail: no long function, no long file, no undocumented contract, no blanket `except`."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import quantiles

import traceanalyzer
from tests.project.tree import MODULES, Function, functions, length, name_of, syntax

DOCUMENTED = ("trace", "cost", "device", "roofline", "report", "collect")


def test_files_are_short_and_state_their_contract() -> None:
    assert [name_of(path) for path in MODULES if not ast.get_docstring(syntax(path))] == []
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_functions_are_short() -> None:
    lengths = {(name_of(path), f.name): length(f) for path in MODULES for f in functions(syntax(path))}
    assert {place: lines for place, lines in lengths.items() if lines > 60} == {}


def test_nine_functions_in_ten_are_under_forty_lines() -> None:
    lengths = [length(f) for path in MODULES for f in functions(syntax(path))]
    assert quantiles(lengths, n=10)[-1] < 40


def undocumented(path: Path) -> list[str]:
    """Public functions and classes of a module that have no docstring."""
    named = [n for n in syntax(path).body if isinstance(n, Function | ast.ClassDef)]
    return [n.name for n in named if not n.name.startswith("_") and not ast.get_docstring(n)]


def test_public_names_are_documented() -> None:
    public = [path for path in MODULES if name_of(path).split("/")[0] in DOCUMENTED]
    assert {name_of(path): names for path in public if (names := undocumented(path))} == {}


# What a script raises is anything, and so is what a user's formula or somebody's package does; and whatever
# fails in the collector must not reach the script.
CATCHES_ALL = ("cli/", "collect/inductor", "collect/modules", "collect/run", "collect/script",
               "collect/session", "cost/registry", "cost/user")  # fmt: skip


def test_errors_are_caught_by_name() -> None:
    careful = [path for path in MODULES if not name_of(path).startswith(CATCHES_ALL)]
    handlers = [(p, n) for p in careful for n in ast.walk(syntax(p)) if isinstance(n, ast.ExceptHandler)]
    caught = [(name_of(path), ast.unparse(h.type) if h.type else "everything") for path, h in handlers]
    assert [one for one in caught if one[1] in ("everything", "Exception", "BaseException")] == []


def test_the_public_face_is_complete_and_sorted() -> None:
    assert list(traceanalyzer.__all__) == sorted(traceanalyzer.__all__)
    face = syntax(Path(traceanalyzer.__file__))
    imported = [n for n in ast.walk(face) if isinstance(n, ast.ImportFrom)]
    ours = [n for n in imported if (n.module or "").startswith("traceanalyzer")]
    bound = {a.asname or a.name for n in ours for a in n.names}
    public = bound - {"join", "ReportPresenter"} | {"__version__"}
    lazy = {n.name for n in face.body if isinstance(n, Function) and not n.name.startswith("_")}
    assert set(traceanalyzer.__all__) == public | lazy
    for name in traceanalyzer.__all__:
        assert getattr(traceanalyzer, name) is not None
