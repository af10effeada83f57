"""Where the host was in the waits that a suggestion would shorten."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from traceanalyzer.records import Suggestion
from traceanalyzer.records.code import CodePlace, Wait, in_one_function
from traceanalyzer.records.vocabulary import RULE_BY_CAUSE

_MOST = 0.5  # of a cause's time, that one function has: less names a place where little is won

_OF_ONE_STEP = ("shown_step", "step_of_kind")


def with_wait_places(
    suggestions: tuple[Suggestion, ...] | None, waits: Sequence[Wait], steps: int
) -> tuple[Suggestion, ...] | None:
    """The same, those of idle time with the function that most of their cause's waits are in, per step.

    Waits are of all `steps`: what is suggested of one of them alone gets no place.
    """
    places = {
        rule: _most_of([w for w in waits if w.cause == cause], max(steps, 1))
        for cause, rule in RULE_BY_CAUSE.items()
    }
    return suggestions and tuple(
        structs.replace(each, places=places[each.rule])
        if places.get(each.rule) and not each.places and each.saving_of not in _OF_ONE_STEP else each
        for each in suggestions
    )  # fmt: skip


def _most_of(waits: Sequence[Wait], steps: int) -> tuple[CodePlace, ...]:
    """Of waits of one cause, the longest first."""
    named = in_one_function(waits, _MOST)
    if named is None:
        return ()
    there = CodePlace(
        module=named.module, file=named.file, line=named.line, function=named.function, count=named.count,
        time_ns=named.time_ns // steps, line_is=named.line_is, library=named.library,
    )  # fmt: skip
    return (there,)
