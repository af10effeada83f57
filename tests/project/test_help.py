"""`--help` is quick because it imports little, and it names every command that the docs do."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import takewhile

import click
import pytest
from click.testing import CliRunner

from tests.project.tree import ROOT
from traceanalyzer import __version__
from traceanalyzer.cli import COMMANDS, main

HEAVY = ("dask", "jinja2", "numpy", "pandas", "rich", "torch")
LOADED = """
import sys
from traceanalyzer.cli import main
main({arguments!r}, prog_name="traceanalyze", standalone_mode=False)
print("heavy:", *sorted(set({heavy!r}) & set(sys.modules)))
"""


def loaded_by(*arguments: str) -> tuple[str, list[str]]:
    """What a command says, and which heavy packages it took."""
    program = LOADED.format(arguments=list(arguments), heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, _, heavy = done.stdout.rpartition("heavy:")
    return said, heavy.split()


QUESTIONS = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]


def test_the_list_of_commands_imports_none() -> None:
    program = LOADED.format(arguments=["--help"], heavy=())
    program += 'print(*[n for n in sys.modules if n.startswith("traceanalyzer.")])'
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[1] for name in done.stdout.splitlines()[-1].split()}
    assert "traceanalyzer.cli." not in done.stdout.splitlines()[-1]
    assert not loaded & {"trace", "cost", "device", "roofline", "fusion", "assembly", "report", "collect"}


@pytest.mark.parametrize("arguments", QUESTIONS, ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    said, heavy = loaded_by(*arguments)
    assert said.strip()
    assert heavy == []


def test_the_version_is_the_package_s() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "traceanalyzer", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(__version__)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_is_for(name: str) -> None:
    assert isinstance(main, click.Group)
    command = main.get_command(click.Context(main), name)
    assert command is not None and command.get_short_help_str()
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [o.name for o in options if not (o.help or o.hidden)] == []


def shown() -> list[str]:
    """Command lines in the README: `traceanalyze ...` in code, without what a shell does with it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    return re.findall(r"traceanalyze +([a-z-][^\n|`&>#]*)", code)


def test_the_readme_shows_commands_and_options_that_exist() -> None:
    assert isinstance(main, click.Group)
    lines = shown()
    assert {line.split()[0] for line in lines} >= set(COMMANDS)
    for line in lines:
        name, *rest = line.split()
        if name.startswith("-"):
            continue
        command = main.get_command(click.Context(main), name)
        assert command is not None, f"README shows `traceanalyze {name}`"
        if name == "profile":  # what follows the script is the script's
            rest = list(takewhile(lambda word: not re.fullmatch(r"[\w/]+\.\w+", word), rest))
        known = {o for p in command.params for o in [*p.opts, *p.secondary_opts]} | {"--help", "-h", "-"}
        given = {word.partition("=")[0].strip("[]") for word in rest if word.startswith(("-", "[-"))}
        assert given <= known, f"README shows {sorted(given - known)} of `traceanalyze {name}`"


def test_what_the_readme_explains_is_explained() -> None:
    lines = [line.split() for line in shown() if line.startswith("explain ") and "NAME" not in line]
    assert any("--dims" in words for words in lines)
    for words in lines:
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0 and "not priced" not in result.stdout, result.output
        assert "--device" not in words or "roof time" in result.stdout
