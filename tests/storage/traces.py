"""Traces of ranks, whose busy time tells them apart."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

from tests.pipeline.kineto import Kineto


def trace(rank: int | None = None, *, time: int = 100, padding: int = 0, **metadata: Any) -> bytes:
    """One kernel of so many us; `padding`: bytes that do not compress."""
    t = Kineto(metadata=metadata | ({"distributedInfo": {"rank": rank}} if rank is not None else {}))
    t.run("aten::add", 0, "add_kernel", 100, time, ([4096], "float"), ([4096], "float"))
    if padding:
        text = random.Random(1).randbytes(padding // 2).hex()
        parts = [text[at : at + 1000] for at in range(0, len(text), 1000)]
        t.events += [{"ph": "i", "name": part, "ts": 1, "pid": 1, "tid": 1} for part in parts]
    return json.dumps(t.document()).encode()


def packed(rank: int | None = None, **kwargs: Any) -> bytes:
    """The same in gzip."""
    return gzip.compress(trace(rank, **kwargs), mtime=0)
