"""What an operator does on a CPU beside FLOPs and compulsory bytes: functions it evaluates, lines it reads.

A CPU has no units for exponentials or random numbers: a tanh takes as long as the bytes of 40 elements, a
random number more. How many a second is measured (device/calibrate_rates.py); how many there are is here.
"""

from __future__ import annotations

from traceanalyzer.cost.tensors import numel
from traceanalyzer.records import CpuFunction, FunctionCount, OpCall
from traceanalyzer.records.calls import RANDOM, Cost
from traceanalyzer.records.units import ITEMSIZE

# The function whose rate stands for what the operator evaluates once an element: ATen/native/cpu.
_FUNCTIONS: dict[CpuFunction, str] = {
    "exp": "exp exp2 expm1 sinh cosh sigmoid special_expit special_exp2 special_expm1 silu silu_backward "
           "softplus softplus_backward elu elu_backward celu selu log_sigmoid log_sigmoid_forward "
           "log_sigmoid_backward glu glu_backward logaddexp logaddexp2 logsumexp softmax _softmax "
           "_safe_softmax log_softmax _log_softmax _log_softmax_backward_data",
    "tanh": "tanh mish mish_backward",
    "erf": "erf erfc special_erf gelu gelu_backward",
    "log": "log log2 log10 log1p special_log1p xlogy special_xlogy logit asinh acosh atanh",
    "division": "div divide true_divide floor_divide remainder fmod reciprocal sqrt rsqrt addcdiv softsign "
                "_foreach_div _foreach_sqrt _foreach_rsqrt _foreach_reciprocal _foreach_addcdiv",
    "normal": "normal normal_ randn randn_like log_normal_",
    "uniform": "uniform uniform_ rand rand_like random random_ randint randint_like exponential_ cauchy_ "
               "geometric_",
    "bernoulli": "bernoulli bernoulli_",
}  # fmt: skip
_FUNCTION_OF = {f"aten::{name}": function for function, names in _FUNCTIONS.items() for name in names.split()}
# In place, and what is overwritten was not read.
_OVERWRITES = frozenset(
    f"aten::{name}_" for name in (
        "copy", "fill", "normal", "uniform", "bernoulli", "random", "exponential", "log_normal", "cauchy",
        "geometric", "_foreach_copy",
    )
)  # fmt: skip
_BY_MEMSET = frozenset({"aten::zero_", "aten::zeros", "aten::zeros_like", "aten::_foreach_zero_"})


def functions_of(call: OpCall, cost: Cost) -> tuple[FunctionCount, ...]:
    """The functions of one call by the type of its elements; () where none is known.

    A row of a normalization takes one square root, which is nothing beside its elements: it is left out.
    """
    function = _FUNCTION_OF.get(call.name) or _FUNCTION_OF.get(call.name.removesuffix("_"))
    precision = call.dtype(0) or call.list_dtype
    if function is None or precision not in ITEMSIZE:
        return ()
    if function == "erf" and any("tanh" in text for text in call.concrete):
        function = "tanh"  # gelu's other formula
    count = _elements(call, cost, precision) if function in RANDOM else cost.special_functions
    return (FunctionCount(function, precision, count),) if count else ()


def _elements(call: OpCall, cost: Cost, precision: str) -> int:
    dims = [size for size in call.dims(0) if isinstance(size, int)]
    return numel(tuple(dims)) if dims else cost.write_bytes // ITEMSIZE[precision]


def lines_read_first(call: OpCall, cost: Cost) -> int:
    """Bytes of the lines that are overwritten whole, and that a CPU reads before it does.

    What is updated in place was read anyway; memset writes past the cache (glibc: non-temporal stores).
    """
    in_place = call.name.endswith("_") and not call.name.endswith("__")
    if call.name in _BY_MEMSET or (in_place and call.name not in _OVERWRITES):
        return 0
    return 0 if call.name.startswith("aten::_fused_") else cost.write_bytes
