"""The project's files as the tests on its own code see them: tracked files and syntax trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "traceanalyzer"
MODULES = sorted(PACKAGE.rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef
Item = TypeVar("Item")


def name_of(path: Path) -> str:
    """`roofline/verdicts` of the file in the package: the id of a test."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@cache
def syntax(path: Path) -> ast.Module:
    """The module as parsed; nothing is imported."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(node: ast.AST) -> Iterator[Function]:
    """Every function and method below `node`, nested ones too."""
    return (n for n in ast.walk(node) if isinstance(n, Function))


def length(function: Function) -> int:
    """Lines from `def` to the last one; decorators do not count."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


@cache
def tracked() -> tuple[str, ...]:
    """Paths of the files that git knows and that are there, from the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def over_all(
    items: Iterable[Item], name: Callable[[Item], str] = str
) -> Callable[[Callable[[Item], None]], Callable[[], None]]:
    """One test that checks every item: with a test for each, thousands would take longer than they test."""

    listed = list(items)

    def one_test(check: Callable[[Item], None]) -> Callable[[], None]:
        def test() -> None:
            failures = []
            for item in listed:
                try:
                    check(item)
                except AssertionError as failure:
                    failure.add_note(f"for {name(item)}")
                    failures.append(failure)
            if failures:
                raise ExceptionGroup(f"{check.__name__}: {len(failures)} fail", failures)

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return one_test
