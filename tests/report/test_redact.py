"""A redacted report shows no absolute path, user or host that stands in the input, in any format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.kineto import Kineto
from tests.report import example
from traceanalyzer.cli import main
from traceanalyzer.cost import FORMULAS
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.records import (
    FormulaText,
    Job,
    KernelTable,
    Notice,
    RankEntry,
    RuleCheck,
    SourceFile,
    Suggestion,
    Tool,
)
from traceanalyzer.report import RENDERERS, redacted, render

USER, HOST, FOLDER = "qzalice", "qznode-17", "qzsecret"
FILE = "kept_name.py"

PATHS = st.sampled_from([
    f"/home/{USER}/{FOLDER}/{FILE}", f"/Users/{USER}/{FOLDER}/{FILE}", f"/mnt/{FOLDER}/{USER}/{FILE}",
    f"C:\\Users\\{USER}\\{FOLDER}\\{FILE}", f"d:/{FOLDER}/{USER}/{FILE}", f"\\\\{FOLDER}\\{USER}\\{FILE}",
    f"~/{FOLDER}/{FILE}", f"~{USER}/{FOLDER}/{FILE}", f"/{FOLDER}/dt=2024-01-01/{USER}/{FILE}",
    f"file:///home/{USER}/{FOLDER}/{FILE}", f"file://{HOST}/home/{USER}/{FILE}",
    f"/{FOLDER}/{HOST}_4211.1718.pt.trace.json", f"/data/home/{USER}/.cache/{FOLDER}/{FILE}",
])  # fmt: skip
AROUND = st.sampled_from([
    ("", ""), ("at ", ":12"), ("--log=", " --x 1"), ("'", "'"), ('open("', '")'), ("(", ")"), ("[", "]"),
    (f"{USER}@{HOST}:", ""), (f"{HOST}:", ""), ("train.py -d", " -x"), ("a:", ";b"),
    (f"{USER} ", f" on {HOST}"), (f"x_{USER}_y ", f" {HOST}-0"), ("`", "`"), ("<", ">"), ("one, ", ", two"),
])  # fmt: skip
TEXTS = st.builds(lambda path, around: around[0] + path + around[1], PATHS, AROUND)


def filled(value: Any, text: str) -> Any:
    """`value` with `text` behind every free text in it, also in parts that are new to this test."""
    if isinstance(value, tuple):
        return tuple(filled(item, text) for item in value)
    if not isinstance(value, msgspec.Struct):
        return value
    changes = {}
    for field in msgspec.structs.fields(type(value)):
        before = getattr(value, field.name)
        plain = str in (field.type, *getattr(field.type, "__args__", ()))
        if isinstance(before, str) and plain and (type(value), field.name) not in FIXED:
            changes[field.name] = f"{before} {text}".strip()
        elif field.type == tuple[str, ...]:
            changes[field.name] = (*before, text)
        elif isinstance(before, msgspec.Struct | tuple) and before and not plain:
            changes[field.name] = filled(before, text)
    return msgspec.structs.replace(value, **changes)


FIXED = {(Job, "schema_version"), (Notice, "code"), (Suggestion, "rule"), (Suggestion, "docs"),
         (RuleCheck, "rule"), (Tool, "name"), (Tool, "version")}  # fmt: skip


def private(text: str) -> Job:
    """The names are in the file's path and in a command; `text` is everywhere."""
    job = example.with_suggestions()
    job = msgspec.structs.replace(
        job, ranks=example.of_ranks().ranks,
        formulas=(FormulaText("my::op", "y = f(x)", f"/mnt/{FOLDER}/c.py:3"),),
    )  # fmt: skip
    job = filled(job, text)
    assert job.recording is not None
    command = f"train.py --to {USER}@{HOST}:/x --home /home/{USER}/{FOLDER}/x"
    return msgspec.structs.replace(
        job,
        kernel_table=table(job, text),
        recording=msgspec.structs.replace(job.recording, command=command),
    )


def table(job: Job, text: str) -> KernelTable:
    numbers = np.arange(2)
    return KernelTable(["a", text], job.op_rows, *[numbers] * 8)  # type: ignore[arg-type]


def hidden(text: str) -> list[str]:
    """What of the input still stands in `text`."""
    words = (USER, HOST, FOLDER, "/home/", "/Users/", "/mnt/", "\\Users")
    return [word for word in words if word in text or word.replace("\\", "\\\\") in text]


@settings(max_examples=150)
@given(TEXTS)
def test_no_text_of_an_analysis_shows_a_path_a_user_or_a_host(text: str) -> None:
    shown = redacted(private(text))
    assert not hidden(render(shown, "json"))
    assert not hidden("\n".join(shown.kernels["name"])) and len(shown.kernels) == 2
    assert not hidden(repr(shown))


@pytest.mark.parametrize("format_name", RENDERERS)
def test_no_format_shows_one(format_name: str) -> None:
    text = f"at /home/{USER}/{FOLDER}/{FILE}:3 by {USER} on {HOST}"
    assert hidden(render(private(text), format_name)), "the report has something to hide"
    assert not hidden(render(redacted(private(text)), format_name))


