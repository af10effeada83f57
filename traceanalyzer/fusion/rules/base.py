"""What a rule is, what it finds, and how it looks for a sequence of operators."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal

import msgspec

from traceanalyzer.fusion.evidence.dataflow import Tier as EdgeTier
from traceanalyzer.fusion.regions import Region, added_as_before, added_through_index, region, regions
from traceanalyzer.fusion.savings import (
    ATOMIC_FLOPS,
    INDEXED_FLOPS,
    LOOP_FLOPS,
    REDUCED_FLOPS,
    SPECIAL_FLOPS,
    Work,
)
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band, Tier
from traceanalyzer.records.trace import OpKind, above, passes
from traceanalyzer.records.units import duration, percent

_UNTIMED_ON_CPU = ("masked_fill", "where", "native_group_norm", "native_group_norm_backward")
# A namespace of PyTorch's own; the compiler calls an operator of any other as a whole.
_OF_A_LIBRARY = re.compile(
    r"(?!(?:aten|at|prims?|autograd|torch|profiler|inductor|std|c10d|_c10d_functional\w*)::)\w+::\w"
)
_BY_ELEMENT = ("gather", "take", "take_along_dim", "scatter")  # with an index for each element
COMPILE_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.compile.html"


class Match(msgspec.Struct, frozen=True):
    """One place where a rule applies."""

    nodes: tuple[Node, ...]  # whose time the replacement takes the place of; no other rule's, if claimed
    tier: Tier
    after: Work | None = None  # None: no time is predicted from what it would move
    saved: Band | None = None  # where it does not follow from `after`
    saved_by_roofs: bool = False  # whether `saved` follows from the device's peaks and bandwidth
    same_work: bool = False  # whether what is left has the roofs that its nodes have now
    bytes_saved: int | None = None
    unwritten: frozenset[int] = frozenset()  # places of nodes whose results the replacement has nowhere
    title: str = ""  # instead of the rule's, where that depends on what was found
    evidence: str = ""  # instead of the operators in their order
    holds: str = ""  # behind the operators: what is worth a name among them, as "a layer norm"
    where: str = ""  # instead of the module that holds them
    action: str = ""  # instead of the rule's, where the remedy depends on what was found
    snippet: str = ""  # likewise; {module} as in Rule.snippet
    docs: str = ""  # likewise
    claims: bool = (
        True  # False: others may claim the same nodes; no time is predicted, or T3 of what both win
    )
    compiled_with_neighbors: bool = False  # `after` counts that its neighbors are compiled with it
    lost: Band | None = None  # below 0: its part of what the remedy makes slower
    between: Band | None = None  # what the host takes between its nodes on a CPU, which goes too
    slower: tuple[str, ...] = ()  # names of the operators that it makes slower

    @property
    def rests_on_roofs(self) -> bool:
        return self.after is not None or self.saved_by_roofs


Replacement = Literal["compiled", "attention", "optimizer", "nothing"]
"""How `verify` builds the replacement; nothing: it cannot be tried on a region alone."""

Need = Literal["gpu", "cpu", "page_faults", "launches", "steps", "backward", "tensors", "shapes"]
"""What a trace has to show for a rule to be looked for: a GPU's work or a CPU's, page faults,
launches, where steps begin, training, which arguments are the same tensor, and sizes of operators' inputs."""

Find = Callable[[StepGraph, Free], Iterator[Match]]


class Rule(msgspec.Struct, frozen=True):
    """`doc` has five paragraphs: Seen, Instead, Saves, When not, Left out.

    When not: what no trace shows, so that a reader has to judge. Left out: what a trace shows, so that `find`
    takes care of it: the advice is taken already, or cannot help.
    """

    name: str
    doc: str
    find: Find  # among the nodes that are free, for no rule before has claimed them
    title: str
    action: str
    docs: str
    snippet: str = ""  # {module}: the name of the module that holds it
    caveats: tuple[str, ...] = msgspec.field(default=())
    replacement: Replacement = "nothing"
    fixed_by_compiling_module: bool = False  # compiling the module that holds it is all of its remedy
    needs: tuple[Need, ...] = ("shapes",)  # without which it is found nowhere
    one_setting: bool = False  # of the model: what is changed holds for all of its modules
    why_not: Callable[[StepGraph], str] | None = None  # of what is there: why `find` leaves it out
    concerns_compiled: bool = False  # applies to kernels of libraries too that compiled code calls

    def part(self, heading: str) -> str:
        """The text of one paragraph of `doc`."""
        return next(p.split(":", 1)[1].strip() for p in self.doc.split("\n\n") if p.startswith(f"{heading}:"))


def with_call(graph: StepGraph, test: Callable[[Node], object]) -> list[Node]:
    """Those whose call passes a test of what holds whenever it is invoked: each call is asked once."""
    passing = {id(node.call) for node in graph.of_each_call if test(node)}
    return [node for node in graph.nodes if id(node.call) in passing] if passing else []


