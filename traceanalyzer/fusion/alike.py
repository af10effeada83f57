"""Matches that one change does for, and where they are, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from traceanalyzer.fusion.module_names import holder, pattern, shared_pattern
from traceanalyzer.fusion.rules import Match, Rule

_MAX_NAMED = 3  # places of one suggestion


def alike(rule: Rule, matches: Sequence[Match]) -> list[list[Match]]:
    """Matches in the same module of another layer, or all where no module is known.

    Of a rule whose remedy is one setting of the model, all of one title, wherever they are. Timed ones apart,
    and those of another title.
    """
    groups: dict[tuple[object, ...], list[Match]] = {}
    for match in matches:
        timed = match.saved is not None or match.after is not None
        where = "" if rule.one_setting else pattern(_place(match))
        groups.setdefault((where, match.tier == "T3", timed, match.title), []).append(match)
    return list(groups.values())


def largest(group: Sequence[Match]) -> Match:
    """The one whose operators take most time."""
    return max(group, key=_time)


def place_of(group: Sequence[Match]) -> str:
    """Of the largest: the module that holds it, or what its rule calls the place."""
    return _place(largest(group))


def where(group: Sequence[Match], largest_place: str) -> str:
    """Of several layers `blocks.*`; of modules of several kinds their names, those with most time first."""
    if len({_place(match) for match in group}) == 1:
        return largest_place
    time: Counter[str] = Counter()
    places: dict[str, list[str]] = {}
    for match in group:
        same = pattern(_place(match))
        time[same] += _time(match)
        places.setdefault(same, []).append(_place(match))
    ordered = [same for same, _ in sorted(time.items(), key=lambda item: (-item[1], item[0])) if same]
    names = [shared_pattern(places[same]) for same in ordered]
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"


def _place(match: Match) -> str:
    return match.where or holder(match.nodes)


def _time(match: Match) -> int:
    return sum(node.time_ns for node in match.nodes)
