"""The comparison on a terminal: the sentence, both sides per step, the largest changes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from traceanalyzer.records import Comparison
from traceanalyzer.report.diff_view import DiffView, diff_view
from traceanalyzer.report.sanitize import cut
from traceanalyzer.report.terminal import grid
from traceanalyzer.report.wrapping import wrapped

if TYPE_CHECKING:
    from rich.console import Console

_TOP = 8
_CAUSES = 3
_WHAT = 18


def summary(comparison: Comparison, *, width: int = 80, color: bool = False, top: int = _TOP) -> str:
    """About twenty lines, none longer than `width`; ends with a newline."""
    from rich.console import Console
    from rich.text import Text

    out = StringIO()
    console = Console(
        file=out, width=max(width, 60), force_terminal=color, no_color=not color,
        color_system="standard" if color else None, highlight=False, markup=False, emoji=False,
        legacy_windows=False,
    )  # fmt: skip
    view = diff_view(comparison, top)
    console.print(Text("\n".join(wrapped(view.sentence, console.width)), style="bold"))
    for line in (*view.reasons, *view.notes):
        console.print(Text("\n".join(wrapped(line, console.width))))
    console.print()
    _both(console, view)
    console.print()
    _changes(console, view)
    console.print()
    for name, text in view.sides:
        for number, part in enumerate(wrapped(text, console.width - 6)):
            console.print(Text(f"{name if number == 0 else '':6}{part}"))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def render(comparison: Comparison, top: int | None = None) -> str:
    """The summary as a text file, with more changes."""
    return summary(comparison, width=100, top=40 if top is None else top)


def _both(console: Console, view: DiffView) -> None:
    """The step, then how much runs at the roof, then busy time by verdict and idle time by cause."""
    from rich.text import Text

    table = grid(False, True, True, True, True)
    table.add_row(*(Text(t, style="dim") for t in ("", "base", "head", "change", "of the step")))
    at_roof = [line for line in view.whole if line.key in ("at_roof", "below_roof")]
    step = [line for line in view.whole if line not in at_roof]
    for heading, lines in (("", step), ("at the roof or not", at_roof), ("busy, by verdict", view.verdicts),
                           ("idle, by cause", view.causes[:_CAUSES])):  # fmt: skip
        shown = [line for line in lines if line.base_ns or line.head_ns]
        if heading and shown:
            table.add_row(Text(heading, style="dim"))
        indent = "  " if heading else ""
        for line in shown:
            cells = (f"{indent}{line.label}", line.base, line.head, line.change, line.share)
            table.add_row(*map(Text, cells))
    console.print(table, no_wrap=True)
    if more := len(view.causes[_CAUSES:]):
        console.print(
            Text(f"{more} smaller cause{'s' if more > 1 else ''} on the page (-o diff.html)", style="dim")
        )


def _changes(console: Console, view: DiffView) -> None:
    from rich.text import Text

    if view.apart:
        console.print(Text("where the recordings differ, for whatever reason", style="dim"))
    table = grid(True, False, False)
    for line in view.ops:
        about = " ".join(filter(None, (line.inputs, line.where)))
        left = console.width - 12 - _WHAT - 2
        table.add_row(
            Text(line.change), Text(cut(line.what, _WHAT)),
            Text(cut(f"{line.name} {about}", max(left, 20))),
        )  # fmt: skip
    if view.ops:
        console.print(table, no_wrap=True)
    if view.hidden:
        console.print(Text(f"{view.hidden} smaller changes: {view.hidden_change} together", style="dim"))
    if view.drift:
        console.print(Text("\n".join(wrapped(view.drift, console.width)), style="dim"))
