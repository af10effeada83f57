"""Names of annotations that are steps: of the profiler, of serving engines and of scripts."""

from __future__ import annotations

import re

# Whole names, in any case. Each engine's are formatted where it runs a batch: `step[DECODE bs=16]` in SGLang,
# `execute_context_1(7)_generation_3(3)` in vLLM, `_forward_step 12: 0 ctx reqs, 16 gen reqs` in TensorRT-LLM.
STEP_NAMES = tuple(re.compile(pattern, re.IGNORECASE) for pattern in (
    r"step\[.*\]",
    r"execute_(?:.*_)?(?:context|generation|diffusion)_.*",
    r"(?:\[\w+\]\s*)?_forward_step \d+\b.*",
    r"\[pl\]\[profile\]run_training_batch",
    r"timed[ _-](?:region|iteration|step)(?:[ _#:=-]*\d+)?",
    r"(?:(?:train|training|eval|evaluation|validation|inference|prefill|decode|generation|denoising|benchmark|model)"
    r"[ _-])?(?:step|iteration|iter)(?:[ _#:=-]*\d+)?",
))  # fmt: skip
_PROFILER_STEP = re.compile(r"ProfilerStep#\d+", re.ASCII)


def is_step_name(name: str) -> bool:
    """Whether it says that a step runs, and so nothing of what the step does."""
    return any(pattern.fullmatch(name) for pattern in (_PROFILER_STEP, *STEP_NAMES))