def sequences(
    graph: StepGraph, free: Free, pattern: re.Pattern[str], having: Sequence[str]
) -> Iterator[list[Node]]:
    """Neighbors of one thread and one phase whose names, each followed by a blank, match `pattern`.

    `having`: names of which every match has one.
    """
    if graph.names.isdisjoint(having):
        return
    for run in runs(graph, free):
        text = "".join(f"{node.name} " for node in run)
        index_at = {}  # of the node whose name begins at this place of the text
        offset = 0
        for index, node in enumerate(run):
            index_at[offset] = index
            offset += len(node.name) + 1
        index_at[offset] = len(run)
        for match in pattern.finditer(text):
            if match.start() in index_at and match.end() in index_at:
                yield run[index_at[match.start()] : index_at[match.end()]]


def runs(graph: StepGraph, free: Free) -> Iterator[list[Node]]:
    """Stretches of free nodes of one thread and one phase."""
    run: list[Node] = []
    thread, taken = graph.threads, free.taken
    for node in graph.nodes:
        is_free = node.place not in taken
        if run and not (
            is_free and node.phase == run[-1].phase and thread[node.place] == thread[run[-1].place]
        ):
            yield run
            run = []
        if is_free:
            run.append(node)
    if run:
        yield run


def surest(graph: StepGraph, nodes: Sequence[Node]) -> EdgeTier:
    """The surest tier whose edges alone connect all of `nodes`; T3 where none does.

    Two nodes that read one tensor of a third are connected too.
    """
    tiers: tuple[EdgeTier, ...] = ("T1", "T2")
    return next((tier for tier in tiers if _connected(graph, nodes, tier)), "T3")


def _connected(graph: StepGraph, nodes: Sequence[Node], weakest: EdgeTier) -> bool:
    """Whether edges of tier `weakest` or surer connect all of `nodes`."""
    places = {node.place for node in nodes}
    neighbors: dict[int, set[int]] = {}
    for node in nodes:
        for edge in graph.into.get(node.place, ()):
            if edge.tier <= weakest and (edge.producer in places or edge.tier == "T1"):
                neighbors.setdefault(edge.producer, set()).add(node.place)
                neighbors.setdefault(node.place, set()).add(edge.producer)
    reached, ahead = {nodes[0].place}, [nodes[0].place]
    while ahead:
        new = neighbors.get(ahead.pop(), set()) - reached
        reached |= new
        ahead += new
    return places <= reached


def generated(graph: StepGraph, nodes: Sequence[Node], moved: int) -> Work:
    """One generated kernel for all of them, which moves so many bytes."""
    return _of_region(graph, region(graph, nodes), moved)


def _of_region(graph: StepGraph, joined: Region, moved: int) -> Work:
    nodes = joined.nodes
    kept = [node for node in nodes if added_as_before(graph, node)]
    atomic = [node for node in nodes if added_through_index(graph, node) and node not in kept]
    special, loops = arithmetic(nodes)
    loops += INDEXED_FLOPS * _gathered_anew(graph, nodes)
    return Work(
        moved, 1, nodes[0].phase == "backward", special_flops=special, loop_flops=loops,
        atomic_flops=ATOMIC_FLOPS * sum(node.elements for node in atomic),
        kept_ns=graph.undisturbed_ns(kept),
        share=joined.share_after(frozenset(node.place for node in kept)),
    )  # fmt: skip


def _gathered_anew(graph: StepGraph, nodes: Sequence[Node]) -> int:
    """Elements of larger loops that read one through an index each, as a bias of positions that samples
    share: generated code gathers where it reads, and a reduction reads twice."""
    passes = 2 if any(node.reduced for node in nodes) else 1
    inner = {node.place for node in nodes}
    return sum(
        passes * node.elements
        for node in nodes
        for edge in graph.into.get(node.place, ())
        if edge.producer not in inner and _is_spread(graph.nodes[edge.producer], node)
    )


def _is_spread(producer: Node, consumer: Node) -> bool:
    return producer.fusible == "gather" and 0 < producer.elements < consumer.elements


def arithmetic(nodes: Sequence[Node]) -> tuple[int, int]:
    """FLOPs that take as long as their exponentials and the like, and as the loops of generated code."""
    special = sum(node.cost.special_functions * _flops(node) for node in nodes if node.cost)
    reduced = sum(node.elements for node in nodes if node.fusible == "reduction")
    indexed = sum(node.elements for node in nodes if node.name in _BY_ELEMENT)
    loops = LOOP_FLOPS * sum(node.elements for node in nodes) + REDUCED_FLOPS * reduced
    return special, loops + INDEXED_FLOPS * indexed


def _flops(node: Node) -> int:
    """Of one of its special functions; a gradient's are those of its function."""
    name = node.name.removesuffix("_backward")
    by_tanh = name == "gelu" and any("tanh" in text for text in node.call.concrete)
    return SPECIAL_FLOPS.get("gelu_tanh" if by_tanh else name, SPECIAL_FLOPS["exp"])


