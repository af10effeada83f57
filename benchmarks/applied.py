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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import traceanalyzer
from traceanalyzer.model import Analysis

EXAMPLES = Path(__file__).parents[1] / "examples"
TURNS = 10


@dataclass(frozen=True, slots=True)
class Example:
    """A script as it is, and the flags with which it follows suggestions of some rules."""

    script: str
    after: tuple[str, ...]
    rules: tuple[str, ...]


CASES = (
    Example("gpt.py", ("--fused",), ("attention_by_hand",)),
    Example("memory_block.py", ("--compile",), ("pointwise_chain", "rms_norm", "gated_activation")),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Times in ms a step: without the profiler, and as the suggestions have it."""

    before: float
    after: float
    low: float
    mid: float
    high: float


def recorded(example: Example, flags: tuple[str, ...], path: Path) -> Analysis:
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "-o", str(path)]
    subprocess.run([*command, str(EXAMPLES / example.script), *flags], check=True, capture_output=True)
    return traceanalyzer.analyze(path)


def step_ms(analysis: Analysis) -> float:
    """Without the profiler."""
    assert analysis.recording is not None and analysis.recording.unprofiled_step_ns
    return analysis.recording.unprofiled_step_ns / 1e6


def promised(analysis: Analysis, example: Example) -> tuple[float, float, float]:
    """The bands of the top suggestion and of those that the same change follows; they exclude each other."""
    told = [each for each in analysis.suggestions or () if each.saving_per_step_ns is not None]
    assert told and told[0].rule in example.rules, [each.rule for each in told]
    bands = [each.saving_per_step_ns for each in told if each.rule in example.rules]
    low, mid, high = (sum(getattr(band, end) for band in bands) / 1e6 for end in ("low", "mid", "high"))
    return low, mid, high


def turns(example: Example, folder: Path, keep: Path | None) -> Iterator[Turn]:
    name = Path(example.script).stem
    for number in range(TURNS):
        files = [folder / f"{name}_{which}_{number}.json.gz" for which in ("before", "after")]
        before, after = (
            recorded(example, flags, file) for flags, file in zip(((), example.after), files, strict=True)
        )
        yield Turn(step_ms(before), step_ms(after), *promised(before, example))
        if number == 0 and keep is not None:
            for file in files:
                report(file, keep / f"{file.name.removesuffix('_0.json.gz')}.md")


def report(trace: Path, page: Path) -> None:
    command = [sys.executable, "-m", "traceanalyzer", "report", str(trace), "-o", str(page)]
    subprocess.run(command, check=True, capture_output=True)


def line(name: str, found: list[Turn]) -> str:
    before, after, low, mid, high = (
        median(getattr(turn, part) for turn in found) for part in ("before", "after", "low", "mid", "high")
    )
    saved = median(turn.before - turn.after for turn in found)
    spread = f"{min(t.before - t.after for t in found):.1f} to {max(t.before - t.after for t in found):.1f}"
    inside = "yes" if low <= saved <= high else "no"
    times = f"{before:.1f} | {after:.1f} | {saved:.1f} ({spread})"
    return f"| {name} | {times} | {low:.1f} / {mid:.1f} / {high:.1f} | {mid / saved - 1:+.0%} | {inside} |"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--keep", type=Path, help="folder for the reports of the first turn")
    keep = options.parse_args().keep
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    print("| example | before, ms a step | after | saved | promised | error of the middle | inside |")
    print("|---|---:|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        for example in CASES:
            name = f"`{' '.join((example.script, *example.after))}`"
            print(line(name, list(turns(example, Path(folder), keep))), flush=True)


if __name__ == "__main__":
    main()
