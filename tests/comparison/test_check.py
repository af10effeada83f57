"""Requirements: what holds, what is broken, and what noise or a missing value leaves open."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from tests.comparison.sides import product, row, run, with_steps
from traceanalyzer import testing
from traceanalyzer.cli import main
from traceanalyzer.comparing import check
from traceanalyzer.comparison.assemble import comparison_of
from traceanalyzer.comparison.expressions import parsed
from traceanalyzer.comparison.requirements import compared
from traceanalyzer.records import Job, Notice, Requirement
from traceanalyzer.records.errors import UsageError
from traceanalyzer.report.check import junit, text

MS = 1_000_000
N = (64, 64)


def of_length(*lengths_ms: float) -> Job:
    total = sum(round(ms * MS) for ms in lengths_ms)
    whole = run(row("mul", total - total // 10, N), idle_ns=total // 10, steps=len(lengths_ms))
    return with_steps(whole, [round(ms * MS) for ms in lengths_ms])


BASE = of_length(100, 101, 99, 100)


def outcome(requirement: str, analysis: Job = BASE, baseline: Job | None = None) -> Requirement:
    (result,) = check(analysis, [requirement], baseline=baseline).requirements
    return result


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("memory_bound.share_of_busy<=1", "holds"), ("memory_bound.share_of_busy < 0.5", "broken"),
        ("window.step_count==4", "holds"), ("window.step_count>=5", "broken"),
        ("device.id==nvidia-h100-sxm", "holds"), ("device.id=='a100'", "broken"),
        ("time.busy_ns > 1e6", "holds"), ("coverage.modelled_share>=0.0", "holds"),
        ("thresholds.efficiency==0.6", "holds"),
    ],
)  # fmt: skip
def test_a_value_is_held_against_a_limit(requirement: str, expected: str) -> None:
    assert outcome(requirement).outcome == expected


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("time.busy_ns<=300", "300 is read as 300 ns: write 300ms if that is meant"),
        ("time.idle_ns>=-5", "-5 is read as -5 ns: write -5ms if that is meant"),
        ("memory_bound.share_of_busy<=45", "45 is read as 4500 %: write 45% if that is meant"),
        ("time.busy_ns<=300ns", None), ("time.busy_ns<=300ms", None), ("time.busy_ns<=300e6", None),
        ("time.idle_ns>=0", None), ("window.step_count>=4", None),
        ("memory_bound.share_of_busy<=1", None), ("memory_bound.share_of_busy<=45%", None),
    ],
)  # fmt: skip
def test_a_number_without_a_unit_that_may_be_meant_in_another_is_questioned(
    requirement: str, said: str | None
) -> None:
    assert outcome(requirement).reason == said


def test_so_is_one_of_a_comparison() -> None:
    (result,) = compared([parsed("step_ns.change<=3")], comparison_of([BASE], [BASE]))
    assert "3 is read as 3 ns: write 3ms if that is meant" in str(result.reason)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mfu", "compute.mfu_share"), ("idle", "time.idle_ns"), ("busy", "time.busy_ns"),
        ("step_ns", "window.step_ns.min"), ("idle.share", "time.idle_ns"),
        ("memory_bound.share", "memory_bound.share_of_busy"), ("windw.step_cuont", "window.step_count"),
        ("covrage.modeled", "coverage.modelled_share"),
    ],
)  # fmt: skip
def test_of_a_name_that_is_none_the_nearest_is_named_first(name: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        outcome(f"{name}<=1")
    assert caught.value.fix.startswith(f"did you mean {near}")


def test_a_step_s_time_is_said_to_be_under_the_profiler() -> None:
    """As long as under it, here."""
    assert outcome("window.step_ns.median<=200e6").reason == (
        "under the profiler; recording.unprofiled_step_ns is 100 ms"
    )
    assert outcome("time.busy_ns>=0").reason is None


def test_what_is_null_cannot_be_told() -> None:
    without = run(row("mul", 9 * MS, N), steps=None)
    assert outcome("compute.mfu_share>=0.4", without).outcome in ("inconclusive", "broken")
    for name in ("window.step_count", "window.step_ns.median"):
        result = outcome(f"{name}<=1", without)
        assert (result.outcome, result.value, result.reason) == (
            "inconclusive",
            None,
            "the value is not known",
        )


@pytest.mark.parametrize(
    ("head", "limit", "expected"),
    [
        (of_length(100, 101, 99, 100), "<=+5%", "holds"), (of_length(120, 121, 119, 120), "<=+5%", "broken"),
        (of_length(104, 105, 106, 103), "<=+5%", "inconclusive"),
        (of_length(80, 80.5, 79.5), "<=-10%", "holds"),
        (of_length(95, 96, 94, 95), "<=-10%", "broken"), (of_length(100, 100), "<=+5%", "inconclusive"),
        (of_length(50, 150, 100, 90), "<=+5%", "inconclusive"),
        (of_length(130, 131, 129, 130), ">=+20%", "holds"),
    ],
)  # fmt: skip
def test_a_step_is_held_against_a_baseline_and_its_noise(head: Job, limit: str, expected: str) -> None:
    result = outcome(f"window.step_ns.median{limit}", head, BASE)
    assert result.outcome == expected
    if result.low is not None and result.high is not None:
        inside = result.low <= float(result.wanted or 0) <= result.high
        assert inside == (expected == "inconclusive")


@pytest.mark.parametrize("limit", ["<5", "<=5", ">5", ">=-5", "==+5%", "<=+5%"])
def test_the_line_has_the_sign_that_was_written(limit: str) -> None:
    sign = limit.rstrip("0123456789%+-")
    assert f", wanted {sign} " in text(outcome(f"window.step_count{limit}", BASE, BASE))


@pytest.mark.parametrize(("name", "expected"), [("max", "broken"), ("min", "holds"), ("median", "holds")])
def test_the_interval_of_the_median_is_of_no_other_step(name: str, expected: str) -> None:
    """One step takes twice as long; the median is as before."""
    result = outcome(f"window.step_ns.{name}<=+5%", of_length(*[100] * 14, 200), of_length(*[100] * 15))
    assert result.outcome == expected
    assert (result.low is None) == (name != "median")


def test_what_is_no_time_of_the_step_has_no_noise() -> None:
    result = outcome("time.busy_ns<=+5%", of_length(104, 105, 106, 103), BASE)
    assert result.outcome == "holds" and result.low is None and result.baseline == BASE.time.busy_ns


@pytest.mark.parametrize(
    ("requirement", "said"),
    [
        ("memory_bound.share", "is no requirement"),
        ("memory_bound.share_of_bussy<=0.4", "memory_bound.share_of_busy"),
        ("memory_bound<=0.4", "is no single value"), ("window.step_ns.median<=+5%", "there is no baseline"),
        ("device.id<=h100", "is no number"), ("device.id==5", "compare a text"),
        ("time.busy_ns==fast", "compare a text"),
        ("<=5", "is no requirement"), ("", "is no requirement"),
        ("time.busy_ns<=nan", "nan is no number"), ("time.busy_ns>=-inf", "-inf is no number"),
        ("time.busy_ns==true", "compare a text"), ("device.id==true", "true or false"),
    ],
)  # fmt: skip
def test_what_cannot_be_required_is_told(requirement: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        outcome(requirement)
    with pytest.raises(UsageError, match="nothing is required"):
        check(BASE, [])


def test_a_recording_without_times_is_compared_with_nothing() -> None:
    """Its times are all 0, which would hold any limit and be faster than anything."""
    notice = Notice("counters_without_times", "")
    counted = structs.replace(BASE, source=structs.replace(BASE.source, warnings=(notice,)))
    for refused in (lambda: outcome("time.busy_ns<=5", counted), lambda: comparison_of([BASE], [counted])):
        with pytest.raises(UsageError, match="no times"):
            refused()


def test_spaces_and_quotes_do_not_matter() -> None:
    assert parsed(" a.b <= +5 % ").limit == 0.05 and parsed("a=='x y'").limit == "x y"
    assert parsed("a>=-2.5%").relative and not parsed("a>=-2.5").relative


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    BASE.save(tmp_path / "base.json")
    of_length(120, 121, 119, 120).save(tmp_path / "slow.json")
    return tmp_path


SLOWER = ["--require", "window.step_ns.median<=+5%", "--baseline", "base.json"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["base.json", "--require", "window.step_count==4"], 0), (["slow.json", *SLOWER], 3),
        (["base.json", "--require", "window.step_count==5"], 3), (["base.json", *SLOWER], 0),
        (["slow.json", "--require", "window.step_ns.median<=+20%", "--baseline", "base.json"], 0),
        (["slow.json", "--require", "window.step_ns.median<=+20%", "--baseline", "base.json", "--strict"], 3),
        (["base.json"], 2), (["base.json", "--require", "nonsense"], 2),
        (["gone.json", "--require", "a==1"], 2),
    ],
)  # fmt: skip
def test_exit_codes(words: list[str], code: int, saved: Path) -> None:
    done = CliRunner().invoke(main, ["check", *words])
    assert done.exit_code == code, done.output
    assert done.stderr.count("\n") == 1


def test_one_line_a_requirement_says_what_is_and_what_was_wanted(saved: Path) -> None:
    done = CliRunner().invoke(
        main, ["check", "slow.json", *SLOWER, "--require", "device.id==nvidia-h100-sxm"]
    )
    broken, holds = done.stderr.splitlines()
    wanted = "window.step_ns.median is 120 ms, wanted <= 105 ms; baseline 100 ms; between"
    assert broken.startswith(f"BROKEN       {wanted}")
    assert holds == "ok           device.id is nvidia-h100-sxm, wanted == nvidia-h100-sxm"


def test_the_project_file_says_what_must_hold(saved: Path) -> None:
    project = saved / "pyproject.toml"
    project.write_text(
        '[tool.traceanalyzer]\nrequire = ["window.step_ns.median<=+5%"]\nbaseline = "base.json"\n'
    )
    assert CliRunner().invoke(main, ["check", "slow.json"]).exit_code == 3
    assert CliRunner().invoke(main, ["check", "base.json"]).exit_code == 0
    given = CliRunner().invoke(main, ["check", "slow.json", "--require", "window.step_count==4"])
    assert given.exit_code == 0, "the command line's instead"
    for written in ("[tool.traceanalyzer]\nrequires = 1", "[tool.traceanalyzer]\nrequire = 1", "["):
        project.write_text(written)
        done = CliRunner().invoke(main, ["check", "base.json"])
        assert done.exit_code == 2 and "pyproject.toml" in done.stderr and done.stderr.count("\n") == 1


def test_json_and_junit(saved: Path) -> None:
    words = [
        "check",
        "slow.json",
        *SLOWER,
        "--require",
        "compute.mfu_share>=+1%",
        "--require",
        "device.id==nvidia-h100-sxm",
    ]
    done = CliRunner().invoke(main, [*words, "-o", "c.json", "--junit", "c.xml"])
    assert done.exit_code == 3
    document = json.loads((saved / "c.json").read_text())
    assert document["schema_version"] == "1.0" and len(document["requirements"]) == 3
    assert document["requirements"][0]["outcome"] == "broken"
    suite = ET.fromstring((saved / "c.xml").read_text())
    assert suite.attrib["tests"] == "3" and suite.attrib["failures"] == "1"
    assert len(suite.findall("testcase/failure")) == 1
    again = CliRunner().invoke(main, [*words, "-o", "c.json"])
    assert again.exit_code == 2 and "would be replaced" in again.stderr


def test_the_helper_for_tests(saved: Path) -> None:
    testing.assert_step(saved / "base.json", "window.step_count==4", baseline=BASE)
    with pytest.raises(AssertionError, match=r"BROKEN +window.step_ns.median is 120 ms"):
        testing.assert_step(saved / "slow.json", "window.step_ns.median<=+5%", baseline=BASE)
    testing.assert_step(of_length(104, 105, 106, 103), "window.step_ns.median<=+5%", baseline=BASE)
    with pytest.raises(AssertionError, match="cannot tell"):
        testing.assert_step(
            of_length(104, 105, 106, 103), "window.step_ns.median<=+5%", baseline=BASE, strict=True
        )


def test_the_helper_takes_lists_and_reads_the_project_file(saved: Path) -> None:
    testing.assert_step(
        "base.json", ["window.step_count==4", "window.step_ns.median<=+5%"], baseline=["base.json"]
    )
    with pytest.raises(UsageError, match="give texts"):
        testing.assert_step("base.json", 4)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nothing is required"):
        testing.assert_step("base.json")
    (saved / "pyproject.toml").write_text(
        '[tool.traceanalyzer]\nrequire = ["window.step_ns.median<=+5%"]\nbaseline = "base.json"\n'
    )
    testing.assert_step("base.json")
    with pytest.raises(AssertionError, match="BROKEN"):
        testing.assert_step("slow.json")
    with pytest.raises(AssertionError, match="window.step_count"):
        testing.assert_step("slow.json", "window.step_count==5")


def test_a_comparison_may_be_required_too(saved: Path) -> None:
    for requirement, code in (("step_ns.change_share<=0.05", 3), ("step_ns.change_share<=0.25", 0)):
        done = CliRunner().invoke(
            main, ["diff", "base.json", "slow.json", "-o", "-", "--require", requirement]
        )
        assert done.exit_code == code, done.stderr


def test_a_comparison_s_requirement_is_told_before_any_work(saved: Path) -> None:
    for requirement, said in (("nonsense", "is no requirement"), ("step_ns.change<=+5%", "already"),
                              ("same_work.sam==true", "same_work.same")):  # fmt: skip
        words = ["diff", "base.json", "slow.json", "-q", "-o", "d.json", "--require", requirement]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1
        assert not (saved / "d.json").exists()


@pytest.mark.parametrize(("limit", "code"), [("true", 0), ("false", 3)])
def test_true_and_false_may_be_required(limit: str, code: int, saved: Path) -> None:
    words = ["diff", "base.json", "slow.json", "-q", "-o", "-", "--require", f"same_work.same=={limit}"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == code and f"same_work.same is true, wanted == {limit}" in done.stderr


def test_a_change_of_too_few_steps_cannot_be_told_from_noise() -> None:
    """Below three steps a side nothing is told, as of a report's own requirement."""
    comparison = comparison_of([of_length(100, 100)], [of_length(120, 120)])
    (told,) = compared([parsed("step_ns.change_share<=0.05")], comparison)
    assert told.outcome == "inconclusive"
    assert told.reason == (
        "2 steps on a side, 3 are needed; record more on both sides; under the profiler; without it 100 ms, "
        "now 120 ms"
    ), "and which of two known steps it is about"


