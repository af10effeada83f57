"""A saved report, damaged: what a hand or a disk may make of it."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import traceanalyzer
from tests.robustness.documents import document
from tests.robustness.mutations import ODD, Text, written
from traceanalyzer.report import render

_COUNTS = (0, 0, 1, 3, 10**6, 10**12, 2**63, 2**70, 10**40)
_RATIOS = (0, 0.0, 1, 3, 1e-300, 1e-9, 0.3, 1e9, 1e17, 1e100)
_IMPOSSIBLE = (-1, -0.5, 1e300, Text("9" * 5000), None)
_TEXTS = tuple(value for value in ODD.values() if isinstance(value, str) and len(value) < 6000)


@cache
def report(base: str, folder: Path) -> Any:
    """The JSON of one small report, with few rows and suggestions."""
    file = folder / "saved.json"
    file.write_bytes(written(document(base)))
    made = json.loads(render(traceanalyzer.analyze(file), "json"))
    return {**made, "ops": made["ops"][:8], "suggestions": (made["suggestions"] or [])[:4]}


def damaged(whole: Any, choose: random.Random) -> bytes:
    """One to six members replaced, mostly by others of their type; seldom the text is cut."""
    for _ in range(choose.randint(1, 4)):
        whole = _elsewhere(whole, choose)
    text = written(whole)
    return text[: choose.randrange(len(text))] if choose.random() < 0.02 else text


def _elsewhere(value: Any, choose: random.Random) -> Any:
    if isinstance(value, dict) and value and choose.random() < 0.97:
        key = choose.choice(list(value))
        return {**value, key: _elsewhere(value[key], choose)}
    if isinstance(value, list) and value and choose.random() < 0.9:
        place = choose.randrange(len(value))
        return [*value[:place], _elsewhere(value[place], choose), *value[place + 1 :]]
    if choose.random() < 0.03:
        return choose.choice(list(ODD.values()))
    if isinstance(value, list):
        return choose.choice((value[:-1], [*value, *value], []))
    if isinstance(value, str):
        return choose.choice((*_TEXTS, value + value))
    if choose.random() < 0.1:
        return choose.choice(_IMPOSSIBLE)
    return choose.choice(_COUNTS if isinstance(value, int) else _RATIOS)
