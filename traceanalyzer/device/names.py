"""Device names as traces spell them: whole words, never substrings ("L4" is in "L40", "B200" in "GB200")."""

from __future__ import annotations

import re

# Engineering boards report the board's part number: "NVIDIA PG509-210", "NVIDIA A100-PG509-200".
_BOARD_CODE = re.compile(r"\bpg\d{3}(?:[\s-]+(?:sku[\s-]+)?\d+)?\b")
# What may stand beside a product's name and name no other product: MIG profiles, memory, board codes.
_ADDITION = re.compile(r"mig|\d+(c\.\d+)?g\.\d+gb(\+.*)?|\d+gb|hbm\d?e?|oam|vf|pg\d{3}|sku|\d{3}")
# Consumer and workstation parts come in many cuts under one name: fewer multiprocessors are another part.
_MANY_CUTS = frozenset({"geforce", "titan", "quadro", "rtx", "radeon", "arc", "orin", "thor"})
_OPTIONAL = ("nvidia", "tesla", "amd")
_NAMELESS = frozenset({"", "radeon graphics", "graphics device"})


def normalized(name: str) -> str:
    """Lower case, single spaces, without the vendor words that some drivers put in front."""
    words = name.lower().replace("(r)", "").replace("(tm)", "").split()
    while words and words[0] in _OPTIONAL:
        words = words[1:]
    return " ".join(words)


def words_of(name: str) -> frozenset[str]:
    """The words of a name; hyphens separate words too."""
    return frozenset(w for w in re.split(r"[\s\-/]+", normalized(name)) if w)


def adds_nothing(words: frozenset[str]) -> bool:
    """Whether none of the words names another product."""
    return all(_ADDITION.fullmatch(word) for word in words)


def may_be_cut(name: str) -> bool:
    """Whether fewer multiprocessors under this name may be a slice of the part: MIG, a partition."""
    words = words_of(name)
    return "mig" in words or not words & _MANY_CUTS


def has_board_code(name: str) -> bool:
    """Whether a name holds a code of a board or chip, which several products share."""
    return _BOARD_CODE.search(name.lower()) is not None


def product_words(name: str) -> frozenset[str]:
    """What a name says about the product: none where it is empty, generic or only a board code."""
    text = _BOARD_CODE.sub(" ", normalized(name)).strip(" -")
    return frozenset() if text in _NAMELESS else words_of(text)


def is_amd(name: str) -> bool:
    """The words by which AMD's names are known, among them architecture names such as gfx90a."""
    words = words_of(name)
    return bool(words & {"instinct", "radeon"}) or name.lower().startswith(("amd ", "gfx"))
