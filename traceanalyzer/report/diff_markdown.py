"""The comparison as a comment on a pull request: under 60,000 characters, no markup of a trace in effect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.records import Comparison
from traceanalyzer.report.comment_marker import comment_marker
from traceanalyzer.report.diff_view import ChangeLine, DiffView, OpChangeLine, diff_view, whole_of
from traceanalyzer.report.markdown import LIMIT, as_much_as_fits, as_table, cell, code, folded, prose

_TOP = 10
_NAMED = re.compile(
    r"((?:Advised only in the \w+: .*\. )?(?:The largest single \w+(?: with a name)?"
    r"(?: beyond the noise of runs| beyond what unchanged operators drift by)?"
    r"|Of what is [a-z, ]+ the largest) is) "
    r"(.+?)(: [+-]\S+ \S+?(?:, beside idle time \(cause unknown\): [+-]\S+ \S+?)?\.)"
)
_MORE = 60  # further changes, folded


def render(
    comparison: Comparison, top: int | None = None, *, key: str | None = None, limit: int = LIMIT
) -> str:
    """The sentence, a table of at most ten rows, the rest folded; what no longer fits is left out.

    `key`: of the hidden marker by which the comment is found again, the last line.
    """
    first = _TOP if top is None else top
    view = diff_view(comparison, first + _MORE)
    last = f"\n{comment_marker(key)}\n" if key is not None else ""
    return as_much_as_fits(_sections(comparison, view, first), limit - len(last)) + last


def _sections(comparison: Comparison, view: DiffView, first: int) -> Iterator[str]:
    yield f"### {_sentence(view)}\n\n"
    yield "".join(f"* {prose(line)}\n" for line in (*view.reasons, *view.notes)) + "\n"
    yield _changes(view.whole, whole_of(comparison))
    if view.apart:
        yield "\nWhere the recordings differ, for whatever reason:\n"
    if view.ops[:first]:
        yield "\n" + _ops(view.ops[:first])
    if view.drift:
        yield f"\n{prose(view.drift)}\n\n"
    if view.ops[first:] or view.hidden:
        more = _ops(view.ops[first:])
        if view.hidden:
            more += f"\n{view.hidden} smaller changes: {view.hidden_change} together.\n"
        yield folded("Smaller changes", more)
    yield folded("Verdicts and idle time", _changes((*view.verdicts, *view.causes), "verdict, cause"))
    yield folded("What was compared", "".join(f"* {name}: {prose(text)}\n" for name, text in view.sides))
    yield f"\n{prose(f'{comparison.tool.name} {comparison.tool.version}')}\n"


def _sentence(view: DiffView) -> str:
    """In one line; the operator that it names, which a trace chose, as a code span."""
    named = _NAMED.fullmatch(view.more)
    if named is None or named[2].startswith("idle time ("):
        return prose(view.sentence)
    first = f"{view.lead} {named[1]}" if view.lead else named[1]
    return f"{prose(first)} {code(named[2])}{prose(named[3])}"


def _changes(lines: Sequence[ChangeLine], head: str) -> str:
    heads = [head, " base", " head", " change", " of the step"]
    return as_table(heads, ([line.label, line.base, line.head, line.change, line.share] for line in lines))


def _ops(lines: Sequence[OpChangeLine]) -> str:
    heads = ["operator", "what", " base", " head", " change"]
    return as_table(
        heads, ([_name(line), prose(line.what), line.base, line.head, line.change] for line in lines)
    )


def _name(line: OpChangeLine) -> str:
    about = " ".join(filter(None, (line.inputs, line.where)))
    return cell(line.name) + (f" {cell(about)}" if about else "")
