"""The Makefile's targets are described, README and CI name only such as exist, versions have one home."""

from __future__ import annotations

import re
import tomllib

from tests.project.tree import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_every_target_says_what_it_does() -> None:
    assert set(re.findall(r"^([a-z-]+):.*## \S", MAKEFILE, re.MULTILINE)) == TARGETS
    listed = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert listed is not None and set(listed[1].split()) == TARGETS
    recipes = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    assert len(recipes) == len(TARGETS) == len(listed[1].split()), "a target has one recipe"


def test_readme_and_ci_name_targets_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert {"demo", "test"} <= set(re.findall(r"`make ([a-z-]+)`", readme)) <= TARGETS
    called = {name for line in re.findall(r"^make (.*)$", ci, re.MULTILINE) for name in line.split()}
    assert {"check", "test", "test-slow"} <= called <= TARGETS


def test_what_the_project_asks_for_is_pinned_in_one_place() -> None:
    """Ranges of what users install stand in pyproject.toml, exact versions in constraints.txt alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in pins if "==" in line}
    tools = project["dependency-groups"]["dev"]
    assert not [tool for tool in tools if re.search(r"[=<>~]", tool)]
    used = [re.split(r"[=<>~\[]", name)[0] for name in [*project["project"]["dependencies"], *tools, "pip"]]
    assert {name.lower().replace("_", "-") for name in used} <= pinned
