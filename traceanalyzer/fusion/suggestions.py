"""Suggestions from the matches of rules: one suggestion for the same match in every layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import structs

from traceanalyzer.fusion.alike import alike, largest, place_of, where
from traceanalyzer.fusion.checks import NO_OPERATORS, NOT_RECORDED, UNREAD, checks, unchecked
from traceanalyzer.fusion.code_places import code_places
from traceanalyzer.fusion.cost_to_try import WHOLE_MODEL, compiled_nodes, compiled_path, compiling_ns
from traceanalyzer.fusion.headroom import headroom
from traceanalyzer.fusion.host_pace import at_pace, host_pace
from traceanalyzer.fusion.idle_claims import NOT_IN_EACH_STEP
from traceanalyzer.fusion.module_compile import compiled_together
from traceanalyzer.fusion.module_names import as_regex, attribute, is_whole_model, with_name
from traceanalyzer.fusion.peak_memory import Held, held_at_peak, peak_bytes_saved
from traceanalyzer.fusion.promise import (
    ALONE_SHARE,
    disturbed,
    is_bounded,
    promise,
    rests_on_pages,
    rests_on_roofs_out_of_reach,
)
from traceanalyzer.fusion.rules import RULES, Match, Rule
from traceanalyzer.fusion.rules.base import everywhere
from traceanalyzer.fusion.savings import scaled
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph, step_graph
from traceanalyzer.fusion.step_words import as_of, step_caveats
from traceanalyzer.fusion.trial import (
    Compiled,
    beyond_change,
    why_unsure,
    with_surroundings,
    with_trial,
)
from traceanalyzer.records import Band, Notice, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.records.units import duration, percent, si
from traceanalyzer.records.vocabulary import IDLE_RULES

_MIN_SAVED_SHARE = 0.002  # of the step: what saves less, by its middle, is not worth a reader's minute
_MIN_UNSURE_SHARE = 0.01  # on a CPU, of what is there and may not be seen: processes differ as much
_MIN_UNTIMED_SHARE = 0.02  # where no time can be predicted, or the device waits for the host anyway
_THROUGH_SHARE = 0.5  # of what kernels save: where the host's pace lets less through, the change says so
_MAX_OPERATORS = 12  # operators of a place
_COMPILED = f"{WHOLE_MODEL})"
_EACH = "        module.compile()"
NOT_LOOKED_FOR = Suggestions(None)  # of a device that is not shown


def suggest(judged: Judged, all_steps: Judged | None = None) -> Suggestions:
    """What would save time on the device that was judged.

    `all_steps`: where `judged` is one step of several, the same over all of them.
    """
    if any(notice.code == "gpu_not_captured" for notice in judged.priced.trace.warnings):
        return Suggestions(None, checks=unchecked(NOT_RECORDED))
    try:
        graph = step_graph(judged, all_steps)
    except Exception as error:  # whatever a recording holds, the report arrives
        notice = _failed("suggestions", "the operators of a step", error)
        return Suggestions(None, (notice,), headroom=headroom(judged), checks=unchecked(UNREAD))
    if graph is None:
        return Suggestions(None, headroom=headroom(judged), checks=unchecked(NO_OPERATORS))
    return suggestions(graph)


def suggestions(graph: StepGraph) -> Suggestions:
    """Every rule's, those of one rule together where they are alike; largest saving first."""
    notices = list(graph.notices)
    matched = list(applied(graph, notices))
    try:
        matched = compiled_together(graph, matched)
    except Exception as error:
        notices.append(_failed("rule", "compiling modules as a whole", error))
    held = _held(graph, notices)
    grouped = list(_grouped(graph, matched, notices))
    compiled = Compiled.by((each.compiled, each.nodes) for each in grouped if each.is_worth)
    found: list[Suggestion] = []
    groups: list[_Group] = []
    for group in grouped:
        try:
            made = _suggestion(group, compiled, held)
        except Exception as error:
            notices.append(_failed("rule", group.rule.name, error))
            continue
        if made is not None:
            found.append(made)
            groups.append(group)
    whole = [
        with_trial(group.seen, at_pace(group.seen, each), group.matches, group.module, times)
        for (each, times), group in zip(_together(found, graph), groups, strict=True)
    ]
    pairs = sorted(zip(whole, groups, strict=True), key=lambda pair: _by_saving(pair[0]))
    listed = tuple(each for each, _ in pairs)
    compiling = (compiling_ns(graph, group.nodes, group.module, each.snippet) for each, group in pairs)
    return Suggestions(
        listed, tuple(notices), tuple(first_op(group.nodes) for _, group in pairs), tuple(compiling),
        headroom(graph.judged, graph, [(each, group.matches) for each, group in pairs]),
        checks(graph, matched, listed, notices),
    )  # fmt: skip


