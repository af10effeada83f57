"""What must hold of a trace: given, or as `[tool.traceanalyzer]` of pyproject.toml says."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from traceanalyzer.records.errors import UsageError
from traceanalyzer.records.spelling import guess


class Gate(msgspec.Struct, frozen=True):
    """What must hold, and against which runs."""

    require: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()
    strict: bool = False

    def over(self, other: Gate) -> Gate:
        """This one's where it says something, else the other's."""
        return Gate(
            self.require or other.require, self.baseline or other.baseline, self.strict or other.strict
        )

    def without_baseline(self) -> tuple[Gate, tuple[str, ...]]:
        """Without what is relative to one, and the requirements that are left out for it."""
        from traceanalyzer.comparison.expressions import parsed

        left_out = tuple(text for text in self.require if parsed(text).relative)
        return Gate(tuple(t for t in self.require if t not in left_out), (), self.strict), left_out


def configured(path: Path = Path("pyproject.toml")) -> Gate:
    """`[tool.traceanalyzer]`; baselines are relative to that file."""
    if not path.is_file():
        return Gate()
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", fix="fix that file") from None
    ours = table.get("traceanalyzer", {}) if isinstance(table, dict) else {}
    gate = Gate()
    for name, value in ours.items() if isinstance(ours, dict) else ():
        gate = _set(gate, path, name, value)
    return gate


def is_missing(baseline: Sequence[str]) -> bool:
    """Whether baselines are named and none of them is there yet, as before the first run."""
    return bool(baseline) and not any(Path(path).exists() for path in baseline)


def left_out_lines(baseline: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """A line for each requirement that is not held for want of a baseline."""
    why = f"{', '.join(baseline)} is not there yet" if baseline else "there is no baseline"
    return [f"{'left out':12} {text}; {why}" for text in left_out]


def _set(gate: Gate, path: Path, name: str, value: Any) -> Gate:
    if name == "require" and _is_texts(value):
        return replace(gate, require=tuple(value))
    if name == "baseline" and (isinstance(value, str) or _is_texts(value)):
        named = [value] if isinstance(value, str) else value
        return replace(gate, baseline=tuple(str(path.parent / each) for each in named))
    if name == "strict" and isinstance(value, bool):
        return replace(gate, strict=value)
    fix = "it takes require (a list of texts), baseline (a text, or a list) and strict (true or false)"
    near = guess(name, {field for field in Gate.__struct_fields__ if field != name}, fix)
    raise UsageError(f"{path}: [tool.traceanalyzer] {name}: is not understood", fix=near)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