def test_totals_of_other_numbers_of_steps_say_so() -> None:
    longer = of_length(*[100] * 8)
    assert (
        outcome("time.busy_ns<=+5%", longer, BASE).reason == "a total of 8 steps, in the baseline of 4 steps"
    )
    assert outcome("memory_bound.share_of_busy<=+5%", longer, BASE).reason is None
    assert outcome("time.busy_ns<=+5%", BASE, BASE).reason is None


def test_results_go_to_stdout_where_that_is_asked_for(saved: Path) -> None:
    words = ["check", "base.json", "--require", "window.step_count==4", "-o", "-"]
    done = CliRunner().invoke(main, words)
    assert json.loads(done.stdout)["requirements"][0]["outcome"] == "holds" and not (saved / "-").exists()


def test_junit_names_the_trace_as_it_is_called(saved: Path) -> None:
    odd = structs.replace(BASE, source=structs.replace(
        BASE.source, files=(structs.replace(BASE.source.files[0], path="a&b.json"),)))  # fmt: skip
    suite = ET.fromstring(junit(check(odd, ["window.step_count==4"]), strict=False))
    assert suite.find("properties/property").attrib["value"] == "a&b.json"  # type: ignore[union-attr]


def test_products_have_the_utilization_that_is_required() -> None:
    assert check(run(product("mm", MS, N, N)), ["compute.flops>=1"]).fails(strict=True) is False


