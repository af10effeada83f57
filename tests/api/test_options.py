"""What may be chosen about an analysis, and what a saved report leaves to choose."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer import AnalyzeOptions, UsageError
from traceanalyzer.cli import main

SAMPLE = Path(__file__).parents[2] / "sample_traces" / "gpt_eager_cpu.json.gz"

# Each option that a saved report cannot follow: how Python gives it, and the command line.
CHANGING: dict[str, tuple[object, list[str]]] = {
    "steps": ("all", ["--steps", "all"]),
    "steps_by": ("tick", ["--steps-by", "tick"]),
    "assume_dtype": ("fp32", ["--assume-dtype", "fp32"]),
    "device": ("b200", ["--device", "b200"]),
    "device_file": ("x.toml", ["--device-file", "x.toml"]),
    "peaks": (("bf16=1T",), ["--peak", "bf16=1T"]),
    "bandwidth": ("1TB/s", ["--bandwidth", "1TB/s"]),
    "link": ("450GB/s", ["--link", "450GB/s"]),
    "rank": (0, ["--rank", "0"]),
    "ranks": ("0", ["--ranks", "0"]),
    "gpu": (0, ["--gpu", "0"]),
    "settings": (("efficiency=0.5",), ["--set", "efficiency=0.5"]),
    "cost_files": (("costs.py",), ["--cost-file", "costs.py"]),
    "capture": ("eager.json", ["--capture", "eager.json"]),
    "critical_path": (True, ["--critical-path"]),
}


@pytest.fixture(scope="module")
def analysis() -> traceanalyzer.Job:
    return traceanalyzer.analyze(SAMPLE)


@pytest.fixture(scope="module")
def saved(analysis: traceanalyzer.Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "saved.json"
    analysis.save(path)
    return path


def test_an_option_is_given_in_one_way() -> None:
    for single in ({"device": "b200"}, {"steps": "all"}, {"cost_files": []}, {"steps": "complete"}):
        (name,) = single
        with pytest.raises(UsageError, match=rf"options and {name}\. Fix: "):
            traceanalyzer.analyze(SAMPLE, options=AnalyzeOptions(), **single)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="options and device and steps"):
        traceanalyzer.analyze(SAMPLE, options=AnalyzeOptions(), steps="all", device="b200")


def test_both_ways_give_the_same(tmp_path: Path) -> None:
    t = Kineto()
    for step in range(4):
        t.run("aten::add", 1000 * step, "add_kernel", 1000 * step + 100, 100, ([4096], "float"))
        t.annotation(f"ProfilerStep#{step}", 1000 * step - 5, 900)
    path = t.write(tmp_path / "t.json")
    one = traceanalyzer.analyze(path, device="b200", steps="1-2")
    assert one == traceanalyzer.analyze(path, options=AnalyzeOptions(device="b200", steps="1-2"))
    assert one.device.name == "NVIDIA B200" and one.window.step_count == 2


def test_options_are_values() -> None:
    assert AnalyzeOptions(steps="all") == AnalyzeOptions(steps="all") != AnalyzeOptions()
    assert AnalyzeOptions().changed() == ()
    assert AnalyzeOptions(gpu=0, peaks=("bf16=1T",)).changed() == ("peaks", "gpu")
    assert AnalyzeOptions(peaks=[], what_if=[]).changed() == ()  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"what_if='b200'.*is one text.*Fix: give \('b200',\)"):
        AnalyzeOptions(what_if="b200")  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        AnalyzeOptions().steps = "all"  # type: ignore[misc]


def test_every_option_is_in_one_of_the_two_lists() -> None:
    names = {field.name for field in dataclasses.fields(AnalyzeOptions)}
    assert names == set(CHANGING) | {"what_if", "kernels", "jobs", "scheduler"}


def test_a_saved_report_is_read_back(analysis: traceanalyzer.Job, saved: Path) -> None:
    assert traceanalyzer.analyze(saved) == traceanalyzer.analyze(
        SAMPLE, options=AnalyzeOptions(kernels=False)
    )
    assert traceanalyzer.analyze([str(saved)]).to_markdown() == analysis.to_markdown()
    assert traceanalyzer.analyze(saved).kernels.empty, "a report does not hold the kernels"


@pytest.mark.parametrize("name", CHANGING)
def test_a_saved_report_is_not_changed_by_an_option(name: str, saved: Path) -> None:
    value, flags = CHANGING[name]
    with pytest.raises(UsageError, match=rf"saved\.json: is a saved report.* {flags[0]} .* Fix: "):
        traceanalyzer.analyze(saved, options=AnalyzeOptions(**{name: value}))  # type: ignore[arg-type]
    said = CliRunner().invoke(main, ["report", str(saved), "-o", str(saved.parent / f"{name}.md"), *flags])
    assert said.exit_code == 2 and not (saved.parent / f"{name}.md").exists()
    (line,) = said.stderr.splitlines()
    assert line.startswith(f"traceanalyze: {saved}: is a saved report") and f" {flags[0]} " in line


def test_all_of_several_options_are_named(saved: Path) -> None:
    flags = ["--device", "b200", "--steps", "all"]
    said = CliRunner().invoke(main, ["report", str(saved), "-o", "-", *flags])
    assert said.exit_code == 2 and "--steps, --device" in said.stderr


def test_what_a_saved_report_leaves_to_choose(saved: Path) -> None:
    flags = ["--what-if", "b200", "--top", "3", "--redact", "--format", "json", "--steps", "complete"]
    said = CliRunner().invoke(main, ["report", str(saved), "-o", "-", "-q", *flags])
    assert said.exit_code == 0, said.stderr
    report = json.loads(said.stdout)
    assert [other["device"] for other in report["what_if"]] == ["NVIDIA B200"]
    assert "what_if_unlike" in [notice["code"] for notice in report["source"]["warnings"]]


def test_the_last_projection_of_a_saved_report_is_all_it_warns_of(saved: Path) -> None:
    once = traceanalyzer.analyze(saved, options=AnalyzeOptions(what_if=("h100-sxm5",)))
    once.save(saved.parent / "once.json")
    twice = traceanalyzer.analyze(saved.parent / "once.json", options=AnalyzeOptions(what_if=("b200",)))
    (warned,) = [n.message for n in twice.source.warnings if n.code == "what_if_unlike"]
    assert "B200" in warned and "H100" not in warned


def test_a_saved_report_among_traces_is_no_trace(analysis: traceanalyzer.Job, saved: Path) -> None:
    job = traceanalyzer.analyze([SAMPLE, saved])
    assert job.op_rows == analysis.op_rows
    (failed,) = (notice for notice in job.source.warnings if notice.code == "rank_failed")
    assert "saved.json: is a saved report" in failed.message
