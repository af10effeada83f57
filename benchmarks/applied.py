"""What a large suggestion saves once it is applied: `python benchmarks/applied.py [--write]`.

Each example is recorded and analyzed as it is, three times. Then steps of it are timed against steps of the
same model as its suggestions of some rules have it, ten turns without the profiler, each in a process of its
own: two models in one process hand each other the memory that they free, which makes one of them slower.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import tables
import torch

import traceanalyzer
from traceanalyzer.device.calibrate import processor
from traceanalyzer.records import Band

KEPT = Path(__file__).with_name("applied")
EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
TURNS, STEPS = 10, 6
Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Example:
    """A script, its step as it is (False) and as suggestions of some rules have it (True), and the flag."""

    script: str
    step: Callable[[bool], Step]
    flag: str
    rules: tuple[str, ...]


def gpt(followed: bool) -> Step:
    from gpt import Gpt

    torch.manual_seed(0)
    model, ids = Gpt(2048, 256, 8, 2, 256, fused=followed), torch.randint(0, 2048, (4, 256))
    return trained(model, (ids,), torch.optim.AdamW(model.parameters(), lr=3e-4))


def memory_block(followed: bool) -> Step:
    from memory_block import Block

    torch.manual_seed(0)
    block, (x, gate) = Block(1024), torch.randn(2, 16384, 1024)
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    return trained(torch.compile(block) if followed else block, (x, gate), optimizer)


def trained(
    model: Callable[..., torch.Tensor], data: tuple[torch.Tensor, ...], optimizer: torch.optim.Optimizer
) -> Step:
    def step() -> None:
        model(*data).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


CASES = (
    Example("gpt.py", gpt, "--fused", ("unfused_attention",)),
    Example(
        "memory_block.py", memory_block, "--compile", ("pointwise_chain", "rms_norm", "gated_activation")
    ),
)


def times_ms(example: Example) -> Iterator[tuple[float, float]]:
    """Of each turn the median step as it is, and as suggested."""
    for _ in range(TURNS):
        before, after = (alone_ms(example, followed) for followed in (False, True))
        yield before, after


def alone_ms(example: Example, followed: bool) -> float:
    """Median step of a process that runs nothing else."""
    command = [sys.executable, __file__, "--time", example.script, *(["--followed"] if followed else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def timed_ms(script: str, followed: bool) -> float:
    step = next(case for case in CASES if case.script == script).step(followed)
    for _ in range(STEPS):
        step()
    return median(once_ms(step) for _ in range(STEPS))


def once_ms(step: Step) -> float:
    begin = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - begin)


def recorded(example: Example, flags: tuple[str, ...], path: Path) -> Path:
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--roofs", "fresh", "-o",
               str(path)]  # fmt: skip
    subprocess.run([*command, str(EXAMPLES / example.script), *flags], check=True, capture_output=True)
    return path


def promised(example: Example, folder: Path) -> Band:
    """Of those that the change follows, which exclude each other's time."""
    found = []
    for number in range(3):
        analysis = traceanalyzer.analyze(recorded(example, (), folder / f"{example.script}.{number}.json.gz"))
        told = [each for each in analysis.suggestions or () if each.saving_per_step_ns is not None]
        mine = [each.saving_per_step_ns for each in told if each.rule in example.rules]
        assert mine, [each.rule for each in told]
        found.append(mine)
    return Band(*(median(sum(getattr(b, end) for b in one if b) / 1e6 for one in found)
                  for end in ("low", "mid", "high")))  # fmt: skip


def keep(example: Example, folder: Path, target: Path) -> None:
    """Reports as it is and as suggested."""
    for which, flags in (("before", ()), ("after", (example.flag,))):
        trace = recorded(example, flags, folder / f"{example.script}.{which}.json.gz")
        page = target / f"{Path(example.script).stem}_{which}.md"
        command = [sys.executable, "-m", "traceanalyzer", "report", str(trace), "--redact"]
        command += ["--force", "-o", str(page)]
        subprocess.run(command, check=True, capture_output=True)


def line(example: Example, found: list[tuple[float, float]], band: Band) -> str:
    before, after = (median(column) for column in zip(*found, strict=True))
    saved = sorted(one - other for one, other in found)
    middle = median(saved)
    inside = "yes" if band.low <= middle <= band.high else "no"
    return (
        f"| `{example.script} {example.flag}` | {before:.1f} | {after:.1f} "
        f"| {middle:.1f} ({saved[0]:.1f} to {saved[-1]:.1f}) "
        f"| {band.low:.1f} / {band.mid:.1f} / {band.high:.1f} | {band.mid / middle - 1:+.0%} | {inside} |"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--write", action="store_true", help="into docs/savings.md, with both reports")
    options.add_argument("--time", metavar="SCRIPT", help="only print the median step of one process, in ms")
    options.add_argument("--followed", action="store_true", help="as suggested")
    chosen = options.parse_args()
    if chosen.time:
        print(timed_ms(chosen.time, chosen.followed))
        return
    write = chosen.write
    said = [f"On {processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}:", ""]
    said.append("| example | before, ms a step | after | saved | promised | error of the middle | inside |")
    said.append("|---|---:|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as name:
        for example in CASES:
            band = promised(example, Path(name))
            said.append(line(example, list(times_ms(example)), band))
            if write:
                keep(example, Path(name), KEPT)
    print("\n".join(said))
    if write:
        tables.write("savings.md", "applied", said)


if __name__ == "__main__":
    main()
