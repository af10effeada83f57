"""Lines of text for a terminal."""

from __future__ import annotations

import re
from textwrap import wrap

_BEFORE_A_UNIT = re.compile(r"(?<=\d) (?=(?:%|[nµm]?s|[kMGTP]?(?:B|FLOPs?|B/s|FLOP/s))(?![^\W_]))")
_KEPT = "\N{NO-BREAK SPACE}"


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters; a number stays beside its unit."""
    kept = _BEFORE_A_UNIT.sub(_KEPT, text.replace(_KEPT, " "))
    return [line.replace(_KEPT, " ") for line in wrap(kept, width, break_on_hyphens=False)] or [""]


def left_out(**counts: int) -> str:
    """`On the page (-o report.html): 1 more change, 2 more warnings` of lists that are cut; "" of whole ones.

    `counts`: by the name of one.
    """
    texts = [
        f"{count:,} more {what}{'s' if count > 1 else ''}" for what, count in counts.items() if count > 0
    ]
    return f"On the page (-o report.html): {', '.join(texts)}" if texts else ""
