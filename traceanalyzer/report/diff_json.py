"""The Comparison as JSON, field by field, and its schema."""

from __future__ import annotations

import json

import msgspec

from traceanalyzer.records import COMPARISON_SCHEMA_VERSION, Comparison


def render(comparison: Comparison, top: int | None = None) -> str:
    """Every entry, unrounded; `top` is for people and changes nothing here."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode() + "\n"


def schema_text() -> str:
    """JSON Schema (draft 2020-12), as shipped in `comparison.schema.json`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"traceanalyze comparison {COMPARISON_SCHEMA_VERSION}",
        **msgspec.json.schema(Comparison),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
