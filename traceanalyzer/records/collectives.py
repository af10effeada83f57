"""What a trace records of a collective, and what the job compares of one on its ranks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

# What a text names, spelled without case and separators; the first that fits.
_NAMES = (
    ("allreduce", "all_reduce"), ("reducescatter", "reduce_scatter"), ("allgather", "all_gather"),
    ("alltoall", "all_to_all"), ("broadcast", "broadcast"), ("sendrecv", "send_recv"), ("barrier", "barrier"),
    ("recv", "recv"), ("send", "send"), ("gather", "gather"), ("scatter", "scatter"), ("reduce", "reduce"),
)  # fmt: skip
_SEPARATORS = re.compile(r"[^a-z0-9]+")

Integers = npt.NDArray[np.integer[Any]]  # of as few bytes as they need


def collective_name(text: str) -> str | None:
    """`all_reduce` of `allreduce`, `c10d::allreduce_` or `ncclDevKernel_AllReduce_Sum_f16_RING_LL`."""
    spelled = _SEPARATORS.sub("", text.lower())
    return next((name for part, name in _NAMES if part in spelled), None)


class CollectiveArgs(msgspec.Struct, frozen=True):
    """The arguments of a collective as recorded with its kernel; None and "" where they are absent."""

    name: str  # "allreduce", "_allgather_base", "send"
    group: str = ""  # of the process group
    ranks: tuple[int, ...] | None = None  # its members, in the job
    group_size: int | None = None
    sequence: int | None = None  # number of the collective in its group
    in_elements: int | None = None
    out_elements: int | None = None
    dtype: str = ""
    source: int | None = None  # of a receive
    destination: int | None = None  # of a send


class Distributed(msgspec.Struct, frozen=True):
    """What a trace says of the whole job: its size, and the members of each process group by its name."""

    world_size: int | None = None
    groups: Mapping[str, tuple[int, ...]] = msgspec.field(default_factory=dict)


NOT_DISTRIBUTED = Distributed()


class CollectiveForm(msgspec.Struct, frozen=True):
    """What calls of a collective have in common, however they were recorded."""

    name: str  # "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send", "recv", ...
    group: str = ""
    ranks: tuple[int, ...] | None = None
    group_size: int | None = None
    in_bytes: int | None = None
    out_bytes: int | None = None
    source: int | None = None
    destination: int | None = None


class Collectives(msgspec.Struct, frozen=True, eq=False):
    """The collectives that ran on one device in all of its recording, by start; ns of the trace's clock.

    All of it, not the window alone: recordings start and stop at different times, and which calls belong
    together shows in their order from both ends.
    """

    start_ns: Integers
    time_ns: Integers
    stream: Integers
    sequence: Integers  # -1: not recorded
    step: Integers  # number of the step that launched it; -1
    form: Integers  # row in `forms`
    forms: tuple[CollectiveForm, ...] = ()

    def __len__(self) -> int:
        return len(self.start_ns)


_NONE: Integers = np.zeros(0, np.int64)
NO_COLLECTIVES = Collectives(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE)
