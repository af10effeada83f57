"""Ways to spoil a trace: each field of each kind of row, members beside them, values at random."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.robustness.documents import Document, Row, document

Change = Callable[[Any], Any]
GONE = object()
SHARE = float(os.environ.get("TRACEANALYZER_MUTATIONS", "0"))  # of all mutations; 0: a few of each kind
ALL = SHARE >= 1
SEED = int(os.environ.get("TRACEANALYZER_MUTATION_SEED", "0"))
_FIELDS = ("name", "cat", "ph", "pid", "tid", "ts", "dur", "args")
_MARK = "raw text "  # a string that stands for what json.dumps cannot write


@dataclass(frozen=True, slots=True)
class Text:
    """JSON as it is to be written, whatever json.dumps makes of such a value."""

    raw: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """One spoilt trace: `title` names it, `text()` writes it."""

    title: str
    base: str
    change: Callable[[Document], Document]

    def text(self) -> bytes:
        """The spoilt document as bytes of a file."""
        return written(self.change(document(self.base)))


def written(spoilt: Any) -> bytes:
    """JSON text, `Text` in it taken as it is."""
    texts: list[str] = []

    def marked(value: Text) -> str:
        texts.append(value.raw)
        return f"{_MARK}{len(texts) - 1}"

    text = json.dumps(spoilt, default=marked)
    for place, raw in enumerate(texts):
        text = text.replace(f'"{_MARK}{place}"', raw, 1)
    return text.encode()


def _shorter(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(list(value.items())[:-1])
    return value[:-1] if isinstance(value, str | list) else value // 10 if isinstance(value, int) else 0.5


def _longer(value: Any) -> Any:
    if isinstance(value, list):
        return [*value, value[-1] if value else 1]
    if isinstance(value, dict):
        return {**value, "another": 1}
    return f"{value} more" if isinstance(value, str) else (value or 1) * 1000


def _negative(value: Any) -> Any:
    if isinstance(value, list):
        return [_negative(item) for item in value]
    return -1 - value if isinstance(value, int | float) else -7


def _empty(value: Any) -> Any:
    return type(value)() if isinstance(value, str | list | dict) else 0


CHANGES: dict[str, Change] = {
    "removed": lambda _: GONE,
    "empty": _empty,
    "shorter": _shorter,
    "longer": _longer,
    "null": lambda _: None,
    "text": lambda _: "text",
    "negative": _negative,
    "a list": lambda value: [value],
}
TOP = (
    ("deviceProperties",), ("distributedInfo",), ("distributedInfo", "rank"), ("baseTimeNanoseconds",),
    ("schemaVersion",), ("traceName",), ("traceanalyze",), ("traceanalyzeEvidence",), ("traceEvents",),
)  # fmt: skip
_NESTED = ("traceanalyze", "traceanalyzeEvidence", "distributedInfo")


def of_fields(base: str) -> Iterator[Mutation]:
    """Each field of each kind of row, changed in all rows and in every third."""
    kinds: dict[tuple[str, str], None] = {}
    for row in document(base)["traceEvents"]:
        kind = str(row.get("cat"))
        fields = [key for key in _FIELDS if key in row]
        arguments = row.get("args") if isinstance(row.get("args"), dict) else {}
        kinds |= dict.fromkeys((kind, key) for key in (*fields, *(f"args {key}" for key in arguments)))
    for kind, key in kinds:
        for name, change in CHANGES.items():
            for every in (1, 3):
                title = f"{base}: {key} of {kind} rows {name}, every {every}"
                yield Mutation(title, base, _in_rows(kind, key, change, every))


def _in_rows(kind: str, key: str, change: Change, every: int) -> Callable[[Document], Document]:
    def spoil(whole: Document) -> Document:
        seen = 0
        rows = []
        for row in whole["traceEvents"]:
            if str(row.get("cat")) == kind:
                seen += 1
                row = _in_row(row, key, change) if seen % every == 0 else row
            rows.append(row)
        return {**whole, "traceEvents": rows}

    return spoil


def _in_row(row: Row, key: str, change: Change) -> Row:
    if key.startswith("args "):
        arguments = row.get("args")
        return {**row, "args": _changed(arguments, key[5:], change)} if isinstance(arguments, dict) else row
    return _changed(row, key, change)


def _changed(values: Row, key: str, change: Change) -> Row:
    if not isinstance(values, dict) or key not in values:
        return values
    value = change(values[key])
    rest = {name: item for name, item in values.items() if name != key}
    return rest if value is GONE else {**rest, key: value}


def of_members(base: str) -> Iterator[Mutation]:
    """Members beside the events, and their own members."""
    whole = document(base)
    paths: list[tuple[Any, ...]] = [(key,) for key in whole]
    paths += [(key, name) for key in _NESTED if isinstance(whole.get(key), dict) for name in whole[key]]
    paths += [
        ("traceanalyze", "cpu_roofs", name) for name in whole.get("traceanalyze", {}).get("cpu_roofs") or {}
    ]
    listed = whole.get("deviceProperties") or []
    paths += [("deviceProperties", 0, name) for name in (listed[0] if listed else {})]
    for path in paths:
        for name, change in (CHANGES | _AS_ODD).items():
            title = f"{base}: {' '.join(map(str, path))} {name}"
            yield Mutation(title, base, partial(_at, path=path, change=change))


def _at(value: Any, path: tuple[Any, ...], change: Change) -> Any:
    if isinstance(value, list):
        return [_at(item, path[1:], change) if path[0] == i else item for i, item in enumerate(value)]
    if len(path) == 1:
        return _changed(value, path[0], change)
    return {**value, path[0]: _at(value[path[0]], path[1:], change)} if isinstance(value, dict) else value


DEEP = "[" * 1000 + "]" * 1000
ODD: dict[str, Any] = {
    "beyond 64 bits": 2**64 + 3, "63 bits": 2**63 - 1, "2**62": 2**62, "below -2**63": -(2**70),
    "huge": 10**40,
    "5,000 digits": Text("9" * 5000), "-5,000 digits": Text("-" + "9" * 5000), "negative": -3, "zero": 0,
    "fraction": 0.3, "tiny": 1e-300, "1e300": 1e300, "-1e300": -1e300, "1e17": 1e17, "9e15": 9e15,
    "NaN": float("nan"), "infinity": float("inf"), "-infinity": float("-inf"), "1e999": Text("1e999"),
    "text": "text", "empty text": "", "a number in text": "12", "infinity in text": "inf",
    "NaN in text": "nan", "5,000 digits in text": "9" * 5000, "superscript": "²", "Arabic digits": "٣٤",
    "carriage return": "a\rb\r\nc",
    "lone surrogate": "a\ud800b", "null character": "a\0b", "formula": "=1+1", "markup": "</script><b>",
    "long text": "x" * 70_000, "emoji": "🐢", "true": True, "false": False, "null": None, "list": [],
    "object": {},
    "list of lists": [[[]]], "list of text": ["a", "b"], "deep": Text(DEEP),
    "deep object": Text('{"a":' * 1000 + "1" + "}" * 1000), "many": list(range(300)),
    "huge sizes": [2**62, 2**62, 2**62], "negative sizes": [-4, 8], "sizes": [3, 5],
    "lists of sizes": [[3, 5], [7]], "dims of text": [["a"], 5, None, {}, [[2, [3]]]],
    "step": "ProfilerStep#" + "9" * 5000, "half a step": "ProfilerStep#²",
}  # fmt: skip


def _always(value: Any) -> Change:
    return lambda _: value


_AS_ODD: dict[str, Change] = {name: _always(value) for name, value in ODD.items()}


def at_random(bases: list[str], count: int, seed: int) -> Iterator[Mutation]:
    """One to four values anywhere in a trace, each replaced by an odd one."""
    for number in range(count):
        choose = random.Random(f"{seed} {number}")
        base = choose.choice(bases)
        yield Mutation(f"{base}: random {seed} {number}", base, partial(_spoilt, choose=choose))


def _spoilt(whole: Document, choose: random.Random) -> Document:
    state = choose.getstate()  # written twice, it is spoilt alike
    for _ in range(choose.randint(1, 4)):
        beside = choose.random() < 0.2
        if beside or not isinstance(whole, dict):
            whole = _random_place(whole, choose)
        else:
            rows = list(whole["traceEvents"]) if isinstance(whole.get("traceEvents"), list) else []
            if not rows:
                break
            place = choose.randrange(len(rows))
            key = choose.choice(list(rows[place])) if isinstance(rows[place], dict) and rows[place] else ""
            for at in range(place, min(place + choose.choice((1, 1, 1, 20, 200)), len(rows))):
                if isinstance(rows[at], dict) and key in rows[at] and choose.random() < 0.7:
                    rows[at] = {**rows[at], key: _random_place(rows[at][key], choose)}
                else:
                    rows[at] = _random_place(rows[at], choose)
            whole = {**whole, "traceEvents": rows}
    choose.setstate(state)
    return whole


def _random_place(value: Any, choose: random.Random) -> Any:
    """`value` with something in it replaced."""
    if isinstance(value, dict) and value and choose.random() < 0.95:
        key = choose.choice(
            [key for key in value if key != "traceEvents" or choose.random() < 0.02] or list(value)
        )
        return {**value, key: _random_place(value[key], choose)}
    if isinstance(value, list) and value and choose.random() < 0.6:
        place = choose.randrange(len(value))
        return [*value[:place], _random_place(value[place], choose), *value[place + 1 :]]
    return choose.choice(list(ODD.values()))