def judged(memory: int, other: int, unmodelled: int) -> Job:
    """So many ms of each: memory-bound, compute-bound, and what no verdict covers."""
    rows = [
        row("mul", memory * MS, N),
        row("mm", other * MS, N, verdict="compute_bound", bound="compute", limiter="compute"),
        row("sort", unmodelled * MS, N, verdict="unmodelled", bound=None, limiter=None, roof_ns=None,
            efficiency=None, reason="no_formula"),
    ]  # fmt: skip
    return run(*(each for each in rows if each.time_ns), steps=4)


@pytest.mark.parametrize(
    ("parts", "requirement", "expected"),
    [
        ((30, 10, 60), "<=0.45", "inconclusive"), ((50, 10, 40), "<=0.45", "broken"),
        ((30, 60, 10), "<=0.45", "holds"), ((30, 55, 15), "<=0.45", "holds"),
        ((0, 0, 100), "<=0.45", "inconclusive"), ((0, 0, 100), ">=0.45", "inconclusive"),
        ((30, 10, 60), ">=0.95", "broken"), ((30, 10, 60), ">=0.2", "holds"),
        ((30, 10, 60), "==0.3", "inconclusive"), ((30, 70, 0), "==0.3", "holds"),
        ((30, 10, 60), "==0.95", "broken"),
    ],
)  # fmt: skip
def test_what_no_verdict_covers_may_be_memory_bound_too(
    parts: tuple[int, int, int], requirement: str, expected: str
) -> None:
    """Of 100 ms: as many memory-bound as stand first, and up to as many more as stand last."""
    result = outcome(f"memory_bound.share_of_busy{requirement}", judged(*parts))
    assert result.outcome == expected
    said = f"{parts[2]}.0 % of busy time could not be judged"
    assert (result.reason or "").startswith(said) == (expected == "inconclusive")


