"""The JSON report: its names, its schema, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.report import example
from tests.report.example_when import timed
from traceanalyzer.records import OfKind, OpRow
from traceanalyzer.report import json as report_json
from traceanalyzer.report import read_back, render

SHIPPED = Path(report_json.__file__).with_name("schema.json")

# The contract's names, written out here on purpose: a rename must be seen.
FIELDS = {
    "": "schema_version tool source recording device thresholds window time verdicts steps memory_bound "
        "compute coverage operator_classes ops suggestions timeline memory headroom checks ranks job what_if "
        "critical_path modules functions waits self_check formulas",
    "source": "files dialect salvaged warnings",
    "source.files": "path bytes events rank device_index",
    "source.warnings": "code message count",
    "recording": "steps threads torch python command script cuda tf32 wait warmup active complete "
                 "unprofiled_step_ns "
                 "profiled_step_ns minor_faults_per_step system_ns_per_step profiled_page_faults "
                 "profiled_system_ns page_bytes allocator peak_memory_bytes cpu_roofs clocks",
    "device": "id name kind how confidence bandwidth_bytes_per_s l2_bytes multiprocessors peaks provenance",
    "device.peaks": "engine precision flop_per_s",
    "window": "step_count steps window_ns step_ns kinds",
    "window.kinds": "steps why",
    "suggestions.step_kind": "name steps of",
    "window.step_ns": "median min max",
    "time": "busy_ns idle_ns kernel_sum_ns outside_window_ns "
        "hidden_communication_ns hidden_copy_ns idle_by_cause",
    "time.idle_by_cause": "cause time_ns names",
    "time.idle_by_cause.names": "name time_ns",
    "steps": "name host_ns device_start_ns device_ns extent_ns host_lead_ns verdicts idle_by_cause",
    "steps.verdicts": "verdict time_ns at_roof_ns",
    "steps.idle_by_cause": "cause time_ns names",
    "verdicts": "verdict time_ns share_of_busy share_of_window kernels at_roof_ns",
    "memory_bound": "time_ns share_of_busy share_of_window at_roof_share_of_busy below_roof_share_of_busy "
        "memory_side_share_of_busy non_contraction_share_of_busy",
    "compute": "flops flop_per_s mfu_share hardware_utilisation_share recompute_share "
        "contraction_flop_per_s contraction_coverage_share peak",
    "compute.peak": "engine precision flop_per_s",
    "coverage": "modelled_share linked_share shaped_share modelled_of_shaped_share reasons",
    "coverage.reasons": "reason time_ns share example",
    "operator_classes": "operator_class flops flops_share time_ns time_share",
    "ops": "name input_dims input_types input_strides concrete_inputs phase module calls kernels time_ns "
           "attributed_ns flops flops_range recomputed_flops read_bytes write_bytes bytes_range "
           "traffic_bytes counter_bytes intensity engine precision roof_ns efficiency bound limiter verdict "
           "operator_class flags reason kernel_names note places",
    "ops.kernel_names": "name time_ns",
    "suggestions": "rule title tier action snippet where "
        "count evidence bytes_saved_per_step saving_per_step_ns peak_bytes_saved "
                   "share_of_step caveats docs saving_of step_kind cost_to_try busy_saving_ns places",
    "suggestions.saving_per_step_ns": "low mid high",
    "ranks": "rank device_index device file window_ns "
        "busy_ns memory_bound_share_of_busy exposed_communication_ns",
    "timeline": "step bin_ns parts phase",
    "timeline.parts": "kind name time_ns",
    "memory": "step device_bytes before_step_bytes peak_bytes peak_at_ns reserved_bytes bin_ns bins "
        "holders how",
    "memory.holders": "module phase kind bytes",
    "headroom": "now_ns proved_ns all_ns at_roofs_ns not_bounded_ns",
    "headroom.proved_ns": "low mid high",
    "checks": "rule outcome reason",
    "what_if": "device busy_ns busy_low_ns busy_high_ns step_ns memory_bound_share_of_busy",
    "critical_path": "step step_ns length_ns by_verdict other by_module ops",
    "critical_path.by_verdict": "verdict time_ns kernels",
    "critical_path.other": "part time_ns",
    "critical_path.by_module": "module time_ns",
    "critical_path.ops": "name input_dims phase module verdict kernels time_ns gain_ns",
    "self_check": "roof reason rows time_ns share_of_busy highest_efficiency example",
    "formulas": "op text source",
}  # fmt: skip


@pytest.mark.parametrize("path", FIELDS)
def test_names_are_the_contracts(path: str) -> None:
    analysis = msgspec.structs.replace(timed(), ranks=example.of_ranks().ranks,
                                       critical_path=example.critical_path())  # fmt: skip
    of_kind = [
        msgspec.structs.replace(each, step_kind=OfKind("A", 2, 3)) for each in analysis.suggestions or ()
    ]
    analysis = msgspec.structs.replace(analysis, suggestions=tuple(of_kind))
    value = json.loads(render(analysis, "json"))
    for step in filter(None, path.split(".")):
        value = next(v[step] for v in value if v[step]) if isinstance(value, list) else value[step]
    entry = value[0] if isinstance(value, list) else value
    assert set(entry) == set(FIELDS[path].split())


def test_the_shipped_schema_is_that_of_the_model() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == report_json.schema_text(), (
        "write traceanalyzer.report.json.schema_text() to traceanalyzer/report/schema.json"
    )


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_reports_validate_and_come_back_as_they_were(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    text = render(analysis, "json")
    schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    assert read_back(text.encode()) == analysis
    assert render(read_back(text.encode()), "json") == text


def test_no_number_is_rounded() -> None:
    analysis = example.example_analysis()
    told = json.loads(render(analysis, "json"))
    assert told["memory_bound"]["share_of_busy"] == analysis.memory_bound.share_of_busy
    assert [r["roof_ns"] for r in told["ops"]] == [r.roof_ns for r in analysis.op_rows]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no report"),
        (b"{", "no report"),
        (b"[]", "no report"),
        (b'{"traceEvents": []}', "schema_version"),
        (b'{"schema_version": "2.0"}', "2.0"),
        (b'{"schema_version": "1.1"}', "1.1"),
        (b'{"schema_version": 1}', "no report"),
        (b"\xff\xfe", "no report"),
        (b"<html><body>hello</body></html>", "no report"),
    ],
)
def test_what_is_no_report_of_this_version_is_refused_in_one_line(content: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word) as error:
        read_back(content)
    assert "\n" not in str(error.value)


def test_a_report_that_names_no_file_or_lacks_a_verdict_is_refused() -> None:
    told = json.loads(render(example.example_analysis(), "json"))
    for key, value in (("verdicts", told["verdicts"][1:]), ("operator_classes", []),
                       ("source", {**told["source"], "files": []})):  # fmt: skip
        with pytest.raises(ValueError, match="its|it "):
            read_back(json.dumps({**told, key: value}).encode())


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 10**12)), max_size=12))
def test_any_names_survive_every_format(rows: list[tuple[str, str, int]]) -> None:
    base = example.example_analysis().op_rows
    made: list[OpRow] = [
        msgspec.structs.replace(base[i], name=name, module=module or None, time_ns=time, attributed_ns=time,
                                kernel_names=())
        for i, (name, module, time) in enumerate(rows)
    ]  # fmt: skip
    analysis = example.analysis_of(made)
    assert read_back(render(analysis, "json").encode()) == analysis
    for format_name in ("html", "md", "csv", "svg", "txt"):
        render(analysis, format_name).encode("utf-8")
