"""The op rows, or the kernels, as Parquet: typed columns, and on each row what tells runs and ranks apart.

docs/parquet.md describes the columns. In Parquet a column of one value is that value: it costs nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from traceanalyzer.records import Analysis, KernelTable, OpRow
from traceanalyzer.records.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_INT64 = 1 << 63
_ABSENT = -1  # of a kernel's columns
_OF_SOME_RUNS = ("rank", "device_index", "torch", "step_count")
_NUMBERS = ("start_ns", "time_ns", "attributed_ns", "stream", "correlation", "blocks")  # of kernels
_OPTIONAL = ("correlation", "blocks")  # columns of kernels that a trace need not record
_RUN: dict[str, tuple[str, Callable[[Analysis], Any]]] = {
    "file": ("string", lambda analysis: analysis.source.files[0].path),
    "rank": ("int64", lambda analysis: analysis.source.files[0].rank),
    "device_index": ("int64", lambda analysis: analysis.source.files[0].device_index),
    "device": ("string", lambda analysis: analysis.device.name),
    "device_id": ("string", lambda analysis: analysis.device.id),
    "torch": ("string", lambda analysis: analysis.recording and analysis.recording.torch),
    "tool_version": ("string", lambda analysis: analysis.tool.version),
    "step_count": ("int64", lambda analysis: analysis.window.step_count),
    "window_ns": ("int64", lambda analysis: analysis.window.window_ns),
    "busy_ns": ("int64", lambda analysis: analysis.time.busy_ns),
}


def check_ready(path: str) -> None:
    """UsageError where what writes Parquet is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401 - a broken installation is found here as well
    except ImportError as error:
        raise UsageError(
            f"{path}: writing Parquet needs pyarrow ({error})",
            fix="pip install 'torch-traceanalyzer[parquet]'",
        ) from error


def check_kernels(analysis: Analysis, path: str) -> None:
    """UsageError where an analysis has no kernels to write."""
    if not isinstance(analysis.kernel_table, KernelTable):
        raise UsageError(
            f"{path}: the kernels are not part of a saved report, or were not kept",
            fix="give the trace itself, and in Python AnalyzeOptions(kernels=True)",
        )


def ops(analysis: Analysis) -> bytes:
    """One line an op row, under the JSON's names, in the report's order."""
    check_ready("ops")
    import pyarrow as pa

    columns = {"row": pa.array(range(len(analysis.op_rows)), pa.int64())}
    fields = [pa.field("row", pa.int64(), nullable=False)]
    for column in inspect.type_info(OpRow).fields:  # type: ignore[attr-defined]
        column_type, stored, optional = _stored(pa, column.type)
        values = [getattr(row, column.name) for row in analysis.op_rows]
        stored_values = [None if each is None else stored(each) for each in values]
        columns[column.name] = pa.array(stored_values, column_type)
        fields.append(pa.field(column.name, column_type, nullable=optional))
    return _file(pa, analysis, columns, fields)


def kernels(analysis: Analysis) -> bytes:
    """One line a kernel in the window, in the order of their starts; `row` is that of its op."""
    check_ready("kernels")
    check_kernels(analysis, "kernels")
    import pyarrow as pa

    table = analysis.kernel_table
    texts = {
        "name": pa.array(table.names, pa.string()).take(pa.array(table.name)),
        **{name: pa.array([getattr(row, field) for row in table.rows], pa.string()).take(pa.array(table.row))
           for name, field in (("op", "name"), ("phase", "phase"), ("verdict", "verdict"),
                               ("operator_class", "operator_class"))},
    }  # fmt: skip
    columns = {"row": pa.array(table.row, pa.int64()), "name": texts.pop("name")}
    for name in _NUMBERS:
        values = getattr(table, name)
        columns[name] = pa.array(values, pa.int64(), mask=values == _ABSENT if name in _OPTIONAL else None)
    columns |= texts
    optional = {"phase", *_OPTIONAL}
    fields = [pa.field(name, column.type, nullable=name in optional) for name, column in columns.items()]
    return _file(pa, analysis, columns, fields)


def _stored(pa: Any, annotation: inspect.Type) -> tuple[pa.DataType, Callable[[Any], Any], bool]:
    """The type of a column, how a value of it is stored, and whether one may be missing."""
    match annotation:
        case inspect.UnionType(types):
            (present,) = (each for each in types if not isinstance(each, inspect.NoneType))
            return (*_stored(pa, present)[:2], True)
        case inspect.IntType():
            return pa.int64(), _int64, False
        case inspect.FloatType():
            return pa.float64(), float, False
        case inspect.StrType() | inspect.LiteralType():
            return pa.string(), str, False
        case inspect.VarTupleType(inspect.StructType(fields=parts)):
            struct = pa.struct([(part.name, _stored(pa, part.type)[0]) for part in parts])
            return pa.list_(struct), lambda items: [msgspec.structs.asdict(item) for item in items], False
        case inspect.VarTupleType(inspect.AnyType()):
            return pa.string(), _json, False  # dims: numbers, lists of numbers, or lists of these
        case inspect.VarTupleType(item) | inspect.TupleType(item_types=(item, *_)):
            return pa.list_(_stored(pa, item)[0]), list, False
    raise TypeError(f"no column type for {annotation}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _int64(value: int) -> int | None:
    """A number that no column holds, of sizes that no memory does, is not known."""
    return value if -_INT64 <= value < _INT64 else None


def _file(pa: Any, analysis: Analysis, columns: dict[str, Any], fields: list[Any]) -> bytes:
    import pyarrow.parquet as parquet

    count = len(columns["row"])
    of_run = {
        name: pa.repeat(pa.scalar(value(analysis), of_type), count) for name, (of_type, value) in _RUN.items()
    }
    run_fields = [pa.field(n, column.type, nullable=n in _OF_SOME_RUNS) for n, column in of_run.items()]
    about = {"traceanalyze.schema_version": analysis.schema_version}
    schema = pa.schema([*run_fields, *fields], metadata=about)
    out = io.BytesIO()
    parquet.write_table(pa.table({**of_run, **columns}, schema=schema), out, compression="zstd")
    return out.getvalue()
