"""Formulas of the user's own: from a file, a package, a session; they hold where they are given."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.pipeline.test_verdicts_end_to_end import row
from traceanalyzer import UsageError
from traceanalyzer.cli import main
from traceanalyzer.cost import formula_of, user
from traceanalyzer.options import AnalyzeOptions
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.report import RENDERERS, read_back, render

N = 1 << 24
FILE = '''
import traceanalyzer
from traceanalyzer.formulas import Cost, Missing, argument, bytes_read, has, numel, shape


@traceanalyzer.op_cost("my::op", "my::other_*")
def mine(call):
    """y = f(x)

    FLOPs = 7 an element
    Bytes = x read, y written
    Assumes that y is like x.
    """
    return Cost(7 * numel(shape(call, 0)), bytes_read(call, 0), bytes_read(call, 0))
'''


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    t = Kineto()
    t.run("my::op", 0, "my_kernel", 100, 100, ([N], "float"))
    t.run("aten::add", 10, "add_kernel", 300, 100, ([N], "float"), ([N], "float"))
    return t.write(tmp_path / "t.json")


def file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "costs.py"
    path.write_text(text)
    return str(path)


def test_a_file_prices_an_operator_in_this_analysis_and_in_no_other(trace: Path, tmp_path: Path) -> None:
    assert row(traceanalyzer.analyze(trace), "my::op").reason == "no_formula"
    given = traceanalyzer.analyze(trace, cost_files=[file(tmp_path, FILE)])
    found = row(given, "my::op")
    assert (found.flops, found.read_bytes, found.write_bytes) == (7 * N, 4 * N, 4 * N)
    assert found.verdict == "memory_bound"
    (told,) = (w for w in given.source.warnings if w.code == "user_formulas")
    assert "my::op" in told.message and "costs.py" in told.message
    assert [one.op for one in given.formulas] == ["aten::add", "my::op"]
    assert row(traceanalyzer.analyze(trace), "my::op").reason == "no_formula"


def test_a_users_formula_goes_before_ours(trace: Path, tmp_path: Path) -> None:
    given = traceanalyzer.analyze(trace, cost_files=[file(tmp_path, FILE.replace("my::op", "aten::add"))])
    assert row(given, "aten::add").flops == 7 * N
    assert row(traceanalyzer.analyze(trace), "aten::add").flops == N


def test_patterns_match_as_ours_do(tmp_path: Path) -> None:
    formulas = user.user_formulas([file(tmp_path, FILE)]).catalog()
    assert formulas.of("my::other_thing") is not None and formulas.of("my::opposite") is None


def test_analyses_do_not_see_each_others(tmp_path: Path) -> None:
    mine = user.user_formulas([file(tmp_path, FILE)]).catalog()
    assert mine.of("my::op") is not None
    assert user.user_formulas([]).catalog().of("my::op") is None and formula_of("my::op") is None


def test_a_cost_file_may_hold_a_dataclass_and_later_annotations(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n" + FILE
    text += "\n\n@dataclass\nclass Sizes:\n    rows: int = 0\n"
    assert user.user_formulas([file(tmp_path, text)]).catalog().of("my::op") is not None


def test_a_cost_file_imports_what_lies_beside_it(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        (folder / "inside").mkdir(parents=True)
        (folder / "beside.py").write_text(f"from inside.deeper import FACTOR\nNAME = 'my::op{number}'\n")
        (folder / "inside" / "__init__.py").write_text("")
        (folder / "inside" / "deeper.py").write_text(f"FACTOR = {number}\n")
        text = FILE.replace('"my::op", "my::other_*"', "beside.NAME").replace("7 * numel", "FACTOR * numel")
        file(folder, "import beside\nfrom inside.deeper import FACTOR\n" + text)
    before = set(sys.modules)
    files = [str(tmp_path / number / "costs.py") for number in "12"]
    catalog = user.user_formulas(files).catalog()
    for number in (1, 2):
        cost = catalog.price(OpCall(f"my::op{number}", ((N,),), ("fp32",))).cost
        assert isinstance(cost, Cost) and cost.flops == number * N, "each file has its own `beside`"
    assert not {name for name in set(sys.modules) - before if "beside" in name or "inside" in name}
    assert not [finder for finder in sys.meta_path if type(finder) is user._Folder]


def test_two_files_may_use_the_same_names(tmp_path: Path) -> None:
    files = []
    for number in (1, 2):
        text = FILE.replace("my::op", f"my::op{number}").replace("Cost(7", "Cost(FACTOR")
        (tmp_path / str(number)).mkdir()
        files.append(file(tmp_path / str(number), f"FACTOR = {number}\n" + text))
    catalog = user.user_formulas(files).catalog()
    for number, name in ((1, "my::op1"), (2, "my::op2"), (2, "my::other_x")):
        cost = catalog.price(OpCall(name, ((N,),), ("fp32",))).cost
        assert isinstance(cost, Cost) and cost.flops == number * N, (
            "of two for one operator, the later file's"
        )


def test_what_an_editor_writes_in_front_of_a_file_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "costs.py"
    path.write_bytes(b"\xef\xbb\xbf" + FILE.encode())
    assert user.user_formulas([str(path)]).catalog().of("my::op") is not None


def test_ctrl_c_is_no_fault_of_the_file(tmp_path: Path) -> None:
    broken = file(tmp_path, FILE + "\n\nraise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        user.user_formulas([broken])
    assert user.user_formulas([]).catalog().of("my::op") is None, "what it registered before is gone"


@pytest.fixture
def session() -> Iterator[None]:
    yield
    user._registered.clear()


def test_a_session_may_define_its_own(trace: Path, session: None) -> None:
    @traceanalyzer.op_cost("my::op")
    def mine(call):  # type: ignore[no-untyped-def]
        """y = f(x)

        FLOPs = 3
        Bytes = 4 read, 5 written
        Assumes nothing.
        """
        return traceanalyzer.formulas.Cost(3, 4, 5)

    assert row(traceanalyzer.analyze(trace), "my::op").flops == 3


class Entry:
    def __init__(self, text: str) -> None:
        self.text, self.value = text, f"somebodys.package_{len(text)}"

    def load(self) -> None:
        exec(self.text, {})


@pytest.mark.parametrize(
    ("text", "priced"), [(FILE, True), ("import not_there_at_all", False), ("raise SystemExit", False)]
)
def test_packages_bring_formulas_and_a_broken_one_is_told(
    text: str, priced: bool, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {user.GROUPS[0]: [Entry(text)]}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries.get(group, []))
    a = traceanalyzer.analyze(trace)
    assert (row(a, "my::op").flops == 7 * N) is priced
    codes = {w.code for w in a.source.warnings}
    assert ("user_formulas" in codes) is priced and ("broken_cost_package" in codes) is not priced


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('on purpose')", "RuntimeError: on purpose"),
        ("return 5", "no Cost"),
        ("return Cost(0.5, 1, 1)", "whole numbers"),
        ("return Cost(-1, 1, 1)", "negative"),
        ("return Cost(10**5000, 0.5, 1)", "whole numbers"),
        ("return numel(shape(call, 0)) // 0", "ZeroDivisionError"),
        ("return shape(call, 0) + [5]", "TypeError"),
        ("return Cost(1, 2, 3, note=5)", "note is int, no text"),
        ("return Cost(1, 2, 3, precision=None)", "precision is NoneType, no text"),
        ("return Cost(1, 2, 3, engine='tensor')", "the engine 'tensor', which is none of matrix, vector"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise Missing('no such reason')", "the reason 'no such reason', none of no_device"),
        ("raise Missing('no_shapes', 7)", "a reason, a text and bytes"),
        ("raise Missing('no_shapes', 'x', -5, 3)", "a reason, a text and bytes"),
        ("raise Missing('no_shapes', 'x', 10.5, 3)", "a reason, a text and bytes"),
        ("raise Missing('no_shapes', 'x', 'a', 3)", "a reason, a text and bytes"),
    ],
)
def test_a_formula_that_fails_is_told_and_prices_nothing(
    body: str, words: str, trace: Path, tmp_path: Path
) -> None:
    text = FILE.partition("    return")[0] + f"    {body}\n"
    job = traceanalyzer.analyze(trace, cost_files=[file(tmp_path, text)])
    found = row(job, "my::op")
    assert (found.verdict, found.reason) == ("unmodelled", "formula_failed")
    assert words in found.note
    saved = render(job, "json")
    assert render(read_back(saved.encode()), "json") == saved
    assert all(render(job, name) for name in RENDERERS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return Cost(shape(call, 0)[3], 4, 4)", "no_shapes"),
        ("return Cost(numel(shape(call, 1)), 4, 4)", "no_shapes"),
        ("return Cost(int(argument(call, 2)), 4, 4)", "no_concrete_inputs"),
        ("return Cost(2**63, 4, 4)", "no_shapes"),
    ],
)
def test_what_a_formula_reads_and_the_trace_lacks_is_told(
    body: str, reason: str, trace: Path, tmp_path: Path
) -> None:
    text = FILE.partition("    return")[0] + f"    {body}\n"
    found = row(traceanalyzer.analyze(trace, cost_files=[file(tmp_path, text)]), "my::op")
    assert (found.verdict, found.reason) == ("unmodelled", reason)


def test_what_a_formula_lacks_is_its_reason(trace: Path, tmp_path: Path) -> None:
    text = FILE.partition("    return")[0] + '    raise Missing("data_dependent", "rows are data", 4, 4)\n'
    found = row(traceanalyzer.analyze(trace, cost_files=[file(tmp_path, text)]), "my::op")
    assert (found.reason, found.note, found.read_bytes) == ("data_dependent", "rows are data", 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ndef broken(:\n", "costs.py:2: SyntaxError"),
        ("\n\nimport sys\nsys.exit(3)\n", "costs.py:4: SystemExit: 3"),
        ("raise ValueError('one\\n\\n  two')\n", "costs.py:1: ValueError: one two"),
        ("def f():\n    return {}['x']\n\n\nf()\n", "costs.py:2: KeyError: 'x'"),
        ("import json\n\njson.loads('{')\n", "costs.py:3: JSONDecodeError"),
        ("import not_there_at_all\n", "costs.py:1: ModuleNotFoundError"),
        ("x = 1\n\nimport beside_and_broken\n", "costs.py:3: SyntaxError"),
        ("x = '\0'\n", "costs.py"),
        ("x = 1\ny = x / 0\n", "costs.py:2: ZeroDivisionError"),
        ("x = 1\n", "defines no formula"),
        (FILE.replace("Assumes", "Takes"), "its docstring lacks `Assumes`"),
        (FILE.replace('"my::op", "my::other_*"', ""), "it names no operator"),
        (FILE.replace('"my::op", "my::other_*"', "5"), "it names no operator"),
        (FILE.replace('("my::op", "my::other_*")', ""), "defines no formula"),
        (FILE.replace('"my::other_*"', 'fusible="elements"'), "fusible is 'elements'"),
        ("x = 1\nraise SystemExit(3)\n", "costs.py:2: SystemExit: 3"),
        ("x = '\0'\n", "costs.py: SyntaxError"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line(
    text: str, words: str, trace: Path, tmp_path: Path
) -> None:
    (tmp_path / "beside_and_broken.py").write_text("1\n2\n3\n4\nx = (\n")
    with pytest.raises(UsageError, match="Fix: ") as refused:
        traceanalyzer.analyze(trace, options=AnalyzeOptions(cost_files=(file(tmp_path, text),)))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_the_command_line_takes_files_and_refuses_missing_ones(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    given = ["report", str(trace), "-o", str(out), "--cost-file", file(tmp_path, FILE)]
    assert CliRunner().invoke(main, given).exit_code == 0
    assert '"flops": 117440512' in out.read_text()
    missing = CliRunner().invoke(main, ["report", str(trace), "--cost-file", str(tmp_path / "no.py")])
    assert missing.exit_code == 2 and "no.py: cannot be read" in missing.stderr
    explained = CliRunner().invoke(main, ["explain", "my::op", "--cost-file", str(tmp_path / "costs.py")])
    assert "FLOPs = 7 an element" in explained.stdout


def test_the_formula_in_the_readme_works(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = (b for b in text.split("```python\n")[1:] if "op_cost" in b.split("```")[0])
    t = Kineto()
    t.run("mylib::gate", 0, "gate_kernel", 100, 100, ([N], "float"), ([N], "float"))
    costs = file(tmp_path, block.split("```")[0])
    given = traceanalyzer.analyze(t.write(tmp_path / "t.json"), cost_files=[costs])
    found = row(given, "mylib::gate")
    assert (found.flops, found.read_bytes, found.write_bytes) == (4 * N, 8 * N, 4 * N)
