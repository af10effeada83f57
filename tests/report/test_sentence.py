"""The answer in words says what is known, of what, and nothing more."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.report import example
from traceanalyzer.records import AboveRoof, Analysis, Band, IdlePart, Job, NamedTime, Reason, SavingOf
from traceanalyzer.records.suggestion import OfKind
from traceanalyzer.records.vocabulary import FEWER_PRODUCTS
from traceanalyzer.report.change_words import change_sentences
from traceanalyzer.report.context import saving_text
from traceanalyzer.report.sentence import headline, remedy, whole_percent
from traceanalyzer.report.shown import shown
from traceanalyzer.report.summary import facts, parts
from traceanalyzer.report.view import verdict_sentence


def exactly(share: float, analysis: Analysis | None = None) -> Analysis:
    """Everything modelled, so much of busy time memory-bound."""
    base = analysis or example.example_analysis()
    rows = [r for r in base.op_rows if r.verdict in ("memory_bound", "compute_bound") and r.attributed_ns]
    whole = 10_000_000_000
    part = round(share * whole)
    memory = next(r for r in rows if r.verdict == "memory_bound")
    compute = next(r for r in rows if r.verdict == "compute_bound")
    return example.analysis_of(
        [
            msgspec.structs.replace(memory, time_ns=part, attributed_ns=part),
            msgspec.structs.replace(compute, time_ns=whole - part, attributed_ns=whole - part),
        ],
        idle_ns=0, outside_ns=0,
    )  # fmt: skip


def test_the_plain_case_names_share_denominator_and_step() -> None:
    assert verdict_sentence(exactly(0.61)) == (
        "2.0 s of each 3.3 s step is memory-bound, all of it in aten::_fused_adamw_; 1.3 s is compute-bound, "
        "all of it in aten::mm of lm_head. "
        "61 % of the GPU's busy time is memory-bound, all of it at the memory roof: 2.0 s of each 3.3 s step."
    )


@pytest.mark.parametrize(
    ("reached", "words"),
    [
        (0.9, ": 2.0 s of each 3.3 s step, 1.8 s of it at the memory roof, 203 ms far below it."),
        (0.2, ": 2.0 s of each 3.3 s step, most of it far below the memory roof (407 ms at it): a better "
         "kernel, layout or alignment could win that back, not only fewer bytes."),
        (0.0, ": 2.0 s of each 3.3 s step, all of it far below the memory roof: a better kernel, "),
        (None, ": 2.0 s of each 3.3 s step."),
    ],
)  # fmt: skip
def test_the_sentence_says_how_much_runs_at_the_memory_roof(reached: float | None, words: str) -> None:
    analysis = exactly(0.61)
    verdicts = tuple(
        msgspec.structs.replace(p, at_roof_ns=None if reached is None else round(reached * p.time_ns))
        for p in analysis.verdicts
    )
    assert words in verdict_sentence(msgspec.structs.replace(analysis, verdicts=verdicts))


def test_a_larger_other_part_is_named_too() -> None:
    told = headline(exactly(0.2))
    assert told.lead.startswith(
        "2.7 s of each 3.3 s step is compute-bound, all of it in aten::mm of lm_head; 667 ms is "
    )
    assert told.more[0].startswith("20 % of the GPU's busy time is memory-bound")


def test_a_small_second_part_is_not_in_the_first_line() -> None:
    """The second of two parts is named from a fifth of the step on."""
    assert ";" not in headline(exactly(0.19)).lead
    assert "; 667 ms is memory-bound" in headline(exactly(0.2)).lead


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_the_first_line_names_the_largest_part_of_the_step(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    figures, lead = shown(analysis), headline(analysis).lead
    if not figures.busy_ns or "unknown" in lead or name == "gpu_lost":
        return
    words = {"compute_bound": "compute-bound", "memory_bound": "memory-bound", "latency_bound": "latency",
             "communication": "communication", "copy": "copies", "unmodelled": "judged"}  # fmt: skip
    largest = max(figures.verdict_ns, key=lambda v: figures.verdict_ns[v])
    idle = figures.waiting_ns > figures.verdict_ns[largest]
    first = lead.split(": ", 1)[-1].split(";")[0] if lead.startswith("On ") else lead.split(";")[0]
    assert (
        ("waits" in first or "idle" in first or "no operator" in first) if idle else words[largest] in first
    )


def test_too_much_above_the_roofs_is_said_with_what_it_means() -> None:
    analysis = example.example_analysis()
    above = AboveRoof(roof="bandwidth", reason="", rows=3, time_ns=1, share_of_busy=0.11,
                      highest_efficiency=1.5, example="aten::mul")  # fmt: skip
    sentence = verdict_sentence(msgspec.structs.replace(analysis, self_check=(above,)))
    assert "11 % of the GPU's busy time exceeds its roof: the roofs used are too low" in sentence
    less = msgspec.structs.replace(above, share_of_busy=0.1)
    assert "too low" not in verdict_sentence(msgspec.structs.replace(analysis, self_check=(less,)))
    shorter = msgspec.structs.replace(above, reason=FEWER_PRODUCTS)  # of which no roof is to blame
    assert "too low" not in verdict_sentence(msgspec.structs.replace(analysis, self_check=(shorter,)))
    device = msgspec.structs.replace(analysis.device, how="calibrated")
    here = msgspec.structs.replace(analysis, self_check=(above,), device=device)
    assert "the roofs measured here are too low" in verdict_sentence(here)


def test_one_step_is_not_each_step() -> None:
    rows = exactly(0.61).op_rows
    assert "of the 10 s step" in verdict_sentence(example.analysis_of(rows, steps=1, idle_ns=0))


def test_without_steps_it_speaks_of_the_trace() -> None:
    sentence = verdict_sentence(example.without_steps())
    assert "of the trace's" in sentence
    assert "step" not in sentence


def test_what_is_not_modelled_makes_it_a_lower_bound() -> None:
    analysis = example.example_analysis()
    sentence = verdict_sentence(analysis)
    percent = int(re.search(r"At least (\d+) %", sentence).group(1))  # type: ignore[union-attr]
    share = 100 * analysis.memory_bound.share_of_busy
    assert percent <= share < percent + 1
    assert "could not be judged" in sentence


def test_a_lower_bound_is_not_rounded_up() -> None:
    """519.6 ms are `520 ms`, and at least 519 ms; 1.29 s stay 1.29, as the table beside it has them."""
    figures = msgspec.structs.replace(shown(example.example_analysis()), step_count=1, step=None)
    for ns, told, least in ((519_600_000, "520 ms", "519 ms"), (1_290_000_000, "1.3 s", "1.29 s"),
                            (12_000_000, "12 ms", "12.0 ms"), (1_999, "2.0 µs", "1.99 µs")):  # fmt: skip
        assert figures.amount(ns).startswith(f"{told} of")
        assert figures.amount(ns, at_least=True).startswith(f"{least} of")


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_a_lower_bound_is_the_figure_that_the_table_beside_it_has(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    said = re.findall(r"[Aa]t least ([\d.]+ [mµn]?s)\b", verdict_sentence(analysis))
    assert set(said) <= {part.time for part in parts(analysis)}
    if name in ("training", "latency"):
        assert said


def test_where_much_exceeds_its_roof_a_lower_bound_is_one_by_these_roofs_alone() -> None:
    analysis = example.example_analysis()
    above = msgspec.structs.replace(analysis.self_check[0], share_of_busy=0.11)
    doubtful = verdict_sentence(msgspec.structs.replace(analysis, self_check=(above,)))
    assert "By these roofs at least" in doubtful and "At least" not in doubtful
    assert "by these roofs" not in verdict_sentence(analysis).lower()


def test_where_much_is_not_modelled_both_ends_are_given() -> None:
    analysis = example.little_coverage()
    sentence = verdict_sentence(analysis)
    figures = shown(analysis)
    assert f"at least {figures.amount(figures.verdict_ns['memory_bound'], at_least=True)}" in sentence
    low, high = map(int, re.search(r"Between (\d+) % and (\d+) %", sentence).groups())  # type: ignore[union-attr]
    open_ = next(p.share_of_busy for p in analysis.verdicts if p.verdict == "unmodelled")
    assert low <= 100 * analysis.memory_bound.share_of_busy <= low + 1
    assert high - 1 <= 100 * (analysis.memory_bound.share_of_busy + open_) <= high


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        (example.unknown_device(), ["is unknown", "NVIDIA Drawing Board 9000", "--device NAME"]),
        (example.unknown_device(""), ["is unknown", "does not name the GPU", "--device NAME"]),
        (example.without_bandwidth(), ["is unknown", "bandwidth", "--bandwidth"]),
        (example.without_shapes(), ["is unknown", "no shapes of the inputs", "record_shapes=True"]),
        (example.on_cpu(), ["is unknown", "CPU's time in operators", "--bandwidth", "--device-file"]),
    ],
    ids=["unknown", "unnamed", "bandwidth", "shapes", "cpu"],
)
def test_what_cannot_be_known_is_said_with_what_helps(analysis: Analysis, words: list[str]) -> None:
    sentence = verdict_sentence(analysis)
    for word in words:
        assert word in sentence, sentence
    assert not re.search(r"\d+ % of .{1,40} is memory-bound", sentence), sentence


def test_a_gpu_without_rows_is_never_told_as_the_gpu() -> None:
    sentence = verdict_sentence(example.on_cpu(gpu_lost=True))
    assert sentence.startswith("The trace lists a GPU but holds none of its work: this is the CPU side.")
    assert "GPU's busy time" not in sentence


def test_idle_leads_where_it_is_most_of_the_window() -> None:
    analysis = example.mostly_idle()
    told = headline(analysis)
    share = whole_percent(analysis.time.idle_ns / analysis.window.window_ns)
    assert re.match(r"The GPU waits .* of each .* step for launches\.", told.lead)
    assert re.match(rf"The GPU is idle .*, {share} of the window, and busy ", told.more[0])
    assert "memory-bound" in verdict_sentence(analysis)


def test_an_idle_gpu_with_small_kernels_is_told_of_both() -> None:
    rows = [r for r in example.latency_dominated().op_rows if r.verdict == "latency_bound"]
    sentence = verdict_sentence(example.analysis_of(rows, idle_ns=10**10))
    assert sentence.startswith("The GPU waits 1.5 s of each 3.3 s step for launches. The GPU is idle 3.3 s")
    assert sentence.endswith("The largest part, 100 %, is latency-bound.")


def test_communication_leads_where_it_is_most_of_busy_time() -> None:
    assert "is communication that no compute hides" in headline(example.communication_dominated()).lead


def test_latency_leads_where_it_is_most_of_busy_time() -> None:
    rows = [r for r in example.latency_dominated().op_rows if r.verdict == "latency_bound"]
    told = headline(example.analysis_of(rows))
    assert "too small to use the device (latency-bound)" in told.lead
    assert told.more[1] == "None of the GPU's busy time is memory-bound."


def test_several_ranks_are_told_apart() -> None:
    analysis = example.of_ranks()
    assert verdict_sentence(analysis).startswith("On rank 3, the busiest of 8: at least")
    assert analysis.ranks is not None
    slower = msgspec.structs.replace(analysis.ranks[0], busy_ns=analysis.time.busy_ns + 1)
    one_of = msgspec.structs.replace(analysis, ranks=(slower, *analysis.ranks[1:]))
    assert verdict_sentence(one_of).startswith("On rank 3, one of 8: ")


def test_suggestions_are_summed_in_their_bands() -> None:
    sentence = verdict_sentence(example.with_suggestions())
    assert "Two changes would save 1.9 to 2.9 ms per step; one more could save up to 400 µs, " in sentence


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (("each_step",) * 3, "Two changes would save 1.9 to 2.9 ms per step; one more could save up to 400 "),
        (("trace",) * 3, "Two changes would save 1.9 to 2.9 ms of the trace; one more"),
        (("shown_step", "shown_step", "mean_step"), "Two changes would save 1.9 to 2.9 ms of ProfilerStep#6. "
         "One more change could save up to 400 µs per step, averaged over all 3 steps, or nothing."),
        (("mean_step", "shown_step", "mean_step"), "One change would save 1.1 to 1.9 ms per step, averaged "
         "over all 3 steps; one more could save up to 400 µs, or nothing. One more change would save 800 µs "
         "to 1.0 ms of ProfilerStep#6."),
        ((None,) * 3, "Two changes would save 1.9 to 2.9 ms of ProfilerStep#6; one more"),
    ],
)  # fmt: skip
def test_only_savings_of_the_same_step_are_added(of: tuple[SavingOf | None, ...], words: str) -> None:
    analysis = example.of_two_kinds()
    *timed, last = analysis.suggestions or ()
    said = [msgspec.structs.replace(each, saving_of=part) for each, part in zip(timed, of, strict=True)]
    sentence = verdict_sentence(msgspec.structs.replace(analysis, suggestions=(*said, last)))
    assert words in sentence, sentence


def test_work_outside_the_window_and_damage_are_noted() -> None:
    notes = " ".join(headline(example.salvaged()).notes)
    assert "lies outside the window" in notes
    assert "401,120 events were kept, 13 lost" in notes


def test_nothing_done_is_not_zero_percent() -> None:
    assert verdict_sentence(example.nothing_done()) == "The GPU did no work in the window."


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_every_case_has_a_sentence(name: str) -> None:
    sentence = verdict_sentence(example.EVERY_CASE[name]())
    assert sentence.endswith(".")
    assert not {"None", "nan", "inf"} & set(re.findall(r"\w+", sentence.replace("None of", "")))
    assert ".." not in sentence


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.001, "<1 %"), (0.61, "61 %"), (0.9999, ">99 %"), (1, "100 %")],
)
def test_neither_nothing_nor_everything_by_rounding(share: float, text: str) -> None:
    assert whole_percent(share) == text


def test_where_next_to_nothing_is_modelled_none_of_it_is_called_zero() -> None:
    """2 % of kernel time has a price, and it is latency-bound: that nothing is memory-bound is not known."""
    rows = [
        row if row.verdict == "latency_bound" else example.unjudged(row, "cuda_graph")
        for row in example.training_rows()
    ]
    analysis = example.analysis_of(rows)
    assert 0 < analysis.coverage.modelled_share < 0.05
    shown_times = {part.key: part.time for part in parts(analysis)}
    assert shown_times["memory_bound"] == shown_times["compute_bound"] == "–"
    assert shown_times["latency_bound"] != "–"
    assert all(fact.text == "unknown" for fact in facts(analysis) if fact.name == "Memory-bound")


@pytest.mark.parametrize(
    ("cause", "name", "said"),
    [
        ("host_work", "## Call CompiledFxGraph fem7v7a2b5fjalpsipmt ##", True),
        ("host_work", "Torch-Compiled Region: 0/1", True),
        ("host_work", "checkpoint.py(3): save", False),
        ("synchronisation", "## Call CompiledFxGraph fem7v7a2b5fjalpsipmt ##", False),
    ],
)
def test_a_wait_for_compiled_code_says_what_that_is(cause: str, name: str, said: bool) -> None:
    analysis = example.mostly_idle()
    idle_ns = analysis.time.idle_ns
    part = IdlePart(cause, idle_ns, (NamedTime(name, idle_ns),))  # type: ignore[arg-type]
    time = msgspec.structs.replace(analysis.time, idle_by_cause=(part,))
    sentence = verdict_sentence(msgspec.structs.replace(analysis, time=time))
    assert ("torch.compile has generated" in sentence) == said
    assert ("does not say" in sentence) == said, "what is not known is said with it"


def mostly_unpriced(*reasons: Reason) -> Job:
    """Of ten rows alike but for their names, so many have no price for each of these reasons."""
    row = next(r for r in example.training_rows() if r.verdict == "memory_bound" and r.name == "aten::add")
    ns = 3_000_000
    alike = msgspec.structs.replace(row, time_ns=ns, attributed_ns=ns)
    rows = [msgspec.structs.replace(alike, name=f"mylib::op_{at}", module=None) for at in range(10)]
    for at, reason in enumerate(reasons):
        rows[at] = example.unjudged(rows[at], reason)
    return example.analysis_of(rows, idle_ns=0)


@pytest.mark.parametrize(
    ("reasons", "words", "absent"),
    [
        (("no_formula",) * 6, "give its formula: --cost-file F.py.", "record"),
        (("data_dependent",) * 4 + ("no_shapes",) * 2, "give its formula: --cost-file F.py.", "shapes=True"),
        (("cuda_graph",) * 6, "Record the same step without graphs and give that trace with --capture.",
         "--cost-file"),
        (("no_op",) * 6, "is judged. ", "--cost-file"),
    ],
)  # fmt: skip
def test_where_the_first_line_is_about_what_could_not_be_judged_the_next_says_what_helps(
    reasons: tuple[Reason, ...], words: str, absent: str
) -> None:
    analysis = mostly_unpriced(*reasons)
    told = headline(analysis)
    assert "could not be judged" in told.lead.partition(";")[0]
    known = next(text for text in told.more if text.startswith("No price is known of"))
    assert told.more[0] == known, "the next sentence"
    assert re.findall(r"mylib::op_\d \((\S+ \S+)\)", known) == ["1.0 ms"] * 3, "per step, three steps"
    assert known.endswith("; 4.0 ms of 10 ms busy is judged.")
    assert words in " ".join(told.more)
    assert absent not in " ".join((*told.more, *told.notes))


def test_what_could_not_be_judged_is_named_only_where_it_leads() -> None:
    assert not any(
        "No price is known" in text for text in headline(mostly_unpriced(*["no_formula"] * 3)).more
    )  # type: ignore[list-item]
    assert not any("No price is known" in text for text in headline(example.mostly_idle()).more)


def test_a_wait_for_compiled_code_is_explained_by_the_change_where_one_is_listed() -> None:
    analysis = example.mostly_idle()
    part = IdlePart(
        "host_work", analysis.time.idle_ns, (NamedTime("Torch-Compiled Region: 0/1", analysis.time.idle_ns),)
    )
    time = msgspec.structs.replace(analysis.time, idle_by_cause=(part,))
    first, *_ = example.with_suggestions().suggestions or ()
    for rule, said in (("compiled_launches", False), ("pointwise_chain", True)):
        listed = msgspec.structs.replace(
            analysis, time=time, suggestions=(msgspec.structs.replace(first, rule=rule),)
        )
        assert ("torch.compile has generated" in verdict_sentence(listed)) is said


def test_nothing_of_busy_time_is_sure_in_steps_of_another_kind_whose_pace_the_host_sets() -> None:
    """The last of the three steps waits for 53 of its 80 ms for a checkpoint."""
    analysis = example.of_two_kinds()
    first, *_ = analysis.suggestions or ()
    change = msgspec.structs.replace(
        first, rule="pointwise_chain", saving_of="step_of_kind", step_kind=OfKind("B", 1, 3)
    )
    waited = msgspec.structs.replace(
        change, saving_per_step_ns=Band(0.0, 0.0, 0.0), busy_saving_ns=change.saving_per_step_ns
    )
    listed = msgspec.structs.replace(analysis, suggestions=(waited,))
    assert change_sentences(listed) == [
        "One change would shorten busy time, for which the step does not wait: the host sets its pace."
    ]
    assert saving_text(listed, waited) == (
        "no time of the step, whose pace the host sets: 1.1 to 1.9 ms of busy time per step of kind B, "
        "1 of 3 steps"
    )
    here = msgspec.structs.replace(change, step_kind=OfKind("A", 2, 3))
    shorter = change_sentences(msgspec.structs.replace(analysis, suggestions=(here,)))
    assert shorter == ["One change would save 1.1 to 1.9 ms per step of kind A, 2 of 3 steps."]


@pytest.mark.parametrize("lacking", range(1, 4))
def test_shapes_are_to_be_recorded_only_where_the_bulk_has_none(lacking: int) -> None:
    """The profiler records them of all operators or of none: some lack theirs for other reasons."""
    whole = example.without_shapes().op_rows
    rows = [*whole[:lacking], *example.training_rows()[lacking:]]
    job = example.analysis_of(rows, recording=None)
    assert "record_shapes" in remedy(example.without_shapes(), "no_shapes")
    assert job.coverage.shaped_share >= 0.5 * job.coverage.linked_share, "so few lack them"
    told = remedy(job, "no_shapes")
    assert "record_shapes" not in told and "shapes were recorded" in told
    assert "record_shapes" not in remedy(job, "no_concrete_inputs")


def test_no_real_trace_with_shapes_is_told_to_record_them(real_traces: Path) -> None:
    import traceanalyzer

    seen = set()
    for name in ("train_gpt_compiled_h100_rank0of8", "cpu_only_rank34of300", "decode_vllm_graph_noname",
                 "multi_stream_a100"):  # fmt: skip
        analysis = traceanalyzer.analyze(str(real_traces / f"{name}.json.gz"))
        has_shapes = 2 * analysis.coverage.shaped_share >= analysis.coverage.linked_share
        assert ("record\\_shapes" in analysis.to_markdown()) != has_shapes, name
        seen.add(has_shapes)
    assert seen == {True, False}
