"""The steps of action.yml, with files and an API in the place of GitHub's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec import structs

from tests.ci.platform import Answer, Platform
from tests.comparison.sides import product, row, run, with_steps
from tests.project.tree import ROOT
from traceanalyzer.ci.job import finish, report
from traceanalyzer.ci.workflow import add_summary, annotation, log_line, set_outputs
from traceanalyzer.report import read_back
from traceanalyzer.report.comment_marker import comment_marker

N = (64, 64)
HOSTILE = "aten::x\n::set-output name=a::b ##[add-mask]@all #1 |`x`<script>"


@dataclass
class Job:
    """One job: what its steps write, and what the log says."""

    environment: dict[str, str]
    log: list[str] = field(default_factory=list)

    def run(self, **inputs: str) -> int:
        """The code of the first step that fails, else of the last."""
        given = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
        first = report({**self.environment, **given}, self.log.append)
        if first:
            return first
        outputs = self.outputs
        paths = {"COMMENT_PATH": outputs.get("comment-path", ""), "EXIT_CODE": outputs.get("exit-code", ""),
                 "PAGE_URL": "https://example.com/artifacts/1", "COMPARISON_URL": ""}  # fmt: skip
        return finish({**self.environment, **given, **paths}, self.log.append)

    @property
    def outputs(self) -> dict[str, str]:
        lines = Path(self.environment["GITHUB_OUTPUT"]).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def summary(self) -> str:
        return Path(self.environment["GITHUB_STEP_SUMMARY"]).read_text()


@pytest.fixture
def job(tmp_path: Path, platform: Platform, pull_request: str) -> Job:
    files = {name: tmp_path / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.touch()
    more = {name: str(path) for name, path in files.items()} | {"RUNNER_TEMP": str(tmp_path / "runner")}
    return Job(platform.github(pull_request, **more))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The base, and a head that is a third slower for one operator of a hostile name."""
    folder = tmp_path_factory.mktemp("saved")
    matmul = product("mm", 9_000_000, N, N)
    sides = {
        "base": with_steps(run(matmul, row("mul", 900_000, N)), [3_400_000] * 3),
        "head": with_steps(
            run(matmul, structs.replace(row("x", 6_300_000, N), name=HOSTILE)), [5_200_000] * 3
        ),
    }
    for name, side in sides.items():
        side.save(folder / f"{name}.json")
    return {name: str(folder / f"{name}.json") for name in sides}


def test_without_a_baseline(job: Job, saved: dict[str, str], platform: Platform) -> None:
    assert job.run(trace=saved["base"]) == 0
    outputs = job.outputs
    assert outputs["regression"] == "unknown" and outputs["exit-code"] == "0"
    page = Path(outputs["report-path"])
    assert page.name == "traceanalyze.html" and page.read_text().startswith("<!DOCTYPE html>")
    beside = read_back(page.with_suffix(".json").read_bytes())
    assert float(outputs["memory-bound-share"]) == beside.memory_bound.share_of_busy
    assert page.with_suffix(".prom").read_text().endswith("# EOF\n")
    assert "[The report](https://example.com/artifacts/1)" in platform.bodies[0]
    assert job.summary.strip() == platform.bodies[0].strip()
    assert job.log == ["traceanalyze: comment created"]


def test_a_slower_step_is_a_warning_and_breaks_only_what_is_required(
    job: Job, saved: dict[str, str], platform: Platform
) -> None:
    assert job.run(trace=saved["head"], baseline=saved["base"], artifact_name="gpt") == 0
    assert job.outputs["regression"] == "true"
    assert Path(job.outputs["comparison-path"]).name == "gpt-diff.html"
    assert platform.bodies[0].startswith("### The step under the profiler is 1.8 ms (52.9 %) slower")
    assert sum(line.startswith("::warning") for line in job.log) == 1
    require = "window.step_ns.median<=+5%\n\n  coverage.modelled_share>=0 \n"
    asked = {"trace": saved["head"], "baseline": saved["base"], "artifact_name": "gpt", "require": require}
    assert job.run(**asked) == 3
    assert len(platform.comments) == 1 and "**broken**: window.step" in platform.bodies[0].replace("\\", "")
    assert any(line.startswith("::error title=broken::window.step_ns.median is") for line in job.log)
    assert job.run(**asked | {"trace": saved["base"]}) == 0
    assert job.outputs["regression"] == "false"


def test_several_lines_and_patterns_are_several_runs(
    job: Job, saved: dict[str, str], platform: Platform, tmp_path: Path
) -> None:
    for number, length in enumerate((3_300_000, 3_400_000, 3_500_000)):
        rows = product("mm", 9_000_000, N, N), row("mul", 900_000, N)
        side = with_steps(run(*rows, idle_ns=3 * length - 9_900_000), [length] * 3)
        side.save(tmp_path / f"run{number}.json")
    asked = {"trace": f"{tmp_path}/run*.json", "require": "window.step_ns.median<=3.4ms"}
    assert job.run(**asked) == 0 and any("first of 3 runs" in line for line in job.log)
    kept = Path(job.outputs["runs-path"])
    assert [path.name for path in sorted(kept.iterdir())] == ["1.json", "2.json", "3.json"]
    baseline = kept.rename(tmp_path / "baseline")
    again = {"trace": f"{saved['head']}\n{saved['base']}", "baseline": str(baseline)}
    assert job.run(**again) == 0
    assert "3 runs" in platform.bodies[0] and "2 runs" in platform.bodies[0]
    assert job.run(**again | {"baseline": f"{tmp_path}/run0.json\n{tmp_path}/run2.json"}) == 0
    assert platform.bodies[0].count("2 runs") == 2
    assert job.run(trace=f"{saved['head']}\n{saved['head']}") == 0, "one run, written twice"


