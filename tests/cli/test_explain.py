"""`explain` prints a formula with its units, assumptions and source."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from tests.project.tree import ROOT
from tests.report import dom, example, example_when
from traceanalyzer.assembly import roof_notices
from traceanalyzer.cli import main
from traceanalyzer.records import Bound, Flag, IdleCause, Limiter, OperatorClass, Phase, Reason, Verdict
from traceanalyzer.records.memory_use import HeldKind
from traceanalyzer.records.suggestion import Headroom, Tier
from traceanalyzer.report import html, terminal
from traceanalyzer.report.labels import CAUSE_LABELS, CLASS_LABELS, HOW, TIER_MEANING, VERDICT_LABELS
from traceanalyzer.report.warning_texts import warning_line, warning_texts
from traceanalyzer.report.word_texts import meanings_of, word_texts


def test_explain_prints_formula_and_source() -> None:
    for name in ("aten::mm", "mm"):
        result = CliRunner().invoke(main, ["explain", name])
        assert result.exit_code == 0
        for word in ("aten::mm", "FLOPs = 2*b*m*n*k", "Bytes =", "Assumes", "Source: torch/utils/flop_"):
            assert word in result.stdout


def test_explain_of_an_unknown_name_offers_close_ones() -> None:
    result = CliRunner().invoke(main, ["explain", "aten::softmx"])
    assert result.exit_code == 2
    assert "aten::softmax" in result.stderr and "Fix:" in result.stderr


def explained(*words: str) -> str:
    result = CliRunner().invoke(main, ["explain", *words])
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 110
    return result.stdout


def test_a_product_is_worked_through_to_its_roof() -> None:
    said = explained("mm", "--dims", "512x1024,1024x512", "--dtypes", "bf16", "--device", "h100-sxm5")
    for line in (
        "  0  [512, 1024] bf16  1.05 MB",
        "FLOPs      536,870,912  (537 MFLOP)",
        "bytes      2,097,152 read + 524,288 written = 2.62 MB",
        "intensity  205 FLOP/B",                         # 2 * 512 * 512 * 1024 / 2,621,440
        "  memory   2.62 MB / 3.35 TB/s = 783 ns",
        "  compute  537 MFLOP / 989 TFLOP/s = 543 ns  (matrix bf16)",
        "  roof time 783 ns: bound by memory",
    ):  # fmt: skip
        assert line in said


def test_strides_lists_and_values_are_read() -> None:
    expanded = explained("aten::add", "--dims", "512x1024,512x1024", "--strides", "1024x1,0x1")
    assert "4.10 kB of 2.10 MB, the rest being repeated" in expanded
    assert "2,101,248 read" in expanded
    lists = explained("aten::_foreach_mul_", "--dims", "[4x4,8],-", "--dtypes", "bf16")
    assert "bytes      48 read + 48 written" in lists
    window = ["--value", "3=[2, 2]", "--value", "4=[3, 3]", "--value", "5=[1, 1]", "--value", "6=False",
              "--value", "7=[0, 0]", "--value", "8=1"]  # fmt: skip
    convolved = explained("convolution", "--dims", "8x3x224x224,64x3x7x7", *window, "--dtypes", "fp16")
    assert f"{2 * 8 * 64 * 112 * 112 * 3 * 49:,}" in convolved


def test_what_is_not_priced_says_why() -> None:
    said = explained("aten::convolution", "--dims", "8x3x32x32,64x3x3x3")
    assert "not priced: no_concrete_inputs" in said
    masked = CliRunner().invoke(main, ["explain", "aten::bincount", "--dims", "100"])
    assert "data_dependent" in masked.stdout + masked.stderr


def test_inputs_that_do_not_fit_are_refused_in_one_line() -> None:
    for words, told in (
        (["mm", "--dims", "5y4"], "5y4 is no size"),
        (["mm", "--dims", "4x4,4x4", "--dtypes", "fp32,fp32,fp32"], "3 types for 2 tensors"),
        (["mm", "--dims", "4x4,4x4", "--dtypes", "fp31"], "fp31 is no type"),
        (["mm", "--dims", "4x4,4x4", "--value", "x"], "names no argument"),
        (["mm", "--device", "h100-sxm5"], "give --dims"),
        (["mm", "--dims", "4x4,4x4", "--device", "no such"], "devices"),
    ):
        result = CliRunner().invoke(main, ["explain", *words])
        assert result.exit_code == 2 and told in result.stderr and "Fix:" in result.stderr, words


def test_sizes_may_be_given_one_by_one() -> None:
    assert explained("mm", "--dims", "8x4", "--dims", "4x2") == explained("mm", "--dims", "8x4,4x2")


def test_inputs_that_a_formula_cannot_take_are_refused_in_one_line() -> None:
    result = CliRunner().invoke(main, ["explain", "mm", "--dims", "512,64"])
    assert result.exit_code == 2
    assert "cannot take these inputs" in result.stderr and "Fix: " in result.stderr
    assert result.stderr.count("\n") == 1


def test_every_warning_of_the_docs_is_explained() -> None:
    rows = (ROOT / "docs" / "warnings.md").read_text().splitlines()
    named = [row.split("|")[1] for row in rows if row.startswith("| `")]
    codes = [code for cell in named for code in re.findall(r"`(\w+)`", cell)]
    assert len(codes) > 50
    assert set(codes) == set(warning_texts())
    assert explained("steps_differ").startswith("steps_differ: the longest step takes over 10 % longer")
    assert all(warning_line(code) and "`" not in warning_line(code) for code in codes)


CLOSED = (Verdict, OperatorClass, Flag, IdleCause, Phase, Bound, Limiter, Reason, Tier, HeldKind)
WORDS = [
    *(word for closed in CLOSED for word in get_args(closed)),
    *VERDICT_LABELS.values(), *CLASS_LABELS.values(), *CAUSE_LABELS.values(), *HOW, *TIER_MEANING,
]  # fmt: skip


def test_every_word_of_a_report_is_explained() -> None:
    assert len(set(WORDS)) > 70
    for word in dict.fromkeys(WORDS):
        said = explained(word)
        meanings = [part for part in said.split("\n\n") if part.startswith(f"{word} (")]
        assert meanings and all(len(meaning) > len(word) + 25 for meaning in meanings), word
        assert max(map(len, said.splitlines())) <= 80


def test_a_word_with_several_meanings_has_all_of_them() -> None:
    said = explained("data_loading")
    assert "data_loading (cause of idle time): the host was fetching the next batch" in said
    assert "data_loading: The device waits for the next batch" in said and "More: " in said
    assert explained("copy").count("copy (") == 2
    assert "What helps: give --device NAME" in explained("no_device").replace("\n", " ")


def test_words_that_the_page_shows_are_all_there() -> None:
    """Flags, reasons, verdicts and classes of rendered pages, of every case there is."""
    shown = set()
    for case in example.EVERY_CASE.values():
        for row in case().op_rows:
            shown |= {
                row.verdict,
                row.operator_class,
                *row.flags,
                row.reason,
                row.bound,
                row.limiter,
                row.phase,
            }
    assert shown - {None} <= set(word_texts())


def headings(text: str) -> set[str]:
    """What a template says between the tags of a heading, a column or a name, where it is no variable."""
    every = re.findall(r"<(?:h2|h3|dt|summary|th scope=.col.)[^>]*>([^<{]+)</", text)
    return {" ".join(each.split()) for each in every}


def test_every_heading_of_the_templates_is_explained() -> None:
    texts = [file.read_text() for file in sorted((ROOT / "templates").glob("*.html.j2"))]
    shown = set[str]().union(*map(headings, texts))
    for name, case in example.EVERY_CASE.items():
        if name != "hostile":
            page = dom.parse(html.render(case()))
            shown |= {
                node.text().split(",")[0] for node in page.all("th") if node.attributes.get("scope") == "col"
            }
    shown = {
        heading for heading in shown if not re.search(r"ProfilerStep#|^Time |^[Aa]ll \d|^\d{4}: ", heading)
    }
    assert len(shown) > 70 and {"How far it could go", "of busy", "Waited for"} <= shown
    assert {heading for heading in shown if heading and not meanings_of(heading)} == set()


def test_every_figure_of_a_page_and_line_of_the_summary_is_explained() -> None:
    shown = set()
    for name, case in example.EVERY_CASE.items():
        if name == "hostile":
            continue  # its names are no words
        analysis, page = case(), dom.parse(html.render(case()))
        shown |= {node.text() for node in page.all("dt") if "::" not in node.text()}
        shown |= set(re.findall(r"^([a-z][a-z-]+)  +\S", terminal.render(analysis), re.MULTILINE))
        shown |= set(analysis.thresholds)
    shown.remove("blocks.0.mlp")  # a module of an example
    assert {"coverage", "device", "Model FLOPs utilization", "at_roof", "Schedule"} <= shown
    assert {word for word in shown if not meanings_of(word)} == set()


def test_every_bar_of_the_headroom_is_explained_as_the_page_and_the_json_name_it() -> None:
    shown = set(Headroom.__struct_fields__)
    for table in dom.parse(html.render(example_when.timed())).all("table", class_="headroom"):
        shown |= {node.text() for node in table.all("th")}
    assert {"now", "at its roofs", "with what is proved", "with all that may help"} <= shown
    for word in shown:
        said = explained(word)
        assert said.startswith(f"{word} (") and "headroom" in said, word
        assert "60 %" not in said, "that is of rows at a roof"
    assert "60 %" not in explained("at_roofs") and "60 %" in explained("at_roof")


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_what_a_warning_has_the_reader_test_is_explained_too(kind: str) -> None:
    said = " ".join(explained("far_below_roofs").split())
    tests = roof_notices._TESTS[kind].removeprefix("To tell: ").replace("`", "").split("; ")
    assert len(tests) == 3 and all(test in said for test in tests)


# Words of the field in sentences, evidence and methods, which no heading and no closed list holds.
JARGON = re.findall(r"\w+", """
annotation attributed backward bandwidth bound bytes chain checkpointing collective compulsory contraction
coverage efficiency evidence exposed FLOPs forward headroom hidden idle intensity kernel kind launch limiter
match memory_bound module modules normalization operator optimizer own peak phase priced proved rank
recompute ridge roof roofs row rule scope scopes stack step steps stream suggestion suggestions tier traffic
verdict warnings window
""")  # fmt: skip
PHRASES = (
    "its own", "compulsory traffic", "launch floor", "memory roof", "page fault", "page faults", "roof time",
    "critical path", "self-check", "at most", "idle time", "busy time",
)  # fmt: skip


@pytest.mark.parametrize("word", [*JARGON, *PHRASES])
def test_a_word_that_texts_use_is_explained_and_every_such_word_is_used(word: str) -> None:
    assert explained(word).startswith(f"{word} ("), word
    assert word.casefold() in _texts(), "nobody reads it"


@lru_cache(maxsize=1)
def _texts() -> str:
    """Of pages, templates, rules and labels: what a newcomer reads."""
    pages = [html.render(case()) for case in example.EVERY_CASE.values()]
    sources = [*(ROOT / "templates").glob("*.j2"), *(ROOT / "traceanalyzer").glob("fusion/rules/*.py"),
               *(ROOT / "traceanalyzer").glob("report/*.py")]  # fmt: skip
    return "\n".join((*pages, *(file.read_text() for file in sources))).casefold()


@pytest.mark.parametrize("word", ["check", "module", "roofs", "tier", "per step", "page faults", "Per Step"])
def test_a_word_is_found_however_it_is_spelled(word: str) -> None:
    assert explained(word).startswith(f"{word} (")


def test_who_asks_for_a_word_is_not_sent_to_write_a_formula() -> None:
    unknown, operator = (CliRunner().invoke(main, ["explain", name]) for name in ("rooofs", "mylib::gate"))
    assert unknown.exit_code == operator.exit_code == 2
    assert "--cost-file" not in unknown.stderr and "--cost-file" in operator.stderr


def test_an_operator_of_the_user_s_own_goes_before_a_word(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import traceanalyzer\nfrom traceanalyzer.formulas import Cost\n\n\n"
        '@traceanalyzer.op_cost("balanced")\ndef mine(call):\n    """y = f(x)\n\n    FLOPs = 3\n'
        '    Bytes = 4 read, 5 written\n    Assumes nothing.\n    """\n    return Cost(3, 4, 5)\n'
    )
    assert "Assumes nothing." in explained("balanced", "--cost-file", str(file))
    assert "(flag)" in explained("balanced")
