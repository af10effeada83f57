"""The registry of cost formulas, and the one place where a formula may fail.

A formula is a function of an OpCall whose docstring states FLOPs, Bytes and what it assumes; `source`
says where that can be checked. One fused multiply-add is 2 FLOPs; bytes are compulsory traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import get_args

from msgspec.structs import replace

from traceanalyzer.records import Bounded, Cost, Engine, OpCall, Reason, Unpriced
from traceanalyzer.records.priced import Formula, Fusible, Role

Function = Callable[[OpCall], Cost]
INT64_MAX = 2**63 - 1  # sizes are int64, and so are the counts that are added up of them


class Missing(Exception):
    """Something the formula needs is not in the trace; the bytes, where these alone are known."""

    def __init__(
        self, reason: Reason, detail: str = "", read_bytes: int | None = None, write_bytes: int | None = None
    ) -> None:
        super().__init__(detail)
        self.unpriced = Unpriced(reason, detail, read_bytes, write_bytes)


class _Between(Missing):
    """Only what it costs at least and at most is known."""

    def __init__(self, bounds: Bounded) -> None:
        super().__init__(bounds.reason, bounds.detail)
        self.unpriced = bounds


_ALIKE = 1.15  # a range of bytes no wider than this is as good as a figure


def between(least: Cost, most: Cost, why: str, together: bool = False) -> Cost:
    """What data decides between two ends: the larger where they are alike, else Missing with both.

    `together`: one unknown decides FLOPs and bytes alike, as the length of a sequence does.
    """
    if least.flops == most.flops and most.bytes <= _ALIKE * least.bytes:
        return most if most.bytes == least.bytes else replace(most, note=why)
    raise _Between(Bounded("data_dependent", why, least=least, most=most, together=together))


FORMULAS: dict[str, Formula] = {}
# Ops that have a kernel of their own on one device, or for some arguments, and call other priced ops
# elsewhere: mean is a sum and a division on the CPU, dropout a random fill and a product, an embedding a
# selection of rows, relu a clamp, a list op a loop where its fast path does not apply; and mere other
# names (aten/src/ATen/native: ReduceOps.cpp, Dropout.cpp, Embedding.cpp, Activation.cpp,
# ForeachOpsKernels.cpp, BatchLinearAlgebra.cpp).
_DELEGATING = """
mean nanmean nansum std norm logsumexp special_logsumexp logcumsumexp native_dropout native_dropout_backward
bernoulli embedding nll_loss nll_loss_nd argsort msort kl_div count_nonzero _foreach_* _foreach_norm
_foreach_max index_put_ index_put _unsafe_index _unsafe_index_put repeat_interleave take_along_dim
scatter_reduce isin max min
isnan isinf isfinite masked_fill relu relu_ relu6 relu6_ hardtanh celu celu_ selu selu_ prelu log_sigmoid
mish_backward square square_ float_power float_power_ ldexp ldexp_ rsub deg2rad deg2rad_ rad2deg rad2deg_
divide divide_ true_divide true_divide_ multiply multiply_ subtract subtract_ negative negative_ absolute
absolute_ clip clip_ greater greater_ less less_ conj_physical _conj_physical positive real imag
__and__ __or__ __xor__ __iand__ __ior__ __ixor__ special_expit special_erf special_log1p special_xlogy
special_exp2 special_expm1 special_i0
l1_loss poisson_nll_loss soft_margin_loss soft_margin_loss_backward binary_cross_entropy_with_logits
_safe_softmax _fused_rms_norm _weight_norm
mv vdot outer ger cdist convolution_backward linalg_inv_ex linalg_lu _linalg_det _linalg_slogdet
_linalg_solve_ex
"""
DELEGATING = frozenset(f"aten::{name}" for name in _DELEGATING.split())


def op_cost(
    *names: str, source: str, role: Role = "work", fusible: Fusible = "opaque"
) -> Callable[[Function], Function]:
    """Register a formula for ops, by whole name or by a pattern with `*`; a second one for a name raises.

    `role` says whether the op works by itself, `fusible` what a compiler can make of it.
    """

    def register(function: Function) -> Function:
        for name in names:
            if name in FORMULAS:
                raise ValueError(f"{name} has a formula already: {FORMULAS[name].price.__name__}")
            known_role = "composite" if name in DELEGATING else role
            FORMULAS[name] = Formula(name, function, source, known_role, fusible)
        return function

    return register


def matching(name: str, formulas: Mapping[str, Formula]) -> Formula | None:
    """Of `formulas`, the one of this whole name, else of the longest pattern that it fits."""
    if name in formulas:
        return formulas[name]
    patterns = [key for key in formulas if "*" in key and fnmatchcase(name, key)]
    return formulas[max(patterns, key=len)] if patterns else None


USER_TRITON = "user Triton kernel"


def price_with(formula: Formula | None, call: OpCall) -> Cost | Unpriced:
    """What one invocation costs, or why that is not known; never a guess, never zero for the unknown."""
    if formula is None:
        return Unpriced("no_formula")
    try:
        cost = formula.price(_of_numbers(call))
    except Missing as missing:
        return _checked_unpriced(missing.unpriced)
    except (Exception, SystemExit) as error:  # a user's formula may raise anything
        return Unpriced("formula_failed", f"{type(error).__name__}: {error}")
    wrong = _wrong(cost)
    if wrong:
        return Unpriced("formula_failed", wrong)
    counts = _counts(cost)
    if max(*counts, cost.bytes) > INT64_MAX:
        return Unpriced("no_shapes", f"the recorded sizes of {call.name} cannot be")
    if not cost.flops and not cost.bytes and formula.role != "free" and not _describes_a_tensor(call):
        return Unpriced("no_shapes", f"no input of {call.name} is recorded as a tensor")
    return cost


def _counts(cost: Cost) -> tuple[int, ...]:
    work = (cost.flops, cost.recomputed_flops, cost.special_functions)
    return (*work, cost.read_bytes, cost.write_bytes)


def _wrong(cost: object) -> str:
    """What makes that no Cost which a report could show; empty where it is one."""
    if not isinstance(cost, Cost):
        return f"the formula gives {type(cost).__name__}, no Cost"
    counts = _counts(cost)
    if not all(isinstance(count, int) for count in counts):
        kinds = ", ".join(type(count).__name__ for count in counts)
        return f"the formula gives {kinds}, which are not all whole numbers"
    if min(counts) < 0:
        return "the formula gives a negative count"
    if cost.recomputed_flops > cost.flops:
        return "the formula recomputes more FLOPs than it counts"
    if cost.engine not in get_args(Engine):
        return f"the formula names the engine {cost.engine!r}, which is none of {_listed(Engine)}"
    texts = {"precision": cost.precision, "note": cost.note}
    return next(
        (f"the formula's {name} is {type(text).__name__}, no text" for name, text in texts.items()
         if not isinstance(text, str)), "",
    )  # fmt: skip


def _checked_unpriced(unpriced: Unpriced) -> Unpriced:
    """What a formula that raises Missing says; bytes that cannot be are no better known than the rest."""
    if isinstance(unpriced, Bounded):
        return _checked_bounds(unpriced)
    sizes = [size for size in (unpriced.read_bytes, unpriced.write_bytes) if size is not None]
    if unpriced.reason not in get_args(Reason):
        return Unpriced(
            "formula_failed", f"Missing names the reason {unpriced.reason!r}, none of {_listed(Reason)}"
        )
    if not isinstance(unpriced.detail, str) or not all(isinstance(s, int) and s >= 0 for s in sizes):
        return Unpriced("formula_failed", "Missing takes a reason, a text and bytes of 0 or more")
    if sum(sizes) > INT64_MAX:
        return Unpriced("no_shapes", unpriced.detail)
    return unpriced


def _checked_bounds(bounds: Bounded) -> Unpriced:
    """An interval whose ends are costs, the least first; INT64_MAX holds for both."""
    few, many = bounds.least, bounds.most
    wrong = _wrong(few) or _wrong(many)
    if not wrong and (few.flops > many.flops or few.bytes > many.bytes):
        wrong = "the formula's least cost is more than its most"
    if wrong:
        return Unpriced("formula_failed", wrong)
    if max(*_counts(many), many.bytes) > INT64_MAX:
        return Unpriced("no_shapes", bounds.detail)
    return bounds


def _listed(literal: object) -> str:
    return ", ".join(get_args(literal))


def _of_numbers(call: OpCall) -> OpCall:
    """A call on tensors without dimensions alone, as a step counter is, is one on tensors of one element."""
    if any(call.shapes) or not any(call.dtypes):
        return call
    shapes = tuple((1,) if call.dtype(index) else () for index in range(len(call.shapes)))
    return replace(call, shapes=shapes, input_strides=())


def _describes_a_tensor(call: OpCall) -> bool:
    """Nested tensors, and those of a run without record_shapes, leave neither dims nor a type."""
    return any(call.shapes) or any(call.dtypes)
