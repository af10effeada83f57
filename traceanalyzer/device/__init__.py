"""The roofs of accelerators: a table as data, told apart by what a trace records, or given by the user."""

from traceanalyzer.device.match import DeviceMatch, find
from traceanalyzer.device.options import cpu, from_file, named, override, part_named
from traceanalyzer.device.resolve import resolve
from traceanalyzer.device.table import Part, parts
from traceanalyzer.device.toml import toml_block

__all__ = [
    "DeviceMatch",
    "Part",
    "cpu",
    "find",
    "from_file",
    "named",
    "override",
    "part_named",
    "parts",
    "resolve",
    "toml_block",
]
