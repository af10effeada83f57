"""Text out of a trace made fit to be shown: nothing acts, nothing fills pages."""

from __future__ import annotations

TEXT = 600  # characters of one name; C++ templates reach tens of thousands
ABSENT = "–"  # where a number is not known


def cut(text: str, limit: int) -> str:
    """`text`, its middle left out where it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def visible(text: str) -> str:
    """`text` without characters that act instead of showing: control codes and text direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}" for c in text)
