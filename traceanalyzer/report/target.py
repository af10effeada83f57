"""A file that is to be written: the format its name says, whether it may be written, and writing it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from traceanalyzer.files import replacing
from traceanalyzer.records import Analysis
from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess
from traceanalyzer.report import RENDERERS, TABLES

_LONG = {"htm": "html", "markdown": "md", "text": "txt"}


def format_of(path: str | PathLike[str], otherwise: str = "") -> str:
    """The format that the suffix of a file names. UsageError where it names none.

    `otherwise`: what else the caller's user can do about that.
    """
    suffix = Path(path).suffix.lstrip(".").lower()
    name = of_table(path, _LONG.get(suffix, suffix))
    if name not in (*RENDERERS, *TABLES):
        endings = ", ".join(f".{each}" for each in (*RENDERERS, "parquet"))
        fix = guess(suffix, (*RENDERERS, "parquet"), f"end the name in one of {endings}{otherwise}")
        raise UsageError(f"{path}: the suffix names no known format", fix=fix)
    return name


def of_table(path: str | PathLike[str], name: str) -> str:
    """The format `name`, of which a Parquet file's own name says what it holds."""
    holds_kernels = Path(path).name.lower().endswith("kernels.parquet")
    return "kernels.parquet" if name == "parquet" and holds_kernels else name


def check_writable(path: Path | None, name: str) -> None:
    """UsageError where a format is asked for whose package is not installed."""
    if name in TABLES:
        from traceanalyzer.report.parquet import check_ready

        check_ready(str(path or "stdout"))


def check_content(analysis: Analysis, path: Path | None, name: str) -> None:
    """UsageError where an analysis does not hold what a format shows."""
    if name == "kernels.parquet":
        from traceanalyzer.report.parquet import check_kernels

        check_kernels(analysis, str(path or "stdout"))


def check_place(path: Path) -> None:
    """UsageError where there can be no file of that name."""
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"{path}: the folder {folder} does not exist", fix=f"mkdir -p {folder}")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder", fix="name a file, such as report.html")


def would_replace(path: Path, fix: str) -> UsageError:
    """What is raised where a file is there that nobody has said may be replaced."""
    return UsageError(f"{path}: exists and would be replaced", fix=fix)


def write_file(path: Path, content: str | bytes) -> None:
    """Into a temporary file beside `path`, which then takes its name. UsageError where it cannot be."""
    try:
        with replacing(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror or error})",
            fix="give a file in a folder that can be written",
        ) from error
