"""The project speaks of itself alone: no paths of a machine, no registry hosts; versions agree."""

from __future__ import annotations

import re
from pathlib import Path

import traceanalyzer
from tests.project.tree import ROOT, tracked

# In pieces, so that this file does not hold what it looks for.
HOMES = re.compile(r"(?<![\w.~-])/(?:" + "work|root" + r")/\w")
SCRATCH = re.compile(r"(?<![\w.-])/" + r"tmp/\w")
HOSTS = re.compile("pypi" + r"\.org|pythonhosted" + r"\.org|npmjs" + r"\.(?:org|com)|deb" + r"\.debian")
BINARY = {".gz", ".png", ".jpg", ".whl", ".zip", ".ico", ".woff2"}
TEXTS = [name for name in tracked() if Path(name).suffix not in BINARY]


def places(name: str) -> list[str]:
    """What a file says of machines and registries."""
    text = (ROOT / name).read_text(encoding="utf-8")
    patterns = [HOSTS] if name.startswith("tests/") else [HOSTS, HOMES, SCRATCH]
    return [match.group() for pattern in patterns for match in pattern.finditer(text)]


def test_no_file_names_a_place_on_a_machine_or_a_registry() -> None:
    assert {name: found for name in TEXTS if (found := places(name))} == {}


def test_texts_end_their_lines() -> None:
    contents = {name: (ROOT / name).read_bytes() for name in TEXTS}
    assert [name for name, content in contents.items() if b"\r\n" in content] == []
    assert [name for name, content in contents.items() if content and not content.endswith(b"\n")] == []


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## \[?(\d[^\]\s]*)", text, re.MULTILINE)
    assert heads[0] == traceanalyzer.__version__
