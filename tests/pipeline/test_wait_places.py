"""Where a suggestion about idle time points: the function that most of its cause's waits are in."""

from __future__ import annotations

import pytest
from msgspec import structs

from tests.report import example
from traceanalyzer.assembly.wait_places import with_wait_places
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.code import Wait
from traceanalyzer.records.suggestion import SavingOf
from traceanalyzer.report.largest import largest_parts
from traceanalyzer.report.shown import shown

MS = 1_000_000


def wait(function: str, ms: int, count: int = 1, cause: str = "data_loading") -> Wait:
    return Wait(
        cause=cause, function=function, file="data.py", line=7, module=None, count=count, time_ns=ms * MS,
        longest_ns=ms * MS // count, places=(),
    )  # fmt: skip


def suggestion(saving_of: SavingOf) -> Suggestion:
    return Suggestion(
        rule="data_loading", title="t", tier="T3", action="a", snippet="", where="the whole step", count=1,
        evidence="e", bytes_saved_per_step=None, saving_per_step_ns=Band(0.0, 1.0, 2.0), share_of_step=None,
        caveats=(), docs="", saving_of=saving_of,
    )  # fmt: skip


def test_the_place_is_per_step() -> None:
    (told,) = (
        with_wait_places((suggestion("each_step"),), [wait("collate", 60, 4), wait("other", 20)], 4) or ()
    )
    (place,) = told.places
    assert (place.function, place.file, place.line) == ("collate", "data.py", 7)
    assert place.time_ns == 15 * MS


@pytest.mark.parametrize("waits", [
    [wait("collate", 30), wait("other", 29), wait("third", 10)],  # none has most
    [wait("collate", 60, cause="host_work")],                     # of another cause
])  # fmt: skip
def test_no_place_where_none_has_most(waits: list[Wait]) -> None:
    (told,) = with_wait_places((suggestion("each_step"),), waits, 1) or ()
    assert told.places == ()


def test_what_is_of_one_step_gets_no_place_of_all() -> None:
    (told,) = (
        with_wait_places((suggestion("shown_step"),), [wait("validate", 900), wait("collate", 60, 3)], 4)
        or ()
    )
    assert told.places == ()


@pytest.mark.parametrize(("kind", "named"), [("gpu", True), ("cpu", False)])
def test_the_first_line_names_the_function_of_the_cause_that_it_names(kind: str, named: bool) -> None:
    """On a CPU it is about all idle time, whatever its causes."""
    analysis = example.mostly_idle()
    idle = analysis.time.idle_ns
    waits = (wait("resize", idle // MS, cause="launch_gap"),)
    analysis = structs.replace(analysis, wait_rows=waits, device=structs.replace(analysis.device, kind=kind))
    assert ("most of it in resize (data.py:7)" in largest_parts(analysis, shown(analysis))) is named


def test_where_no_cause_is_known_the_function_is_named_beside_that() -> None:
    analysis = example.mostly_idle()
    time = analysis.time
    idle = tuple(
        structs.replace(part, time_ns=time.idle_ns if part.cause == "unknown" else 0)
        for part in time.idle_by_cause
    )
    waits = (wait("load", time.idle_ns // MS, cause="unknown"), wait("other", 1, cause="unknown"))
    analysis = structs.replace(
        analysis, wait_rows=waits, time=structs.replace(time, idle_by_cause=idle), step_rows=None
    )
    said = largest_parts(analysis, shown(analysis))
    assert "most of it while the host is in load (data.py:7); the trace does not show why" in said
