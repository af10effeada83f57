"""The comparison as a comment on a pull request: under 60,000 characters, no markup of a trace in effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traceanalyzer.records import Comparison
from traceanalyzer.report.diff_view import ChangeLine, DiffView, OpChangeLine, diff_view
from traceanalyzer.report.markdown import LIMIT, OMITTED, as_table, cell, folded, prose

_TOP = 10
_MORE = 60  # further changes, folded


def render(comparison: Comparison, top: int | None = None) -> str:
    """The sentence, a table of at most ten rows, the rest folded; what no longer fits is left out."""
    first = _TOP if top is None else top
    view = diff_view(comparison, first + _MORE)
    text = ""
    for section in _sections(comparison, view, first):
        if len(text) + len(section) > LIMIT - len(OMITTED):
            return text + OMITTED
        text += section
    return text


def _sections(comparison: Comparison, view: DiffView, first: int) -> Iterator[str]:
    yield f"### {prose(view.sentence)}\n\n"
    yield "".join(f"* {prose(line)}\n" for line in (*view.reasons, *view.notes)) + "\n"
    yield _changes(view.whole, "step" if comparison.base.step_count else "trace")
    if view.ops[:first]:
        yield "\n" + _ops(view.ops[:first])
    if view.ops[first:] or view.hidden:
        more = _ops(view.ops[first:])
        if view.hidden:
            more += f"\n{view.hidden} smaller changes: {view.hidden_change} together.\n"
        yield folded("Smaller changes", more)
    yield folded("Verdicts and idle time", _changes((*view.verdicts, *view.causes), "verdict, cause"))
    yield folded("What was compared", "".join(f"* {name}: {prose(text)}\n" for name, text in view.sides))
    yield f"\n{prose(f'{comparison.tool.name} {comparison.tool.version}')}\n"


def _changes(lines: Sequence[ChangeLine], head: str) -> str:
    heads = [head, " base", " head", " change", " of the base"]
    return as_table(heads, ([line.label, line.base, line.head, line.change, line.share] for line in lines))


def _ops(lines: Sequence[OpChangeLine]) -> str:
    heads = ["operator", "what", " base", " head", " change"]
    return as_table(
        heads, ([_name(line), prose(line.what), line.base, line.head, line.change] for line in lines)
    )


def _name(line: OpChangeLine) -> str:
    about = " ".join(filter(None, (line.inputs, line.where)))
    return cell(line.name) + (f" {cell(about)}" if about else "")