def test_amounts_of_memory_bound_time_are_as_open_as_its_share() -> None:
    side = judged(30, 10, 60)
    for name, told, open_ in (("time_ns", "<=95ms", "<=80ms"), ("share_of_window", "<=0.95", "<=0.8")):
        assert outcome(f"memory_bound.{name}{told}", side).outcome == "holds"
        assert outcome(f"memory_bound.{name}{open_}", side).outcome == "inconclusive"
    assert outcome("memory_bound.non_contraction_share_of_busy>=0", side).outcome == "holds"


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((30, 60, 10), (30, 60, 10), "holds"), ((30, 60, 10), (40, 50, 10), "broken"),
        ((30, 70, 0), (30, 60, 10), "inconclusive"), ((30, 60, 10), (36, 64, 0), "inconclusive"),
        ((0, 0, 100), (0, 0, 100), "inconclusive"), ((30, 60, 10), (45, 55, 0), "broken"),
    ],
)  # fmt: skip
def test_relative_shares_are_told_where_both_sides_are_judged_alike(
    before: tuple[int, int, int], now: tuple[int, int, int], expected: str
) -> None:
    """At most a tenth more than the baseline's, which what only one side has unjudged may mend or break."""
    requirement = "memory_bound.share_of_busy<=+10%"
    assert outcome(requirement, judged(*now), judged(*before)).outcome == expected


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("step_ns.change_share<=0.05", "inconclusive"), ("step_ns.change_share<=-0.5", "broken"),
        ("step_ns.change_share<=0.9", "holds"), ("step_ns.change<=0", "inconclusive"),
        ("step_ns.change<=900ms", "holds"), ("step_ns.head<=105ms", "inconclusive"),
        ("step_ns.head<=10ms", "broken"), ("step_ns.head<=5s", "holds"),
    ],
)  # fmt: skip
def test_the_step_of_a_comparison_is_told_from_noise(requirement: str, expected: str) -> None:
    comparison = comparison_of([of_length(80, 100, 120, 100)], [of_length(70, 104, 140, 102)])
    (result,) = compared([parsed(requirement)], comparison)
    assert result.outcome == expected
    inside = (result.low or 0) <= float(result.wanted or 0) <= (result.high or 0)
    assert inside == (expected == "inconclusive")
    assert "by one run a side" in (result.reason or "")
    assert " ms" in text(result) or "%" in text(result)


