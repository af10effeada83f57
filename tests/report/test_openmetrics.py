"""OpenMetrics text: read by the reference parser, and adding up."""

from __future__ import annotations

import re

import msgspec
import pytest

from tests.comparison.sides import product, run
from tests.report import example
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.report import render
from traceanalyzer.report.comparisons import render as render_comparison
from traceanalyzer.report.sentence import is_judged, verdict_sentence


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, first label's value) -> value, by a reader of our own."""
    assert text.endswith("\n# EOF\n") and text.splitlines().count("# EOF") == 1
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r'([a-z_]+)(?:\{\w+="((?:[^"\\\n]|\\.)*)"(?:,\w+="[^"]*")*\})? (\S+)', line)
            assert match is not None, line
            values[match[1], match[2] or ""] = float(match[3])
    return values


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_times_add_up_and_shares_are_the_reports(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    values = samples(render(analysis, "prom"))
    steps = analysis.window.step_count or 1
    busy, idle = (values[f"traceanalyze_{each}_seconds", ""] for each in ("busy", "idle"))
    assert busy + idle == pytest.approx(analysis.window.window_ns / steps / 1e9, rel=1e-12)
    for family, whole in (("verdict", busy), ("idle_cause", idle)):
        parts = [v for (each, _), v in values.items() if each == f"traceanalyze_{family}_seconds"]
        assert sum(parts) == pytest.approx(whole, rel=1e-12, abs=1e-15)
    share = values.get(("traceanalyze_memory_bound_ratio", ""))
    assert share == (analysis.memory_bound.share_of_busy if is_judged(analysis) else None)
    assert (share is None) == ("is memory-bound is unknown" in verdict_sentence(analysis))
    if analysis.window.step_ns is None:
        assert ("traceanalyze_step_seconds", "") not in values
    else:
        assert values["traceanalyze_step_seconds", ""] == analysis.window.step_ns.median / 1e9


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_the_reference_parser_reads_it(name: str) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    text = render(example.EVERY_CASE[name](), "prom")
    families = list(parser.text_string_to_metric_families(text))
    assert {"traceanalyze_report", "traceanalyze_busy_seconds"} <= {family.name for family in families}


def test_labels_of_strangers_are_escaped() -> None:
    analysis = example.example_analysis()
    device = msgspec.structs.replace(analysis.device, id='a"} 1\n# MORE\n\\' + "x" * 500)
    text = render(msgspec.structs.replace(analysis, device=device), "prom")
    (label,) = [label for name, label in samples(text) if name == "traceanalyze_report_info"]
    assert label.startswith('a\\"} 1 # MORE \\\\xxx')
    assert max(map(len, text.splitlines())) < 400


def test_of_a_comparison() -> None:
    base, head = (run(product("mm", ns, (64, 64), (64, 64))) for ns in (9_000_000, 6_000_000))
    values = samples(render_comparison(comparison_of([base], [head]), "prom"))
    assert values["traceanalyze_busy_seconds", "base"] == 0.003
    assert values["traceanalyze_busy_seconds", "head"] == 0.002
