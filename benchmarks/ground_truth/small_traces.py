"""Copies of recorded traces that are small enough to keep in sample_traces/, with how each was made."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_BYTES = 300_000
DESCRIBED = "samples.json"
_PRIVATE = ("host_name", "trace_id", "traceName")
_PRIVATE_ARGUMENTS = ("kernel_file", "kernel_kwargs", "kernel_hash")  # of compiled code; they hold paths
_VERSIONS = ("cuda_runtime_version", "cuda_driver_version", "cupti_version")

Document = dict[str, Any]


def without_evidence(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != "traceanalyzeEvidence"}


def without_memory(document: Document) -> Document:
    return _keeping(document, lambda event: event.get("name") != "[memory]")


def without_flows(document: Document) -> Document:
    """Arrows to the backward pass, and what only a viewer shows."""
    return _keeping(document, lambda event: event.get("ph") == "X" or event.get("name") == "[memory]")


SHORTER: dict[str, Callable[[Document], Document]] = {  # in this order, until it is small enough
    "flows and labels": without_flows,
    "rows of memory": without_memory,
    "the evidence step": without_evidence,
}


def _keeping(document: Document, wanted: Callable[[Mapping[str, Any]], bool]) -> Document:
    return document | {"traceEvents": [event for event in document["traceEvents"] if wanted(event)]}


def clean(document: Document, root: Path) -> Document:
    """Without names of the host, and paths outside the project."""
    kept = {key: value for key, value in document.items() if key not in _PRIVATE}
    events = [_without_private(event) for event in kept["traceEvents"]]
    text = json.dumps(kept | {"traceEvents": events}, separators=(",", ":"))
    return dict(json.loads(text.replace(f"{root}/", "")))


def _without_private(event: dict[str, Any]) -> dict[str, Any]:
    args = event.get("args")
    if not isinstance(args, dict):
        return event
    return event | {"args": {key: value for key, value in args.items() if key not in _PRIVATE_ARGUMENTS}}


def packed(document: Document) -> bytes:
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 9, mtime=0)


def attempts(document: Document) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """The file's bytes and what is left out of it, more each time."""
    yield packed(document), ()
    names = list(SHORTER)
    for count, name in enumerate(names, start=1):
        document = SHORTER[name](document)
        yield packed(document), tuple(names[:count])


def small_copy(
    trace: Path, folder: Path, command: Sequence[str], root: Path, probe: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The copy's description, which is also added to the folder's list; None where it cannot be small."""
    document = clean(json.loads(gzip.decompress(trace.read_bytes())), root)
    data, left_out = next((each for each in attempts(document) if len(each[0]) < MOST_BYTES), (b"", ()))
    if not data:
        return None
    words = ["traceanalyze", *command[command.index("profile") :]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / trace.name).write_bytes(data)
    described = {
        "file": trace.name, "bytes": len(data), "left_out": left_out,
        "command": " ".join(words).replace(f"{trace.parent}/", "").replace(f"{root}/", ""),
        **{key: probe.get(key) for key in ("date", "name", "driver", "cuda", "torch", "python")},
        **{key: document[key] for key in _VERSIONS if key in document},
    }  # fmt: skip
    listed = folder / DESCRIBED
    known = json.loads(listed.read_text()) if listed.exists() else []
    listed.write_text(json.dumps([*known, described], indent=1))
    return described