def compilable(graph: StepGraph, free: Free) -> Free:
    """Of the free nodes those that `torch.compile` of a module reaches, and generates code for.

    Not the optimizer's step, clipping, averages of weights or metrics. Not complex numbers. Not what an
    operator of a library does inside.
    """
    return free.without(graph.once(_beyond_compile))


def _beyond_compile(graph: StepGraph) -> frozenset[int]:
    """Places of the nodes that `torch.compile` of a module leaves as they are, whoever has claimed them."""
    return _outside_of_models(graph) | _inside_library_operators(graph) | _of_complex_numbers(graph)


def _of_complex_numbers(graph: StepGraph) -> frozenset[int]:
    """Places of nodes that work on them."""
    return frozenset(node.place for node in with_call(graph, _is_complex))


def _is_complex(node: Node) -> bool:
    return any(dtype is not None and dtype.startswith("complex") for dtype in node.call.dtypes)


def _outside_of_models(graph: StepGraph) -> frozenset[int]:
    """Places of the optimizer's nodes, and of what a training step does beside its passes.

    A stretch without a phase that multiplies matrices is a model too, one that runs without gradients.
    """
    trained = any(node.phase == "backward" for node in graph.nodes)
    outside = {node.place for node in graph.nodes if node.phase == "optimizer"}
    for phase, stretch in groupby(graph.nodes, key=lambda node: node.phase):
        nodes = list(stretch)
        if (
            trained
            and phase is None
            and not any(node.cost and node.cost.engine == "matrix" for node in nodes)
        ):
            outside |= {node.place for node in nodes}
    return frozenset(outside)


def _inside_library_operators(graph: StepGraph) -> frozenset[int]:
    """Places of nodes below an operator that a library registered with PyTorch."""
    ops = graph.trace.ops
    library = passes(graph.trace.names, ops.name, _OF_A_LIBRARY.match) & (ops.kind == OpKind.OP)
    if not library.any():
        return frozenset()
    inside = above(ops.parent, library) >= 0
    return frozenset(node.place for node in graph.nodes if inside[node.row])


def chains(graph: StepGraph, free: Free, wanted: Callable[[Region], bool]) -> Iterator[Match]:
    """Regions that a compiler would make one kernel of, where that moves less than its parts do."""
    for each in regions(graph, compilable(graph, free)):
        saves = each.bytes_before - each.bytes_after
        if saves > 0 and wanted(each):
            yield one_kernel(graph, each)


def one_kernel(graph: StepGraph, joined: Region) -> Match:
    """One generated kernel in the place of a region.

    No time is predicted on a CPU for masks, group normalizations and gathered tensors that are spread: the
    code that the compiler makes of them there is often slower than the operators (docs/savings.md).
    """
    after = _of_region(graph, joined, joined.bytes_after)
    saves = joined.bytes_before - joined.bytes_after
    slow = any(name in _UNTIMED_ON_CPU for name in joined.names) or _gathered_anew(graph, joined.nodes)
    timed = not (graph.trace.on_cpu and slow)
    return Match(joined.nodes, joined.tier, after if timed else None, bytes_saved=saves)


def waiting(
    graph: StepGraph, ns: float, evidence: str, *, where: str = "", action: str = "", snippet: str = "",
    again: bool = True,
) -> Match:  # fmt: skip
    """A match of no operators, whose remedy may save up to so many ns of idle time per step, or nothing.

    `again`: False where the trace does not show that the wait comes again; then no time is promised.
    """
    ns = min(ns, graph.most_idle_ns)  # the host was slower under the profiler
    saved = Band(0.0, ns, ns) if again else None
    where = where or everywhere(graph)
    return Match((), "T3", saved=saved, evidence=evidence, where=where, action=action, snippet=snippet)


def everywhere(graph: StepGraph) -> str:
    """The place of what concerns no single operator."""
    return "the whole step" if graph.has_steps else "the whole trace"


def started(graph: StepGraph) -> str:
    """How the script is started, by its recorded name, a file's or a module's, and its arguments."""
    recording = graph.trace.recording
    script = (recording.script if recording else None) or "train.py"
    start = "python" if script.endswith(".py") else "python -m"
    return " ".join((start, script, *_arguments(recording.command or "" if recording else "", script)))


def _arguments(command: str, script: str) -> list[str]:
    """What stands behind the script's name where it was profiled."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quote that does not end
        return []
    behind = words[words.index(script) + 1 :] if script in words else []
    return [shlex.quote(word) for word in behind]


def wait_evidence(graph: StepGraph, ns: float, share: float) -> str:
    """What the device waits, as a suggestion states it."""
    each = " per step" if graph.has_steps else ""
    if graph.saving_of == "mean_step":
        each += f", averaged over {len(graph.judged.steps)} steps that differ,"
    whole = "the step" if graph.saving_of in ("shown_step", "step_of_kind") else "the window"
    return f"the device waits {duration(ns)}{each} for this, {percent(share)} of {whole}"
