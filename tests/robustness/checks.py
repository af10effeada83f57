"""What must hold of the analysis of any text that is taken as a trace, and of every report of it."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import traceanalyzer
from traceanalyzer.records import Job, SavingOf, Suggestion
from traceanalyzer.records.errors import TraceAnalyzerError
from traceanalyzer.report import read_back, render
from traceanalyzer.report.shown import shown

TEXTS = ("csv", "md", "svg")
SLOW = ("html", "txt")


def fault(path: Path, *, page: bool) -> str | None:
    """What is wrong with what is made of the file; None where it is refused in one line, or all is well.

    `page`: render the page and the summary too, which take longer than all else.
    """
    try:
        job = traceanalyzer.analyze(path)
    except TraceAnalyzerError as error:
        return f"refused in several lines: {error}" if "\n" in str(error) else None
    return next(filter(None, (*_figures(job), *_texts(job, page=page))), None)


def _figures(job: Job) -> list[str | None]:
    time, rows = job.time, job.op_rows
    attributed = sum(row.attributed_ns for row in rows)
    codes = {notice.code for notice in job.source.warnings}
    reasons = {part.reason for part in job.coverage.reasons} | {row.reason for row in rows}
    shares = [
        *(part.share_of_busy for part in job.verdicts), job.coverage.modelled_share,
        job.coverage.linked_share, job.coverage.shaped_share, job.memory_bound.share_of_window,
    ]  # fmt: skip
    sizes = [size or 0 for row in rows for size in (row.read_bytes, row.write_bytes, row.flops)]
    return [
        _unless(time.busy_ns + time.idle_ns == job.window.window_ns, "busy and idle are not the window"),
        _unless(time.busy_ns >= 0 and time.idle_ns >= 0, "time below 0"),
        _unless(attributed == time.busy_ns, f"rows add up to {attributed}, busy is {time.busy_ns}"),
        _unless(sum(part.time_ns for part in job.verdicts) == time.busy_ns, "verdicts are not busy"),
        _unless(sum(part.time_ns for part in time.idle_by_cause) == time.idle_ns, "causes are not idle"),
        _unless(all(-1e-9 <= share <= 1 + 1e-9 for share in shares), f"a share out of 0 to 1: {shares}"),
        _unless(min(sizes, default=0) >= 0, "bytes or FLOPs below 0"),
        _unless(not codes & {"rule_failed", "suggestions_failed"}, _failures(job)),
        _unless("formula_failed" not in reasons, "a formula failed"),
        *(_of_suggestion(one, job) for one in job.suggestions or ()),
        *(_unless(_saved_together(job, of) <= _step(job, of) * (1 + 1e-9) + 1, f"more than the {of} is saved")
          for of in {one.saving_of for one in job.suggestions or ()}),
    ]  # fmt: skip


def _step(job: Job, of: SavingOf | None) -> float:
    if of == "shown_step":
        return shown(job).window_ns
    if of == "step_of_kind":
        return max(step.device_ns for step in job.step_rows or ())
    return job.window.window_ns / max(job.window.step_count or 1, 1)


def _saved_together(job: Job, of: SavingOf | None) -> float:
    mine = [one for one in job.suggestions or () if one.saving_of == of]
    kinds = {one.step_kind for one in mine}
    highs = [(one.step_kind, one.saving_per_step_ns.high) for one in mine if one.saving_per_step_ns]
    return max((sum(high for of_kind, high in highs if of_kind == kind) for kind in kinds), default=0.0)


def _failures(job: Job) -> str:
    """What failed of itself, though the report stands."""
    return "; ".join(notice.message for notice in job.source.warnings if notice.code.endswith("_failed"))


def _of_suggestion(one: Suggestion, job: Job) -> str | None:
    """A saving lies between nothing and the step."""
    step = _step(job, one.saving_of)
    saved, band, share = one.bytes_saved_per_step, one.saving_per_step_ns, one.share_of_step
    if saved is not None and saved < 0:
        return f"{one.rule} saves {saved} bytes"
    if band is not None and not 0 <= band.low <= band.mid <= band.high <= step * (1 + 1e-9) + 1:
        return f"{one.rule} saves {band} of a step of {step}"
    if share is not None and not (math.isfinite(share) and 0 <= share <= 1):
        return f"{one.rule} saves {share} of the step"
    return None


def _texts(job: Job, *, page: bool) -> list[str | None]:
    text = render(job, "json")
    again = read_back(text.encode())
    found = [_unless(render(again, "json") == text, "the JSON changes when it is read back")]
    for name in (*TEXTS, *SLOW) if page else TEXTS:
        rendered = render(job, name)
        found.append(_unless(bool(rendered.encode()), f"{name} is empty"))
        if name == "csv":
            lines = list(csv.reader(io.StringIO(rendered)))
            found.append(_unless(len(lines) == 1 + len(job.op_rows), f"{len(lines)} lines of CSV"))
            found.append(_unless(len({len(line) for line in lines}) == 1, "CSV lines of several lengths"))
    return found


def _unless(holds: bool, fault: str) -> str | None:
    return None if holds else fault
