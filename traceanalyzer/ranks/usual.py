"""What the ranks of a job usually spend on each form of work: medians, in memory of a fixed size.

Forms of work are sorted, and keys are how they begin: some keys in a row are some forms in a row. So a few
keys are looked at in all ranks, then the next few; ranks whose forms are the same object are looked up once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from traceanalyzer.records.rank_work import Counts, RankWork, WorkForm

_CELLS = 2**20  # of keys times ranks, that are in memory at once: 8 MB

Key = tuple[str, ...]  # name and phase, or name, phase and shape
KeyOf = Callable[[WorkForm], Key]
Floats = npt.NDArray[np.float64]


class Part(msgspec.Struct, frozen=True, eq=False):
    """Of sorted forms those with one of some keys."""

    forms: slice  # where they are
    row: npt.NDArray[np.intp]  # of each, its key; the number of keys: it has none, or is no work of its own
    keys: int

    @classmethod
    def of(cls, forms: Sequence[WorkForm], keys: Sequence[Key], key: KeyOf) -> Part:
        """`keys`: sorted, each once."""
        if not keys:
            return cls(slice(0, 0), np.zeros(0, np.intp), 0)
        within = slice(bisect_left(forms, keys[0], key=key), bisect_right(forms, keys[-1], key=key))
        rows = {each: row for row, each in enumerate(keys)}
        none = len(keys)
        row = [rows.get(key(form), none) if form.is_compute else none for form in forms[within]]
        return cls(within, np.array(row, np.intp), none)

    def sums(self, values: Counts) -> Floats:
        """Of each key, over its forms."""
        sums = np.bincount(self.row, values[self.forms], self.keys + 1)[:-1]
        return sums.astype(np.float64)


def keys_of(work: RankWork, key: KeyOf) -> list[Key]:
    """Those of its own work, sorted."""
    return sorted({key(form) for form in work.forms if form.is_compute})


def medians(
    ranks: Sequence[RankWork], keys: Sequence[Key], key: KeyOf, of: Callable[[RankWork, Part], Floats]
) -> Floats:
    """Over `ranks`, of what `of` says for each of the sorted `keys`.

    nan does not count; 0 where nothing else is said.
    """
    size = max(1, _CELLS // max(1, len(ranks)))
    blocks = [keys[at : at + size] for at in range(0, len(keys), size)]
    return np.concatenate([np.zeros(0), *(_medians(ranks, block, key, of) for block in blocks)])


def _medians(
    ranks: Sequence[RankWork], keys: Sequence[Key], key: KeyOf, of: Callable[[RankWork, Part], Floats]
) -> Floats:
    table = np.empty((len(keys), len(ranks)))
    columns: dict[int, list[int]] = defaultdict(list)  # by the identity of the forms, which `ranks` keep
    for column, work in enumerate(ranks):
        columns[id(work.forms)].append(column)
    for alike in columns.values():
        part = Part.of(ranks[alike[0]].forms, keys, key)  # one at a time: it may be as large as the forms
        for column in alike:
            table[:, column] = of(ranks[column], part)
    return _middle(table)


def _middle(table: Floats) -> Floats:
    """The median of each row, which is sorted in place: a copy would be as large."""
    table.sort(axis=1)  # nan comes last
    counted = np.array([np.searchsorted(row, np.nan) for row in table], np.intp)
    rows = np.flatnonzero(counted)
    low, high = (table[rows, at[rows]] for at in ((counted - 1) // 2, counted // 2))
    middle = np.zeros(len(table))
    middle[rows] = (low + high) / 2
    return middle
