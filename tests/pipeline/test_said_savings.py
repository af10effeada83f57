"""What the sentence says that changes save, read off its words, is what the headroom has."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import traceanalyzer
from tests.pipeline import real
from traceanalyzer.records import Analysis
from traceanalyzer.records.units import duration
from traceanalyzer.records.vocabulary import IDLE_RULES
from traceanalyzer.report.headroom import headroom_text
from traceanalyzer.report.sentence import headline

SAMPLES = Path(__file__).parents[2] / "sample_traces"
ROUNDED = 1.06  # two figures of two digits each
NS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}
TIME = r"([\d.,]+) (ns|µs|ms|s)\b"
OTHER_STEPS = ("averaged over all", "per step of kind", "per step of another kind")
WHY = ("for which the step does not wait", "the GPU then waits for the host", "the roofs allow no more")


def time_behind(words: str, sentence: str) -> float | None:
    """ns of the time that follows: of `14 to 21 ms` the longer one."""
    match = re.search(rf"{words} (?:[\d.,]+(?: (?:ns|µs|ms|s))? to )?{TIME}", sentence)
    return float(match[1].replace(",", "")) * NS[match[2]] if match else None


def most_said(sentences: list[str]) -> float:
    """ns that a reader takes all changes of the step to save at most."""
    total = 0.0
    for sentence in sentences:
        whole = time_behind("(?:together no more than|more, up to|busy time only, up to)", sentence)
        parts = time_behind("would save", sentence) or 0.0, time_behind("could save up to", sentence) or 0.0
        total += sum(parts) if whole is None else whole
    return total


def check(analysis: Analysis) -> None:
    room, said = analysis.headroom, list(headline(analysis).changes)
    if room is None or not said:
        return
    text = headroom_text(analysis)
    assert text is not None
    if "far_below_roofs" in said[0]:
        short = duration(room.all_ns.low, 2) == duration(room.now_ns, 2)
        assert short or "if nothing slows what is left" in text.sentence
    here = [sentence for sentence in said if not any(words in sentence for words in OTHER_STEPS)]
    most = room.now_ns - room.all_ns.low
    assert most_said(here) <= ROUNDED * most, said
    counted = [
        s.saving_per_step_ns.high for s in analysis.suggestions or ()
        if s.saving_per_step_ns and s.saving_of in ("each_step", "shown_step", "trace")
    ]  # fmt: skip
    if any("for which the step does not wait" in sentence for sentence in here):
        busy = [s for s in analysis.suggestions or () if s.rule not in IDLE_RULES and s.saving_per_step_ns]
        assert all(any("waits for the host much of the time" in c for c in s.caveats) for s in busy), busy
    if sum(counted) > ROUNDED * most:
        assert any(words in sentence for sentence in here for words in WHY), said
    else:
        nothing = 0.002 * room.now_ns if any(WHY[0] in sentence for sentence in here) else 0.0
        assert ROUNDED * most_said(here) >= most - nothing, said


def test_of_real_traces(real_traces: Path) -> None:
    for file in real.files(real_traces):
        check(real.analyzed(file))


def test_of_a_job_of_many_ranks(real_traces: Path) -> None:
    check(traceanalyzer.analyze(real_traces / "train_megatron_tp8_a100"))


@pytest.mark.parametrize("name", ["gpt_eager_cpu", "gpt_compiled_cpu", "convnet_eager_cpu"])
def test_of_samples(name: str) -> None:
    check(real.analyzed(SAMPLES / f"{name}.json.gz"))


def test_what_the_roofs_cut_off_is_said_beside_the_bars() -> None:
    """Of the first all changes are made to add up to more than what is above the roofs."""
    analysis = real.analyzed(SAMPLES / "gpt_eager_cpu.json.gz")
    assert analysis.headroom is not None
    at_roofs = msgspec.structs.replace(
        analysis.headroom, at_roofs_ns=int(analysis.headroom.all_ns.low) + 50_000_000
    )
    cut = msgspec.structs.replace(
        at_roofs, all_ns=msgspec.structs.replace(at_roofs.all_ns, low=float(at_roofs.at_roofs_ns))
    )
    text = headroom_text(msgspec.structs.replace(analysis, headroom=cut))
    assert text is not None and "with all that may help, cut off at what its roofs allow;" in text.sentence
    whole = headroom_text(real.analyzed(SAMPLES / "gpt_compiled_cpu.json.gz"))
    assert whole is not None and "cut off" not in whole.sentence


@pytest.mark.parametrize(
    ("sentence", "ms"),
    [
        ("Two changes would save 1.9 to 2.9 ms per step; one more could save up to 400 µs, or nothing.", 3.3),
        ("Two changes would save 800 µs to 1.0 ms per step.", 1.0),
        ("Two changes would save 368 ms per step, not the 387 to 470 ms that they add up to: the GPU then "
         "waits for the host; with two more, up to 1.1 s.", 1100),
        ("One change would save 1 to 2 ms per step; one more could save up to 80 ms, or nothing, and all "
         "together no more than 4.0 ms: the roofs allow no more.", 4),
        ("One change would shorten busy time, for which the step does not wait: the host sets its pace.", 0),
    ],
)  # fmt: skip
def test_sentences_are_read_as_people_do(sentence: str, ms: float) -> None:
    assert most_said([sentence]) == pytest.approx(ms * 1e6)
