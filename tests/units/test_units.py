"""Spellings of types that torch and compilers use; numbers as people read and write them."""

from __future__ import annotations

import pytest

from traceanalyzer.records.units import (
    ITEMSIZE,
    canonical_dtype,
    digits,
    duration,
    parse_quantity,
    percent,
    si,
)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("float", "fp32"), ("Float", "fp32"), ("double", "fp64"), ("c10::Half", "fp16"),
        ("c10::BFloat16", "bf16"), ("long int", "int64"), ("long", "int64"), ("long long", "int64"),
        ("int", "int32"), ("short int", "int16"), ("short unsigned int", "uint16"),
        ("long unsigned int", "uint64"), ("signed char", "int8"),
        ("unsigned char", "uint8"), ("bool", "bool"),
        ("c10::complex<float>", "complex64"), ("c10::complex<c10::Half>", "complex32"),
        ("c10::Float8_e4m3fn", "fp8_e4m3"), ("c10::Float8_e5m2fnuz", "fp8_e5m2"),
        ("Scalar", None), ("TensorList", None), ("", None),
    ],
)  # fmt: skip
def test_every_spelling_has_one_name_and_a_size(spelling: str, name: str | None) -> None:
    assert canonical_dtype(spelling) == name
    assert name is None or name in ITEMSIZE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.35TB/s", 3.35e12), ("989T", 989e12), ("5.3e12", 5.3e12), ("1555 GB/s", 1555e9),
        ("20 TFLOP/s", 20e12), ("20TFLOPS", 20e12), ("1 TBps", 1e12),
    ],
)  # fmt: skip
def test_quantities(text: str, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "fast", "3.35 TiB/s", "--1", "1q", "T"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text)


def test_numbers_as_people_read_them() -> None:
    assert si(989.4e12, "FLOP/s") == "989 TFLOP/s"
    assert si(3.35e12, "B/s") == "3.35 TB/s"
    assert duration(850) == "850 ns" and duration(97_000_000) == "97.0 ms"
    assert percent(0.4712) == "47.1 %" and percent(0.00001) == "<0.1 %" and percent(0) == "0.0 %"
    assert digits(12345.6) == "12,346" and digits(0.01234) == "0.0123"
