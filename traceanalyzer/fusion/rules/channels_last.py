"""Seen: convolutions surrounded by kernels that change the layout of images (`nchwToNhwc`, `nhwcToNchw`); on
a CPU, images whose channels lie apart, by the strides that convolutions, poolings and interpolations are
given.

Instead: `model.to(memory_format=torch.channels_last)`, and the input likewise.

Saves: at most the time of those kernels. On a CPU oneDNN changes the layout inside of a convolution: at most
what this takes longer than its FLOPs at the peak, as a rule 0.7 of that; and 0.85 of poolings' and
interpolations' time, which are vectorized in this layout alone. On an AMD EPYC, torch 2.13, convolutions are
1.0 to 5 times as fast in it, poolings 6 to 17, interpolations 1.1 to 38; the gradients of batch and group
norms 0.4 and 0.2 times as fast, which is taken off: half of it at best.

When not: an operator in between does not support the layout and copies back.

Left out: images that are in this layout already; 1-D convolutions, which have no such layout; on a GPU
convolutions without such kernels, grouped and depthwise ones, and images of fewer than 4 channels, which gain
nothing from it; on a CPU images whose strides are not recorded, and what gains less than a fiftieth of the
step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.rules.base import Match, Rule, with_call
from traceanalyzer.fusion.rules.convolutions import is_convolution, is_grouped
from traceanalyzer.fusion.rules.matmuls import shape_of, share_of_busy
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, percent

_LAYOUT = re.compile(r"nchwToNhwc|nhwcToNchw|nchw2nhwc|nhwc2nchw|batched_transpose", re.IGNORECASE)
_BUSY_SHARE = 0.005  # of busy time
_FEWEST_CHANNELS = 4
_CPU_BUSY_SHARE = 0.02
_CONVERTING = 0.7  # of what convolutions take beyond their FLOPs
_VECTORIZED = (
    "max_pool2d_with_indices", "avg_pool2d", "avg_pool2d_backward", "_adaptive_avg_pool2d",
    "upsample_nearest2d", "upsample_nearest2d_backward", "upsample_bilinear2d",
    "upsample_bilinear2d_backward",
)  # fmt: skip
_VECTORIZED_SAVES = 0.85  # of their time
_SLOWER = {"native_batch_norm_backward": 1.5, "native_group_norm_backward": 5.0}  # times their time, added
_LOST_AT_BEST = 0.5  # of what norms lose as a rule
_CPU_TITLE = "Convolutions change the layout of their images inside"


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all convolutions of images with such kernels, and one for those of volumes."""
    if not graph.on_gpu:
        yield from _on_cpu(graph)
        return
    convolutions = [node for node in with_call(graph, is_convolution) if free(node)]
    for dims, where, snippet in ((4, "the convolutions", ""), (5, "the 3-D convolutions", _VOLUMES)):
        layout = [(node, _layout_ns(graph, node)) for node in convolutions if _may_change(graph, node, dims)]
        nodes, ns = tuple(node for node, part in layout if part), sum(part for _, part in layout)
        if nodes and share_of_busy(graph, ns) >= _BUSY_SHARE:
            evidence = f"layout kernels of {len(nodes)} convolutions take {duration(ns)} per step, "
            evidence += f"{percent(share_of_busy(graph, ns))} of busy time"
            yield Match(nodes, "T3", saved=Band(0.0, ns, ns), evidence=evidence, where=where, snippet=snippet)


