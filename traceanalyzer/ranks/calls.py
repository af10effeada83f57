"""The collective calls of all devices of a job, each in the group of those who take part in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from traceanalyzer.records.collectives import CollectiveForm, Collectives
from traceanalyzer.records.rank_result import RankActivity

TRANSFERS = ("send", "recv")
GroupKey = tuple[object, ...]


class Call(msgspec.Struct, frozen=True):
    """One collective kernel of one device; ns with the trace's base added."""

    device: int  # its number among the job's results
    start_ns: int
    end_ns: int
    form: CollectiveForm
    sequence: int  # -1: not recorded
    step: int  # -1: not known
    in_window: bool


class Group(msgspec.Struct, frozen=True):
    """Calls that belong to the same ranks, by device, each in the order of their start."""

    label: str
    size: int | None
    ranks: tuple[int, ...] | None
    calls: dict[int, list[Call]]
    transfers: bool = False  # one end sends, the other receives


class Groups(msgspec.Struct, frozen=True):
    """The groups of two devices and more."""

    groups: tuple[Group, ...]
    unknown: int  # calls that no group is known for
    unpaired: dict[tuple[int, ...], set[int]]  # devices that send and receive among these, to whom is unknown


def groups_of(activities: Sequence[RankActivity]) -> Groups:
    """Each call with those that the same ranks take part in."""
    keyed: dict[GroupKey, dict[int, list[Call]]] = defaultdict(lambda: defaultdict(list))
    unpaired: dict[tuple[int, ...], set[int]] = defaultdict(set)
    unknown = 0
    aliased = _several_names(activities)
    for device, activity in enumerate(activities):
        streams = _by_stream(activity.collectives)
        for call, stream in _calls(device, activity):
            key = _key(call.form, activity.rank, streams.get(stream), aliased)
            if key is None:
                unknown += 1
                unpaired[call.form.ranks or ()].add(device)
            else:
                keyed[key][device].append(call)
    groups = [_group(key, calls) for key, calls in keyed.items()]
    shared = [group for group in groups if len(group.calls) > 1]
    ambiguous = [group for group in shared if _is_ambiguous(group)]
    unknown += sum(len(calls) for group in ambiguous for calls in group.calls.values())
    clear = tuple(group for group in shared if not _is_ambiguous(group))
    return Groups(clear, unknown, dict(unpaired))


def _is_ambiguous(group: Group) -> bool:
    """Of unnamed members, and fewer than have such calls: which of them belong together is not recorded."""
    return group.ranks is None and group.size is not None and group.size < len(group.calls)


def _calls(device: int, activity: RankActivity) -> Iterator[tuple[Call, int]]:
    """Each with its stream."""
    table, base = activity.collectives, activity.base_ns
    low, high = activity.window_start_ns, activity.window_end_ns
    columns = (table.start_ns, table.time_ns, table.form, table.sequence, table.step, table.stream)
    for start, time, form, sequence, step, stream in zip(*(c.tolist() for c in columns), strict=True):
        end = start + time
        call = Call(
            device, base + start, base + end, table.forms[form], sequence, step, start < high and end > low
        )
        yield call, stream


def _by_stream(table: Collectives) -> dict[int, CollectiveForm]:
    """The group of each stream that runs the collectives of one: for records that do not name theirs."""
    named: dict[int, dict[tuple[str, tuple[int, ...]], CollectiveForm]] = defaultdict(dict)
    for stream, row in sorted(set(zip(table.stream.tolist(), table.form.tolist(), strict=True))):
        form = table.forms[row]
        if form.ranks and form.name not in TRANSFERS:
            named[stream][form.group, form.ranks] = form
    return {stream: next(iter(forms.values())) for stream, forms in named.items() if len(forms) == 1}


def _several_names(activities: Sequence[RankActivity]) -> set[tuple[int, ...]]:
    """Members of which one device has several groups, so that only the name tells these apart."""
    several = set()
    for activity in activities:
        names: dict[tuple[int, ...], set[str]] = defaultdict(set)
        for form in activity.collectives.forms:
            if form.ranks:
                names[form.ranks].add(form.group)
        several |= {ranks for ranks, used in names.items() if len(used) > 1}
    return several


def _key(
    form: CollectiveForm, rank: int | None, stream: CollectiveForm | None, aliased: set[tuple[int, ...]]
) -> GroupKey | None:
    """Equal for calls of the same members; None where those are not known."""
    if form.name in TRANSFERS:
        return _transfer_key(form, rank)
    ranks, group = form.ranks, form.group
    if form.name == "send_recv" and ranks and len(ranks) > 2:  # several of them in one kernel
        return None
    if ranks is None and stream is not None:
        ranks, group = stream.ranks, stream.group
    if ranks is not None:
        return ("members", ranks, group if ranks in aliased else "")
    return ("unnamed", group, form.group_size)


def _transfer_key(form: CollectiveForm, rank: int | None) -> GroupKey | None:
    """(from, to) of a send or a receive: as recorded, or by the other member of a group of two."""
    other = form.destination if form.name == "send" else form.source
    if rank is None:
        return None
    if other is None and form.ranks and len(form.ranks) == 2 and rank in form.ranks:
        other = next(member for member in form.ranks if member != rank)
    if other is None or other == rank:
        return None
    return ("transfer", *((rank, other) if form.name == "send" else (other, rank)))


def _group(key: GroupKey, calls: dict[int, list[Call]]) -> Group:
    ordered = {device: sorted(each, key=lambda call: (call.start_ns, call.end_ns)) for device, each in
               sorted(calls.items())}  # fmt: skip
    if key[0] == "transfer":
        source, destination = key[1:]
        ranks = (int(str(source)), int(str(destination)))
        return Group(f"rank {source} to {destination}", 2, ranks, ordered, transfers=True)
    first = next(iter(ordered.values()))[0].form
    if key[0] == "unnamed":
        size = first.group_size
        return Group(first.group or (f"{size} ranks" if size else "all ranks"), size, None, ordered)
    ranks = key[1] if isinstance(key[1], tuple) else ()
    label = members_text(ranks) + (f" ({key[2]})" if key[2] else "")
    return Group(label, len(ranks), ranks, ordered)


def members_text(ranks: Sequence[int]) -> str:
    """`ranks 0 to 7`, `ranks 0, 8, 16`, `ranks 0, 8 to 248 by 8`."""
    if len(ranks) < 4:
        return f"ranks {', '.join(map(str, ranks))}"
    apart = ranks[1] - ranks[0]
    even = all(b - a == apart for a, b in zip(ranks, ranks[1:], strict=False))
    if even:
        return f"ranks {ranks[0]} to {ranks[-1]}" + (f" by {apart}" if apart != 1 else "")
    return f"ranks {', '.join(map(str, ranks[:6]))}{', ...' if len(ranks) > 6 else ''}"
