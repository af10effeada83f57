"""From what rules find to what a person reads: one suggestion for the same finding in every layer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from traceanalyzer.fusion.module_compile import together
from traceanalyzer.fusion.rules import RULES, Match, Rule
from traceanalyzer.fusion.savings import added, possible, proved, saving
from traceanalyzer.fusion.step_graph import Node, StepGraph, step_graph
from traceanalyzer.records import Band, Suggestion
from traceanalyzer.records.judged import Judged
from traceanalyzer.records.suggestion import Suggestions
from traceanalyzer.records.units import duration, si

_LEAST = 0.002  # of the step: what saves less, by its middle, is not worth a reader's minute
_LEAST_ELSE = 0.02  # where no time can be predicted, or the device waits for the host anyway
_STARVED = 0.3  # of the window, that the device waits for launches: then faster kernels do not shorten a step
_SHOWN = 12  # operators of a place
_COMPILED = "model = torch.compile(model)"
_EACH = "        module.compile()"


def suggest(judged: Judged) -> Suggestions:
    """What would save time on the device that was judged."""
    graph = step_graph(judged)
    return Suggestions(suggestions(graph) if graph else None)


def suggestions(found: StepGraph) -> tuple[Suggestion, ...]:
    """Every rule's, those of one rule together where they are alike."""
    told = [
        made for rule, matches in together(found, list(applied(found)))
        for group in _alike(matches) if (made := _told(found, rule, group)) is not None
    ]  # fmt: skip
    return tuple(sorted(told, key=lambda s: (-(s.saving_per_step_ns.mid if s.saving_per_step_ns else -1.0),
                                             s.rule, s.where)))  # fmt: skip


def applied(found: StepGraph) -> Iterator[tuple[Rule, list[Match]]]:
    """Each rule with the places where it applies; none claims an operator of another's."""
    compiled = {node.place for node in found.nodes if found.compiled(node)}
    claimed: set[int] = set()
    for rule in RULES:
        taken = claimed if rule.concerns_compiled else claimed | compiled
        matches = list(rule.find(found, partial(_free, frozenset(taken))))
        claimed |= {node.place for match in matches if match.claims for node in match.nodes}
        yield rule, matches


def _free(taken: frozenset[int], node: Node) -> bool:
    return node.place not in taken


def _alike(matches: Sequence[Match]) -> list[list[Match]]:
    """Matches in the same module of another layer, or all where no module is known; timed ones apart."""
    groups: dict[tuple[object, ...], list[Match]] = {}
    for match in matches:
        place = match.where or _holder(match.nodes)
        timed = match.saved is not None or match.after is not None
        groups.setdefault((re.sub(r"\d+", "*", place), match.tier == "T3", timed), []).append(match)
    return list(groups.values())


def _holder(nodes: Sequence[Node]) -> str:
    """The innermost module that holds all of them."""
    paths = [(node.module or "").split(".") for node in nodes]
    common = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def _told(found: StepGraph, rule: Rule, group: Sequence[Match]) -> Suggestion | None:
    """None where the saving is next to nothing."""
    tier = max(match.tier for match in group)
    band = _band(found, group)
    time = sum(node.time_ns for match in group for node in match.nodes)
    if band is not None:
        undisturbed = sum(found.undisturbed_ns(match.nodes) for match in group)
        band = possible(band) if tier == "T3" else proved(band, undisturbed)
    largest = max(group, key=lambda match: sum(node.time_ns for node in match.nodes))
    starved = _waits(found) >= _STARVED and rule.name != "launch_bound"
    untimed = band is None and largest.after is not None
    least = (_LEAST_ELSE if untimed or starved else _LEAST) * found.step_ns
    if (largest.nodes and time < least) or band is not None and band.mid < least:
        return None
    place = largest.where or _holder(largest.nodes)
    kept = [match.bytes_saved for match in group if match.bytes_saved is not None]
    return Suggestion(
        rule=rule.name,
        title=rule.title,
        tier=tier,
        action=largest.action or rule.action,
        snippet=largest.snippet or _snippet(rule, group, place),
        where=_where(group, place),
        count=len(group),
        evidence=largest.evidence or _evidence(largest, group, time),
        bytes_saved_per_step=sum(kept) if kept else None,
        saving_per_step_ns=band,
        share_of_step=band.mid / found.step_ns if band is not None and not starved else None,
        caveats=(*rule.caveats, *_warnings(found, group, band, starved)),
        docs=rule.docs,
    )