def test_figures_and_own_words_stay() -> None:
    before = private(f"/home/{USER}/x")
    after = redacted(before)
    assert after.memory_bound == before.memory_bound and after.verdicts == before.verdicts
    assert [row.attributed_ns for row in after.op_rows] == [row.attributed_ns for row in before.op_rows]
    assert [s.rule for s in after.suggestions or ()] == [s.rule for s in before.suggestions or ()]
    assert [s.docs for s in after.suggestions or ()] == [s.docs for s in before.suggestions or ()]
    assert after.kernels["time_ns"].tolist() == [0, 1]
    assert redacted(after) == after, "there is nothing left to hide"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see /data/runs/x.py:12", "see x.py:12"),
        ("--data /data", "--data data"),
        ("cd / && ls", "cd / && ls"),
        ("PATH=/usr/bin:/opt/bin", "PATH=bin:bin"),
        ("file:///tmp/x.json", "x.json"),
        ("'/mnt/my disk/run 1/x.json' is cut", "'x.json' is cut"),
        ("s3://bucket/runs/x.json", "s3://bucket/runs/x.json"),
        ("aten/src/ATen/native/cuda/Loops.cuh", "aten/src/ATen/native/cuda/Loops.cuh"),
        ("FLOPs = 2*m*n/k, (a+b)/n/m, x[0]/n", "FLOPs = 2*m*n/k, (a+b)/n/m, x[0]/n"),
        ("read/write, and/or, N/A, 1/2/3, a / b", "read/write, and/or, N/A, 1/2/3, a / b"),
        ("C = A@B", "C = A@B"),
        ("[pg::0/1]", "[pg::0/1]"),
        ("<b>x</b>, </mnt/x/a.py>", "<b>x</b>, <a.py>"),
    ],
)
def test_what_is_a_path(text: str, shown: str) -> None:
    job = example.analysis_of(example.training_rows(), recording=None)
    job = msgspec.structs.replace(job, formulas=(FormulaText("my::op", text, "torch"),))
    assert redacted(job).formulas[0].text == shown


def test_texts_of_our_own_stay_as_they_are() -> None:
    formulas = tuple(FormulaText(f.name, f.doc, f.source) for f in FORMULAS.values())
    assert len(formulas) > 300
    rules = [text for r in RULES for text in (r.doc, r.title, r.action, r.snippet, *r.caveats)]
    notices = tuple(Notice("x", text) for text in rules)
    job = example.analysis_of(example.training_rows(), recording=None, formulas=formulas)
    job = msgspec.structs.replace(job, source=msgspec.structs.replace(job.source, warnings=notices))
    assert redacted(job).formulas == formulas and redacted(job).source.warnings == notices


def test_a_path_with_spaces_is_known_wherever_it_stands() -> None:
    path = f"/mnt/{FOLDER} of {USER}/t.json"
    job = example.example_analysis()
    file: SourceFile = msgspec.structs.replace(job.source.files[0], path=path)
    source = msgspec.structs.replace(job.source, files=(file,), warnings=(Notice("x", f"{path} is cut"),))
    shown = redacted(msgspec.structs.replace(job, source=source))
    assert shown.source.files[0].path == "t.json" and shown.source.warnings[0].message == "t.json is cut"


def test_an_account_of_an_image_is_no_name() -> None:
    job = example.with_suggestions()
    file: SourceFile = msgspec.structs.replace(job.source.files[0], path="/home/torch/t.json")
    job = msgspec.structs.replace(
        job, source=msgspec.structs.replace(job.source, files=(file,)), recording=None
    )
    assert redacted(job).suggestions == job.suggestions
    assert redacted(job).source.files[0].path == "t.json"


def test_the_key_in_a_url_is_no_part_of_a_file_s_name() -> None:
    job = example.of_ranks()
    ranks: tuple[RankEntry, ...] = job.ranks or ()
    url = "https://store.example/runs/t.json?signature=qzkey"
    job = msgspec.structs.replace(job, ranks=(msgspec.structs.replace(ranks[0], file=url), *ranks[1:]))
    assert redacted(job).ranks[0].file == "t.json"  # type: ignore[index]


COSTS = '''
import traceanalyzer
from traceanalyzer.formulas import Cost


@traceanalyzer.op_cost("my::op")
def mine(call):
    """y = f(x)

    FLOPs = 3
    Bytes = 4 read, 5 written
    Assumes nothing of {folder}/table.csv.
    """
    return Cost(3, 4, 5)


@traceanalyzer.op_cost("my::broken")
def broken(call):
    """y = f(x)

    FLOPs = 3
    Bytes = 4 read, 5 written
    Assumes nothing.
    """
    raise OSError(2, "no table", __file__)
'''


def test_the_command_line_hides_what_a_trace_and_its_cost_file_hold(tmp_path: Path) -> None:
    home = tmp_path / "home" / USER / FOLDER
    home.mkdir(parents=True)
    costs = home / "costs.py"
    costs.write_text(COSTS.format(folder=home))
    t = Kineto()
    for i, name in enumerate(["my::op", "my::broken", f"{home}/op.py(3): forward", f"mod_{USER}::op"]):
        t.run(name, 100 * i, f"{home}/{name}.cu", 1000 * i, 500, ([1 << 20], "float"))
    t.annotation(f"nn.Module: {USER}.block", 0, 5)
    trace = t.write(home / f"{HOST}_4211.1718.pt.trace.json")
    t.write(home / "eager.json")
    outputs = [tmp_path / f"r.{name}" for name in RENDERERS]
    given = ["report", str(trace), "--cost-file", str(costs), "--capture", str(home / "eager.json"), "-q"]
    given += [word for path in outputs for word in ("-o", str(path))]
    assert CliRunner().invoke(main, given).exit_code == 0
    before = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert hidden(json.dumps(before)) and [one["op"] for one in before["formulas"]] == ["my::op"]
    said = CliRunner().invoke(main, [*given, "--redact", "--force"])
    assert said.exit_code == 0 and not hidden(said.stderr)
    for path in outputs:
        text = path.read_text(encoding="utf-8")
        assert str(tmp_path) not in text and not hidden(text), path.name
    again = [*["report", str(tmp_path / "r.json"), "-o", str(tmp_path / "again.html")], "--redact", "-q"]
    assert CliRunner().invoke(main, again).exit_code == 0
