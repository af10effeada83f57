"""What a reader of a report must know, beside its figures."""

from __future__ import annotations

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """One line about the input or the analysis; its code is explained in docs/warnings.md."""

    code: str
    message: str
    count: int = 1
