"""Whole numbers that add up: how a total is shared out by weights, in every sum of a comparison."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def per_step(total: int, steps: int) -> int:
    """Rounded half up; exact for integers of any size."""
    return (2 * total + steps) // (2 * steps)


def apportioned(whole: int, weights: Mapping[Name, int]) -> dict[Name, int]:
    """`whole` shared out by largest remainder, ties by name; all zero where the weights are.

    The shares add up to `whole` exactly.
    """
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 0)
    shares = {name: whole * weight // total for name, weight in weights.items()}
    left = whole - sum(shares.values())
    by_remainder = sorted(weights, key=lambda name: (-(whole * weights[name] % total), str(name)))
    for name in by_remainder[:left]:
        shares[name] += 1
    return shares
