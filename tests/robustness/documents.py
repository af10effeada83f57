"""Small traces to mutate: slices of committed samples, the same as if on a GPU, slices of real traces."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.project.tree import ROOT
from traceanalyzer.fusion.evidence.execution_trace import VERSION

Row = dict[str, Any]
Document = dict[str, Any]

SAMPLES = sorted((ROOT / "sample_traces").glob("*.json.gz"))
HOST_ROWS = 180  # of a slice
REAL = (
    "decode_sglang_qwen3_mi300x", "gpu_annotations_gp100", "gpu_only_mi210", "infer_ep_moe_b200_rank0of2",
    "infer_qwen_h100", "norm_layers_mi300x", "toy_mi250", "train_gpt_compiled_h100_rank0of8",
    "train_resnet50_v100_torch19", "train_v100_float_epoch",
)  # fmt: skip
_HOST = {"cpu_op", "user_annotation", "operator"}
_LAUNCH = {"cuda_runtime", "cuda_driver", "runtime"}
_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset"}
_V100 = {
    "id": 0, "name": "Tesla V100-SXM2-16GB", "totalGlobalMem": 16945512448, "computeMajor": 7,
    "computeMinor": 0, "maxThreadsPerBlock": 1024, "maxThreadsPerMultiprocessor": 2048, "regsPerBlock": 65536,
    "warpSize": 32, "sharedMemPerBlock": 49152, "numSms": 80, "regsPerMultiprocessor": 65536,
    "sharedMemPerMultiprocessor": 98304,
}  # fmt: skip


def committed() -> list[str]:
    """Names of the traces that need no folder of real ones."""
    return [f"{path.name.partition('.')[0]}{end}" for path in SAMPLES for end in ("", "_as_if_on_gpu")]


@cache
def document(name: str) -> Document:
    """One small trace, by its name; not to be changed in place."""
    sample = next((path for path in SAMPLES if name.startswith(path.name.partition(".")[0])), None)
    if sample is None:
        folder = Path(os.environ["TRACEANALYZER_REAL_TRACES"])
        return sliced(_load(folder / f"{name}.json.gz"), runs=3)
    if name.endswith("_as_if_on_gpu"):
        return on_gpu(sliced(_load(sample), runs=3))
    return sliced(_load(sample), runs=1)


def _load(path: Path) -> Document:
    with gzip.open(path) as file:
        loaded = json.load(file)
    return loaded if isinstance(loaded, dict) else {"traceEvents": loaded}


def sliced(whole: Document, runs: int) -> Document:
    """Runs of consecutive host rows of one step, what they launched, and the rows that are open around them.

    Of one run the evidence of an executed step is kept, as far as it reaches.
    """
    rows = [row for row in whole["traceEvents"] if row.get("ph") == "X" and "ts" in row]
    rows.sort(key=lambda row: row["ts"])
    host = [row for row in rows if _category(row) in _HOST]
    step = next((row for row in host if row.get("name", "").startswith("ProfilerStep#")), None)
    inside = [row for row in host if step is None or step["ts"] <= row["ts"] < step["ts"] + step["dur"]]
    inside = inside or host
    size = HOST_ROWS // runs
    places = [round(i * max(len(inside) - size, 0) / max(runs - 1, 1)) for i in range(runs)]
    kept = [row for place in places for row in inside[place : place + size]]
    spans = [(chosen[0]["ts"], chosen[-1]["ts"]) for p in places if (chosen := inside[p : p + size])]
    kept += _launched(rows, spans)
    if step is not None and step not in kept:
        kept.append(step)
    last = max((row["ts"] + (row.get("dur") or 0) for row in kept if row is not step), default=0)
    events = [_ending(dict(row), last) for row in {id(row): row for row in kept}.values()]
    events += [row for row in whole["traceEvents"] if row.get("name") == "[memory]"][:20]
    document = {
        key: value for key, value in whole.items() if key not in ("traceEvents", "traceanalyzeEvidence")
    }
    if runs == 1 and "traceanalyzeEvidence" in whole:
        document["traceanalyzeEvidence"] = _evidence(whole["traceanalyzeEvidence"], HOST_ROWS)
    return {**document, "traceEvents": events}


def _category(row: Row) -> str:
    return str(row.get("cat", "")).lower()


def _launched(rows: list[Row], spans: list[tuple[float, float]]) -> Iterator[Row]:
    """Launches inside the spans, and the device's rows that bear their correlations; else the first ones."""
    launches = [row for row in rows if _category(row) in _LAUNCH
                and any(start <= row["ts"] <= end for start, end in spans)][:150]  # fmt: skip
    wanted = {row.get("args", {}).get("correlation") for row in launches}
    device = [row for row in rows if _category(row) in _DEVICE]
    linked = [row for row in device if row.get("args", {}).get("correlation") in wanted]
    yield from launches
    yield from linked[:150]
    if len(linked) < 20:
        yield from device[:60]