def _on_cpu(graph: StepGraph) -> Iterator[Match]:
    """One match for all that gains from the layout, less what norms lose.

    It claims none, for bf16 and kept pages gain from the same convolutions: each is what it saves alone, and
    headroom counts no more of all together than the roofs allow.
    """
    peak = graph.device.peak("matrix", "fp32")
    images = with_call(graph, _holds_pixels_together)
    convolutions = [node for node in images if is_convolution(node)]
    gains = [node for node in images if node.name in _VECTORIZED]
    if not convolutions or not peak:
        return
    beyond = sum(max(0.0, graph.undisturbed_ns([node]) - _at_peak_ns(node, peak)) for node in convolutions)
    lost = sum(slower * graph.undisturbed_ns([node]) for node in images for slower in _slower(node))
    vectorized = _VECTORIZED_SAVES * graph.undisturbed_ns(gains)
    mid = _CONVERTING * beyond + vectorized - lost
    band = Band(0.0, max(0.0, mid), max(0.0, beyond + vectorized - _LOST_AT_BEST * lost))
    if band.mid and share_of_busy(graph, band.mid) >= _CPU_BUSY_SHARE:
        evidence = _evidence(len(convolutions), beyond, len(gains), graph.undisturbed_ns(gains))
        nodes = tuple(sorted((*convolutions, *gains), key=lambda node: node.place))
        yield Match(
            nodes,
            "T3",
            saved=band,
            evidence=evidence,
            where="the convolutions",
            title=_CPU_TITLE,
            claims=False,
            saved_by_roofs=True,
            same_work=True,
        )


def _evidence(convolutions: int, beyond_ns: float, others: int, others_ns: float) -> str:
    text = (
        f"of images whose channels lie apart, {_counted(convolutions, 'convolution')} {duration(beyond_ns)} "
    )
    text += "per step more than the FLOPs do at the peak"
    if not others:
        return text
    return (
        f"{text}, and {_counted(others, 'pooling or interpolation', 'poolings and interpolations')} "
        f"{duration(others_ns)} per step, vectorized in channels_last alone"
    )


def _counted(number: int, single: str, several: str = "") -> str:
    return f"{number} {several or f'{single}s'} take" if number > 1 else f"{number} {single} takes"


def _holds_pixels_together(node: Node) -> bool:
    """Whether it reads an image whose channels are known to lie apart; of one channel that says nothing."""
    for _, dims, _, strides in node.call.tensors():
        shape = tuple(size for size in dims if isinstance(size, int))
        if len(shape) == 4 and len(strides) == 4 and shape[1] > 1 and max(shape[2:]) > 1:
            return strides[3] == 1 and not _channels_last(shape, strides)
    return False


def _at_peak_ns(node: Node, peak: float) -> float:
    return 1e9 * (node.cost.flops if node.cost else 0) / peak


def _slower(node: Node) -> Iterator[float]:
    """How much longer it takes in the layout, by its time now."""
    if node.name in _SLOWER:
        yield _SLOWER[node.name]


def _layout_ns(graph: StepGraph, node: Node) -> float:
    """Of its time, that of its layout kernels: as large a part as of all calls of its row."""
    row = graph.row_of(node)
    if row is None or not row.time_ns:
        return 0.0
    layout = sum(kernel.time_ns for kernel in row.kernel_names if _LAYOUT.search(kernel.name))
    return node.time_ns * layout / row.time_ns


def _may_change(graph: StepGraph, node: Node, dims: int) -> bool:
    """Whether its image has so many dims, and gains from the other layout, which it is not known to be in."""
    if any(scope.startswith(("aten::conv1d", "aten::conv_transpose1d")) for scope in graph.scopes(node)):
        return False
    image, shape = next(((i, shape_of(node, i)) for i in range(2) if len(shape_of(node, i)) > 3), (0, ()))
    gains = len(shape) == dims and shape[1] >= _FEWEST_CHANNELS and not is_grouped(node)
    return gains and not _channels_last(shape, node.call.strides(image))


def _channels_last(shape: Sequence[int], strides: Sequence[object]) -> bool:
    """Whether channels lie next to each other; of one channel or one pixel that says nothing."""
    distinct = len(strides) == len(shape) and shape[1] > 1 and any(size > 1 for size in shape[2:])
    return distinct and strides[1] == 1


_VOLUMES = (
    "model = model.to(memory_format=torch.channels_last_3d)\nx = x.to(memory_format=torch.channels_last_3d)"
)

RULE = Rule(
    "channels_last", __doc__ or "", find,
    title="Convolutions change the layout of their images back and forth",
    action="Hold model and input in channels_last.",
    snippet="model = model.to(memory_format=torch.channels_last)\n"
    "x = x.to(memory_format=torch.channels_last)",
    caveats=("every operator in between must support the layout",
             "on a CPU half precision and kept pages shorten the same convolutions: together they save less"),
    docs="https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",
    concerns_compiled=True,
)  # fmt: skip
