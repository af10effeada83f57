"""Modules, functions and waits: what a look at every frame of the JSON finds, and sums to the nanosecond."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from tests.pipeline import real
from tests.pipeline.stacks import drop_nothing, expected
from traceanalyzer.records import Analysis
from traceanalyzer.records.errors import TraceFormatError
from traceanalyzer.report.sentence import verdict_sentence

WITH_STACKS = (
    "infer_bert_small_h100", "infer_qwen_h100", "norm_layers_mi300x", "infer_moe_b200_rank0of8",
    "train_resnet_checkpoint_mi300x_rank0of8",
)  # fmt: skip


def by_function(analysis: Analysis) -> dict[object, int]:
    times: dict[object, int] = defaultdict(int)
    for each in analysis.function_rows or ():
        times[None if each.function is None else (each.line, each.function)] += each.time_ns
    return drop_nothing(times)


def by_module(analysis: Analysis) -> dict[object, int]:
    assert all(module.how == "stack" for module in analysis.module_rows or () if module.path)
    return drop_nothing({module.path: module.self_ns for module in analysis.module_rows or ()})


@pytest.mark.parametrize("name", WITH_STACKS)
def test_modules_and_functions_are_those_that_are_open_at_the_launch(name: str, real_traces: Path) -> None:
    file = real_traces / f"{name}.json.gz"
    analysis = real.analyzed(file)
    functions, modules = expected(file, analysis)
    assert by_function(analysis) == functions
    assert by_module(analysis) == modules


def check(analysis: Analysis) -> None:
    """The laws of where time goes."""
    busy, idle = analysis.time.busy_ns, analysis.time.idle_ns
    assert sum(wait.time_ns for wait in analysis.wait_rows) == idle
    for part in analysis.time.idle_by_cause:
        assert sum(w.time_ns for w in analysis.wait_rows if w.cause == part.cause) == part.time_ns
    for wait in analysis.wait_rows:
        assert 0 < wait.longest_ns <= wait.time_ns <= wait.longest_ns * wait.count
        assert max(place.time_ns for place in wait.places) == wait.longest_ns
        assert len(wait.places) <= wait.count and (wait.file is None) == (wait.function is None)
    keys = [(wait.cause, wait.file, wait.line, wait.function) for wait in analysis.wait_rows]
    assert len(keys) == len(set(keys))
    if analysis.function_rows is not None:
        assert sum(function.time_ns for function in analysis.function_rows) == busy
    for entry in (*(analysis.function_rows or ()), *(analysis.module_rows or ())):
        time = entry.self_ns if hasattr(entry, "self_ns") else entry.time_ns
        assert sum(part.time_ns for part in entry.verdicts) == time
    check_modules(analysis)


def check_modules(analysis: Analysis) -> None:
    if analysis.module_rows is None:
        return
    assert sum(module.self_ns for module in analysis.module_rows) == analysis.time.busy_ns
    for part in analysis.verdicts:
        times = [v.time_ns for m in analysis.module_rows for v in m.verdicts if v.verdict == part.verdict]
        assert sum(times) == part.time_ns
    seen = set()
    for module in analysis.module_rows:  # outer ones first
        assert module.parent is None or (module.parent, module.how) in seen
        inside = [
            m for m in analysis.module_rows if m.parent == module.path and module.path and m.how == module.how
        ]
        assert module.inclusive_ns == module.self_ns + sum(m.inclusive_ns for m in inside)
        seen.add((module.path, module.how))


def test_sums_are_exact_on_every_real_trace(real_traces: Path) -> None:
    cases = real_traces.parent / "cases"
    for file in [*real.files(real_traces), *(real.files(cases) if cases.is_dir() else ())]:
        try:
            analysis = real.analyzed(file)
        except TraceFormatError:
            continue
        check(analysis)


def test_owlv2_names_where_its_time_goes(real_traces: Path) -> None:
    analysis = real.analyzed(real_traces / "infer_owlv2_h100.json.gz")
    most = max((m for m in analysis.module_rows or () if m.path), key=lambda module: module.self_ns)
    assert most.class_name == "Owlv2Attention" and most.repeat == 24 and most.calls == 5 * 24
    assert round(most.self_ns / analysis.time.busy_ns, 2) == 0.88
    function = (analysis.function_rows or ())[0]
    assert (function.file, function.line, function.function) == ("modeling_owlv2.py", 410, "forward")
    wait = analysis.wait_rows[0]
    assert (wait.file, wait.function, wait.count) == ("image_processing_owlv2.py", "resize", 5)
    assert all(121_000_000 < place.time_ns < 129_000_000 for place in wait.places)
    assert wait.library_function == "scipy/ndimage/_interpolation.py: zoom"
    assert 0.49 < wait.time_ns / analysis.window.window_ns < 0.53
    headline = verdict_sentence(analysis)
    assert (
        "for data loading, most of it in resize (image_processing_owlv2.py:301); 519 ms is memory-bound, "
        in headline
    )
    assert "aten::_softmax of Owlv2Attention" in headline
    loader = next(each for each in analysis.suggestions or () if each.rule == "data_loading")
    assert [(place.file, place.function) for place in loader.places] == [
        ("image_processing_owlv2.py", "resize")
    ]
