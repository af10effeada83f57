"""Traces of real models, recorded by `traceanalyze profile`, and what their reports say.

The published layer is recorded eager and compiled: its shares of FLOPs and of the runtime by class are the
figures of 2021, taken again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import Section, saved

ROOT = Path(__file__).parents[2]
WORKLOADS = Path(__file__).parent / "workloads"
EXAMPLES = ROOT / "examples"
SMALL = {"gpt.py": ["--width", "64", "--length", "32"], "memory_block.py": ["--batch", "64", "--width", "64"]}
SAMPLES: dict[str, tuple[Path, tuple[str, ...]]] = {
    "bert_layer_eager": (WORKLOADS / "bert_layer.py", ()),
    "bert_layer_compiled": (WORKLOADS / "bert_layer.py", ("--compile",)),
    "gpt_eager": (EXAMPLES / "gpt.py", ()),
    "gpt_compiled": (EXAMPLES / "gpt.py", ("--compile",)),
    "gpt_fused": (EXAMPLES / "gpt.py", ("--fused",)),
    "llm_prefill": (WORKLOADS / "llm.py", ()),
    "llm_decode": (WORKLOADS / "llm.py", ("--decode",)),
    "llm_decode_graphs": (WORKLOADS / "llm.py", ("--decode", "--graphs")),
    "resnet": (WORKLOADS / "images.py", ()),
    "resnet_channels_last": (WORKLOADS / "images.py", ("--channels-last",)),
    "denoiser": (WORKLOADS / "images.py", ("--denoiser",)),
    "memory_block_eager": (EXAMPLES / "memory_block.py", ()),
    "memory_block_compiled": (EXAMPLES / "memory_block.py", ("--compile",)),
}
LARGE = {  # on a GPU: large enough to keep it busy
    "gpt.py": ["--width", "768", "--length", "1024", "--batch", "8"],
    "memory_block.py": ["--batch", "131072", "--width", "1024"],
}


def arguments(script: Path, words: tuple[str, ...], dry: bool) -> list[str]:
    if script.parent == WORKLOADS:
        return [*words, *(["--small"] if dry else [])]
    return [*words, *(SMALL if dry else LARGE).get(script.name, [])]


def record(name: str, section: Section) -> dict[str, Any]:
    script, words = SAMPLES[name]
    trace = section.folder / f"{name}.json.gz"
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--force", "-o", str(trace)]
    command += ["--active", "2", *(["--no-roofs"] if section.dry else []), str(script)]
    command += arguments(script, words, section.dry)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=section.left_s(150), check=False,
        env=os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "8"},
    )  # fmt: skip
    if done.returncode:
        return {"failed": done.stderr[-400:]}
    report = section.folder / f"{name}.report.json"
    told = [sys.executable, "-m", "traceanalyzer", "report", str(trace), "--force", "-o", str(report)]
    done = subprocess.run(told, capture_output=True, text=True, timeout=section.left_s(60), check=False)
    if done.returncode:
        return {"failed": done.stderr[-400:]}
    found = json.loads(report.read_text())
    wanted = ("device", "recording", "window", "time", "verdicts", "memory_bound", "compute", "coverage",
              "operator_classes", "suggestions", "self_check")  # fmt: skip
    return {"bytes": trace.stat().st_size, **{key: found.get(key) for key in wanted}}


def main(section: Section) -> None:
    found: dict[str, Any] = {}
    for name in SAMPLES:
        if section.left_s(60) <= 5:
            break
        try:
            found[name] = record(name, section)
        except subprocess.TimeoutExpired as error:
            found[name] = {"failed": str(error)[:300]}
        saved(section, "samples", found)


if __name__ == "__main__":
    main(Section.from_arguments())
