"""The reader's brute-force twin: json.load, one Python loop, exact arithmetic; and rows to compare by."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from traceanalyzer.trace.reading.raw import Raw

OPS = {"cpu_op", "operator"}
GPU = {"kernel": 0, "gpu_memcpy": 1, "memcpy": 1, "gpu_memset": 2, "memset": 2}
LAUNCHES = {"cuda_runtime", "cuda_driver", "runtime"}


def load(path: str | Path) -> Any:
    data = Path(path).read_bytes()
    return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)


def ns(us: float) -> int:
    """Exact: a double is a rational number."""
    return round(Fraction(us) * 1000)


def tables(events: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of `ops`, `launches` and `kernels` in file order, as plain tuples."""
    out: dict[str, list[tuple[Any, ...]]] = {"ops": [], "launches": [], "kernels": []}
    for event in events:
        if event.get("ph") != "X":
            continue
        cat = str(event.get("cat", "")).lower()
        args = event.get("args", {})
        times = ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])
        if cat in OPS or cat == "user_annotation":
            scope = cat == "user_annotation" or event["name"].startswith(
                ("ProfilerStep#", "Optimizer.step#", "Optimizer.zero_grad#", "enumerate(DataLoader)#")
            )
            out["ops"].append((*times, event["name"], scope, None if scope else call(args),
                               args.get("External id", -1), args.get("Sequence number", -1),
                               args.get("Fwd thread id", -1)))  # fmt: skip
        elif cat in LAUNCHES:
            out["launches"].append((*times, event["name"], correlation(args), external(args)))
        elif cat in GPU:
            out["kernels"].append((*times, event["name"], GPU[cat], args.get("device", event["pid"]),
                                   args.get("stream", event["tid"]), correlation(args), external(args),
                                   volume(args.get("grid")), volume(args.get("block")),
                                   args.get("registers per thread", -1), args.get("shared memory", -1),
                                   args.get("bytes", -1), "Collective name" in args))  # fmt: skip
    return out


def call(args: dict[str, Any]) -> tuple[Any, ...]:
    shapes = _nested(args.get("Input Dims", args.get("Input dims", [])))
    types = tuple(args.get("Input type", []))
    types += ("",) * (len(shapes) - len(types))
    return shapes, types, _nested(args.get("Input Strides", [])), tuple(args.get("Concrete Inputs", []))


def correlation(args: dict[str, Any]) -> int:
    found: int = args.get("correlation", 0)
    return found if found > 0 else -1


def external(args: dict[str, Any]) -> int:
    found: int = args.get("External id", args.get("external id", -1))
    return found


def volume(sizes: Any) -> int:
    if not isinstance(sizes, list):
        return -1
    product = 1
    for size in sizes:
        product *= size
    return product


def _nested(value: Any) -> Any:
    return tuple(_nested(item) for item in value) if isinstance(value, list) else value


def read_tables(raw: Raw) -> dict[str, list[tuple[Any, ...]]]:
    """The same rows, from what the reader made."""
    names, ops, launches, kernels = raw.names, raw.ops, raw.launches, raw.kernels
    columns = {
        "ops": (ops.start_ns, ops.end_ns, ops.name, ops.annotation, ops.call, ops.external, ops.sequence,
                ops.forward_thread),
        "launches": (launches.start_ns, launches.end_ns, launches.name, launches.correlation,
                     launches.external),
        "kernels": (kernels.start_ns, kernels.end_ns, kernels.name, kernels.kind, kernels.device,
                    kernels.stream, kernels.correlation, kernels.external, kernels.blocks, kernels.threads,
                    kernels.registers, kernels.shared_bytes, kernels.copied_bytes, kernels.collective >= 0),
    }  # fmt: skip
    rows = {table: list(zip(*(np.asarray(c).tolist() for c in parts), strict=True))
            for table, parts in columns.items()}  # fmt: skip
    named = {table: [(start, end, names[name], *rest) for start, end, name, *rest in found]
             for table, found in rows.items()}  # fmt: skip
    named["ops"] = [(*row[:4], _parsed(raw, row[4]), *row[5:]) for row in named["ops"]]
    return named


def _parsed(raw: Raw, index: int) -> tuple[Any, ...] | None:
    if index < 0:
        return None
    made = raw.calls[index]
    return made.shapes, made.types, made.input_strides, made.concrete
