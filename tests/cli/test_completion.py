"""What a shell completes: by click's protocol in a process of its own, and what each completer knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem

from traceanalyzer.cli import COMMANDS, completion, main
from traceanalyzer.cost import FORMULAS
from traceanalyzer.device import device_specs
from traceanalyzer.fusion.rules import RULES
from traceanalyzer.records.judged import Thresholds
from traceanalyzer.report.warning_texts import warning_texts

PROGRAM = "from traceanalyzer.cli import main; main(prog_name='traceanalyze')"


def asked(shell: str, *words: str, **variables: str) -> str:
    """What the program answers a shell, whose last word is not yet complete."""
    line = " ".join(("traceanalyze", *words))
    asking = {
        "_TRACEANALYZE_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words)),
        **variables,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **asking}, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["re"], {"plain,report"}),
        (["report", "--device", "h200"], {"plain,h200-nvl", "plain,h200-sxm"}),
        (["explain", "unfused"], {"plain,unfused_attention"}),
        (["explain", "steps_dif"], {"plain,steps_differ"}),
        (["report", "step.tr"], {"file,step.tr"}),
    ],
)
def test_bash_is_answered(words: list[str], wanted: set[str]) -> None:
    assert set(asked("bash", *words).split("\n")) - {""} == wanted


def test_zsh_and_fish_are_answered_with_what_each_is_for() -> None:
    assert asked("zsh", "explain", "latency_bo").split("\n")[:3] == [
        "plain", "latency_bound", "too short or too few blocks to reach either roof",
    ]  # fmt: skip
    answer = asked("fish", "explain", "latency_bo", COMP_CWORD="latency_bo")
    assert answer.startswith("plain,latency_bound\ttoo short") or "latency_bound" in answer.split("\n")


def test_a_shell_with_the_line_of_the_readme_completes(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    command = tmp_path / "traceanalyze"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}"\n')
    command.chmod(0o755)
    typed = (
        'eval "$(_TRACEANALYZE_COMPLETE=bash_source traceanalyze)"; COMP_WORDS=(traceanalyze explain rms_); '
        'COMP_CWORD=2; _traceanalyze_completion traceanalyze; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", typed], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["rms_norm"], done.stderr


def test_completing_a_command_imports_none() -> None:
    program = f"import sys\ntry:\n    {PROGRAM}\nfinally:\n    print(*sys.modules)"
    asking = {"_TRACEANALYZE_COMPLETE": "bash_complete", "COMP_WORDS": "traceanalyze ", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asking}, capture_output=True, text=True
    )
    *answered, loaded = done.stdout.splitlines()
    assert {f"plain,{name}" for name in COMMANDS} == set(answered)
    assert "traceanalyzer.cli.report" not in loaded.split() and "numpy" not in loaded.split()


def named(completer: str, incomplete: str) -> list[str]:
    """What a completer offers, by itself."""
    context = click.Context(main)
    items: list[CompletionItem] = getattr(completion, completer)(context, main.params[0], incomplete)
    return [item.value for item in items]


def test_devices_are_those_of_the_table_and_behind_a_comma_the_others() -> None:
    every = {spec.id for spec in device_specs()}
    assert set(named("devices", "")) == every
    assert set(named("devices", "b200,")) == {f"b200,{name}" for name in every - {"b200"}}


def test_rules_words_and_codes_are_offered_at_once_operators_when_one_is_begun() -> None:
    names = named("explained", "")
    assert names == sorted(names) and not any("::" in name for name in names)
    assert {rule.name for rule in RULES} | set(warning_texts()) | {"memory_bound", "T2"} <= set(names)
    assert set(named("explained", "aten::")) == {name for name in FORMULAS if name.startswith("aten::")}
    assert "softmax" in named("explained", "softm") and named("explained", "no such") == []


def test_a_limit_comes_with_its_default() -> None:
    assert named("limits", "") == sorted(f"{k}={v:g}" for k, v in Thresholds().as_dict().items())
    assert set(named("rules", "")) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_a_file_or_a_device_is_completed_everywhere(name: str) -> None:
    assert isinstance(main, click.Group)
    command = main.get_command(click.Context(main), name)
    assert command is not None
    files = {"OUT", "TRACE", "F.toml", "F.py", "F", "FILE", "OUT.json", "OUT.xml", "MORE"}
    for parameter in command.params:
        words = (parameter.metavar or "").replace("|", " ").split()
        kinds = [item.type for item in parameter.shell_complete(click.Context(command), "x")]
        if set(words) & files or parameter.name in ("traces", "trace", "base", "head"):
            assert kinds == ["file"], parameter.name
        if parameter.name == "device":
            assert {i.value for i in parameter.shell_complete(click.Context(command), "a100-p")} == {
                spec.id for spec in device_specs() if spec.id.startswith("a100-p")
            }
