"""Limits on the tail: no long function, no long file, no undocumented contract, no blanket `except`."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from statistics import quantiles

import traceanalyzer
from tests.project.tree import MODULES, Function, functions, length, name_of, over_all, syntax


@over_all(MODULES, name_of)
def test_files_are_short_and_state_their_contract(path: Path) -> None:
    assert ast.get_docstring(syntax(path)), "a module says what it promises"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@over_all(MODULES, name_of)
def test_functions_are_short(path: Path) -> None:
    long = {f.name: length(f) for f in functions(syntax(path)) if length(f) > 60}
    assert not long


def test_nine_functions_in_ten_have_at_most_twenty_lines() -> None:
    lengths = [length(f) for path in MODULES for f in functions(syntax(path))]
    assert quantiles(lengths, n=10)[-1] <= 20


def undocumented(tree: ast.Module) -> list[str]:
    """Public functions, classes and methods without a docstring; methods may be those of a base class."""
    named = [n for n in tree.body if isinstance(n, Function | ast.ClassDef)]
    for each in [n for n in named if isinstance(n, ast.ClassDef) and not n.bases]:
        named += [] if each.name.startswith("_") else [n for n in each.body if isinstance(n, Function)]
    return [n.name for n in named if not n.name.startswith("_") and not ast.get_docstring(n)]


@over_all(MODULES, name_of)
def test_public_names_are_documented(path: Path) -> None:
    assert not undocumented(syntax(path))


# Names that say nothing of what they name, and how many of each package's variables, arguments and fields
# still have one: to become fewer. `place` is a node's in its step, `kind` a field of the JSON.
VAGUE = {"found", "known", "told", "one", "made", "own", "place", "kind"}
STILL_VAGUE = {
    "cli": 1, "collect": 3, "cost": 2, "device": 1, "fusion": 49, "inference": 5, "pipeline": 1, "records": 7,
    "report": 1, "roofline": 1, "trace": 12,
}  # fmt: skip


def vague(tree: ast.Module) -> list[str]:
    """Names of VAGUE that a module gives to something."""
    stored = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return [
        name for name in stored + [n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)] if name in VAGUE
    ]


def test_names_say_what_they_name() -> None:
    counts = Counter(name_of(path).split("/")[0] for path in MODULES for _ in vague(syntax(path)))
    assert {package: n for package, n in counts.items() if n > STILL_VAGUE.get(package, 0)} == {}


# What a script raises is anything, and so is what a user's formula or somebody's package does, or the client
# of a store; and whatever
# fails in the collector must not reach the script.
CATCHES_ALL = ("analyzing", "cli/", "collect/calling_lines", "collect/inductor", "collect/modules",
               "collect/run", "collect/script",
               "collect/session", "cost/registry", "cost/user",
               "fusion/evidence/dataflow", "fusion/suggestions", "inference/call_sites", "pipeline",
               "ranks/cluster", "ranks/worker", "trace/reading/remote")  # fmt: skip


@over_all([p for p in MODULES if not name_of(p).startswith(CATCHES_ALL)], name_of)
def test_errors_are_caught_by_name(path: Path) -> None:
    assert not catching_all(path)


def catching_all(path: Path) -> list[ast.ExceptHandler]:
    """The handlers in a module that catch whatever is raised, by that type alone or among others."""
    return [n for n in ast.walk(syntax(path)) if isinstance(n, ast.ExceptHandler) and catches_all(n.type)]


def catches_all(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(map(catches_all, kind.elts))
    return kind is None or ast.unparse(kind) in ("Exception", "BaseException")


@over_all([p for p in MODULES if not name_of(p).startswith("collect/")], name_of)
def test_what_a_guard_catches_is_said(path: Path) -> None:
    for handler in catching_all(path):
        used = {n.id for part in handler.body for n in ast.walk(part) if isinstance(n, ast.Name)}
        assert handler.name in used, f"line {handler.lineno} drops what it catches"


def test_the_public_face_is_complete_and_sorted() -> None:
    assert list(traceanalyzer.__all__) == sorted(traceanalyzer.__all__)
    face = syntax(Path(traceanalyzer.__file__))
    imported = [n for n in ast.walk(face) if isinstance(n, ast.ImportFrom)]
    ours = [n for n in imported if (n.module or "").startswith("traceanalyzer")]
    bound = {a.asname or a.name for n in ours for a in n.names}
    joins = {"join", "presenter", "Presenter", "join_exporter", "exporter", "Exporter", "join_analyzer"}
    public = bound - joins | {"__version__"}
    lazy = {n.name for n in face.body if isinstance(n, Function) and not n.name.startswith("_")}
    assert set(traceanalyzer.__all__) == public | lazy
    for name in traceanalyzer.__all__:
        assert getattr(traceanalyzer, name) is not None
