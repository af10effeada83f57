"""A comparison as people and programs read it: the same in every format, whatever names it holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from msgspec import structs

import traceanalyzer
from tests.comparison.sides import product, row, run
from traceanalyzer.cli import main
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.records import Comparison
from traceanalyzer.records.comparison import Culprit
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report import diff_json
from traceanalyzer.report.comment_marker import comment_marker, is_marked
from traceanalyzer.report.comparisons import FORMATS, render

N = (64, 64)
HOSTILE = "<script>alert(1)</script>|`x`@all #1 [a](http://x) \x1b[31m"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    base = [row("mul", 3_000_000, N), row("add", 900_000, N), product("mm", 9_000_000, N, N)]
    head = [row("triton_poi_fused_add_mul_0", 900_000, N), product("mm", 9_000_000, N, N)]
    return comparison_of([run(*base)], [run(*head)])


@pytest.fixture(scope="module")
def hostile() -> Comparison:
    rows = [row(HOSTILE + str(number), 3_000 * number, N, module=HOSTILE) for number in range(1, 4)]
    return comparison_of([run(*rows)], [run(product("mm", 9_000_000, N, N))])


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"prom"}))
def test_every_format_has_the_sentence_and_the_changes(name: str, comparison: Comparison) -> None:
    text = render(comparison, name)
    assert "triton_poi_fused_add_mul_0" in re.sub(r"\\", "", text)
    if name == "json":
        assert msgspec.json.decode(text, type=Comparison).ops[0].how == "fused"
        assert json.loads(text)["schema_version"] == "1.0"
    else:
        words = re.sub(r"\s+", " ", text)
        assert "No change of the step stands out" in words or "The step is" in words


def test_there_is_no_other_format(comparison: Comparison) -> None:
    with pytest.raises(UsageError, match="csv"):
        render(comparison, "csv")


def test_names_of_strangers_take_no_effect(hostile: Comparison) -> None:
    page, comment = render(hostile, "html"), render(hostile, "md")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "<script" not in re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", comment), "in code spans only"
    for text in (page, comment, render(hostile, "txt")):
        assert "\x1b" not in text


def test_the_sentence_names_an_operator_in_a_code_span(hostile: Comparison) -> None:
    """A name in a code span cannot mention, refer, link or end the line, on GitHub or on GitLab."""
    name = "aten::x `y` @all #1 !2 ~3 %4 &5 $6 http://x GH-7 :fire: a@b"
    comparison = structs.replace(
        hostile, culprit=Culprit("op", name, 8_000_000),
        sentence=f"The step is slower. The largest single change is {name}: +8 ms.",
    )  # fmt: skip
    first = render(comparison, "md").splitlines()[0]
    assert first == f"### The step is slower. The largest single change is ``{name}``: +8 ms."


def test_a_comment_stays_short() -> None:
    """10,000 rows of long names on either side."""
    rows = [row(f"op_{'x' * 90}_{number}", number, (number + 1, 3)) for number in range(10_000)]
    other = [row(f"op_{'y' * 90}_{number}", number, (number + 2, 5)) for number in range(10_000)]
    comparison = comparison_of([run(*rows)], [run(*other)])
    assert len(render(comparison, "md")) <= 60_000
    marked = render(comparison, "md", comment_key="gpt")
    assert len(marked) <= 60_000 and is_marked(marked, "gpt")
    first = marked.partition("<details>")[0].split("| operator |")[1]
    assert first.count("\n| `") == 10
    assert len(render(comparison, "html").encode()) < 1_000_000


def test_the_schema_is_of_these_records() -> None:
    shipped = Path(diff_json.__file__).with_name("comparison.schema.json").read_text()
    assert shipped == diff_json.schema_text()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for name, time in (("a", 9_000_000), ("b", 6_000_000)):
        run(product("mm", time, N, N)).save(folder / f"{name}.json")
    return folder


def test_the_command_writes_what_is_asked_for(saved: Path, tmp_path: Path) -> None:
    out = [tmp_path / f"d.{name}" for name in FORMATS]
    words = [word for path in out for word in ("-o", str(path))]
    done = CliRunner().invoke(main, ["diff", str(saved / "a.json"), str(saved / "b.json"), *words])
    assert done.exit_code == 0, done.output
    assert all(path.read_text() for path in out)
    assert max(map(len, done.stderr.splitlines())) <= 80 + len(str(tmp_path)) + 20
    again = CliRunner().invoke(main, ["diff", str(saved / "a.json"), str(saved / "b.json"), *words])
    assert again.exit_code == 2 and "would be replaced" in again.stderr


def test_a_comment_is_marked_once(saved: Path) -> None:
    words = ["diff", "-q", str(saved / "a.json"), str(saved / "b.json"), "-o", "-", "--format", "md"]
    done = CliRunner().invoke(main, [*words, "--comment-key", "gpt"])
    assert done.exit_code == 0 and done.stdout.splitlines()[-1] == comment_marker("gpt")
    assert done.stdout.count("traceanalyze:gpt") == 1
    wrong = CliRunner().invoke(main, [*words, "--comment-key", "a-->b"])
    assert wrong.exit_code == 2 and wrong.stderr.count("\n") == 1 and "cannot mark" in wrong.stderr


def test_stdout_has_what_is_asked_for(saved: Path) -> None:
    words = ["diff", "-q", str(saved / "a.json"), str(saved / "b.json"), "-o", "-", "--format", "json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and json.loads(done.stdout)["step_ns"]["verdict"] in ("faster", "no_change")


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("missing.json", "missing.json"), ("no_report.json", "no_report.json"),
        ("other_version.json", "schema version is 9.0"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_one_line(base: str, said: str, saved: Path) -> None:
    (saved / "no_report.json").write_text('{"hello": 1}')
    (saved / "other_version.json").write_text('{"schema_version": "9.0", "tool": {}}')
    done = CliRunner().invoke(main, ["diff", str(saved / base), str(saved / "b.json"), "-o", "-"])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and said in done.stderr


def test_from_python(saved: Path) -> None:
    first, second = (traceanalyzer.analyze(saved / f"{name}.json") for name in "ab")
    by_path = traceanalyzer.compare(saved / "a.json", [saved / "b.json"])
    assert by_path == traceanalyzer.compare(first, second)
    assert traceanalyzer.compare([first, first, first], second).base.runs == 3
    with pytest.raises(UsageError, match="without runs"):
        traceanalyzer.compare([], second)
