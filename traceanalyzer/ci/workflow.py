"""The files and commands by which a step talks to GitHub's runner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from traceanalyzer.report.sanitize import visible

Level = Literal["notice", "warning", "error"]
_SUMMARY = 1024 * 1024  # bytes; the runner drops a summary that is larger


def annotation(level: Level, message: str, title: str = "traceanalyze") -> str:
    """`::warning title=TITLE::...`, in which nothing of title or message acts."""
    return f"::{level} title={_property(visible(title))}::{_data(visible(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def log_line(text: str) -> str:
    """One line that the runner takes for no command, old (`##[`) or new (`::`)."""
    flat = visible(" ".join(text.split())).replace("##[", "## [")
    return f"traceanalyze: {flat}"


def set_outputs(environment: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Append to GITHUB_OUTPUT, where there is one. A value is one line: more would be other outputs."""
    path = environment.get("GITHUB_OUTPUT")
    if path:
        lines = "".join(f"{name}={' '.join(value.split())}\n" for name, value in values.items())
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(lines)


def add_summary(environment: Mapping[str, str], text: str) -> bool:
    """Append to GITHUB_STEP_SUMMARY; whether that was possible: none is dropped for its size."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if not path:
        return True
    file = Path(path)
    there = file.stat().st_size if file.exists() else 0
    content = f"{text}\n".encode()
    if there + len(content) >= _SUMMARY:
        return False
    with file.open("ab") as stream:
        stream.write(content)
    return True
