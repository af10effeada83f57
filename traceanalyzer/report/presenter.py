"""How an Analysis shows itself, where Python code asks it to: `records.presenter` declares it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from traceanalyzer.files import replacing
from traceanalyzer.records import Analysis
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report import RENDERERS, render

_LONG = {"htm": "html", "markdown": "md", "text": "txt"}


def format_of(path: str | PathLike[str]) -> str:
    """The format that the suffix of a file names. UsageError where it names none."""
    suffix = Path(path).suffix.lstrip(".").lower()
    found = _LONG.get(suffix, suffix)
    if found not in RENDERERS:
        endings = ", ".join(f".{name}" for name in RENDERERS)
        raise UsageError(f"{path}: the suffix names no format", fix=f"end the name in one of {endings}")
    return found


class ReportPresenter:
    """Every format of this package."""

    def text(self, analysis: Analysis, format_name: str) -> str:
        """The whole report in one of the formats."""
        return render(analysis, format_name)

    def save(self, analysis: Analysis, path: str | PathLike[str], *, force: bool) -> None:
        """Write it to `path`, whose suffix is the format."""
        target, name = Path(path), format_of(path)
        if target.is_dir():
            raise UsageError(f"{target}: is a folder", fix="name a file, such as report.html")
        if target.exists() and not force:
            raise UsageError(
                f"{target}: exists and would be replaced", fix="give force=True, or another name"
            )
        text = render(analysis, name)
        try:
            with replacing(target) as file:
                file.write(text.encode())
        except OSError as error:
            why = error.strerror or str(error)
            raise UsageError(
                f"{target}: cannot be written ({why})", fix="give a file in a folder that can be written"
            ) from error

    def notebook(self, analysis: Analysis) -> str:
        """A fragment of HTML for a notebook's cell."""
        from traceanalyzer.report.notebook import notebook

        return notebook(analysis)
