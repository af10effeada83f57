"""Grids and blocks of kernels as recorded, each text read once."""

from __future__ import annotations

import json
import math


class Volumes(dict[bytes, int]):
    """`[16,4,1]` as recorded -> 64; -1 where it is no list of whole numbers."""

    def __missing__(self, text: bytes) -> int:
        sizes = _sizes(text)
        volume = math.prod(sizes) if sizes else -1
        self[text] = volume if -1 <= volume < 2**63 else -1
        return self[text]


class Geometries(dict[tuple[bytes, bytes], int]):
    """(grid, block) as recorded -> a number equal for equal ones; -1 where either is not recorded."""

    def __missing__(self, texts: tuple[bytes, bytes]) -> int:
        grid, block = map(_sizes, texts)
        # Python hashes tuples of integers alike in every process, into 61 bits and more.
        self[texts] = hash((grid, block)) >> 1 & (2**62 - 1) if grid and block else -1
        return self[texts]


def _sizes(text: bytes) -> tuple[int, ...]:
    """`[16,4,1]` -> (16, 4, 1); () where it is no list of whole numbers."""
    try:
        sizes = json.loads(text)
        return tuple(sizes) if all(type(size) is int and 0 <= size < 2**31 for size in sizes) else ()
    except (ValueError, TypeError, RecursionError):
        return ()
