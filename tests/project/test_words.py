"""The project speaks of itself alone: no paths of a machine, no registry hosts; versions agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import traceanalyzer
from tests.project.tree import ROOT, tracked

# In pieces, so that this file does not hold what it looks for.
HOMES = re.compile(r"(?<![\w.~-])/(?:" + "work|root" + r")/\w")
SCRATCH = re.compile(r"(?<![\w.-])/" + r"tmp/\w")
HOSTS = re.compile("pypi" + r"\.org|pythonhosted" + r"\.org|npmjs" + r"\.(?:org|com)|deb" + r"\.debian")
BINARY = {".gz", ".png", ".jpg", ".whl", ".zip", ".ico", ".woff2"}
TEXTS = [name for name in tracked() if Path(name).suffix not in BINARY]


@pytest.mark.parametrize("name", TEXTS)
def test_no_file_names_a_place_on_a_machine_or_a_registry(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    patterns = [HOSTS] if name.startswith("tests/") else [HOSTS, HOMES, SCRATCH]
    found = [match.group() for pattern in patterns for match in pattern.finditer(text)]
    assert not found


@pytest.mark.parametrize("name", TEXTS)
def test_texts_end_their_lines(name: str) -> None:
    content = (ROOT / name).read_bytes()
    assert b"\r\n" not in content
    assert not content or content.endswith(b"\n")


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## \[?(\d[^\]\s]*)", text, re.MULTILINE)
    assert heads[0] == traceanalyzer.__version__
