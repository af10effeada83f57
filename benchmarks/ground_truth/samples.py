"""Traces of real models, recorded by `traceanalyze profile`, and what their reports say.

The published layer is recorded eager and compiled: its shares of FLOPs and of the runtime by class are the
figures of 2021, taken again. What an eager step's headroom promises can be held against the compiled step.
Copies of some, small enough to keep, are left in `sample_traces/` with how they were made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import Section, captured, read_results, saved
from small_traces import small_copy

ROOT = Path(__file__).parents[2]
WORKLOADS = Path(__file__).parent / "workloads"
EXAMPLES = ROOT / "examples"
SMALL = {"gpt.py": ["--width", "64", "--length", "32"], "memory_block.py": ["--batch", "64", "--width", "64"]}
SAMPLES: dict[str, tuple[Path, tuple[str, ...]]] = {  # the most valuable first
    "bert_layer_eager": (WORKLOADS / "bert_layer.py", ()),
    "bert_layer_compiled": (WORKLOADS / "bert_layer.py", ("--compile",)),
    "gpt_eager": (EXAMPLES / "gpt.py", ()),
    "llm_decode": (WORKLOADS / "llm.py", ("--decode",)),
    "resnet": (WORKLOADS / "images.py", ()),
    "gpt_compiled": (EXAMPLES / "gpt.py", ("--compile",)),
    "llm_decode_graphs": (WORKLOADS / "llm.py", ("--decode", "--graphs")),
    "gpt_stacks": (EXAMPLES / "gpt.py", ()),
    "resnet_channels_last": (WORKLOADS / "images.py", ("--channels-last",)),
    "gpt_fused": (EXAMPLES / "gpt.py", ("--fused",)),
    "llm_prefill": (WORKLOADS / "llm.py", ()),
    "denoiser": (WORKLOADS / "images.py", ("--denoiser",)),
    "memory_block_eager": (EXAMPLES / "memory_block.py", ()),
    "memory_block_compiled": (EXAMPLES / "memory_block.py", ("--compile",)),
}
OPTIONS = {"gpt_stacks": ("--stack",)}  # of `profile`, beside those of all
KEPT = ("bert_layer_eager", "gpt_eager", "gpt_compiled", "llm_decode", "resnet")  # as small copies
WANTED = ("device", "recording", "window", "time", "verdicts", "memory_bound", "compute", "coverage",
          "operator_classes", "suggestions", "headroom", "checks", "memory", "self_check")  # fmt: skip
LONGEST = 12  # entries of lists that are only to be looked at
LARGE = {  # on a GPU: large enough to keep it busy
    "gpt.py": ["--width", "768", "--length", "1024", "--batch", "8"],
    "memory_block.py": ["--batch", "131072", "--width", "1024"],
}


def arguments(script: Path, words: tuple[str, ...], dry: bool) -> list[str]:
    if script.parent == WORKLOADS:
        return [*words, *(["--small"] if dry else [])]
    return [*words, *(SMALL if dry else LARGE).get(script.name, [])]


def record(name: str, section: Section, probe: Mapping[str, Any]) -> dict[str, Any]:
    script, words = SAMPLES[name]
    trace = section.folder / f"{name}.json.gz"
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--force", "-o", str(trace)]
    command += ["--active", "2", *OPTIONS.get(name, ()), *(["--no-roofs"] if section.dry else [])]
    command += [str(script), *arguments(script, words, section.dry)]
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "8"}
    done = captured(command, section.left_s(150), cwd=ROOT, env=environment)
    if done.returncode:
        return {"failed": done.stderr[-400:]}
    kept = small_copy(trace, section.folder / "sample_traces", command, ROOT, probe) if name in KEPT else None
    return {"bytes": trace.stat().st_size, "small_copy": kept, **said_of(trace, section)}


def said_of(trace: Path, section: Section) -> dict[str, Any]:
    """What the report says, as far as it is to be held against something."""
    report = trace.with_name(trace.name.replace(".json.gz", ".report.json"))
    told = [sys.executable, "-m", "traceanalyzer", "report", str(trace), "--force", "-o", str(report)]
    begin = time.monotonic()
    done = captured(told, section.left_s(60))
    if done.returncode:
        return {"failed": done.stderr[-400:]}
    found = json.loads(report.read_text())
    return {
        **{key: found.get(key) for key in WANTED},
        "report_s": round(time.monotonic() - begin, 1),
        "warnings": [notice["code"] for notice in found["source"]["warnings"]],
        "steps": [{key: step[key] for key in ("name", "host_ns", "device_ns", "host_lead_ns")}
                  for step in found["steps"] or ()],
        "limiters": limiters(found["ops"]),
        "in_modules_ns": named_ns(found["modules"], "path", "self_ns"),
        "in_functions_ns": named_ns(found["functions"], "function", "time_ns"),
        **{key: (found[key] or ())[:LONGEST] for key in ("modules", "functions", "waits")},
    }  # fmt: skip


def limiters(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Attributed time by the roof that a row really reaches."""
    sums: dict[str, int] = {}
    for row in rows:
        name = str(row["limiter"])
        sums[name] = sums.get(name, 0) + row["attributed_ns"]
    return sums


def named_ns(rows: list[dict[str, Any]] | None, name: str, time_ns: str) -> int | None:
    """Busy time that is in some module or function; None where the trace names none."""
    return None if rows is None else sum(row[time_ns] for row in rows if row[name] is not None)


def main(section: Section) -> None:
    found: dict[str, Any] = {}
    probe = read_results(section.results).get("probe", {})
    for name in SAMPLES:
        if section.over:
            break
        try:
            found[name] = record(name, section, probe)
        except (subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
            found[name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
        saved(section, "samples", found)


if __name__ == "__main__":
    main(Section.from_arguments())
