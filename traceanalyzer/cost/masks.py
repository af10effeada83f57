"""How many pairs of query and key attention computes: under a mask; of packed sequences least and most."""

from __future__ import annotations

from dataclasses import dataclass


def pairs(
    queries: int, keys: int, left: int | None = None, right: int | None = None, bottom_right: bool = False
) -> int:
    """Query-key pairs that are computed: each query sees so many keys to its left and right; None: all.

    A causal mask is `right=0`. Query i stands at key i, or, counted from the bottom right, the last query
    at the last key.
    """
    shift = keys - queries if bottom_right else 0
    up_to_last = queries * keys if right is None else _keys_up_to(queries, keys, shift + right)
    before_first = 0 if left is None else _keys_up_to(queries, keys, shift - left - 1)
    return up_to_last - before_first


def _keys_up_to(queries: int, keys: int, last: int) -> int:
    """Keys up to `last`, counted from each query's own, of all queries: the sum of a clipped ramp."""
    first = min(max(-last, 0), queries)  # the first query that has one
    full = min(max(keys - last - 1, first), queries)  # the first that has them all
    ramp = (full - first) * (last + 1) + (full * (full - 1) - first * (first - 1)) // 2
    return ramp + (queries - full) * keys


@dataclass(frozen=True, slots=True)
class Mask:
    """How far each query sees to its left and right; None: to the end."""

    left: int | None = None
    right: int | None = None
    bottom_right: bool = False  # the last query stands at the last key

    def pairs(self, queries: int, keys: int) -> int:
        """Of one sequence."""
        return pairs(queries, keys, self.left, self.right, self.bottom_right)


@dataclass(frozen=True, slots=True)
class Packing:
    """Sequences laid end to end; how long each of them is, is data."""

    queries: int  # of all
    keys: int
    sequences: int  # at most, some may be empty; 0: not known
    longest_query: int  # at most
    longest_key: int

    def pairs(self, mask: Mask) -> tuple[int, int]:
        """Least and most.

        Of a sequence with itself each further token sees as many as the one before or more. So equal lengths
        give the least, and the most has as many of the longest as fit, whatever is left in one more.
        """
        if not self.queries or not self.keys:
            return 0, 0
        if self.sequences == 1:
            return (mask.pairs(self.queries, self.keys),) * 2
        if self.queries != self.keys:
            return self._of_two(mask)
        count = self.sequences or self.queries
        length, longer = divmod(self.queries, count)
        least = longer * mask.pairs(length + 1, length + 1) + (count - longer) * mask.pairs(length, length)
        longest = max(min(self.longest_query, self.longest_key), -(-self.queries // count))
        full, rest = divmod(self.queries, longest)
        return least, full * mask.pairs(longest, longest) + mask.pairs(rest, rest)

    def _of_two(self, mask: Mask) -> tuple[int, int]:
        """Of queries with the keys of others: each query sees one, and no more than the longest has."""
        seen = min(self.longest_key, self.keys)
        if mask.left is not None and mask.right is not None:
            seen = min(seen, mask.left + 1 + mask.right)
        most = self.queries * seen
        if mask.left is None and mask.right is None:
            most = min(most, self.keys * min(self.longest_query, self.queries))
        return min(self.queries, most), most
