"""The report as Markdown for a pull request: under 60,000 characters, no markup from a trace takes effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from traceanalyzer.records import Analysis
from traceanalyzer.records.units import percent
from traceanalyzer.report.critical_path import MEANING
from traceanalyzer.report.jobs import extremes
from traceanalyzer.report.published import TRANSFORMER_2021
from traceanalyzer.report.report_marker import mark
from traceanalyzer.report.sanitize import ABSENT
from traceanalyzer.report.view import View, view_of
from traceanalyzer.report.wrapping import left_out

LIMIT = 60_000  # a GitHub comment holds 65,536 characters
_TOP = 10
_BAR = 20  # characters of a bar that is all of the window
_WORTH_A_TABLE = 0.01  # of the window, that the device is idle
_RANKS = 64  # of more, the extremes
_CHANGES = 10
_WARNINGS = 20
_PEAKS = 40
OMITTED = "\n*Left out to stay short; the page and the JSON report hold it.*\n"


def render(analysis: Analysis, top: int | None = None, *, limit: int = LIMIT) -> str:
    """Summary and the `top` largest rows; the rest folded. Sections that no longer fit are left out."""
    view = view_of(analysis, _TOP if top is None else top)
    return as_much_as_fits((f"<!-- {mark(analysis)} -->\n", *_sections(analysis, view)), limit)


def as_much_as_fits(sections: Iterable[str], limit: int) -> str:
    """The first sections, as many as stay under `limit` characters, and whether some are left out."""
    text = ""
    for section in sections:
        if len(text) + len(section) > limit - len(OMITTED):
            return text + OMITTED
        text += section
    return text


def code(value: str) -> str:
    """`value` as a code span: inside it no mention, reference or markup is seen."""
    flat = " ".join(value.split()).replace("\\", "\N{REVERSE SOLIDUS OPERATOR}")
    if not flat:
        return ""
    fence = "`" * (max((len(run) for run in re.findall(r"`+", flat)), default=0) + 1)
    pad = " " if flat[0] == "`" or flat[-1] == "`" else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def cell(value: str) -> str:
    """`value` as a code span in a table, which takes a bare pipe for its own."""
    return code(value).replace("|", "\\|")


def prose(value: str) -> str:
    """`value` as plain text: no markup, mention, reference or link."""
    flat = " ".join(value.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = re.sub(r"([\\`*_\[\]|~$!])", r"\\\1", flat)
    flat = re.sub(
        r"""([@#%^]|&amp;)(?=[\w"])""", r"\1&#8203;", flat
    )  # GitLab's %milestone, &epic, ^alert too
    flat = re.sub(r"(:)(?=[\w+-]+:)", r"\1&#8203;", flat)  # an emoji's name
    return re.sub(r"(?i)\b(https?|ftp|www|mailto|gh-)(?=[:.\d])", r"\1&#8203;", flat)


def _sections(analysis: Analysis, view: View) -> Iterator[str]:
    yield f"### {prose(view.headline.lead)}\n\n"
    if view.headline.more or view.headline.changes:
        yield f"{prose(' '.join((*view.headline.more, *view.headline.changes)))}\n\n"
    yield "".join(f"* {prose(note)}\n" for note in view.headline.notes) + "\n"
    yield f"{code(view.file)} · {prose(' · '.join(filter(None, (view.subject, view.version))))}\n\n"
    yield _window(view)
    yield "".join(f"\n* {label}: {prose(text)}" for label, text in view.where) + "\n"
    if view.ranks:
        yield folded("Ranks and devices", _ranks(view))
    yield _suggestions(view)
    yield _when(view)
    yield _idle(view)
    yield _operators(view)
    yield _critical_path(view)
    yield _what_if(view)
    yield _warnings(view)
    if phases := _phases(view):
        yield folded("Phases and layers", phases)
    yield folded("Coverage and device", _coverage(analysis, view))
    yield folded(f"Operator classes, beside the table of {TRANSFORMER_2021.year}", _classes(view))
    yield folded("Self-check and formulas", _checks(view))
    yield folded("Recording and thresholds", _recording(view))
    yield f"\n{prose(f'{analysis.tool.name} {analysis.tool.version}')}\n"


def as_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns whose head begins with a blank are numbers."""
    lines = [f"| {' | '.join(h.strip() for h in heads)} |"]
    lines.append(f"|{'|'.join('--:' if h.startswith(' ') else ':--' for h in heads)}|")
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def folded(title: str, body: str) -> str:
    """Shown when its title is clicked."""
    return f"\n<details><summary>{title}</summary>\n\n{body}\n</details>\n"


def _per(heading: str) -> str:
    return f" time {heading}" if heading != "time" else " time"


def _window(view: View) -> str:
    """The parts that are there, as bars of text."""
    rows = (
        [_bar(p.window_share), p.label, p.time, p.of_busy, p.of_window, p.at_roof]
        for p in view.parts
        if p.time_ns or p.key == "memory_bound"
    )
    time = _per(view.heading) + view.with_profiler
    return as_table(["", "verdict", time, f" {view.of_busy}", f" {view.of_whole}", " at the roof"], rows)


def _bar(share: float) -> str:
    return "█" * max(round(_BAR * share), 1 if share else 0)


def _idle(view: View) -> str:
    rows = ([_bar(p.window_share), p.label, p.time, p.of_window, prose(p.meaning)] for p in view.idle)
    heads = ["", "idle", _per(view.heading) + view.with_profiler, f" {view.of_whole}", "meaning"]
    worth = any(p.key == "idle" and p.window_share >= _WORTH_A_TABLE for p in view.parts)
    return "\n" + as_table(heads, rows) if worth else ""


def _warnings(view: View) -> str:
    if not view.warnings:
        return ""
    shown = view.warnings[:_WARNINGS]
    lines = (f"* **{prose(c)}**{f' ×{n:,}' if n > 1 else ''} {prose(m)}\n" for c, m, n in shown)
    return "\n" + "".join(lines) + _left_out(warning=len(view.warnings) - len(shown))


def _left_out(**counts: int) -> str:
    """How many are not in a list, behind it."""
    rest = left_out(**counts)
    return f"\n{rest}.\n" if rest else ""


def _suggestions(view: View) -> str:
    if view.suggestions is None:
        return "\nSuggestions were not looked for.\n"
    if not view.suggestions:
        return "\nNo suggestions.\n"
    text = "\n**What to change**\n\n"
    shown = view.suggestions[:_CHANGES]
    for number, f in enumerate(shown, 1):
        at = ", ".join(map(code, f.places))
        places = ", ".join(filter(None, (code(f.site) or f.where, at, _times(f.count))))
        where = f" in {places}" if places else ""
        action = f"{prose(f.action)} " if f.says_more else ""
        saving = ", ".join(filter(None, (f.saving, f.peak)))
        effort = f"To try it: {prose(f.cost_to_try)}. " if f.cost_to_try else ""
        text += (
            f"{number}. **{prose(f.imperative)}**{where}: {saving}. {prose(f.title)}. "
            f"{action}{effort}({prose(f.rule)}, {f.tier}: {prose(f.evidence)})\n"
        )
    return text + _left_out(change=len(view.suggestions) - len(shown))


def _when(view: View) -> str:
    """How short the step could become, its memory, and what was not found: a line each."""
    lines = [view.headroom.sentence if view.headroom else "", view.memory.sentence if view.memory else ""]
    text = "".join(f"* {prose(line)}\n" for line in (*lines, view.library, view.missing) if line)
    return f"\n{text}" if text else ""


def _times(count: str) -> str:
    return "" if count == "1" else f"{count} times"


def _what_if(view: View) -> str:
    """A projection of each other device that was asked for."""
    rows = [[cell(text) for text in line] for line in view.what_if]
    heads = ["projected onto", f" busy,{_per(view.rows_heading)}", " step", " memory-bound of busy"]
    return "\n" + as_table(heads, rows) if rows else ""


def _critical_path(view: View) -> str:
    """What the shown step waited for, where that was asked."""
    path = view.critical_path
    if path is None:
        return ""
    parts = " · ".join(f"{fact.name} {fact.text} ({fact.about})" for fact in path.parts)
    modules = ", ".join(f"{code(fact.name)} {fact.text}" for fact in path.modules)
    rows = [[cell(name), *others] for name, *others in path.ops]
    table = as_table(["on the path", "verdict", " kernels", " time", " saves at most"], rows)
    text = f"\n**{prose(path.lead[:1].upper() + path.lead[1:])}**: {prose(parts)}\n\n{table}\n"
    return text + (f"By module: {modules}. " if modules else "") + f"{prose(MEANING)}\n"


def _operators(view: View) -> str:
    shown = [line for line in view.lines if not line.is_sum]
    rows = (
        [
            cell(line.name[:200]),
            cell(" ".join(filter(None, (line.inputs, line.phase, line.module, line.code)))),
            line.time.text, line.share.text, line.intensity.text, line.flop_rate.text, line.byte_rate.text,
            line.efficiency.text, ", ".join((line.verdict_label, *(flag for flag, _ in line.flags))),
        ]
        for line in shown
    )  # fmt: skip
    heads = ["operator", "inputs, phase, module", _per(view.rows_heading)]
    heads += [f" {view.of_busy}", " FLOP/B", " FLOP/s", " B/s", " of roof", "verdict"]
    if not shown:
        return ""
    return f"\n**The {len(shown)} largest of {view.total_rows:,} rows**\n\n" + as_table(heads, rows)


def _coverage(analysis: Analysis, view: View) -> str:
    text = "".join(f"* {prose(f'{f.text} {f.name}: {f.about}')}\n" for f in view.coverage)
    if view.reasons:
        rows = ([r.meaning, r.share, r.time, cell(r.example), prose(r.remedy)] for r in view.reasons)
        heads = ["not modelled", f" of {view.whole}", _per(view.rows_heading), "largest", "what helps"]
        text += "\n" + as_table(heads, rows)
    text += "\n" + "".join(f"* {prose(f'{f.name}: {f.text} {f.about}')}\n" for f in view.device)
    if not analysis.device.peaks:
        return text
    rows = ([p.engine, prose(p.precision), p.rate, p.ridge] for p in view.peaks[:_PEAKS])
    table = as_table(["engine", "precision", " dense peak", " ridge"], rows)
    return f"{text}\n{table}{_left_out(peak=len(view.peaks) - _PEAKS)}"


def _classes(view: View) -> str:
    table = TRANSFORMER_2021
    theirs = {c.operator_class: c for c in table.classes}
    rows = []
    for line in view.classes:
        match = next((c for key, c in theirs.items() if key == line.key), None)
        published = [percent(match.flops_share, 2), percent(match.time_share)] if match else [ABSENT, ABSENT]
        rows.append([line.label, line.flops_share, line.time, line.time_share, *published])
    theirs_heads = [f" {table.year}: of FLOPs", f" {table.year}: of runtime"]
    text = as_table(["class", " of FLOPs", _per(view.rows_heading), f" {view.of_busy}", *theirs_heads], rows)
    notes = "".join(f"* {caveat}\n" for caveat in table.caveats)
    return f"{text}\n{table.source}: {table.workload}, {table.device}.\n{notes}"


def _phases(view: View) -> str:
    text = ""
    if view.phases:
        rows = ([p.label, p.time, p.of_busy, p.memory_bound, p.flops] for p in view.phases)
        heads = [
            "phase",
            _per(view.rows_heading),
            f" {view.of_busy}",
            " memory-bound, of the phase",
            " FLOPs",
        ]
        text += as_table(heads, rows) + "\n"
    if view.layers:
        by_layer = (
            [cell(p.label), p.modules, *map(prose, (p.time, p.of_busy, p.memory_bound))] for p in view.layers
        )
        heads = [
            "module",
            " modules",
            _per(view.rows_heading),
            f" {view.of_busy}",
            " memory-bound, of the layer",
        ]
        text += as_table(heads, by_layer) + "\n"
    return text


def _ranks(view: View) -> str:
    heads = [" rank", "device", "file", " window", " busy", " memory-bound, of busy"]
    heads += [" exposed communication", " waited", " waited for"]
    some = extremes(view.ranks, _RANKS)
    rows = (
        [
            f"**{r.rank}**" if r.shown else r.rank, prose(r.device), cell(r.file), r.window, r.busy,
            r.memory_bound, r.exposed, r.waited, r.waited_for,
        ]
        for r in some
    )  # fmt: skip
    hidden = len(view.ranks) - len(some)
    more = f"\n{hidden} more, which waited neither least nor longest.\n" if hidden else ""
    lede = "".join(f"{prose(sentence)}\n" for sentence in view.job)
    return (f"{lede}\n" if lede else "") + as_table(heads, rows) + more + _collectives(view)


def _collectives(view: View) -> str:
    if not view.collectives:
        return ""
    heads = [
        "collective",
        "group",
        " calls",
        " waited, by all",
        "came last",
        " bytes",
        " bus rate",
        " of link",
    ]
    rows = (
        [prose(c.name), prose(c.group), c.calls, c.waited, c.last, c.bytes, c.rate, c.of_link]
        for c in view.collectives
    )
    return "\n" + as_table(heads, rows)


def _checks(view: View) -> str:
    text = f"{prose(view.check)}\n"
    if view.above:
        rows = (
            [a.roof, prose(a.reason), a.rows, a.time, a.of_busy, a.highest, cell(a.example)]
            for a in view.above
        )
        heads = [
            "roof",
            "reason",
            " rows",
            _per(view.rows_heading),
            f" {view.of_busy}",
            " at most, of roof",
            "example",
        ]
        text += "\n" + as_table(heads, rows)
    for formula in view.formulas:
        text += f"\n{code(formula.op)}\n" + "".join(f"* {prose(line)}\n" for line in formula.lines)
    return text


def _recording(view: View) -> str:
    text = "".join(f"* {prose(f.name)}: {code(f.text)} {prose(f.about)}\n" for f in view.recording)
    return text + "* Thresholds: " + ", ".join(f"{prose(f.name)} {f.text}" for f in view.thresholds) + "\n"