class _Group(msgspec.Struct, frozen=True):
    """Matches that are alike, with all that is asked of them more than once."""

    seen: StepGraph  # the steps that the rule looks at
    rule: Rule
    matches: list[Match]
    nodes: list[Node]
    module: str  # of the largest
    where: str  # of all
    snippet: str
    compiled: Sequence[Node]  # what the suggestion compiles
    promised: Band | None

    @classmethod
    def of(cls, seen: StepGraph, rule: Rule, matches: list[Match]) -> _Group:
        nodes, module = [node for match in matches for node in match.nodes], place_of(matches)
        stated = where(matches, module)
        snippet = _snippet(seen, rule, matches, module, stated)
        return cls(
            seen, rule, matches, nodes, module, stated, snippet, compiled_nodes(seen, nodes, stated, snippet),
            promise(seen, matches, max(match.tier for match in matches)),
        )  # fmt: skip

    @property
    def is_worth(self) -> bool:
        """Whether enough is promised of it by itself."""
        return self.promised is not None and self.promised.mid >= _MIN_SAVED_SHARE * self.seen.step_ns


def _grouped(
    graph: StepGraph, matched: Iterable[tuple[Rule, Sequence[Match]]], notices: list[Notice]
) -> Iterator[_Group]:
    """What fails here is left out of all that follows."""
    for rule, matches in matched:
        try:
            seen = _seen_by(rule, graph)
            groups = [_Group.of(seen, rule, group) for group in alike(rule, matches)]
        except Exception as error:
            notices.append(_failed("rule", rule.name, error))
            continue
        yield from groups


def _together(found: Sequence[Suggestion], graph: StepGraph) -> Iterator[tuple[Suggestion, float]]:
    """Those of the step save no more than it takes, those of the mean step no more than that; and by how
    much each was made smaller."""
    scale = {seen.saving_of: _scales(found, seen) for seen in (graph, graph.over_all_steps)}
    for each in found:
        times = scale[each.saving_of][not _is_sure(each)] if each.saving_of in scale else 1.0
        yield _shrunk(each, times), times


def _scales(listed: Sequence[Suggestion], graph: StepGraph) -> tuple[float, float]:
    """By how much those that are proved have to be smaller, which could save too much where this step is a
    long one; and the others, which have what those leave."""
    left = graph.step_ns * graph.stretch.repeats
    scales = []
    for sure in (True, False):
        mine = [each for each in listed if each.saving_of == graph.saving_of and _is_sure(each) == sure]
        together = sum(each.saving_per_step_ns.high for each in mine if each.saving_per_step_ns)
        scales.append(min(1.0, max(0.0, left) / together) if together else 1.0)
        left -= together
    return scales[0], scales[1]


def _is_sure(suggestion: Suggestion) -> bool:
    band = suggestion.saving_per_step_ns
    return band is not None and band.low > 0


def _shrunk(suggestion: Suggestion, times: float) -> Suggestion:
    band, share = suggestion.saving_per_step_ns, suggestion.share_of_step
    if times == 1:
        return suggestion
    return structs.replace(
        suggestion,
        saving_per_step_ns=scaled(band, times) if band else None,
        share_of_step=share * times if share is not None else None,
    )


def applied(graph: StepGraph, notices: list[Notice] | None = None) -> Iterator[tuple[Rule, list[Match]]]:
    """Each rule with the places where it applies; no operator is claimed twice, by one rule or by two.

    A rule that fails finds nothing, and `notices` says so.
    """
    compiled = {node.place for node in graph.nodes if graph.compiled(node)}
    claimed: set[int] = set()
    for rule in RULES:
        taken = claimed if rule.concerns_compiled else claimed | compiled
        try:
            matches = _apart(rule.find(_seen_by(rule, graph), Free(frozenset(taken))))
        except Exception as error:
            if notices is None:
                raise
            notices.append(_failed("rule", rule.name, error))
            matches = []
        claimed |= {node.place for match in matches if match.claims for node in match.nodes}
        yield rule, matches


