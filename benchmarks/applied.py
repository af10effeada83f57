"""What the top suggestion saves once it is applied: `python benchmarks/applied.py [--keep FOLDER]`.

Each example is recorded as it is and as its report's top suggestion has it, ten times in turns. What a step
takes without the profiler stands in each trace: the difference is what was saved, and it is held against the
band that the report of the example as it was has promised.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import traceanalyzer
from traceanalyzer.model import Analysis, Suggestion

EXAMPLES = Path(__file__).parents[1] / "examples"
TURNS = 10


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    script: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    rules: tuple[str, ...]  # which `after` follows


CASES = (
    Example("gpt", "gpt.py", ("--steps", "16"), ("--steps", "16", "--fused"), ("attention_by_hand",)),
    Example("block", "memory_block.py", (), ("--compile",), ("pointwise_chain", "rms_norm", "gated_activation")),
)


def recorded(example: Example, arguments: tuple[str, ...], path: Path) -> Analysis:
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "-o", str(path)]
    subprocess.run([*command, str(EXAMPLES / example.script), *arguments], check=True, capture_output=True)
    return traceanalyzer.analyze(path)


def step_ms(analysis: Analysis) -> float:
    """Without the profiler."""
    assert analysis.trace.collector is not None
    return (analysis.trace.collector.unprofiled_step_ns or 0) / 1e6


def promised(analysis: Analysis, example: Example) -> list[Suggestion]:
    """The top suggestion, and those that the same change follows."""
    told = [each for each in analysis.suggestions or () if each.saving_per_step_ns is not None]
    assert told and told[0].rule in example.rules, [each.rule for each in told]
    return [each for each in told if each.rule in example.rules]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--keep", type=Path, help="folder for the first turn's reports")
    print(options.parse_args())


if __name__ == "__main__":
    main()
