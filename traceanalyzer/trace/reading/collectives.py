"""The arguments of collectives: kept as bytes of each distinct record, parsed when the file is read."""

from __future__ import annotations

import json
import re
from typing import Any

from traceanalyzer.records.collectives import CollectiveArgs
from traceanalyzer.trace.reading.events import Args, clean

CollectiveKey = tuple[bytes, ...]
_ELLIPSIS = "..."
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_MOST = 1 << 60  # elements


def collective_key(args: Args) -> CollectiveKey | None:
    """Equal for records that say the same; None of a record that is no collective."""
    name = bytes(args.collective)
    if not name:
        return None
    rest = (args.group, args.group_ranks, args.group_size, args.order, args.in_elements, args.out_elements,
            args.dtype, args.source, args.destination)  # fmt: skip
    return (name, *map(bytes, rest))


def args_of(key: CollectiveKey) -> CollectiveArgs:
    """The arguments that `key` holds; one of another form than expected counts as absent."""
    name, group, ranks, size, order, read, written, dtype, source, destination = map(_value, key)
    group_size = _count(size)
    return CollectiveArgs(
        name=_text(name), group=_text(group), ranks=members(ranks, group_size), group_size=group_size,
        sequence=_count(order), in_elements=_count(read), out_elements=_count(written), dtype=_text(dtype),
        source=_count(source), destination=_count(destination),
    )  # fmt: skip


def members(ranks: Any, size: int | None) -> tuple[int, ...] | None:
    """`[0, 1, 2, 3]`, as text or as a list; None where they are not all known.

    Of more than 30 torch writes the first and the last (`[0, 2, ..., 62]`): those between are filled in where
    they are as far apart, and as many as the group has.
    """
    text = ranks if isinstance(ranks, str) else json.dumps(ranks) if isinstance(ranks, list) else ""
    head, dots, tail = text.partition(_ELLIPSIS)
    first, last = ([int(number) for number in _NUMBER.findall(part)] for part in (head, tail))
    if not dots:
        return tuple(first) if first and (size is None or len(first) == size) else None
    if len(first) < 2 or not last or size is None:
        return None
    apart = first[1] - first[0]
    filled = tuple(range(first[0], last[-1] + 1, apart)) if apart > 0 else ()
    agrees = len(filled) == size and filled[: len(first)] == tuple(first)
    return filled if agrees and filled[-len(last) :] == tuple(last) else None


def _value(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else "" if value is None else str(value)


def _count(value: Any) -> int | None:
    """A whole number from 0 on, also one in text."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = int(value)
    return value if type(value) is int and 0 <= value < _MOST else None