def _seen_by(rule: Rule, graph: StepGraph) -> StepGraph:
    """The step that is shown; all steps for what need not be in each, as a checkpoint is saved in one."""
    return graph.over_all_steps if rule.name in NOT_IN_EACH_STEP else graph


def _apart(matches: Iterable[Match]) -> list[Match]:
    """Without those that claim an operator of a match before."""
    claimed: set[int] = set()
    kept = []
    for match in matches:
        places = {node.place for node in match.nodes if match.claims}
        if claimed.isdisjoint(places):
            claimed |= places
            kept.append(match)
    return kept


def _failed(what: str, name: str, error: Exception) -> Notice:
    text = f"{name}: {type(error).__name__}: {error}; the rest of the report stands"
    return Notice(f"{what}_failed", text)


def _by_saving(suggestion: Suggestion) -> tuple[float, str, str]:
    band = suggestion.saving_per_step_ns
    return (-(band.mid if band else -1.0), suggestion.rule, suggestion.where)


def _held(graph: StepGraph, notices: list[Notice]) -> Held | None:
    try:
        return held_at_peak(graph)
    except Exception as error:
        notices.append(_failed("memory", "what is in use at the peak", error))
        return None


def _suggestion(each: _Group, together: Compiled, held: Held | None) -> Suggestion | None:
    """None where the saving, or the step, is next to nothing.

    Figures of a part of a trace are scaled to the whole. `together`: what all compile.
    """
    graph, rule, group, promised, compiled = each.seen, each.rule, each.matches, each.promised, each.compiled
    if graph.step_ns <= 0:
        return None
    tier = max(match.tier for match in group)
    time_ns = sum(node.time_ns for node in each.nodes)
    most = largest(group)
    band = beyond_change(graph, promised, compiled, together)
    unsure = band is not None and promised is not None and band.low <= 0 < promised.low
    starved = rule.name not in IDLE_RULES and _is_starved(graph, band.mid if band else time_ns)
    untimed = band is None and most.after is not None
    lost = band is not None and band.low <= 0 and tier < "T3" and not is_bounded(group)
    share = _MIN_UNSURE_SHARE if graph.trace.on_cpu and lost else _MIN_SAVED_SHARE
    least = (_MIN_UNTIMED_SHARE if untimed or starved else share) * graph.step_ns
    if band.mid < least if band is not None else most.nodes and time_ns < least:
        return None
    tier = "T3" if unsure else tier
    if band is not None:
        path = compiled_path(each.where, each.snippet)
        band = with_surroundings(graph, band, compiled, path, together)
    repeats = graph.stretch.repeats
    saved = [match.bytes_saved for match in group if match.bytes_saved is not None]
    caveats = (*_caveats(each, band, starved), *((why_unsure(compiled),) if unsure else ()))
    return Suggestion(
        rule=rule.name,
        title=as_of(graph, most.title or rule.title),
        tier=tier,
        action=with_name(most.action or rule.action, each.where),
        snippet=each.snippet,
        where=each.where,
        count=round(len(group) * repeats),
        evidence=as_of(graph, most.evidence or _evidence(most, group, time_ns)),
        bytes_saved_per_step=round(max(0, sum(saved)) * repeats) if saved else None,
        peak_bytes_saved=peak_bytes_saved(graph, rule, group, held),
        saving_per_step_ns=scaled(band, repeats) if band is not None else None,
        share_of_step=band.mid / graph.step_ns if band is not None else None,
        caveats=tuple(as_of(graph, text) for text in (*_of_device(graph, rule), *caveats)),
        docs=most.docs or rule.docs,
        saving_of=graph.saving_of,
        step_kind=graph.step_kind,
        # Of what is changed for all of the step no line is the place.
        places=() if each.module == everywhere(graph) else code_places(graph.trace, each.nodes, repeats),
    )


def first_op(nodes: Iterable[Node]) -> int:
    """Row in Trace.ops of the first; -1 of none."""
    first = min(nodes, key=lambda node: node.place, default=None)
    return first.row if first else -1


def _of_device(graph: StepGraph, rule: Rule) -> Iterator[str]:
    """The rule's own caveats, without those of the other kind of device."""
    other = "on a CPU " if graph.on_gpu else "on a GPU "
    return (text for text in rule.caveats if not text.startswith(other))


def _is_starved(graph: StepGraph, kernels_ns: float) -> bool:
    """Whether kernels that save so much mostly make the device wait longer for the host."""
    saved_ns = kernels_ns * graph.stretch.repeats
    return host_pace(graph).saved(saved_ns, 0.0) < _THROUGH_SHARE * saved_ns


