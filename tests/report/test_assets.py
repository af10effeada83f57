"""Compiled templates are kept between runs; what becomes of them changes no page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report import example
from traceanalyzer.report import render
from traceanalyzer.report.assets import templates


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    templates.cache_clear()
    yield
    templates.cache_clear()


def page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a process that keeps temporary files there."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    templates.cache_clear()
    return render(example.example_analysis(), "html")


def test_a_page_is_the_same_with_templates_that_are_kept_lost_or_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = page(tmp_path, monkeypatch)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and page(tmp_path, monkeypatch) == first
    whole = {path: path.read_bytes() for path in kept}
    for part in (0.001, 0.01, 0.05, 0.5, 0.99):
        for path, content in whole.items():
            path.write_bytes(content[: round(part * len(content))])
        assert page(tmp_path, monkeypatch) == first
    for path in kept:
        path.unlink()
        path.mkdir()
    assert page(tmp_path, monkeypatch) == first


def test_a_page_needs_no_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    assert page(tmp_path / "file", monkeypatch) == page(tmp_path, monkeypatch)
    (other,) = tmp_path.glob("_jinja2-cache-*")
    other.rename(tmp_path / "elsewhere")
    other.symlink_to(tmp_path / "elsewhere")  # somebody else's, who hopes that it is used
    assert page(tmp_path, monkeypatch)
