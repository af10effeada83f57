"""How fast this CPU evaluates functions and draws random numbers, in elements a second, by type.

On arrays that fit into a core's cache, so that arithmetic and not memory takes the time. Random numbers come
from a generator of their own: PyTorch's is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from traceanalyzer.device.calibrate_cases import DTYPES, Case, Once, Rate, rates
from traceanalyzer.records import CpuFunction, FunctionRate

_ELEMENTS = 1 << 17  # 1 MiB of fp64: a core's second-level cache
_GRAIN = 32768  # elements that PyTorch gives a thread at least (at::internal::GRAIN_SIZE)
_SECONDS = 0.7  # of all
_PRECISIONS = ("fp32", "bf16", "fp64")
_READ_FIRST = 0.85  # of the in-place rate, below which a copy must have moved more than it counts
_IN_PLACE = ("scale in place", "add in place")


def function_rates(torch: Any, once: Once) -> tuple[FunctionRate, ...]:
    """One a function and type that this build has, function by function."""
    cases = {key: case for key, case in _cases(torch) if _runs(case)}
    measured = {rate.what: rate.per_s for rate in rates(tuple(cases.values()), once, _SECONDS)}
    by_type = (FunctionRate(*key, measured[case.what]) for key, case in cases.items())
    return tuple(sorted(by_type, key=lambda rate: get_args(CpuFunction).index(rate.function)))


def _cases(torch: Any) -> Iterator[tuple[tuple[CpuFunction, str], Case]]:
    count = elements(torch.get_num_threads())
    for precision in _PRECISIONS:
        dtype = getattr(torch, DTYPES[precision])
        for function, run in _functions(torch, dtype, count).items():
            yield (function, precision), Case(f"{function} {precision}", count, run)


def elements(threads: int) -> int:
    """Of an array that gives every thread work, and each core no more than its cache holds."""
    return max(_ELEMENTS, _GRAIN * threads)


def _functions(torch: Any, dtype: Any, count: int) -> dict[CpuFunction, Callable[[], object]]:
    noise = torch.Generator("cpu").manual_seed(0)
    x = torch.rand(count, generator=noise).add_(0.5).to(dtype)
    out = torch.empty_like(x)
    return {
        "exp": lambda: torch.exp(x, out=out), "tanh": lambda: torch.tanh(x, out=out),
        "erf": lambda: torch.erf(x, out=out), "log": lambda: torch.log(x, out=out),
        "division": lambda: torch.div(x, x, out=out),
        "normal": lambda: out.normal_(generator=noise), "uniform": lambda: out.uniform_(generator=noise),
        "bernoulli": lambda: out.bernoulli_(0.5, generator=noise),
    }  # fmt: skip


def _runs(case: Case) -> bool:
    try:
        case.run()
    except RuntimeError:  # this build has no such kernel for the type
        return False
    return True


def write_allocate(streams: Sequence[Rate]) -> bool | None:
    """Whether lines are read before they are overwritten: a copy then moves three arrays and counts two.

    None where one of the two was not measured.
    """
    per_s = {stream.what: stream.per_s for stream in streams}
    in_place = [per_s[what] for what in _IN_PLACE if what in per_s]
    if not in_place or "copy" not in per_s:
        return None
    return per_s["copy"] < _READ_FIRST * max(in_place)
