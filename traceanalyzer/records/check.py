"""The result of `check`: each requirement with what is, what was wanted, and whether that can be told."""

from __future__ import annotations

from typing import Literal

import msgspec

from traceanalyzer.records.analysis import Source, SourceFile, Tool

CHECK_SCHEMA_VERSION = "1.0"

Outcome = Literal["holds", "broken", "inconclusive"]
Value = float | int | str | bool | None


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One expression, evaluated."""

    expression: str
    name: str
    value: Value
    baseline: Value  # None where the requirement is not relative to one
    wanted: Value  # the limit, of a relative one as a value
    low: float | None  # of the value: the interval that noise leaves it, where there is one
    high: float | None
    outcome: Outcome
    reason: str | None  # why nothing can be told, or what it rests on


class Baseline(msgspec.Struct, frozen=True):
    """What was compared with."""

    files: tuple[SourceFile, ...]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """All requirements of one report."""

    schema_version: str = CHECK_SCHEMA_VERSION
    tool: Tool
    source: Source
    baseline: Baseline | None
    requirements: tuple[Requirement, ...]

    def fails(self, *, strict: bool) -> bool:
        """Whether one is broken; with `strict`, or cannot be told."""
        bad = {"broken", "inconclusive"} if strict else {"broken"}
        return any(each.outcome in bad for each in self.requirements)
