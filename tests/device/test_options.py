"""What the user can say about a device, and what is answered when it cannot be used."""

import pytest

from traceanalyzer.device import cpu, device_specs, find, from_file, named, override, toml_block
from traceanalyzer.device.table import parse
from traceanalyzer.records import CpuRoofs, Peak
from traceanalyzer.records.errors import DeviceError


@pytest.mark.parametrize(
    "name", ["h100-sxm5", "H100-SXM5", "NVIDIA H100 80GB HBM3", "h100 80gb hbm3", "nvidia  H100 80GB hbm3"]
)
def test_named_takes_ids_and_whole_names(name):
    device = named(name)
    assert (device.id, device.how) == ("h100-sxm5", "flag")
    assert device.peak("matrix", "bf16") == 989.4e12
    assert "H100 datasheet" in device.provenance


@pytest.mark.parametrize("name", ["h100-sxm", "a100", "L", "", "   ", "nonsense"])
def test_named_never_guesses(name):
    with pytest.raises(DeviceError, match="names no one device"):
        named(name)


@pytest.mark.parametrize("name", ["H100", "NVIDIA H100"])
def test_who_types_h100_is_asked_which(name):
    """A trace that says so means the 96 GB part of unknown bandwidth; a user does not."""
    with pytest.raises(DeviceError, match="h100-sxm5, .*h100-pcie"):
        named(name)


def test_all_of_a_kind_are_offered():
    with pytest.raises(DeviceError) as caught:
        named("a100")
    assert all(p.id in caught.value.fix for p in device_specs() if p.id.startswith("a100"))


def test_named_lists_what_is_close():
    with pytest.raises(DeviceError, match="h100-sxm5"):
        named("h100-sxm")


def test_bandwidth_and_one_peak_make_a_device_of_an_unknown_one():
    device = override(find(None).device, ["bf16=989T"], "3.35TB/s")
    assert device.how == "flag"
    assert device.bandwidth_bytes_per_s == 3.35e12
    assert device.peaks == (Peak("matrix", "bf16", 989e12),)
    assert "989 TFLOP/s" in device.provenance and "3.35 TB/s" in device.provenance


def test_override_replaces_one_figure_and_keeps_the_rest():
    before = named("h100-sxm5")
    after = override(before, ["matrix:bf16=700T", "vector:fp16=100e12", "fp32=60T"], None)
    assert after.peak("matrix", "bf16") == 700e12
    assert after.peak("vector", "fp16") == 100e12
    assert after.peak("vector", "fp32") == 60e12
    assert after.peak("matrix", "fp8") == before.peak("matrix", "fp8")
    assert after.bandwidth_bytes_per_s == before.bandwidth_bytes_per_s
    assert after.id == before.id


def test_override_of_nothing_is_the_same_device():
    device = named("b200")
    assert override(device, [], None) is device


@pytest.mark.parametrize("text", ["bf16", "bf16=", "bf17=3T", "tensor:bf16=3T", "bf16=fast", "bf16=0", "=3T"])
def test_a_wrong_peak_is_refused_with_the_form(text):
    with pytest.raises(DeviceError, match="Fix: "):
        override(named("b200"), [text], None)


@pytest.mark.parametrize("text", ["", "fast", "-3TB/s", "0", "3TiB/s"])
def test_a_wrong_bandwidth_is_refused(text):
    with pytest.raises(DeviceError, match="--bandwidth"):
        override(named("b200"), [], text)


FILE = """
[[device]]
id = "my-gpu"
multiprocessors = 10
bandwidth_bytes_per_s = 1e12
vector = { fp32 = 2e13 }
matrix = { bf16 = 2e14 }
source = "its datasheet"
"""


def test_a_device_file(tmp_path):
    path = tmp_path / "gpu.toml"
    path.write_text(FILE)
    device = from_file(str(path))
    assert (device.id, device.how, device.kind) == ("my-gpu", "file", "gpu")
    assert device.peaks == (Peak("vector", "fp32", 2e13), Peak("matrix", "bf16", 2e14))
    assert "its datasheet" in device.provenance


def test_a_measured_device_file(tmp_path):
    path = tmp_path / "cpu.toml"
    path.write_text(FILE + 'kind = "cpu"\ncalibrated = true\n')
    device = from_file(str(path))
    assert (device.how, device.kind) == ("calibrated", "cpu")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "my-gpu"', "", "no id"),
        ("[[device]]", "[device]", r"\[\[device\]\]"),
        ("1e12", '"fast"', "bandwidth_bytes_per_s"),
        ("1e12", "-1.0", "bandwidth_bytes_per_s"),
        ("bf16", "bf17", r"matrix\.bf17"),
        ("2e14", "0", r"matrix\.bf16"),
        ("{ bf16 = 2e14 }", "3", "matrix"),
        ("multiprocessors = 10", "sms = 10", "sms"),
        ("multiprocessors = 10", "multiprocessors = 1.5", "multiprocessors"),
        ("[[device]]", "[[device", "TOML"),
        ('source = "its datasheet"', '[[device]]\nid = "second"', "2 devices"),
    ],
)
def test_a_wrong_file_names_the_place_and_the_fix(tmp_path, old, new, said):
    path = tmp_path / "gpu.toml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(DeviceError, match=said) as caught:
        from_file(str(path))
    assert str(path) in caught.value.what
    assert caught.value.fix


def test_a_missing_file(tmp_path):
    with pytest.raises(DeviceError, match="cannot be read"):
        from_file(str(tmp_path / "none.toml"))


def test_cpu_roofs_come_from_the_recording_or_are_unknown():
    peaks = (Peak("matrix", "fp32", 1e11),)
    roofs = CpuRoofs(name="EPYC", bandwidth_bytes_per_s=2e10, peaks=peaks, threads=2)
    device = cpu(roofs, None)
    assert (device.kind, device.how, device.name) == ("cpu", "calibrated", "EPYC")
    assert device.peak("matrix", "fp32") == 1e11
    bare = cpu(None, "EPYC")
    assert (bare.kind, bare.how, bare.peaks) == ("cpu", "unknown", ())
    assert "--device-file" in bare.provenance


@pytest.mark.parametrize("spec", device_specs(), ids=lambda p: p.id)
def test_a_part_written_as_a_device_file_reads_back_the_same(spec):
    assert parse(toml_block(spec), "file.toml") == (spec,)
