"""Seen: convolutions surrounded by kernels that change the layout of images (`nchwToNhwc`, `nhwcToNchw`).

Instead: `model.to(memory_format=torch.channels_last)`, and the input likewise.

Saves: at most the time of those kernels.

When not: an operator in between does not support the layout and copies back.

Left out: convolutions without such kernels, and images that are in this layout already; 1-D convolutions,
which have no such layout; grouped and depthwise ones, and images of fewer than 4 channels, which gain nothing
from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from traceanalyzer.fusion.rules.base import Match, Rule
from traceanalyzer.fusion.rules.convolutions import is_convolution, is_grouped
from traceanalyzer.fusion.rules.matmuls import shape_of, share_of_busy
from traceanalyzer.fusion.step_graph import Free, Node, StepGraph
from traceanalyzer.records import Band
from traceanalyzer.records.units import duration, percent

_LAYOUT = re.compile(r"nchwToNhwc|nhwcToNchw|nchw2nhwc|nhwc2nchw|batched_transpose", re.IGNORECASE)
_BUSY_SHARE = 0.005  # of busy time
_FEWEST_CHANNELS = 4


def find(graph: StepGraph, free: Free) -> Iterator[Match]:
    """One match for all convolutions of images with such kernels, and one for those of volumes."""
    for dims, where, snippet in ((4, "the convolutions", ""), (5, "the 3-D convolutions", _VOLUMES)):
        layout = [
            (node, _layout_ns(graph, node)) for node in graph.nodes
            if free(node) and is_convolution(node) and _may_change(graph, node, dims)
        ]  # fmt: skip
        nodes, ns = tuple(node for node, part in layout if part), sum(part for _, part in layout)
        if nodes and share_of_busy(graph, ns) >= _BUSY_SHARE:
            evidence = f"layout kernels of {len(nodes)} convolutions take {duration(ns)} per step, "
            evidence += f"{percent(share_of_busy(graph, ns))} of busy time"
            yield Match(nodes, "T3", saved=Band(0.0, ns, ns), evidence=evidence, where=where, snippet=snippet)


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
    caveats=("every operator in between must support the layout",),
    docs="https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",
    concerns_compiled=True,
)  # fmt: skip
