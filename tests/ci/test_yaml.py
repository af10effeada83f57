"""action.yml and the pipelines in docs/ci.md: valid by the published schemas, and safe."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project.tree import ROOT

ACTION = (ROOT / "action.yml").read_text()
DOCS = (ROOT / "docs" / "ci.md").read_text()
BLOCKS = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", DOCS, re.DOTALL))
SCHEMAS = {"action.yml": "vendor.github-actions", ".gitlab-ci.yml": "vendor.gitlab-ci"}
TEXTS = {"action.yml": ACTION, **BLOCKS}


def steps(name: str) -> list[dict[str, Any]]:
    """Of all jobs of a file."""
    content = yaml.safe_load(TEXTS[name])
    if name == "action.yml":
        return list(content["runs"]["steps"])
    return [step for job in content.get("jobs", {}).values() for step in job["steps"]]


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_valid(name: str, tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    path = tmp_path / Path(name).name
    path.write_text(TEXTS[name])
    schema = SCHEMAS.get(name, "vendor.github-workflows")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pipeline_is_named() -> None:
    assert len(BLOCKS) == DOCS.count("```yaml") == 4


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_of_the_outside_is_pasted_into_a_script(name: str) -> None:
    for step in steps(name):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("name", TEXTS)
def test_actions_are_pinned_by_their_commit(name: str) -> None:
    used = re.findall(r"uses: (\S+)(.*)", TEXTS[name])
    for action, comment in used:
        if action != "OWNER/traceanalyze@COMMIT":
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_the_same_version_of_an_action_everywhere() -> None:
    pins = {
        tuple(pin.split("@")) for text in TEXTS.values() for pin in re.findall(r"uses: (actions/\S+)", text)
    }
    assert len({action for action, _ in pins}) == len(pins)


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "action.yml" and "gitlab" not in name])
def test_workflows_ask_for_little_and_run_no_stranger_s_code_with_it(name: str) -> None:
    content = yaml.safe_load(TEXTS[name])
    started_by = content[True]  # `on` is a boolean of YAML 1.1
    assert "pull_request_target" not in started_by
    assert set(content["permissions"].values()) <= {"read", "write"}
    if "workflow_run" in started_by:
        assert not any("checkout" in step.get("uses", "") for step in steps(name))
        lines = [line.strip() for step in steps(name) for line in step.get("run", "").splitlines()]
        assert all(line.startswith(("run=$(gh run list ", "--json ", "gh run download ")) for line in lines)


def test_inputs_and_outputs_are_those_promised() -> None:
    content = yaml.safe_load(ACTION)
    assert list(content["inputs"]) == ["trace", "baseline", "require", "comment", "artifact-name"]
    assert list(content["outputs"]) == [
        "report-path", "runs-path", "artifact-url", "memory-bound-share", "regression"
    ]  # fmt: skip
    given = {value for step in steps("action.yml") for value in step.get("env", {}).values()}
    for name in content["inputs"]:
        assert f"${{{{ inputs.{name} }}}}" in given
        assert f"| `{name}` |" in DOCS


def test_scripts_are_of_this_package() -> None:
    """What the steps run is what tests/ci/test_action.py runs; the checked-out repository is not imported."""
    commands = [step["run"] for step in steps("action.yml") if "traceanalyzer.ci" in step.get("run", "")]
    assert [command.split("-I -m traceanalyzer.ci ")[1] for command in commands] == ["report", "finish"]


def test_a_baseline_is_of_a_push_to_the_main_branch() -> None:
    """Runs for pull requests of a fork's branch of that name are listed by the same name of a branch."""
    listed = [text for text in TEXTS.values() if "gh run list" in text]
    assert len(listed) == 2 and all("--branch main --event push" in text for text in listed)


@pytest.mark.parametrize("name", [name for name in BLOCKS if "traceanalyze profile" in BLOCKS[name]])
def test_what_a_pipeline_runs_is_installed_before(name: str) -> None:
    """With torch, which the recorded script needs; and three runs tell a change from noise."""
    text = BLOCKS[name]
    assert 0 < text.index("torch-traceanalyzer[profile] @ git+https") < text.index("traceanalyze profile")
    assert "for run in 1 2 3" in text and '"trace$run.json.gz"' in text


def test_a_fork_s_comment_is_a_comparison_too() -> None:
    (comment,) = [step for step in steps(".github/workflows/comment.yml") if "OWNER" in step.get("uses", "")]
    assert set(comment["with"]) == {"trace", "baseline"}
