"""Parquet: what DuckDB and pandas read is the report, row by row, and the docs name every column."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import duckdb
import msgspec
import pandas as pd
import pyarrow.parquet
import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.project.tree import ROOT
from tests.report import example
from traceanalyzer import AnalyzeOptions, UsageError
from traceanalyzer.cli import main
from traceanalyzer.records import Job, OpRow
from traceanalyzer.report import content, redacted

SAMPLE = ROOT / "sample_traces" / "gpt_eager_cpu.json.gz"
DOCS = (ROOT / "docs" / "parquet.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def job() -> Job:
    return traceanalyzer.analyze(SAMPLE)


@pytest.fixture(scope="module")
def folder(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    job.save(folder / "a.ops.parquet")
    job.save(folder / "a.kernels.parquet")
    return folder


def told(analysis: Job, folder: Path) -> list[dict[str, object]]:
    """The lines of its ops, as they are read back."""
    (folder / "t.parquet").write_bytes(bytes(content(analysis, "parquet")))  # type: ignore[arg-type]
    lines: list[dict[str, object]] = pyarrow.parquet.read_table(folder / "t.parquet").to_pylist()
    return lines


@pytest.mark.parametrize("name", example.EVERY_CASE)
def test_every_row_is_told_whole(name: str, tmp_path: Path) -> None:
    analysis = example.EVERY_CASE[name]()
    lines = told(analysis, tmp_path)
    assert len(lines) == len(analysis.op_rows)
    for place, (line, row) in enumerate(zip(lines, analysis.op_rows, strict=True)):
        assert line["row"] == place
        assert (line["file"], line["rank"]) == (analysis.source.files[0].path, analysis.source.files[0].rank)
        for field in msgspec.structs.fields(OpRow):
            stored, value = line[field.name], json.loads(msgspec.json.encode(getattr(row, field.name)))
            if field.name in ("input_dims", "input_strides") and value is not None:
                stored = json.loads(str(stored))
            assert stored == value, field.name


def test_a_size_that_no_column_holds_is_not_known(tmp_path: Path) -> None:
    (row, *_) = example.example_analysis().op_rows
    rows = [msgspec.structs.replace(row, flops=flops) for flops in (2**63 - 1, 2**63, -(2**63) - 1, None)]
    lines = told(example.analysis_of(rows), tmp_path)
    assert [line["flops"] for line in lines] == [2**63 - 1, None, None, None]


def test_a_redacted_table_has_no_folder(tmp_path: Path) -> None:
    analysis = example.example_analysis()
    file = msgspec.structs.replace(analysis.source.files[0], path="/home/alice/runs/step.json")
    private = msgspec.structs.replace(
        analysis, source=msgspec.structs.replace(analysis.source, files=(file,))
    )
    assert {line["file"] for line in told(redacted(private), tmp_path)} == {"step.json"}


def test_both_tables_add_up_to_busy_time_and_are_joined(folder: Path, job: Job) -> None:
    ops, kernels = f"'{folder}/a.ops.parquet'", f"'{folder}/a.kernels.parquet'"
    for table in (ops, kernels):
        (sums,) = duckdb.sql(f"SELECT sum(attributed_ns), min(busy_ns), max(busy_ns) FROM {table}").fetchall()
        assert sums == (job.time.busy_ns,) * 3
    joined = duckdb.sql(
        f"SELECT o.row, o.attributed_ns, sum(k.attributed_ns), o.kernels, count(*) FROM {kernels} k "
        f"JOIN {ops} o USING (file, device_index, row) GROUP BY ALL"
    ).fetchall()
    assert len(joined) == len(job.op_rows)
    assert all(of_op == of_kernels and count == counted for _, of_op, of_kernels, count, counted in joined)


def test_the_kernels_are_those_of_the_data_frame(folder: Path, job: Job) -> None:
    read, frame = pd.read_parquet(folder / "a.kernels.parquet", dtype_backend="pyarrow"), job.kernels
    assert list(read.columns)[-len(frame.columns) :] == list(frame.columns)
    for column in frame.columns:
        expected = [None if value == -1 else value for value in frame[column].tolist()]
        if column == "phase":
            expected = [value if isinstance(value, str) else None for value in frame[column].tolist()]
        assert read[column].to_numpy(object, na_value=None).tolist() == expected, column


def documented(heading: str) -> dict[str, tuple[str, bool]]:
    """Column -> its type and whether it can be null, by the docs."""
    section = DOCS.split("### ")[["Of both", "Ops", "Kernels"].index(heading) + 1]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \| (.+) \|$", section, re.MULTILINE)
    return {name: (kind, null != "–") for name, kind, null in rows}


@pytest.mark.parametrize(("suffix", "heading"), [("ops", "Ops"), ("kernels", "Kernels")])
def test_the_docs_name_every_column_with_its_type(suffix: str, heading: str, folder: Path) -> None:
    schema = pyarrow.parquet.read_schema(folder / f"a.{suffix}.parquet")
    said = documented("Of both") | documented(heading)
    assert list(schema.names) == list(said)
    for field in schema:
        kind, null = said[field.name]
        spelled = re.sub(r"list<(?:element|item): (.+)>", r"list of \1", str(field.type))
        fields = re.search(r"struct<(.+)>", spelled)
        if fields:
            spelled = f"list of struct ({fields[1].replace(': ', ' ')})"
        assert (spelled.replace(" not null", ""), field.nullable) == (kind, null), field.name


def test_the_queries_of_the_docs_run(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"```sql\n(.*?)```", DOCS, re.DOTALL)
    queries = [query.replace("h100-sxm5", "cpu") for query in text.split(";") if query.strip()]
    assert len(queries) == 2 and all(duckdb.sql(query).fetchall() for query in queries)


def test_many_runs_are_one_table(folder: Path, job: Job, tmp_path: Path) -> None:
    """Files of runs with and without steps, shapes and devices have one schema."""
    for name, case in example.EVERY_CASE.items():
        (tmp_path / f"{name}.parquet").write_bytes(bytes(content(case(), "parquet")))  # type: ignore[arg-type]
    (count,) = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/*.parquet'").fetchall()
    assert count == (sum(len(case().op_rows) for case in example.EVERY_CASE.values()),)
    schemas = {str(pyarrow.parquet.read_schema(path)) for path in tmp_path.iterdir()}
    assert len(schemas) == 1


def test_the_command_line_writes_them(folder: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("x.ops.parquet", "kernels.parquet")]
    given = ["report", str(SAMPLE), "-q", *(word for path in outputs for word in ("-o", str(path)))]
    assert CliRunner().invoke(main, given).exit_code == 0
    for path, same in zip(outputs, ("a.ops.parquet", "a.kernels.parquet"), strict=True):
        assert path.read_bytes() == (folder / same).read_bytes()
    piped = CliRunner().invoke(main, ["report", str(SAMPLE), "-q", "-o", "-", "--format", "parquet"])
    assert piped.stdout_bytes == outputs[0].read_bytes()
    named = [*given[:3], "-o", str(outputs[1]), "--format", "parquet", "--force"]
    assert CliRunner().invoke(main, named).exit_code == 0
    assert outputs[1].read_bytes() == (folder / "a.kernels.parquet").read_bytes()


def test_what_holds_no_kernels_is_refused(job: Job, tmp_path: Path) -> None:
    saved, wanted = tmp_path / "r.json", tmp_path / "kernels.parquet"
    job.save(saved)
    said = CliRunner().invoke(main, ["report", str(saved), "-o", str(tmp_path / "r.md"), "-o", str(wanted)])
    assert said.exit_code == 2 and "give the trace itself" in said.stderr and said.stderr.count("\n") == 1
    assert not wanted.exists() and not (tmp_path / "r.md").exists()
    with pytest.raises(UsageError, match="kernels=True"):
        traceanalyzer.analyze(SAMPLE, options=AnalyzeOptions(kernels=False)).save(wanted)
    traceanalyzer.analyze(saved).save(tmp_path / "again.parquet")
    assert pyarrow.parquet.read_metadata(tmp_path / "again.parquet").num_rows == len(job.op_rows)


@pytest.mark.parametrize("name", ["ops.parquet", "kernels.parquet"])
def test_without_pyarrow_no_trace_is_read(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setattr("traceanalyzer.analyzing.analyze", lambda *_, **__: pytest.fail("was read"))
    said = CliRunner().invoke(main, ["report", str(SAMPLE), "-o", str(tmp_path / name)])
    assert said.exit_code == 2 and said.stderr.count("\n") == 1
    assert "pip install 'torch-traceanalyzer[parquet]'" in said.stderr


def test_a_comparison_has_no_such_table(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["diff", "no.json", "such.json", "-o", str(tmp_path / "d.parquet")])
    assert said.exit_code == 2 and "no format 'parquet'" in said.stderr