def _band(found: StepGraph, group: Sequence[Match]) -> Band | None:
    """None where no time can be predicted for any of them."""
    bands = []
    for match in group:
        band = match.saved
        if band is None and match.after is not None:
            time = found.undisturbed_ns(match.nodes)
            band = saving(time, match.after, found.device, found.floor_ns)
        if band is None:
            return None
        bands.append(band)
    return added(bands)


def _waits(graph: StepGraph) -> float:
    """Share of the window in which a GPU waits for launches; 0 where the trace names no steps."""
    known = graph.window_ns and graph.on_gpu and graph.has_steps
    return graph.idle_ns("launch_gap") / graph.window_ns if known else 0.0


def _warnings(found: StepGraph, group: Sequence[Match], band: Band | None, starved: bool) -> list[str]:
    told = []
    if any(match.compiled_with_neighbors for match in group):
        told.append("the saving is that of compiling the model as a whole: what neighbours hand over stays "
                    "in one kernel, and backward computes again what is cheap")  # fmt: skip
    if starved and band is not None:
        told.append("the device waits for launches much of the time: this saves kernel time, and the step "
                    "gets shorter only where kernels are the longer of the two")  # fmt: skip
    if not found.has_steps:
        told.append("the trace names no steps: the saving is that of the whole trace")
    return told


def _where(group: Sequence[Match], place: str) -> str:
    pattern = re.sub(r"\d+", "*", place)
    places = {match.where or _holder(match.nodes) for match in group}
    return place if len(places) == 1 else pattern


def _snippet(rule: Rule, group: Sequence[Match], place: str) -> str:
    """With the module's own name; where there are several of a kind, for all of them."""
    pattern = _where(group, place)
    if "{module}" not in rule.snippet:
        return rule.snippet
    if any(match.compiled_with_neighbors for match in group) or not place:
        return _COMPILED
    if "*" not in pattern:
        return rule.snippet.format(module=_attribute(place))
    named = re.escape(pattern).replace(r"\*", r"\d+")
    return f'for name, module in model.named_modules():\n    if re.fullmatch(r"{named}", name):\n{_EACH}'


def _attribute(place: str) -> str:
    """A module's path as Python reads it: `blocks.0.norm` is `blocks[0].norm`."""
    parts = [part for part in place.split(".") if part]
    return "model" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)


def _evidence(match: Match, group: Sequence[Match], time_ns: int) -> str:
    """Of the one that takes most time, and what all take."""
    names = [f"{node.name} {_size(node)}".strip() for node in match.nodes]
    shown = " → ".join(names[:_SHOWN]) + (f" → {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    moved = sum(node.bytes for node in match.nodes)
    records = sum(node.records for node in match.nodes)
    told = f"{shown}: {records} kernels move {si(moved, 'B')}" if records != 1 else (
        f"{shown}: one kernel moves {si(moved, 'B')}"
    )  # fmt: skip
    if match.after is not None:
        told += f", {si(match.after.bytes, 'B')} would remain"
    kinds = len({tuple(node.name for node in other.nodes) for other in group})
    places = f"{len(group)} such places take" if len(group) > 1 else "this takes"
    if kinds > 1:
        places = f"{len(group)} places of {kinds} kinds, of which this takes most, take"
    return f"{told}; {places} {duration(time_ns)} a step"


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
