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
from traceanalyzer.records.comparison import Change, Culprit, SideFile, SideInfo
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report import diff_json
from traceanalyzer.report.comment_marker import comment_marker, is_marked
from traceanalyzer.report.comparisons import FORMATS, render
from traceanalyzer.report.diff_terminal import summary
from traceanalyzer.report.diff_view import diff_view

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
        assert "No change of the step" in words or "The step is" in words or "The step under" in words


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
    assert traceanalyzer.compare([first, second], second).base.runs == 2
    with pytest.raises(UsageError, match="without runs"):
        traceanalyzer.compare([], second)


def test_times_of_the_step_are_compared_with_their_own_base(comparison: Comparison) -> None:
    """29.2 to 36.0 ms is 23.3 % more, whatever the mean step; parts are of the mean step."""
    changed = structs.replace(
        comparison, unprofiled_step_ns=Change.of(29_200_000, 36_000_000),
        window_ns=Change.of(48_000_000, 48_000_000),
        step_ns=structs.replace(comparison.step_ns, base=40_000_000, head=50_000_000),
        busy_ns=Change.of(24_000_000, 36_000_000),
    )  # fmt: skip
    shares = {line.key: line.share for line in diff_view(changed, 5).whole}
    assert (shares["unprofiled"], shares["step"], shares["busy"]) == ("+23.3 %", "+25.0 %", "+25.0 %")
    for name in ("txt", "md", "html"):
        assert "of the step" in render(changed, name) and "of the base" not in render(changed, name)


def test_which_step_is_under_the_profiler_is_said(comparison: Comparison) -> None:
    """29.2 to 36.0 ms is 23.3 % more; it stands first, and without it nothing is said."""
    both = structs.replace(comparison, unprofiled_step_ns=Change.of(29_200_000, 36_000_000))
    view, without = diff_view(both, 5), diff_view(structs.replace(comparison, unprofiled_step_ns=None), 5)
    assert [line.label for line in view.whole[:2]] == ["step without the profiler", "median step, profiled"]
    (note,) = [note for note in view.notes if "under the profiler" in note]
    assert note.endswith("without it a step takes 29.2 ms, now 36.0 ms (23.3 % more).")
    assert not any("profiler;" in note for note in without.notes)
    assert without.whole[0].label == "median step"


def test_eighty_columns_say_why_and_what_of() -> None:
    """A name that is long takes its own room, not that of what happened to it."""
    base = [row("mul", 3_000_000, N), row("add", 900_000, N), row("op_" + "x" * 90, 2_000_000, (9,))]
    head = [row("triton_poi_fused_add_mul_0", 900_000, N), row("op_" + "x" * 90, 9_000_000, (9,))]
    text = summary(comparison_of([run(*base)], [run(*head, idle_ns=900_000)]), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"  2 → 1 fused +triton_poi_fused_add_mul_0", text)
    order = [text.index(heading) for heading in ("median step", "at the roof or not", "busy, by verdict",
                                                 "idle, by cause")]  # fmt: skip
    assert order == sorted(order) and "idle, cause unknown" in text


def test_warnings_are_sentences(comparison: Comparison) -> None:
    warned = structs.replace(
        comparison, base=structs.replace(comparison.base, warnings=("clipped",)),
        head=structs.replace(comparison.head, warnings=("clipped", "steps_differ")),
    )  # fmt: skip
    notes = diff_view(warned, 5).notes
    assert "Base and head: calls are cut by the window's ends." in notes
    assert any(note.startswith("Head: the longest step takes over 10 % longer") for note in notes)
    assert "steps_differ" not in render(warned, "txt") and "steps\\_differ" not in render(warned, "md")


def test_sides_of_one_name_are_told_apart(comparison: Comparison) -> None:
    def at(folder: str) -> SideInfo:
        return structs.replace(comparison.base, files=(SideFile(f"runs/{folder}/step.json", None, None),))

    shown = diff_view(structs.replace(comparison, base=at("main"), head=at("branch")), 5).sides
    assert [text.split(":")[0] for _, text in shown] == ["main/step.json", "branch/step.json"]
    shown = diff_view(structs.replace(comparison, base=at("main"), head=at("main")), 5).sides
    assert [text.split(":")[0] for _, text in shown] == ["step.json", "step.json"]


def test_the_default_page_replaces_itself_and_nothing_else(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["diff", str(saved / "a.json"), str(saved / "b.json")]
    gate = [*words, "-q", "--require", "step_ns.change<=1s"]
    assert CliRunner().invoke(main, gate).exit_code == 0 and not list(tmp_path.iterdir())
    for _ in range(2):
        assert CliRunner().invoke(main, words).exit_code == 0
    (page,) = tmp_path.iterdir()
    assert page.name == "a.b.diff.html"
    page.write_text("<!DOCTYPE html> of somebody else")
    assert CliRunner().invoke(main, words).exit_code == 2


def test_a_comparison_is_no_report(saved: Path, tmp_path: Path) -> None:
    result = tmp_path / "d.json"
    words = ["diff", "-q", str(saved / "a.json"), str(saved / "b.json"), "-o", str(result)]
    assert CliRunner().invoke(main, words).exit_code == 0
    for command in (["report", str(result)], ["diff", str(result), str(saved / "b.json")]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2 and "is a comparison" in done.stderr and done.stderr.count("\n") == 1