def test_nothing_is_said_of_a_share_that_is_not_known(job: Job, tmp_path: Path) -> None:
    side = run(row("mul", 900_000, N, verdict="unmodelled", bound=None, reason="no_device"))
    side.save(tmp_path / "run.json")
    assert job.run(trace=str(tmp_path / "run.json")) == 0
    assert job.outputs["memory-bound-share"] == ""


def test_names_of_a_trace_are_no_commands(job: Job, saved: dict[str, str], platform: Platform) -> None:
    job.run(trace=saved["head"], baseline=saved["base"])
    for line in job.log:
        assert "\n" not in line and ("##[" not in line or line.startswith("::"))
        assert line.startswith(("traceanalyze: ", "::warning title=traceanalyze::"))
    first, *rest = platform.bodies[0].splitlines()
    assert "`aten::x" in first and rest[-1] == comment_marker("traceanalyze")
    outputs = Path(job.environment["GITHUB_OUTPUT"]).read_text()
    assert set(job.outputs) == {"report-path", "comment-path", "runs-path", "memory-bound-share",
                                "regression", "exit-code", "comparison-path"}, outputs  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"trace": "missing.json"}, "missing.json"), ({"trace": "EMPTY"}, "EMPTY"),
        ({"trace": "OTHER"}, "schema version is 9.0"),
    ],
)  # fmt: skip
def test_a_trace_that_cannot_be_read_fails_only_where_something_is_required(
    inputs: dict[str, str], said: str, job: Job, tmp_path: Path
) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "OTHER").write_text('{"schema_version": "9.0", "tool": {}}')
    trace = str(tmp_path / inputs["trace"])
    assert job.run(trace=trace) == 0
    assert job.run(trace=trace, require="coverage.modelled_share>=0.9") == 2
    assert [line.split(" ")[0] for line in job.log] == ["::warning", "::error"]
    assert all(said in line for line in job.log) and job.outputs == {}


@pytest.mark.parametrize("content", [None, "", "{}", '{"schema_version": "9.0", "tool": {}}'])
def test_a_baseline_that_is_none_is_a_warning(
    content: str | None, job: Job, saved: dict[str, str], tmp_path: Path, platform: Platform
) -> None:
    if content is not None:
        (tmp_path / "main.json").write_text(content)
    require = "window.step_ns.median<=+5%\nmemory_bound.share_of_busy<=1"
    assert job.run(trace=saved["head"], baseline=str(tmp_path / "main.json"), require=require) == 0
    warnings = [line for line in job.log if line.startswith("::warning")]
    assert len(warnings) == 2 and "main.json" in warnings[0] and "without a baseline" in warnings[1]
    assert job.outputs["regression"] == "unknown" and len(platform.comments) == 1


@pytest.mark.parametrize(
    "inputs",
    [{"require": "memory_bound.share_of_bizy<=0.5"}, {"require": "rm -rf"}, {"comment": "perhaps"},
     {"artifact_name": "../x"}, {"trace": ""}],
)  # fmt: skip
def test_wrong_inputs_are_one_line(inputs: dict[str, str], job: Job, saved: dict[str, str]) -> None:
    environment = {**os.environ, **job.environment, "PYTHONPATH": str(ROOT)}
    given = {f"INPUT_{k.upper()}": v for k, v in ({"trace": saved["base"]} | inputs).items()}
    done = subprocess.run([sys.executable, "-P", "-m", "traceanalyzer.ci", "report"], capture_output=True,
                          text=True, check=False, env=environment | given)  # fmt: skip
    assert done.returncode == 2 and done.stderr == ""
    assert done.stdout.startswith("::error ") and done.stdout.count("\n") == 1
    assert "share_of_busy" in done.stdout or "require" not in inputs or "NAME<=LIMIT" in done.stdout


@pytest.mark.parametrize(("comment", "code", "comments"), [("auto", 0, 0), ("always", 2, 0), ("never", 0, 0)])
def test_a_refusal_fails_only_what_always_comments(
    comment: str, code: int, comments: int, job: Job, saved: dict[str, str], platform: Platform
) -> None:
    platform.answers = [Answer(403, message="Resource not accessible by integration", method="POST")]
    assert job.run(trace=saved["base"], comment=comment) == code
    assert len(platform.comments) == comments and job.summary
    assert len(platform.asked) == (0 if comment == "never" else 3)


def test_a_run_of_a_branch_does_not_comment(
    job: Job, saved: dict[str, str], platform: Platform, tmp_path: Path
) -> None:
    Path(job.environment["GITHUB_EVENT_PATH"]).write_text(json.dumps({"ref": "refs/heads/main"}))
    assert job.run(trace=saved["base"], comment="always") == 0
    assert platform.asked == [] and "no open pull request" in job.log[-1]


def test_a_summary_is_never_too_long(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    environment = {"GITHUB_STEP_SUMMARY": str(path)}
    while add_summary(environment, "ä" * 60_000):
        pass
    assert 900 * 1024 < path.stat().st_size < 1024 * 1024
    assert add_summary({}, "nowhere")


def test_commands_are_escaped(tmp_path: Path) -> None:
    assert annotation("error", "50 %\r\n::x", "a:b,c") == "::error title=a%3Ab%2Cc::50 %25\ufffd\ufffd::x"
    assert log_line("a\n::error::b ##[error]c") == "traceanalyze: a ::error::b ## [error]c"
    path = tmp_path / "outputs"
    set_outputs({"GITHUB_OUTPUT": str(path)}, {"a": "1\nb=2", "c": "3"})
    assert path.read_text() == "a=1 b=2\nc=3\n"
