"""Names that are spelled like one that is not known: the one home of "did you mean".

Of commands, options and their values, rules, operators, devices, metrics and limits alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_MOST = 3  # names that are asked about
_CLOSE = 0.6  # of difflib.SequenceMatcher.ratio: `chan` for `chain` is 0.89


def spelled_alike(name: str, names: Iterable[str], *, most: int = _MOST, close: float = _CLOSE) -> list[str]:
    """Those of `names` that are spelled much like `name`, the closest first; case does not matter."""
    by_lower: dict[str, str] = {}
    for each in names:
        by_lower.setdefault(each.lower(), each)
    return [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, most, close)]


def likeness(name: str, other: str) -> float:
    """0 of names that share no letter, 1 of the same."""
    return difflib.SequenceMatcher(None, name, other).ratio()


def did_you_mean(close: Sequence[str], otherwise: str) -> str:
    """The fix of an error about an unknown name: what may be meant, then what else to do."""
    if not close:
        return otherwise
    *first, last = close
    listed = f"{', '.join(first)} or {last}" if first else last
    return f"did you mean {listed}? Else {otherwise}"


def guess(name: str, names: Iterable[str], otherwise: str) -> str:
    """`did_you_mean` of the names that are spelled like it."""
    return did_you_mean(spelled_alike(name, names), otherwise)