def _ending(row: Row, last: float) -> Row:
    """A step that ends with the slice."""
    if row.get("name", "").startswith("ProfilerStep#"):
        row["dur"] = max(min(row["dur"], last + 1 - row["ts"]), 1)
    return row


def _evidence(whole: Document, count: int) -> Document:
    """The first operators of an executed step, as collectors of today write them."""
    columns = ("name", "thread", "parent", "dims", "inputs", "outputs", "mutated")
    cut = {key: whole[key][:count] for key in columns}
    ended = list(range(1, len(cut["name"]) + 1))
    for row in reversed(range(len(ended))):
        if cut["parent"][row] >= 0:
            ended[cut["parent"][row]] = max(ended[cut["parent"][row]], ended[row])
    return {"names": whole["names"], **cut, "ended": ended, "version": VERSION}


def on_gpu(document: Document) -> Document:
    """Each operator without an operator inside launches a kernel, as a V100 would run it."""
    rows = document["traceEvents"]
    ops = sorted((row for row in rows if _category(row) == "cpu_op"), key=lambda row: row["ts"])
    made: list[Row] = []
    free = 0.0
    for number, (op, following) in enumerate(zip(ops, [*ops[1:], None], strict=True), 1):
        end = op["ts"] + op["dur"]
        if following is not None and following["tid"] == op["tid"] and following["ts"] < end:
            continue
        at = op["ts"] + op["dur"] / 2
        free = max(free, at) + op["dur"] / 2
        made += _kernel(number, op, at, free)
    annotations = [_memory(row["ts"], place) for place, row in enumerate(ops[:12])]
    extra = [*_copy(len(ops) + 1, ops[0]), *annotations]
    recording = {key: value for key, value in document.get("traceanalyze", {}).items() if key != "cpu_roofs"}
    return {**document, "deviceProperties": [_V100], "traceanalyze": recording,
            "traceEvents": [*rows, *made, *extra]}  # fmt: skip


def _kernel(number: int, op: Row, at: float, start: float) -> list[Row]:
    ids = {"External id": op["args"].get("External id", number), "correlation": number}
    collective = {"Collective name": "allreduce", "dtype": "Float"} if number % 41 == 0 else {}
    name = f"void {op['name'].rpartition(':')[2]}_kernel<float>(int)"
    return [
        {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": op["pid"], "tid": op["tid"],
         "ts": at, "dur": op["dur"] / 8, "args": {"cbid": 211, **ids}},
        {"ph": "X", "cat": "kernel", "name": name, "pid": 0, "tid": 7, "ts": start, "dur": op["dur"] / 4,
         "args": {
             **ids, "device": 0, "context": 1, "stream": 7, "queued": 0, "registers per thread": 32,
             "shared memory": 0, "blocks per SM": 1.5, "warps per SM": 6, "grid": [120, 1, 1],
             "block": [128, 1, 1], "est. achieved occupancy %": 9, **collective,
         }},
    ]  # fmt: skip


def _copy(number: int, op: Row) -> list[Row]:
    ids = {"External id": op["args"].get("External id", number), "correlation": number}
    return [
        {"ph": "X", "cat": "cuda_runtime", "name": "cudaMemcpyAsync", "pid": op["pid"], "tid": op["tid"],
         "ts": op["ts"], "dur": 2.5, "args": {"cbid": 41, **ids}},
        {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy HtoD (Pageable -> Device)", "pid": 0, "tid": 7,
         "ts": op["ts"] + 1, "dur": 3.5, "args": {**ids, "device": 0, "context": 1, "stream": 7,
                                                  "bytes": 4096, "memory bandwidth (GB/s)": 1.2}},
    ]  # fmt: skip


def _memory(at: float, place: int) -> Row:
    size = 4096 if place % 2 == 0 else -4096
    return {"ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": 1, "tid": 1,
            "ts": at + 0.5, "args": {"Addr": 140000 + place // 2, "Bytes": size, "Device Type": 1,
                                     "Device Id": 0, "Total Allocated": 0, "Total Reserved": 0}}  # fmt: skip