def test_several_runs_a_side_are_one_check() -> None:
    base = [of_length(*(each + jitter for each in (100, 100.1, 99.9))) for jitter in (-8, 0, 8)]
    head = [of_length(*(each + jitter for each in (104, 104.1, 103.9))) for jitter in (-8, 0, 8)]
    result = check(head, ["window.step_ns.median<=+3%"], baseline=base)
    (told,) = result.requirements
    assert told.value == 104 * MS and told.baseline == 100 * MS and told.outcome == "inconclusive"
    assert told.reason == (
        "the limit lies inside that interval, which more runs make narrower; under the profiler; "
        "recording.unprofiled_step_ns is 104 ms, in the baseline 100 ms"
    )
    assert len(result.source.files) == 3 and result.baseline is not None and len(result.baseline.files) == 3
    single = check(head[1], ["window.step_ns.median<=+3%"], baseline=base[1])
    assert single.requirements[0].outcome == "broken", "one run a side does not know what runs differ by"
    (busy,) = check(head, ["time.busy_ns<=1"]).requirements
    assert busy.value == head[1].time.busy_ns, "the median run's"


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("memory_bound.share_of_busy<=20%", 0.2), ("window.step_ns.median<=500ms", 5e8),
        ("window.step_ns.median<=1.5 s", 1.5e9), ("recording.peak_memory_bytes<=40GB", 4e10),
        ("device.id==20%", "20%"), ("step_ns.change<=-5ms", -5e6),
    ],
)  # fmt: skip
def test_limits_may_have_the_unit_of_their_value(written: str, limit: float | str) -> None:
    assert parsed(written).limit == limit


