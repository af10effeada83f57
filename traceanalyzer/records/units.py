"""Units: dtypes to bytes, SI formatting and parsing. The only place with 1e9 and 1e12."""

from __future__ import annotations

import math
import re

# Spelling in a trace -> the name used everywhere else. Kineto writes C++ names (`c10::Half`),
# short C names (`float`, `long int`) or, up to torch 1.10, capitalized ones.
_SPELLINGS = {
    "fp64": "double float64 fp64 f64",
    "fp32": "float float32 fp32 f32 single",
    "fp16": "half float16 fp16 f16",
    "bf16": "bfloat16 bf16",
    "fp8_e4m3": "float8_e4m3fn float8_e4m3fnuz fp8_e4m3 fp8e4nv fp8e4b8 fp8",
    "fp8_e5m2": "float8_e5m2 float8_e5m2fnuz fp8_e5m2 fp8e5 fp8e5b16",
    "fp8_e8m0": "float8_e8m0fnu fp8_e8m0",
    "fp4": "float4_e2m1fn_x2 fp4",
    "int64": "long int|long|long long|long long int|int64|int64_t|__int64|i64",
    "int32": "int int32 int32_t __int32 i32",
    "int16": "short|short int|int16|int16_t|__int16|i16",
    "int8": "signed char|char|int8|int8_t|__int8|qint8|i8",
    "uint8": "unsigned char|uint8|uint8_t|unsigned __int8|byte|quint8|u8",
    "uint16": "unsigned short|short unsigned int|uint16|uint16_t|unsigned __int16|u16",
    "uint32": "unsigned int|unsigned|uint32|uint32_t|unsigned __int32|u32",
    "uint64": "unsigned long|long unsigned int|unsigned long long|long long unsigned int|uint64|uint64_t|"
    "unsigned __int64|u64",
    "bool": "bool i1",
    "complex32": "complex<half>|complexhalf|complex32",
    "complex64": "complex<float>|complexfloat|complex64",
    "complex128": "complex<double>|complexdouble|complex128",
}
DTYPES: dict[str, str] = {
    spelling: name
    for name, spellings in _SPELLINGS.items()
    for spelling in (spellings.split("|") if "|" in spellings else spellings.split())
}

ITEMSIZE: dict[str, int] = {
    "fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2,
    "fp8_e4m3": 1, "fp8_e5m2": 1, "fp8_e8m0": 1,
    "fp4": 1,  # torch's float4_e2m1fn_x2 packs two values in one addressable element
    "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "bool": 1, "complex32": 4, "complex64": 8, "complex128": 16,
}  # fmt: skip


# Codes of a `dtype` argument: torch/c10/core/ScalarType.h
SCALAR_TYPES: dict[str, str] = {
    "0": "uint8", "1": "int8", "2": "int16", "3": "int32", "4": "int64", "5": "fp16", "6": "fp32",
    "7": "fp64",
    "8": "complex32", "9": "complex64", "10": "complex128", "11": "bool", "15": "bf16", "23": "fp8_e5m2",
    "24": "fp8_e4m3", "25": "fp8_e5m2", "26": "fp8_e4m3",
}  # fmt: skip


_COMPILERS = re.compile(r"\b(?:struct|class|enum)\s+")  # what Visual C++ writes before a type's name


def canonical_dtype(spelling: str) -> str | None:
    """`c10::BFloat16` -> `bf16`; None where the text names no tensor dtype (`Scalar`, ``)."""
    text = _COMPILERS.sub("", spelling.strip().lower())
    for prefix in ("c10::", "torch.", "at::"):
        text = text.replace(prefix, "")
    return DTYPES.get(text)


_SI = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_FACTORS = {prefix.lower(): factor for factor, prefix in _SI}


def digits(value: float, significant: int = 3) -> str:
    """Fixed-point text of `value` to so many significant digits: 0.0123, 1.23, 123, 12,345."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "∞"
    magnitude = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if magnitude == 0:
        text = f"{value:.{significant}g}"
        return f"{value:.{significant + 4}f}".rstrip("0") if "e" in text else text
    return f"{value:,.{max(significant - magnitude, 0)}f}"


def si(value: float, unit: str, significant: int = 3) -> str:
    """`si(989.4e12, "FLOP/s")` -> `989 TFLOP/s`."""
    for factor, prefix in _SI:
        if abs(value) >= factor:
            return f"{digits(value / factor, significant)} {prefix}{unit}"
    return f"{digits(value, significant)} {unit}"


_TIME_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


def duration(ns: float, significant: int = 3) -> str:
    """Nanoseconds as people read them: `850 ns`, `12.3 µs`, `97.0 ms`, `1.20 s`."""
    for factor, unit in _TIME_UNITS:
        if abs(ns) >= factor:
            return f"{digits(ns / factor, significant)} {unit}"
    return f"{digits(ns, significant)} ns"


def no_less_than(ns: float, significant: int = 3) -> str:
    """As `duration`, rounded down: what is shown is a lower bound of the time, too."""
    factor, unit = next((each for each in _TIME_UNITS if ns >= each[0]), (1.0, "ns"))
    decimals = max(significant - len(str(int(ns / factor))), 0)
    tenths = 10**decimals
    # Rounded first: 4.35 * 100 is 434.99999999999994.
    return f"{digits(math.floor(round(ns / factor * tenths, 6)) / tenths, significant)} {unit}"


def percent(share: float, denominator_digits: int = 1) -> str:
    """0.4712 -> `47.1 %`; a share that is not zero never prints as `0.0 %`."""
    text = f"{100 * share:.{denominator_digits}f}"
    if share > 0 and float(text) == 0:
        return f"<{10**-denominator_digits:g} %"
    return f"{text} %"


def whole_percent(share: float) -> str:
    """`61 %`; neither nothing nor everything unless it is exactly that."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"


_QUANTITY = re.compile(
    r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([kmgtpe]?)(i?)(?:b|bytes?|flops?|ops?)?(?:/s|ps)?\s*", re.IGNORECASE
)


def parse_quantity(text: str) -> float:
    """`3.35TB/s` -> 3.35e12, `989T` -> 9.89e14, `5.3e12` -> 5.3e12; ValueError if it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"not a number with a unit: {text!r}")
    number, prefix, binary = match.groups()
    if binary:
        raise ValueError(f"binary prefixes are not used for rates: {text!r}")
    return float(number) * _FACTORS[prefix.lower()]


_NAMED_ABOVE = ("median", "min", "max", "base", "head", "change", "low", "high")


def unit_of(name: str) -> str | None:
    """`share`, `ns` or `bytes`, as the path of a value tells it; None for a count, a rate or a text."""
    above, _, last = name.rpartition(".")
    if last in _NAMED_ABOVE and above:
        last = above.rpartition(".")[2]
    words = last.split("_")
    return next((unit for unit in ("share", "ns", "bytes") if unit in words), None)
