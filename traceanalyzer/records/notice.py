"""Notices: how a failure or an oddity of the input reaches the reader of a report."""

from __future__ import annotations

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """One line about the input or the analysis, shown under Warnings; docs/warnings.md explains its code."""

    code: str
    message: str
    count: int = 1


DAMAGE = frozenset({
    "truncated", "corrupt_gzip", "unreadable_rows", "wrong_types", "repaired_metadata", "rank_failed",
})  # fmt: skip
"""Codes that say that the input is damaged and something of it is missing; `-q` leaves them."""