@pytest.mark.parametrize("written", ["window.step_count<=20%", "window.step_ns.median<=20%"])
def test_limits_in_another_unit_are_one_line(written: str) -> None:
    with pytest.raises(UsageError, match="is no number"):
        parsed(written)


def test_the_same_run_twice_is_refused(saved: Path) -> None:
    (saved / "copy.json").write_bytes((saved / "base.json").read_bytes())
    words = ["--require", "window.step_count==4"]
    for again in ("base.json", "./base.json", "copy.json"):
        done = CliRunner().invoke(main, ["check", "base.json", again, *words])
        assert done.exit_code == 2 and "Fix: give each run once" in done.stderr, done.output
        assert done.stderr.count("\n") == 1
    done = CliRunner().invoke(main, ["diff", "base.json", "slow.json", "--base", "copy.json", "-o", "-"])
    assert done.exit_code == 2 and "byte for byte" in done.stderr
    done = CliRunner().invoke(main, ["diff", "base.json", "copy.json", "-o", "-", "-q"])
    assert done.exit_code == 0 and done.stdout.startswith("Base and head are the same file.")


def test_a_baseline_that_no_run_has_written_yet_is_said(saved: Path) -> None:
    (saved / "pyproject.toml").write_text(
        '[tool.traceanalyzer]\nrequire = ["window.step_ns.median<=+5%", "window.step_count==4"]\n'
        'baseline = "main.json"\n'
    )
    done = CliRunner().invoke(main, ["check", "base.json", "--junit", "c.xml"])
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == (
        "left out     window.step_ns.median<=+5%; main.json is not there yet"
    )
    assert ET.fromstring((saved / "c.xml").read_text()).attrib["tests"] == "1"
    given = CliRunner().invoke(main, ["check", "base.json", "--baseline", "other.json"])
    assert given.exit_code == 2, "what is asked for by name has to be there"
