"""Laws of what an analysis says of when: in every step, and in every bin of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from traceanalyzer.fusion.rules import RULES
from traceanalyzer.records import Analysis, IdlePart, StepPart, StepTimeline, VerdictPart


def check_timeline(analysis: Analysis) -> None:
    """Bins add up to the step's verdicts and causes, and each but the last is full."""
    if analysis.step_timelines is None:
        return
    steps = analysis.step_rows or ()
    if 0 < len(steps) <= 24:
        assert [entry.step for entry in analysis.step_timelines] == [step.name for step in steps]
        for entry, step in zip(analysis.step_timelines, steps, strict=True):
            _check_entry(entry, step.device_ns, step.verdicts, step.idle_by_cause)
    else:
        (entry,) = analysis.step_timelines
        assert entry.step is None
        _check_entry(entry, analysis.window.window_ns, analysis.verdicts, analysis.time.idle_by_cause)


def _check_entry(
    entry: StepTimeline, whole_ns: int, verdicts: Iterable[StepPart | VerdictPart], idle: Iterable[IdlePart]
) -> None:
    wanted: dict[tuple[str, str], int] = {}
    wanted |= {("verdict", part.verdict): part.time_ns for part in verdicts if part.time_ns}
    wanted |= {("idle", part.cause): part.time_ns for part in idle if part.time_ns}
    assert {(part.kind, part.name): sum(part.time_ns) for part in entry.parts} == wanted
    assert entry.bin_ns == max(1, -(-whole_ns // 480))
    full = [sum(bin_) for bin_ in zip(*(part.time_ns for part in entry.parts), strict=True)]
    assert len(full) == len(entry.phase) == -(-whole_ns // entry.bin_ns) <= 480
    assert full[:-1] == [entry.bin_ns] * (len(full) - 1)
    assert sum(full) == whole_ns


def check_headroom(analysis: Analysis) -> None:
    """At the roofs <= all <= proved <= now, and each rule was looked for once."""
    if not analysis.checks:
        assert analysis.headroom is None
        return
    room = analysis.headroom
    assert room is not None
    for end in ("low", "mid", "high"):
        ends = [room.at_roofs_ns, getattr(room.all_ns, end), getattr(room.proved_ns, end), room.now_ns]
        assert ends == sorted(ends), end
    for band in (room.all_ns, room.proved_ns):
        assert 0 <= band.low <= band.mid <= band.high
    assert 0 <= room.not_bounded_ns <= room.now_ns
    assert [check.rule for check in analysis.checks] == [rule.name for rule in RULES]
    outcomes = Counter(check.outcome for check in analysis.checks)
    assert set(outcomes) <= {"found", "not_found", "not_checkable"}
    found = {check.rule for check in analysis.checks if check.outcome == "found"}
    assert found == {each.rule for each in analysis.suggestions or ()}
    assert all(check.reason for check in analysis.checks if check.outcome == "not_checkable")
