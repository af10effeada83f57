"""Names of kernels as a compiler's linker writes them (Itanium C++ ABI), made readable as far as it matters.

Function names, template arguments and types are kept in their order; signatures are left out.
"""

from __future__ import annotations

import re
from functools import lru_cache

MANGLED = "_Z"  # what such a name begins with
_NUMBER = re.compile(r"\d+")
_TYPES = {"f": "float", "d": "double", "i": "int", "l": "long", "b": "bool", "h": "unsigned char",
          "a": "signed char", "s": "short"}  # fmt: skip
_VALUE = re.compile(r"L[a-z](n?\d+)E")


@lru_cache(maxsize=4096)
def readable(name: str) -> str:
    """`at::native::sum_kernel<float>` of `_ZN2at6native10sum_kernelIfEEv...`; other names as they are."""
    if not name.startswith(MANGLED):
        return name
    words: list[str] = []
    depth, nested, position = 0, name.startswith("_ZN"), 3 if name.startswith("_ZN") else 2
    opened: list[bool] = [False] if nested else []  # of each `N` or `I` that is open: whether it is an `I`
    fresh = True  # no name since the latest bracket or comma
    while position < len(name):
        number = _NUMBER.match(name, position)
        if number and not (position and name[position - 1] == "T"):
            end = number.end() + int(number[0][:9])
            if end > len(name):
                return name
            words += ["" if fresh else "::", name[number.end() : end]]
            position, fresh = end, False
            continue
        position, fresh, depth = _step(name, position, words, opened, fresh, depth)
        if not opened:
            break
    return "".join(words) or name


def _step(
    name: str, position: int, words: list[str], opened: list[bool], fresh: bool, depth: int
) -> tuple[int, bool, int]:
    letter = name[position]
    value = _VALUE.match(name, position)
    if value and depth:
        words += ["" if words[-1] in "<, " else ", ", value[1]]
        return value.end(), False, depth
    if letter in "IN":
        if letter == "I":
            words.append("<")
            depth += 1
        elif not fresh:
            words.append(", ")
        opened.append(letter == "I")
        return position + 1, True, depth
    if letter == "E" and opened:
        if opened.pop():
            words.append(">")
            depth -= 1
        return position + 1, False, depth
    if letter == "S":
        end = name.find("_", position)
        return (end + 1 if 0 <= end <= position + 3 else position + 2), fresh, depth
    if letter in _TYPES and depth:
        words += ["" if words[-1] in "<, " else ", ", _TYPES[letter]]
        return position + 1, False, depth
    return position + 1, fresh, depth
