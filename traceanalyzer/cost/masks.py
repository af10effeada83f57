"""How many pairs of query and key attention computes: under a mask; of packed sequences least and most."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace


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


class Mask(msgspec.Struct, frozen=True):
    """How far each query sees to its left and right; None: to the end."""

    left: int | None = None
    right: int | None = None
    bottom_right: bool = False  # the last query stands at the last key

    def pairs(self, queries: int, keys: int) -> int:
        """Of one sequence."""
        return pairs(queries, keys, self.left, self.right, self.bottom_right)


class Tokens(msgspec.Struct, frozen=True):
    """Queries, or keys, of all sequences."""

    count: int
    longest: int  # at most, of one sequence

    def at_least(self, longest: int) -> Tokens:
        """The same with a longest length of no more than there are, and no less than `longest`."""
        return Tokens(self.count, max(min(self.longest, self.count), longest))


class Packing(msgspec.Struct, frozen=True):
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
        if self.queries != self.keys or self.longest_query != self.longest_key:
            return self._of_two(mask)
        count = self.sequences or self.queries
        length, longer = divmod(self.queries, count)
        least = longer * mask.pairs(length + 1, length + 1) + (count - longer) * mask.pairs(length, length)
        longest = max(self.longest_query, -(-self.queries // count))
        full, rest = divmod(self.queries, longest)
        return least, full * mask.pairs(longest, longest) + mask.pairs(rest, rest)

    def _of_two(self, mask: Mask) -> tuple[int, int]:
        """Of queries with the keys of others, whose lengths are data of their own."""
        if mask.left is None or mask.right is None:
            return self._with_one_side(mask)
        # In a window on both sides the first or the last query sees a key, where a sequence has both of them.
        count, queries, keys = self._laid_out()
        both = -(-queries.count // queries.longest) - (-keys.count // keys.longest) - count
        most = min(queries.count, keys.count) * (mask.left + 1 + mask.right)
        for wider in (replace(mask, left=None), replace(mask, right=None)):
            most = min(most, self._with_one_side(wider)[1])
        return min(max(both, 0), most), most

    def _with_one_side(self, mask: Mask) -> tuple[int, int]:
        """Where a query sees to the end on one side at least.

        Under a causal mask counted from the bottom right each further query, standing before the others, sees
        fewer keys than the one behind it, and each further key is seen by as many queries as the one before
        or more: pairs are concave in queries and convex in keys. Counted from the top left it is the reverse,
        and a mask of what comes before is a causal one seen from the other end.
        """
        count, queries, keys = self._laid_out()
        if mask.bottom_right == (mask.left is None):
            return (
                _least(queries, keys, count, mask.pairs, empty_first=True),
                -_least(keys, queries, count, lambda k, q: -mask.pairs(q, k), empty_first=False),
            )
        return (
            _least(keys, queries, count, lambda k, q: mask.pairs(q, k), empty_first=True),
            -_least(queries, keys, count, lambda q, k: -mask.pairs(q, k), empty_first=False),
        )

    def _laid_out(self) -> tuple[int, Tokens, Tokens]:
        """How many sequences at most, and both sides with a longest length that these have room for."""
        count = self.sequences or self.queries + self.keys
        queries = Tokens(self.queries, self.longest_query).at_least(-(-self.queries // count))
        return count, queries, Tokens(self.keys, self.longest_key).at_least(-(-self.keys // count))


def _least(
    concave: Tokens, convex: Tokens, count: int, cost: Callable[[int, int], int], empty_first: bool
) -> int:
    """The least sum of cost(tokens of the concave side, of the convex side) over all lengths of sequences.

    Where the cost is concave as many sequences as can be are the longest, one has the rest, and others none:
    these cost nothing, whatever the other side has there, so they take as much of it as they can, or as they
    must. What is left of it the full ones share evenly, for on that side the cost is convex; and so is the
    sum in what the one with the rest takes, which a search by halves finds.
    """
    full, rest = divmod(concave.count, concave.longest)
    used = full + (rest > 0)
    room = (count - used if empty_first else used) * convex.longest
    placed = max(convex.count - room, 0) if empty_first else min(convex.count, room)

    def total(taken: int) -> int:
        length, longer = divmod(placed - taken, full) if full else (0, 0)
        shared = longer * cost(concave.longest, length + 1) + (full - longer) * cost(concave.longest, length)
        return cost(rest, taken) + shared

    low = max(placed - full * convex.longest, 0)
    high = min(placed, convex.longest) if rest else low
    while low < high:
        middle = (low + high) // 2
        if total(middle + 1) < total(middle):
            low = middle + 1
        else:
            high = middle
    return total(low)
