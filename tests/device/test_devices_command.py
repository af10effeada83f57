"""`traceanalyze devices`: complete, plain when piped, within 80 columns, helpful on a wrong name."""

import pytest
from click.testing import CliRunner

from traceanalyzer.cli.devices import command
from traceanalyzer.device import device_specs, toml_block
from traceanalyzer.records.errors import DeviceError


def run(*arguments):
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_every_part_is_listed_plainly_within_80_columns():
    text = run()
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in text
    for spec in device_specs():
        (line,) = [line for line in lines if line.split()[:1] == [spec.id] and line.endswith(spec.confidence)]
        assert spec.confidence in line


def test_the_wall_grows():
    wall = run().split("memory wall")[1]
    ridges = [int(line.split()[-1]) for line in wall.splitlines()[2:7]]
    assert ridges[0] == 29 and ridges[-1] == 292
    assert "compute grew 106 times, bandwidth 11 times" in wall


@pytest.mark.parametrize("spec", device_specs(), ids=lambda p: p.id)
def test_one_part_shows_every_figure_its_source_and_a_block_to_copy(spec):
    text = run(spec.id)
    for peak in spec.peaks:
        assert f"{peak.engine} {peak.precision}" in text
    assert spec.source.split()[0] in text
    assert toml_block(spec) in text


def test_names_of_traces_work_too():
    assert run("NVIDIA H100 80GB HBM3").startswith("h100-sxm5")


def test_an_unknown_name_says_what_is_close():
    with pytest.raises(DeviceError, match="h100-sxm5"):
        run("h100-sxm")
