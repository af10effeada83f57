"""Peaks and bandwidths of accelerators: a table, matched by what a trace records, or given by the user."""

from traceanalyzer.device.match import DeviceMatch, find
from traceanalyzer.device.options import cpu, from_file, named, override, spec_named
from traceanalyzer.device.resolve import resolve
from traceanalyzer.device.table import DeviceSpec, device_specs
from traceanalyzer.device.toml import toml_block

__all__ = [
    "DeviceMatch",
    "DeviceSpec",
    "cpu",
    "find",
    "from_file",
    "named",
    "override",
    "spec_named",
    "device_specs",
    "resolve",
    "toml_block",
]
