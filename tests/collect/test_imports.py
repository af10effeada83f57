"""Actions after an import, without a trace of us in the module."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from traceanalyzer.collect.imports import AfterImport


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`watched` imports `watched.inner`; both note what they are."""
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "__init__.py").write_text("from watched.inner import VALUE\n")
    (folder / "inner.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in ("watched", "watched.inner"):
        sys.modules.pop(name, None)


def test_actions_run_once_when_the_module_is_whole(package: Path) -> None:
    seen: list[tuple[str, bool]] = []

    def note(module: ModuleType) -> None:
        seen.append((module.__name__, hasattr(module, "VALUE")))

    waiting = AfterImport({"watched": note, "watched.inner": note})
    waiting.install()
    try:
        import watched
        import watched.inner
    finally:
        waiting.remove()
    assert seen == [("watched.inner", True), ("watched", True)]
    assert "traceanalyzer" not in repr((watched.__loader__, watched.__spec__, watched.inner.__spec__))
    assert waiting not in sys.meta_path


def test_a_module_that_is_there_already_is_acted_on_at_once() -> None:
    seen: list[ModuleType] = []
    AfterImport({"sys": seen.append})
    assert seen == [sys]


def test_a_module_that_is_missing_stays_missing() -> None:
    waiting = AfterImport({"no_such_module_at_all": print})
    waiting.install()
    try:
        with pytest.raises(ModuleNotFoundError):
            __import__("no_such_module_at_all")
    finally:
        waiting.remove()
