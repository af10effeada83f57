"""Text out of a trace made fit to be shown: nothing acts, nothing fills pages."""

from __future__ import annotations

import os
from collections.abc import Sequence

_HEAD = 4  # a quarter of a name says which operator it is
TEXT = 600  # characters of one name; C++ templates reach tens of thousands
ABSENT = "–"  # where a number is not known


def cut(text: str, limit: int) -> str:
    """`text`, its middle left out where it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def cut_apart(texts: Sequence[str], limit: int) -> list[str]:
    """Each text cut to `limit`; of those that would read alike, what they differ in is kept."""
    short = [cut(text, limit) for text in texts]
    alike: dict[str, list[str]] = {}
    for text, shown in zip(texts, short, strict=True):
        alike.setdefault(shown, []).append(text)
    groups = {shown: list(dict.fromkeys(group)) for shown, group in alike.items()}
    return [
        _at_difference(text, groups[shown], limit) if len(groups[shown]) > 1 else shown
        for text, shown in zip(texts, short, strict=True)
    ]


def _at_difference(text: str, group: Sequence[str], limit: int) -> str:
    """The beginning, and what follows from the first place on at which the texts differ."""
    differs = len(os.path.commonprefix(list(group)))
    head = min(limit // _HEAD, differs)
    begin = max(text.rfind("[", 0, differs + 1), head)  # the shape that differs, from its beginning
    if differs - begin > limit // _HEAD:
        begin = differs
    return f"{text[:head]}…{cut(text[begin:], limit - head - 1)}"


def visible(text: str) -> str:
    """`text` without characters that act instead of showing: control codes and text direction."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}" for c in text)
