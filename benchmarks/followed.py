"""What reports suggest, followed: `python benchmarks/followed.py [--only CASE ...] [--write]`.

Models that no rule was written for (`followed/`, random weights) are profiled as they are. Each suggestion is
followed as the report has it, and each change of a fixed list is tried whether it is suggested or not. Steps
are timed outside the profiler: a process for each change, all kept, asked in turn. Seconds to be ready are
beyond those without a change, two processes at a time. Wants `pip install --group followed`.

`--keep FOLDER` keeps traces and timings, and makes nothing again that it finds there: so rules that have
changed are held against the same steps.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("followed")
sys.path.insert(0, str(FOLDER))

import tables  # noqa: E402
import torch  # noqa: E402
from case import PASTED, Case  # noqa: E402
from serve import CASES  # noqa: E402
from timing import timed  # noqa: E402

import traceanalyzer  # noqa: E402
from traceanalyzer.machine import processor  # noqa: E402
from traceanalyzer.records import Analysis, Band, Suggestion  # noqa: E402

NEAR = 0.2  # beside a band, of its ends
SMALL, SEVERAL = 0.05, 3  # of a step, by what is promised; processes
PAGES = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296"
# How a snippet begins that can be pasted as it is.
OF_MODULES = ("for name, module in model.named_modules():", "model = torch.compile(model")
TUNABLES = re.compile(r"GLIBC_TUNABLES=(\S+)")
FOLLOWED_BY = {
    "compile": (
        "batch_norm_activation", "bias_addition", "cross_entropy", "dropout_chain", "gated_activation",
        "pointwise_chain", "residual_norm", "rms_norm", "rotary_embedding", "small_operators",
    ),
    "fused": ("fused_optimizer",), "sdpa": ("unfused_attention",), "workers": ("data_loading",),
    "no_attention_dropout": ("attention_fallback",), "channels_last": ("channels_last", "layout_copies"),
    "bf16": ("half_precision",), "kept_pages": ("kept_pages",), "sparse": ("embedding_backward",),
}  # fmt: skip


@dataclass(frozen=True)
class Followed:
    """What one change saved of a step, with its interval, beside what was promised for it; in ms."""

    case: str
    change: str
    rules: tuple[str, ...]
    before: float
    saved: Band
    promised: Band | None  # None: not suggested
    rank: int | None  # among the suggestions, from 1
    ready_s: float  # to the first timed step, with whatever is compiled

    @property
    def told_apart(self) -> bool:
        """Whether a promise is held against anything: not one of perhaps nothing where nothing is seen."""
        band, saved = self.promised, self.saved
        return band is not None and not (not band.low and saved.low <= 0 <= saved.high)

    @property
    def near(self) -> bool:
        band = self.promised
        return band is not None and (1 - NEAR) * band.low <= self.saved.mid <= (1 + NEAR) * band.high

    @property
    def may_be_nothing(self) -> bool:
        return self.promised is not None and self.promised.low > 0 >= self.saved.low


def analyzed(case: Case, path: Path) -> Analysis:
    command = [sys.executable, "-m", "traceanalyzer", "profile", "--no-report", "--stop", "--force", "-q"]
    command += ["-o", str(path), str(FOLDER / "serve.py"), case.name]
    if not path.exists():
        subprocess.run(command, check=True, capture_output=True)
    return traceanalyzer.analyze(path)


def suggested(analysis: Analysis, change: str) -> tuple[Suggestion, ...]:
    told = analysis.suggestions or ()
    return tuple(each for each in told if each.rule in FOLLOWED_BY[change] and each.saving_per_step_ns)


def promised(told: Sequence[Suggestion]) -> Band | None:
    """Of all that one change follows, whose savings add up."""
    bands = [each.saving_per_step_ns for each in told if each.saving_per_step_ns]
    ends = ("low", "mid", "high")
    return Band(*(sum(getattr(band, end) for band in bands) / 1e6 for end in ends)) if bands else None


@dataclass(frozen=True)
class Trial:
    """Changes that are made at once, and the suggestions that they follow."""

    name: str
    changes: tuple[str, ...]
    follows: tuple[Suggestion, ...]
    exact: bool = True  # False: more is changed than is suggested

    @property
    def promised(self) -> Band | None:
        return promised(self.follows) if self.exact else None

    def processes(self, step_ms: float) -> int:
        """A small saving is told from what two runs of a script differ by in several."""
        return SEVERAL if self.promised and self.promised.mid < SMALL * step_ms else 1


def trials(case: Case, analysis: Analysis, folder: Path) -> list[Trial]:
    """Each change of the case; what is to be compiled as the report has it; all together that is proved."""
    names = case.changes()
    found = [Trial(name, (name,), suggested(analysis, name), name != "compile") for name in names]
    pasted = [each for each in found[0].follows if each.snippet.startswith(OF_MODULES)]
    if pasted:
        code = folder / f"{case.name} pasted.py"
        code.write_text("\n".join(dict.fromkeys(each.snippet for each in pasted)), encoding="utf-8")
        found.append(Trial("compile, as the report has it", (f"{PASTED}{code}",), tuple(pasted)))
    sure = [each for each in found if each.promised and each.promised.low > 0]
    if len(sure) > 1:
        changes = tuple(change for each in sure for change in each.changes)
        follows = tuple(suggestion for each in sure for suggestion in each.follows)
        found.append(Trial(" + ".join(each.name for each in sure), changes, follows))
    return found


def followed(case: Case, folder: Path) -> tuple[list[Followed], list[str]]:
    """Each trial; and rules of suggestions that none follows."""
    analysis = analyzed(case, folder / f"{case.name}.json.gz")
    rules = [each.rule for each in analysis.suggestions or ()]
    snippets = " ".join(each.snippet for each in analysis.suggestions or ())
    tunables = next(iter(TUNABLES.findall(snippets)), PAGES)
    tried = trials(case, analysis, folder)
    rows = []
    step_ms = (analysis.window.step_ns.median if analysis.window.step_ns else 0) / 1e6
    times = timed(case, {each.changes: each.processes(step_ms) for each in tried}, tunables, folder)
    for trial in tried:
        names = tuple(dict.fromkeys(each.rule for each in trial.follows))
        rank = min((1 + rules.index(name) for name in names), default=None)
        of = times[trial.changes]
        rows.append(
            Followed(case.name, trial.name, names, of.before, of.saved, trial.promised, rank, of.ready_s)
        )
    known = {name for trial in tried for name in (each.rule for each in trial.follows)}
    return rows, [name for name in dict.fromkeys(rules) if name not in known]


def line(row: Followed) -> str:
    band, saved = row.promised, row.saved
    told = f"{band.low:.1f} / {band.mid:.1f} / {band.high:.1f}" if band else "not suggested"
    inside = ("yes" if row.near else "no") if row.told_apart else "not told from nothing" if band else ""
    number = f"{row.rank}: {', '.join(row.rules)}" if row.rank else ""
    return (
        f"| {row.case} | {row.change} | {row.before:.1f} "
        f"| {saved.mid:.1f} ({saved.low:.1f} to {saved.high:.1f}) "
        f"| {told} | {inside} | {number} | {row.ready_s:.0f} |"
    )


HEAD = (
    "| model | change | step, ms | saved, ms | promised, ms | inside, or within a fifth | suggestion "
    "| to be ready, s |",
    "|---|---|---:|---:|---:|---|---|---:|",
)


def largest_named(rows: Iterable[Followed]) -> tuple[str, bool]:
    """The change that saved most, and whether it is among the first three suggestions."""
    most = max((row for row in rows if "+" not in row.change), key=lambda row: row.saved.mid)
    return most.change if most.saved.low > 0 else "none", most.saved.low <= 0 or (most.rank or 9) <= 3


def summary(rows: Sequence[Followed], left: dict[str, list[str]]) -> Iterator[str]:
    pairs = [row for row in rows if row.told_apart and "+" not in row.change]
    untold = sum(row.promised is not None and not row.told_apart for row in rows)
    wide = [row for row in pairs if row.promised and 0 < 2.501 * row.promised.low < row.promised.high]
    nothing = [f"{row.case}: {row.change}" for row in pairs if row.may_be_nothing]
    together = [row for row in rows if "+" in row.change]
    yield (
        f"{sum(row.near for row in pairs)} of {len(pairs)} pairs lie inside the band or a fifth from it "
        f"({untold} more, of which perhaps nothing was promised, are not told from nothing); "
        f"{len(wide)} proved bands are wider than 2.5; proved and perhaps nothing: "
        f"{', '.join(nothing) or 'none'}. Together: {sum(row.near for row in together)} of {len(together)}."
    )
    named = {name: largest_named(row for row in rows if row.case == name) for name in left}
    among = sum(ok for _, ok in named.values())
    yield ""
    yield f"The largest win is among the first three suggestions in {among} of {len(named)}:"
    yield "; ".join(f"{name}: {most}{'' if ok else ' (is not)'}" for name, (most, ok) in named.items()) + "."
    yield ""
    yield "Suggested, and not followed here: " + "; ".join(
        f"{k}: {', '.join(v)}" for k, v in left.items() if v
    )


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--only", nargs="+", default=[case.name for case in CASES], metavar="CASE")
    options.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="traces, timings and code that was pasted"
    )
    options.add_argument("--write", action="store_true", help="into docs/savings.md")
    chosen = options.parse_args()
    rows: list[Followed] = []
    left: dict[str, list[str]] = {}
    print("\n".join(HEAD), flush=True)
    with tempfile.TemporaryDirectory() as name:
        for case in (case for case in CASES if case.name in chosen.only):
            found, left[case.name] = followed(case, chosen.keep or Path(name))
            rows += found
            print("\n".join(map(line, found)), flush=True)
    said = [f"On {processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}:", ""]
    said += [*HEAD, *map(line, rows), "", *summary(rows, left)]
    print("\n".join(said[-6:]))
    if chosen.write:
        tables.write("savings.md", "followed", said)


if __name__ == "__main__":
    main()