def _caveats(each: _Group, band: Band | None, starved: bool) -> list[str]:
    graph, group = each.seen, each.matches
    caveats = []
    if any(match.compiled_with_neighbors for match in group):
        caveats.append("the saving is that of compiling the whole model: intermediate results of neighbors "
                    "stay in one kernel, and backward recomputes what is cheap")  # fmt: skip
    if starved and band is not None:
        caveats.append("the device waits for the host much of the time: this saves busy time, and the step "
                    "is shorter only where the host waits for the device")  # fmt: skip
    if disturbed(graph) > 1 and band is not None and any(match.rests_on_roofs for match in group):
        caveats.append("others kept the machine busy while its roofs were measured, and perhaps while this "
                    "was recorded: the saving may be larger, or nothing")  # fmt: skip
    if band is not None and not band.low and rests_on_pages(graph, group):
        caveats.append("much of what it saves is system time for new pages: a process that keeps its pages "
                    "saves less, or nothing")  # fmt: skip
    if band is not None and rests_on_roofs_out_of_reach(graph, group):
        caveats.append("large kernels stay far below their roofs for a reason that is not known "
                    "(far_below_roofs): until it is found, the replacement may be as slow")  # fmt: skip
    share = graph.attributed_share(each.nodes)
    if share < ALONE_SHARE and band is not None:
        caveats.append(f"its kernels overlap with others: {percent(share)} of their time is counted, and "
                    "the step is no shorter where the others take as long")  # fmt: skip
    caveats += step_caveats(graph, band, each.nodes, group[0].tier)
    return caveats


def _snippet(graph: StepGraph, rule: Rule, group: Sequence[Match], module: str, stated: str) -> str:
    """With the module's own name; where there are several of a kind, for all of them. A comment stays.

    `module`: of the largest, `stated`: of all.
    """
    template = largest(group).snippet or rule.snippet
    comment, line_end, code = template.rpartition("\n")
    if "{module}" not in code:
        return template
    if any(match.compiled_with_neighbors for match in group) or is_whole_model(graph, module):
        return f"{comment}{line_end}{_COMPILED}"
    if "*" not in stated:
        return f"{comment}{line_end}{code.format(module=attribute(module))}"
    named = as_regex(stated)
    loop = f'for name, module in model.named_modules():\n    if re.fullmatch(r"{named}", name):\n{_EACH}'
    return f"{comment}{line_end}{loop}"


def _evidence(match: Match, group: Sequence[Match], time_ns: int) -> str:
    """Of the one that takes most time, and what all take."""
    names = [f"{node.name} {_size(node)}".strip() for node in match.nodes]
    shown = " → ".join(names[:_MAX_OPERATORS]) + (
        f" → {len(names) - _MAX_OPERATORS} more" if len(names) > _MAX_OPERATORS else ""
    )
    moved = sum(node.bytes for node in match.nodes)
    records = sum(node.records for node in match.nodes)
    text = f"{shown}: {records} kernels move {si(moved, 'B')}" if records != 1 else (
        f"{shown}: one kernel moves {si(moved, 'B')}"
    )  # fmt: skip
    if match.after is not None:
        text += f", {si(match.after.bytes, 'B')} would remain"
    kinds = len({tuple(node.name for node in other.nodes) for other in group})
    places = f"{len(group)} such matches take" if len(group) > 1 else "this takes"
    if kinds > 1:
        places = f"{len(group)} matches of {kinds} kinds, of which this takes most, take"
    return f"{text}; {places} {duration(time_ns)} per step{_held_by(group)}"


def _held_by(group: Sequence[Match]) -> str:
    """`, 12 of them with a layer norm`: what is named among the group's operators, most frequent first."""
    named = Counter(match.holds for match in group if match.holds).most_common()
    if len(named) == 1 and named[0][1] == len(group):
        return f", with {named[0][0]}" if len(group) == 1 else f", each with {named[0][0]}"
    return "".join(f", {count} of them with {name}" for name, count in named)


def _size(node: Node) -> str:
    """Dims of the largest input."""
    sizes = [dims for dims in node.call.shapes if dims and all(isinstance(d, int) for d in dims)]
    largest = max(sizes, key=_count, default=())
    return f"[{', '.join(map(str, largest))}]" if largest else ""


def _count(dims: Sequence[object]) -> int:
    total = 1
    for size in dims:
        total *= size if isinstance(size, int) else 1
    return total
