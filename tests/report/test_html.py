"""The page: one file that asks for nothing, hides nothing, and runs nothing that a trace says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter

import msgspec
import pytest

from tests.report import example
from tests.report.dom import Node, parse
from traceanalyzer.records.units import duration, no_less_than
from traceanalyzer.report import read_back, render
from traceanalyzer.report.assets import asset
from traceanalyzer.report.context import imperative
from traceanalyzer.report.html import LIMIT, notebook
from traceanalyzer.report.labels import CLASS_LABELS, FLAG_MEANING, REASON_MEANING, VERDICT_LABELS
from traceanalyzer.report.largest import is_open_ended
from traceanalyzer.report.layers import merged
from traceanalyzer.report.rows import enough_rows
from traceanalyzer.report.sentence import headline
from traceanalyzer.report.shown import shown


def page_of(name: str) -> Node:
    return parse(render(example.EVERY_CASE[name](), "html"))


def sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_the_policy_allows_the_one_style_and_the_one_script(name: str) -> None:
    page = page_of(name)
    (meta,) = [m for m in page.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
    policy = meta.attributes["content"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    (style,) = page.all("style")
    scripts = [s for s in page.all("script") if s.attributes.get("type") != "application/json"]
    (script,) = scripts
    assert f"style-src 'sha256-{sha256(style.text())}'" in policy
    assert f"script-src 'sha256-{sha256(script.text())}'" in policy


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_nothing_is_asked_for_and_nothing_is_inline(name: str) -> None:
    page = page_of(name)
    for node in page.walk():
        assert node.tag not in ("img", "iframe", "object", "embed", "base", "form", "audio", "video", "use")
        for attribute, value in node.attributes.items():
            assert not attribute.startswith("on"), (node.tag, attribute)
            assert attribute not in ("style", "src", "srcset", "action", "srcdoc"), (node.tag, attribute)
            if attribute == "href":
                assert re.match(r"#|data:,$", value), value
    assert not re.search(r"url\(|@import", page.one("style").text())


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_ids_are_unique_and_every_reference_is_there(name: str) -> None:
    page = page_of(name)
    ids = Counter(n.attributes["id"] for n in page.walk() if "id" in n.attributes)
    assert max(ids.values()) == 1, ids.most_common(3)
    for node in page.walk():
        for attribute in ("aria-labelledby", "for", "aria-describedby"):
            assert set(node.attributes.get(attribute, "").split()) <= set(ids)
        if node.attributes.get("href", "").startswith("#"):
            assert node.attributes["href"][1:] in ids


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_the_first_section_answers(name: str) -> None:
    analysis, page = example.EVERY_CASE[name](), page_of(name)
    told = headline(analysis)
    answer, everything = page.one("main").all("section")[0].text(), page.one("main").text()
    assert page.one("h1").text() == told.lead.replace("`", "")
    for sentence in told.more:
        assert sentence.replace("`", "") in answer
    changes = told.changes if analysis.suggestions else ()
    for sentence in (*changes, *told.notes):
        assert sentence.replace("`", "") in everything
    for verdict, ns in shown(analysis).verdict_ns.items():
        length = no_less_than if is_open_ended(shown(analysis), verdict) else duration
        assert (f"{VERDICT_LABELS[verdict]} {length(shown(analysis).each(ns))}" in answer) == bool(ns)
        assert VERDICT_LABELS[verdict] in everything
    for warning in analysis.source.warnings:
        assert warning.code in answer or warning.code == "outside_window"  # which a note says
    for reason in analysis.coverage.reasons:
        assert REASON_MEANING[reason.reason] in everything
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("head").one("title").text()


def test_every_class_flag_and_threshold_is_told() -> None:
    analysis = example.example_analysis()
    text = parse(render(analysis, "html", 200)).one("main").text()
    for label in CLASS_LABELS.values():
        assert label in text
    for flag in {flag for row in analysis.op_rows for flag in row.flags}:
        assert FLAG_MEANING[flag] in text
    for name in analysis.thresholds:
        assert name in text
    for published in ("99.80 %", "0.17 %", "0.03 %", "61.0 %", "25.5 %", "13.5 %", "2021", "V100", "fused"):
        assert published in text
    assert analysis.device.provenance in text
    assert "Not looked for" in text


def test_every_row_has_its_line_its_point_its_kernels_and_its_arithmetic() -> None:
    analysis = example.example_analysis()
    page = parse(render(analysis, "html", 200))
    lines = page.one("table", id="ops").all("tbody")
    rows = merged(analysis).op_rows
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        text = line.text()
        assert row.name in text
        assert all(kernel.name in text for kernel in row.kernel_names)
        assert row.module is None or row.module in text
        assert line.attributes["data-verdict"] == row.verdict
        times = [c.attributes["data-v"] for c in line.all("td") if "data-v" in c.attributes]
        assert times[0] == str(row.attributed_ns)
    places = {n.attributes["href"] for n in page.all("a") if "point" in n.attributes.get("class", "")}
    drawn = ("compute_bound", "memory_bound", "latency_bound", "unmodelled")
    known = [i for i, r in enumerate(rows, 1) if r.intensity is not None and r.time_ns and r.verdict in drawn]
    assert places == {f"#op-{i}" for i in known}


def test_shares_of_the_lines_add_up_to_busy_time_however_many_rows() -> None:
    analysis = example.many_rows(3000)
    table = parse(render(analysis, "html")).one("table", id="ops")
    lines = table.all("tbody")
    assert len(lines) <= 200
    times = [next(c for c in line.all("td") if "data-v" in c.attributes)
             for line in (*lines, table.one("tfoot"))]  # fmt: skip
    assert sum(int(c.attributes["data-v"]) for c in times) == analysis.time.busy_ns


def huge() -> object:
    """Twenty thousand rows, each name longer than a screen."""
    analysis = example.many_rows(20_000)
    rows = tuple(
        msgspec.structs.replace(r, name=f"{r.name}<{i}, {'é<&' * 400}>", module="m." * 400) if i < 3000 else r
        for i, r in enumerate(analysis.op_rows)
    )
    return msgspec.structs.replace(analysis, op_rows=rows, ranks=example.of_ranks(4096).ranks)


def test_a_page_stays_under_a_megabyte_and_its_data_still_adds_up() -> None:
    analysis = huge()
    page = render(analysis, "html")  # type: ignore[arg-type]
    assert len(page.encode()) < LIMIT
    inside = read_back(page.encode())
    assert sum(r.attributed_ns for r in inside.op_rows) == inside.time.busy_ns
    assert {w.code for w in inside.source.warnings} >= {"rows_aggregated", "lists_shortened"}


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_the_data_inside_can_be_rendered_again(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    page = render(analysis, "html")
    inside = read_back(page.encode())
    assert inside.memory_bound == analysis.memory_bound
    assert inside.verdicts == analysis.verdicts
    assert [r.attributed_ns for r in inside.op_rows] == [r.attributed_ns for r in analysis.op_rows]
    again = parse(render(inside, "html"))
    assert again.one("h1").text() == parse(page).one("h1").text()


@pytest.mark.parametrize("name", ["training", "hostile", "ranks", "suggestions"])
def test_the_same_analysis_gives_the_same_page(name: str) -> None:
    assert render(example.EVERY_CASE[name](), "html") == render(example.EVERY_CASE[name](), "html")


def test_text_of_a_trace_stays_text() -> None:
    source = render(example.hostile(), "html", 200)
    page = parse(source)
    plain = parse(render(example.example_analysis(), "html"))
    # The same elements as without an attack: no name became markup.
    ours = Counter(n.tag for n in plain.walk())
    assert {n.tag for n in page.walk()} <= set(ours)
    assert len(page.all("script")) == len(plain.all("script")) == 2
    assert len(page.all("style")) == 1
    shown = page.one("table", id="ops").text()
    for name in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}{% raw %}", "a|b"):
        assert name in shown
    assert "49" not in shown.split("{{ 7*7 }}")[1][:20]
    assert not set(page.one("main").text()) & {"\x1b", "\x07", "\u202e", "\r"}
    data = page.one("script", type="application/json").text()
    assert "<" not in data
    assert json.loads(data)["ops"]


def test_headings_go_down_one_level_at_a_time() -> None:
    for name in example.EVERY_CASE:
        levels = [int(n.tag[1]) for n in page_of(name).walk() if n.tag in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_a_cpu_report_never_speaks_of_kernels_it_has_not() -> None:
    answer = page_of("cpu").one("main").all("section")[0].text()
    assert "kernel time" not in answer
    assert "Records" in page_of("cpu").one("details", **{"class": "basis"}).text()


def test_suggestions_and_projections_are_shown_with_evidence() -> None:
    page = parse(render(example.with_suggestions(), "html"))
    text = page.one("main").text()
    for word in ("1.1 to 1.9 ms per step, proved", "at most 400 µs per step", "no time predicted",
                 "would be wrong if"):  # fmt: skip
        assert word in text
    assert "nvidia-b200" in text
    changes = page.one("ol").all("li")
    assert [li.all("p")[0].text() for li in changes] == [
        "Fuse 48 chains of pointwise operators", "Use the fused AdamW", "Fold residual add into the norm",
        "Do not keep the attention mask",
    ]  # fmt: skip
    assert changes[0].all("h3")[0].text() == "Compile the block, or call the fused kernel"


def test_a_change_that_can_be_tried_by_itself_has_its_command() -> None:
    """The file of the command is one word of a shell; what concerns no operators has none."""
    analysis = example.with_suggestions()
    assert analysis.suggestions is not None
    (source, *_), first = analysis.source.files, analysis.suggestions[0]
    files = (msgspec.structs.replace(source, path="my run/$(id).json"),)
    changes = [msgspec.structs.replace(first, rule=rule) for rule in ("pointwise_chain", "synchronisation")]
    analysis = msgspec.structs.replace(
        analysis, suggestions=tuple(changes), source=msgspec.structs.replace(analysis.source, files=files)
    )
    codes = parse(render(analysis, "html")).one("ol").all("code")
    assert {code.text() for code in codes if code.text().startswith("traceanalyze ")} == {
        "traceanalyze explain pointwise_chain", "traceanalyze explain synchronisation",
        "traceanalyze verify 'my run/$(id).json' pointwise_chain",
    }  # fmt: skip


def test_a_saving_is_drawn_on_the_scale_of_the_step() -> None:
    analysis = example.with_suggestions()
    change = parse(render(analysis, "html")).one("ol").all("li")[0]
    step = analysis.window.window_ns / (analysis.window.step_count or 1)
    sure, possible = (float(r.attributes["width"].rstrip("%")) for r in change.one("svg").all("rect"))
    assert sure == pytest.approx(100 * 1.1e6 / step, abs=0.001)
    assert sure + possible == pytest.approx(100 * 1.9e6 / step, abs=0.001)


@pytest.mark.parametrize(
    ("action", "title"),
    [
        ("Give the DataLoader workers, and keep them.", "Give the DataLoader workers, and keep them"),
        ("Call f with x; give y instead.", "Call f with x"),
        ("Clip gradients as lists. Then more.", "Clip gradients as lists"),
        ("Call nn.RMSNorm (one kernel), or compile.", "Call nn.RMSNorm"),
        ("use it", "Use it"),
    ],
)
def test_the_title_of_a_change_is_its_first_clause(action: str, title: str) -> None:
    assert imperative(action) == title


def test_nothing_known_is_never_printed_as_zero() -> None:
    for name in ("unknown_device", "without_shapes", "cpu", "without_bandwidth"):
        page = page_of(name)
        assert "Memory side" in page.one("main").text()
        assert page.one("details", **{"class": "basis"}).text().count("unknown") >= 1, name
        row = next(r for r in page.one("main").all("tr") if r.text().startswith("memory-bound"))
        assert "0.0 %" not in row.text()


def test_rows_hold_nine_tenths_of_busy_time_and_one_line_the_others() -> None:
    analysis = example.many_rows(3000)
    rows = merged(analysis).op_rows
    least = next(n for n in range(len(rows)) if sum(r.attributed_ns for r in rows[:n]) >= 0.9 * sum(
        r.attributed_ns for r in rows))  # fmt: skip
    assert enough_rows(merged(analysis), 10**6) == least
    table = parse(render(analysis, "html")).one("table", id="ops")
    assert len(table.all("tbody")) == min(least, 200)
    assert f"{len(rows) - min(least, 200):,} smaller rows together" in table.one("tfoot").text()


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    a, b = sorted((luminance(one), luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def palettes() -> list[dict[str, str]]:
    """Each block of the style that sets all colors."""
    blocks = re.findall(r"\{([^{}]*--ink:[^{}]*)\}", asset("report.css"))
    found: list[dict[str, str]] = []
    for block in blocks:
        told = dict(re.findall(r"--([\w]+):(#[0-9a-f]{3,6})", block))
        full = {k: v if len(v) == 7 else "#" + "".join(c * 2 for c in v[1:]) for k, v in told.items()}
        found.append({**(found[0] if found else {}), **full})
    return found


def test_contrast_is_enough_in_every_theme() -> None:
    assert len(palettes()) == 4  # light, dark by the system, dark by choice, print
    for theme in palettes():
        for text in ("ink", "muted", "link", "warn"):
            for ground in ("paper", "strip"):
                assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground, theme)
        for mark in ("memory", "compute", "latency", "communication", "copy", "unmodelled"):
            assert contrast(theme[mark], theme["paper"]) >= 3, (mark, theme)
            assert contrast(theme["on"], theme[mark]) >= 4.5, (mark, theme)
        assert contrast(theme["ink"], theme["idle"]) >= 4.5


def test_the_image_has_the_pages_colors() -> None:
    """picture.css repeats them: an image cannot read the page's style."""
    image = re.findall(r"\{([^{}]*--ink:[^{}]*)\}", asset("picture.css"))
    for block, theme in zip(image, palettes()[:2], strict=True):
        for name, value in re.findall(r"--([\w]+):(#[0-9a-f]{6})", block):
            assert theme[name] == value, name


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_a_notebook_cell_is_small_closed_and_says_the_same(name: str) -> None:
    analysis = example.EVERY_CASE[name]()
    fragment = notebook(analysis)
    assert len(fragment) < 20_000
    tree = parse(fragment)
    assert headline(analysis).lead in tree.text()
    assert not tree.all("script") and not tree.all("img") and not tree.all("a")
    assert "http" not in fragment.replace("http://example.com/x.js", "")
