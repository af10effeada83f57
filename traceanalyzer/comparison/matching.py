"""Rows of the base and what they are in the head: first the same calls, then what explains the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from traceanalyzer.comparison import became
from traceanalyzer.comparison.names import family, generated, plain, unnumbered
from traceanalyzer.comparison.sides import Row, Side
from traceanalyzer.records.comparison import How, MatchKind, OpChange

Key = Callable[[Row], Hashable]


class Entry(msgspec.Struct, frozen=True):
    """Rows that are one thing on both sides."""

    match: MatchKind
    base: tuple[Row, ...]
    head: tuple[Row, ...]
    how: How | None = None
    evidence: str | None = None


class Matched(msgspec.Struct, frozen=True):
    """A change as it is shown, and by how much the runs of both sides differ in it anyhow."""

    shown: OpChange
    ranges_ns: float  # of both sides together; 0 of single runs


def op_changes(base: Side, head: Side) -> tuple[Matched, ...]:
    """By size of the change, then by name; every row of a side is in exactly one."""
    changes = [
        Matched(_change(entry, base, head), base.range_of_rows(entry.base) + head.range_of_rows(entry.head))
        for entry in _entries(base, head)
    ]
    return tuple(sorted(changes, key=_order))


def _order(matched: Matched) -> tuple[int, str, str, str]:
    change = matched.shown
    return -abs(change.change_ns), change.name, change.match, str(change.base)


def _change(entry: Entry, base: Side, head: Side) -> OpChange:
    before = tuple(sorted(map(base.shown, entry.base), key=lambda row: -row.attributed_ns))
    after = tuple(sorted(map(head.shown, entry.head), key=lambda row: -row.attributed_ns))
    base_ns, head_ns = (sum(row.attributed_ns for row in rows) for rows in (before, after))
    named = after or before if entry.match != "vanished" else before
    return OpChange(
        match=entry.match, name=named[0].name, how=entry.how, evidence=entry.evidence, base=before,
        head=after, base_ns=base_ns, head_ns=head_ns, change_ns=head_ns - base_ns,
    )  # fmt: skip


def _entries(base: Side, head: Side) -> Iterator[Entry]:
    before, after = list(base.rows), list(head.rows)
    for key in _same_call(base, head):
        for mine, theirs in _paired(before, after, key):
            yield Entry("matched", mine, theirs)
    for how, find in became.FINDERS:
        for each in find(before, after):
            _take(before, each.base)
            _take(after, each.head)
            yield Entry("became", each.base, each.head, how, each.evidence)
        for each in find(after, before) if how == "fused" else ():
            _take(before, each.head)
            _take(after, each.base)
            yield Entry("became", each.head, each.base, "split", each.evidence)
    for how, key, evidence in _OTHERWISE:
        for mine, theirs in _paired(before, after, key):
            yield Entry("became", mine, theirs, how, evidence)
    yield from (Entry("vanished", (row,), ()) for row in before)
    yield from (Entry("appeared", (), (row,)) for row in after)


def _same_call(base: Side, head: Side) -> Iterator[Key]:
    """By what a call is the same on both sides, the closest first.

    A compiler numbers its kernels in their order: one kernel more shifts the numbers of all behind it, so
    that a number says which kernel it is only where both sides have the same ones.
    """
    is_numbered_alike = _generated_names(base) == _generated_names(head)
    named: Callable[[str], str] = str if is_numbered_alike else unnumbered

    def call(row: Row) -> tuple[Any, ...]:
        return named(row.row.name), row.row.input_dims, row.row.input_types, row.row.phase

    if base.has_modules and head.has_modules:
        yield lambda row: (*call(row), row.row.module)
    yield call
    yield lambda row: (*_written_out(row), row.row.phase)


def _generated_names(side: Side) -> set[str]:
    return {row.row.name for row in side.rows if generated(row.row.name) is not None}


def _paired(before: list[Row], after: list[Row], key: Key) -> list[tuple[tuple[Row, ...], tuple[Row, ...]]]:
    """All rows with a key that both sides have; they are taken out of the lists."""
    mine, theirs = _grouped(before, key), _grouped(after, key)
    both = [(tuple(mine[each]), tuple(theirs[each])) for each in mine if each in theirs]
    _take(before, [row for base, _ in both for row in base])
    _take(after, [row for _, head in both for row in head])
    return both


def _grouped(rows: Iterable[Row], key: Key) -> dict[Hashable, list[Row]]:
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _take(rows: list[Row], taken: Sequence[Row]) -> None:
    gone = {row.key for row in taken}
    rows[:] = [row for row in rows if row.key not in gone]


def _written_out(row: Row) -> tuple[Any, ...]:
    """A contraction with a place for its result has that as its last argument: `mm.out` of compiled code."""
    dims = [each for each in row.row.input_dims or () if each not in ((), [])]
    types = {each for each in row.row.input_types or () if "Scalar" not in each and each}
    count = _OPERANDS.get(plain(row.row.name))
    return row.row.name, tuple(dims[:count]) if count else row.row.input_dims, frozenset(types)


_OPERANDS = {"mm": 2, "bmm": 2, "addmm": 3, "baddbmm": 3, "addmv": 3, "convolution": 3}


def _tensor_dims(row: Row) -> Hashable:
    return tuple(each for each in row.row.input_dims or () if each not in ((), []))


def _types(row: Row) -> Hashable:
    return tuple(row.row.input_types or ())


def _class(row: Row) -> Hashable:
    return row.row.operator_class


_OTHER_SIZES = "the same operator on tensors of other sizes"
_OTHERWISE: tuple[tuple[How, Key, str], ...] = (
    ("renamed", lambda row: (family(row.row.name), _tensor_dims(row), _types(row), row.row.phase),
     "the same operator by another name, on the same tensors"),
    ("types", lambda row: (family(row.row.name), _tensor_dims(row), row.row.phase),
     "the same operator on tensors of the same sizes, of other types"),
    ("renamed", lambda row: (_tensor_dims(row) or row.key, _types(row), row.row.phase, _class(row)),
     "another operator of its class on the same tensors"),
    ("shapes", lambda row: (family(row.row.name), row.row.phase, row.row.module), _OTHER_SIZES),
    ("shapes", lambda row: (family(row.row.name), row.row.phase), _OTHER_SIZES),
)  # fmt: skip
