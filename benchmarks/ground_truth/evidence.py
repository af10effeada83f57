"""Whether what sizes and lifetimes of memory prove (tier T2) is so on this device.

The models are those of tests/fusion/models.py, trained and in inference; the truth is what an executed step
tells. And what synchronizing does: how many kernels of a recording have no launch, with a wait for the device
before it and without.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from common import Section, saved
from msgspec.structs import replace

import traceanalyzer
from traceanalyzer.cost.price import price
from traceanalyzer.fusion.evidence.dataflow import dataflow
from traceanalyzer.pipeline import loaded_processes

MODELS = Path(__file__).parents[2] / "tests" / "fusion"


def tiers(step: Any, path: Path) -> dict[str, Any]:
    """Of one model: edges that each tier tells without the executed step, and how many are so."""
    with traceanalyzer.profile(path, wait=1, warmup=1, active=1, roofs=False, force=True) as profiler:
        for _ in range(7):
            step()
            profiler.step()
    trace = next(loaded_processes(str(path)))
    known = dataflow(price(trace), trace.steps[0])
    blind = dataflow(price(replace(trace, evidence=None)), trace.steps[0])
    truth = {(edge.producer, edge.consumer) for edge in known.edges if edge.tier == "T1"}
    found: dict[str, Any] = {"executed": known.executed, "edges": len(truth), "units": len(known.step_ops.op)}
    for tier in ("T2", "T3"):
        said = {(edge.producer, edge.consumer) for edge in blind.edges if edge.tier == tier}
        found[tier] = {"said": len(said), "true": len(said & truth)}
    return found


def without_launch(wait: bool, path: Path) -> dict[str, float]:
    """Kernels of a recording that begins while work is queued, or after it is done."""
    x = torch.rand(4096, 4096, device="cuda")
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    for _ in range(50):
        x = x @ x / 4096
    if wait:
        torch.cuda.synchronize()
    with torch.profiler.profile(activities=activities, record_shapes=True) as profiler:
        for _ in range(20):
            x = x @ x / 4096
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(path))
    trace = next(loaded_processes(str(path)))
    return {"kernels": len(trace.kernels), "without a launch": int((trace.kernels.launch < 0).sum())}


def main(section: Section) -> None:
    sys.path.insert(0, str(MODELS))
    import models

    device = "cpu" if section.dry else "cuda"
    path = section.folder / "model.json.gz"
    if not section.dry:
        plain = section.folder / "queued.json"
        saved(section, "queued", {str(wait): without_launch(wait, plain) for wait in (False, True)})
    found: dict[str, Any] = {}
    with torch.device(device):
        for name in models.MODELS:
            for kind, make in (("training", models.trained), ("inference", models.inferred)):
                if section.over:
                    return
                try:
                    found[f"{name}, {kind}"] = tiers(make(name), path)
                except (RuntimeError, AssertionError) as error:
                    found[f"{name}, {kind}"] = {"failed": str(error)[:300]}
                saved(section, "tiers", found)


if __name__ == "__main__":
    main(Section.from_arguments())
