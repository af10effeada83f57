"""What a report shows of when: headroom in words, strips, and what was not found."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from tests.report import dom, example
from tests.report.example_when import timed
from tests.report.test_change_order import suggestion
from traceanalyzer.records import Band, Headroom, Notice, RuleCheck
from traceanalyzer.records.vocabulary import NEXT_TO_NOTHING
from traceanalyzer.report import read_back, render
from traceanalyzer.report.change_words import change_sentences
from traceanalyzer.report.headroom import headroom_text, missing
from traceanalyzer.report.sentence import headline
from traceanalyzer.report.strips import HEIGHT, memory_sentence, memory_strip, strip
from traceanalyzer.report.terminal import summary


def room(now: int, proved: Band, everything: Band, at_roofs: int, open_ns: int = 0) -> Headroom:
    return Headroom(now_ns=now, proved_ns=proved, all_ns=everything, at_roofs_ns=at_roofs,
                    not_bounded_ns=open_ns)  # fmt: skip


def test_the_sentence_says_what_the_step_could_come_to():
    analysis = msgspec.structs.replace(example.example_analysis(), headroom=room(
        97_000_000, Band(76e6, 80e6, 83e6), Band(60e6, 70e6, 83e6), 41_000_000, 5_000_000))  # fmt: skip
    text = headroom_text(analysis)
    assert text is not None
    assert "takes 97 ms now, 76 to 83 ms with the changes that are proved, 60 to 83 ms" in text.sentence
    assert (
        "at its roofs, changes included, it would take 41 ms, 5.0 ms of it with no known roof."
        in text.sentence
    )
    ends = [(round(bar.low_share, 2), round(bar.high_share, 2)) for bar in text.bars]
    assert ends == [(1.0, 1.0), (0.78, 0.86), (0.62, 0.86), (0.42, 0.42)]
    assert [bar.time for bar in text.bars] == [
        "97 ms, 100.0 %",
        "76 to 83 ms, 78 to 86 %",
        "60 to 83 ms, 62 to 86 %",
        "41 ms, 42.3 %",
    ], "both ends of the time and both of the share"


def test_where_next_to_nothing_has_a_roof_no_time_at_the_roofs_is_said():
    now = Band(97e6, 97e6, 97e6)
    analysis = msgspec.structs.replace(
        example.example_analysis(), headroom=room(97_000_000, now, now, 90_000_000, 89_000_000)
    )
    text = headroom_text(analysis)
    assert text is not None
    assert (
        "what it would take at its roofs is not known: 89 ms of its work has no known roof." in text.sentence
    )
    assert [bar.label for bar in text.bars] == ["now", "with what is proved", "with all that may help"]


def test_what_may_help_is_not_named_where_the_step_stays_as_long():
    analysis = msgspec.structs.replace(example.example_analysis(), headroom=room(
        77_000_000, Band(77e6, 77e6, 77e6), Band(76.9e6, 76.95e6, 77e6), 31_000_000))  # fmt: skip
    text = headroom_text(analysis)
    assert text is not None and "takes 77 ms now; at its roofs" in text.sentence


@pytest.mark.parametrize(
    ("proved", "words"),
    [
        (Band(86e6, 86e6, 86e6), "save 11 ms per step, not the 20 to 30 ms that it takes off busy time: "
         "the GPU then waits for the host."),
        (Band(67e6, 72e6, 77e6), "save 20 to 30 ms per step."),
    ],
)  # fmt: skip
def test_savings_that_do_not_add_up_are_explained_by_the_host(proved: Band, words: str) -> None:
    """Of 97 ms a proved change saves at least 20; 11 of these arrive where the device waits for the host."""
    made = example.example_analysis()
    sure = msgspec.structs.replace(
        suggestion("sure", 20e6, 25e6, 0.2), saving_of="each_step", saving_per_step_ns=Band(20e6, 25e6, 30e6)
    )
    gaps = [msgspec.structs.replace(made.time.idle_by_cause[0], cause="launch_gap", time_ns=40_000_000)]
    analysis = msgspec.structs.replace(
        made, suggestions=(sure,), time=msgspec.structs.replace(made.time, idle_by_cause=tuple(gaps)),
        headroom=room(97_000_000, proved, proved, 41_000_000),
    )  # fmt: skip
    assert change_sentences(analysis) == [f"One change would {words}"]
    text = headroom_text(analysis)
    assert text is not None and "with the changes that are proved; at its roofs" in text.sentence


def test_what_saves_nothing_is_not_named():
    now = Band(97e6, 97e6, 97e6)
    analysis = msgspec.structs.replace(
        example.example_analysis(), headroom=room(97_000_000, now, now, 41_000_000)
    )
    text = headroom_text(analysis)
    assert text is not None
    assert "takes 97 ms now; at its roofs it would take 41 ms." in text.sentence


@pytest.mark.parametrize(
    ("efficiency", "verdict", "words"),
    [
        (0.04, "latency_bound", "reach 4 % of their roofs: the work is too small."),
        (0.72, "memory_bound", "reach 72 % of their roofs: leave the kernels alone."),
        (0.4, "memory_bound", "reach 40 % of their roofs."),
        (0.04, "memory_bound", "reach 4 % of their roofs."),
    ],
)
def test_how_near_to_their_roofs_kernels_come(efficiency, verdict, words):
    analysis = timed()
    rows = tuple(
        msgspec.structs.replace(row, efficiency=efficiency, verdict=verdict) for row in analysis.op_rows
    )
    text = headroom_text(msgspec.structs.replace(analysis, op_rows=rows, suggestions=()))
    assert text is not None
    assert text.sentence.endswith(words)
    faster = headroom_text(msgspec.structs.replace(analysis, op_rows=rows))
    assert faster is not None and "leave the kernels alone" not in faster.sentence, (
        "there is a change to them"
    )


def test_measured_roofs_that_much_time_beats_are_not_believed():
    analysis = example.on_cpu()
    device = msgspec.structs.replace(analysis.device, how="calibrated")
    above = tuple(msgspec.structs.replace(each, share_of_busy=share) for each, share in
                  zip(example.example_analysis().self_check * 2, (0.08, 0.04), strict=False))  # fmt: skip
    assert len(above) == 2
    believed = msgspec.structs.replace(analysis, device=device, self_check=above[:1])
    doubted = msgspec.structs.replace(analysis, device=device, self_check=above)
    words = "exceeds its roof: the roofs measured here are too low"
    assert any("12 % of" in text and words in text for text in headline(doubted).more)
    assert not any("too low" in text for text in headline(believed).more)


def test_one_line_says_what_was_not_found():
    line = missing(timed())
    assert line.startswith("Looked for and not found: 1 of 3 rules.")
    assert "repeated_casts" in line
    assert "\n" not in line


def test_the_strip_shows_the_step_that_is_shown():
    analysis = timed()
    drawn = strip(analysis)
    assert drawn is not None and analysis.step_rows is not None
    assert drawn.width == 4
    assert analysis.step_rows[1].name in drawn.title or analysis.step_rows[0].name in drawn.title
    area = 0
    for part in drawn.parts:
        for width, height in re.findall(r"h(\d+)v(\d+)", part.path):
            area += int(width) * int(height)
    assert area == drawn.width * HEIGHT  # every bin is full


def test_memory_without_what_was_there_before_is_no_share_of_a_device():
    analysis = timed()
    use = msgspec.structs.replace(analysis.memory, how="since_recording", before_step_bytes=0)
    text = memory_sentence(msgspec.structs.replace(analysis, memory=use))
    assert "beside what was there when the recording began" in text
    assert "0 B before" not in text and "%" not in text
    assert "before the" in memory_sentence(analysis) and "%" in memory_sentence(analysis)


def test_the_memory_strip_has_the_peak_at_its_top():
    drawn = memory_strip(timed())
    assert drawn is not None
    heights = [int(at) for at in re.findall(r"L\d+ (\d+)", drawn.path)]
    assert heights == [20, 5, 0, 25]
    assert "42.9 GB at its peak" in drawn.sentence


@pytest.mark.parametrize("name", ["html", "md"])
def test_pages_show_it_without_inline_styles(name):
    text = render(timed(), name)
    assert "at its roofs, changes included, it would take" in text
    if name == "html":
        dom.parse(text)
        assert 'class="strip"' in text
        assert not re.search(r"<[^>]+ style=", text)


def test_the_terminal_has_a_line_of_each():
    text = summary(timed())
    assert "\nheadroom  " in text
    assert "\nmemory    " in text


def test_a_page_keeps_the_timeline_of_one_step():
    told = read_back(render(timed(), "html").encode())
    assert told.step_timelines is not None
    assert len(told.step_timelines) == 1
    assert len(json.loads(render(timed(), "json"))["timeline"]) == 3


def test_an_older_report_shows_nothing_of_it():
    text = render(example.example_analysis(), "html")
    assert 'id="when"' not in text


def test_reports_whose_bins_or_headroom_cannot_be_are_refused():
    told = json.loads(render(timed(), "json"))
    told["timeline"][0]["phase"].pop()
    with pytest.raises(ValueError, match="each of its bins"):
        read_back(json.dumps(told).encode())
    told = json.loads(render(timed(), "json"))
    told["headroom"]["at_roofs_ns"] = told["headroom"]["now_ns"] + 1
    with pytest.raises(ValueError, match="out of order"):
        read_back(json.dumps(told).encode())


@pytest.mark.parametrize("name", ["html", "md", "txt"])
def test_idle_time_without_a_change_says_why(name: str) -> None:
    words = "launch gaps are 11 % of it: a graph is suggested from 30 % on"
    checks = (
        RuleCheck("launch_bound", "not_found", words), RuleCheck("zero_grad", "not_found", NEXT_TO_NOTHING),
        RuleCheck("rms_norm", "not_found"),
    )  # fmt: skip
    text = " ".join(render(msgspec.structs.replace(timed(), checks=checks), name).split())
    assert f"L{words[1:]}." in text
    if name == "md":
        assert NEXT_TO_NOTHING not in text


def test_what_every_change_may_be_slowed_by_is_said_of_the_headroom_too() -> None:
    analysis = msgspec.structs.replace(example.example_analysis(), headroom=room(
        97_000_000, Band(76e6, 80e6, 83e6), Band(60e6, 70e6, 83e6), 41_000_000))  # fmt: skip
    notice = Notice("far_below_roofs", "all large kernels are far below their roofs")
    slow = tuple(msgspec.structs.replace(part, at_roof_ns=0) for part in analysis.verdicts)
    slowed = msgspec.structs.replace(
        analysis, verdicts=slow, source=msgspec.structs.replace(analysis.source, warnings=(notice,))
    )
    assert headline(slowed).changes[0].startswith("Find what slows everything first")
    for each, conditional in ((analysis, False), (slowed, True)):
        text = headroom_text(each)
        assert text is not None
        assert (
            "60 to 83 ms with all that may help, if nothing slows what is left" in text.sentence
        ) is conditional
