"""Reports from Python are those of the command line; an Analysis is a value that can be sent elsewhere."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.pipeline.kineto import Kineto
from tests.report import example
from traceanalyzer import AnalyzeOptions, UsageError
from traceanalyzer.cli import main
from traceanalyzer.report import RENDERERS, render

SAMPLE = Path(__file__).parents[2] / "sample_traces" / "gpt_eager_cpu.json.gz"


@pytest.fixture(scope="module")
def analysis() -> traceanalyzer.Job:
    return traceanalyzer.analyze(SAMPLE)


@pytest.mark.parametrize("name", RENDERERS)
def test_python_writes_what_the_command_line_does(
    name: str, analysis: traceanalyzer.Job, tmp_path: Path
) -> None:
    analysis.save(tmp_path / f"python.{name}")
    command = tmp_path / f"command.{name}"
    assert CliRunner().invoke(main, ["report", str(SAMPLE), "-q", "-o", str(command)]).exit_code == 0
    assert (tmp_path / f"python.{name}").read_bytes() == command.read_bytes()


def test_texts_are_the_formats(analysis: traceanalyzer.Job) -> None:
    assert analysis.to_html() == render(analysis, "html")
    assert analysis.to_markdown() == render(analysis, "md")


@pytest.mark.parametrize(("suffix", "name"), [("htm", "html"), ("HTML", "html"), ("markdown", "md")])
def test_a_suffix_has_its_other_spellings(
    suffix: str, name: str, analysis: traceanalyzer.Job, tmp_path: Path
) -> None:
    analysis.save(str(tmp_path / f"r.{suffix}"))
    assert (tmp_path / f"r.{suffix}").read_text(encoding="utf-8") == render(analysis, name)


def test_save_refuses_in_one_line(analysis: traceanalyzer.Job, tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("mine")
    for path, word in [
        ("mine.md", "force=True"), ("report.docx", ".html"), ("none", ".html"),
        ("no/such/r.md", "folder"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=r".+: .+ Fix: ") as refused:
            analysis.save(tmp_path / path)
        assert word in str(refused.value) and "\n" not in str(refused.value)
    assert (tmp_path / "mine.md").read_text() == "mine"
    analysis.save(tmp_path / "mine.md", force=True)
    assert (tmp_path / "mine.md").read_text(encoding="utf-8") == render(analysis, "md")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.md"], "no temporary file is left"


@pytest.mark.parametrize("name", ["mine.md", "report.docx", "none", "no/such/r.md", "folder.html"])
def test_the_command_line_refuses_in_the_same_words(
    name: str, analysis: traceanalyzer.Job, tmp_path: Path
) -> None:
    (tmp_path / "mine.md").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError) as refused:
        analysis.save(tmp_path / name)
    said = CliRunner().invoke(main, ["report", str(SAMPLE), "-o", str(tmp_path / name)])
    assert said.exit_code == 2
    assert said.stderr.startswith(f"traceanalyze: {refused.value.what}. Fix: ")


def test_an_analysis_is_a_value(analysis: traceanalyzer.Job) -> None:
    again = traceanalyzer.analyze(SAMPLE)
    assert analysis == again and analysis.kernels.equals(again.kernels)
    assert analysis != traceanalyzer.analyze(SAMPLE, steps="all")
    with pytest.raises(AttributeError):
        analysis.ranks = ()  # type: ignore[misc]


def two_ranks(tmp_path: Path) -> traceanalyzer.Job:
    for rank, time in ((0, 100), (1, 300)):
        t = Kineto()
        t.run("aten::add", 0, "add_kernel", 100, time, ([4096], "float"), ([4096], "float"))
        t.write(tmp_path / f"rank{rank}.trace.json")
    return traceanalyzer.analyze(tmp_path)


def test_jobs_are_equal_where_their_ranks_are_too(tmp_path: Path) -> None:
    job = two_ranks(tmp_path)
    assert job.ranks is not None and len(job.ranks) == 2
    assert job == two_ranks(tmp_path)
    alone = traceanalyzer.analyze(tmp_path / "rank1.trace.json")
    assert alone.ranks is None and alone != job
    assert alone == traceanalyzer.Job.of(job)
    assert traceanalyzer.Job.of(job, job.ranks, job=job.job) == job


def test_kernels_survive_a_copy_and_a_pickle(analysis: traceanalyzer.Job) -> None:
    for twin in (copy.copy(analysis), copy.deepcopy(analysis), traceanalyzer.Job.of(analysis)):
        assert twin == analysis and twin.kernels.equals(analysis.kernels)
    assert traceanalyzer.analyze(SAMPLE, options=AnalyzeOptions(kernels=False)).kernels.empty


def pickled(tmp_path: Path) -> list[traceanalyzer.Analysis]:
    job = two_ranks(tmp_path)
    plain = traceanalyzer.Analysis(
        **{name: getattr(job, name) for name in traceanalyzer.Analysis.__struct_fields__}
    )
    job.save(tmp_path / "saved.json")
    return [job, plain, traceanalyzer.analyze(tmp_path / "saved.json"), example.of_ranks()]


def test_pickling_keeps_all_of_an_analysis_and_of_a_job(tmp_path: Path) -> None:
    for one in pickled(tmp_path):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            twin = pickle.loads(pickle.dumps(one, protocol))
            assert type(twin) is type(one) and twin == one
            assert twin.kernels.equals(one.kernels) and twin.ops.equals(one.ops)
            assert twin.to_markdown() == one.to_markdown()


def test_the_readme_s_python_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = text.partition("## In Python")[2].partition("```python\n")[2].partition("```")[0]
    t = Kineto()
    t.run("aten::add", 0, "add_kernel", 100, 300, ([4096], "float"), ([4096], "float"))
    t.write(tmp_path / "trace.json.gz")
    monkeypatch.chdir(tmp_path)
    names: dict[str, traceanalyzer.Job] = {}
    exec(block, names)
    assert (tmp_path / "report.html").is_file()
    assert [other.device for other in names["again"].what_if or ()] == ["NVIDIA B200", "NVIDIA H200"]
    assert names["again"].kernels.empty and len(names["analysis"].kernels) == 1


def test_a_frame_that_was_built_is_not_pickled_twice(analysis: traceanalyzer.Job) -> None:
    before = len(pickle.dumps(traceanalyzer.analyze(SAMPLE)))
    analysis.ops  # noqa: B018 - built on first access
    analysis.kernels  # noqa: B018
    assert len(pickle.dumps(analysis)) == before
