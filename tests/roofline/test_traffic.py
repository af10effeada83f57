"""Traffic beyond the compulsory bytes: what a kernel's name and the sizes prove; passes counted by hand."""

import re

import msgspec
import pytest

import traceanalyzer
from tests.pipeline.kineto import Kineto
from traceanalyzer.cost import FORMULAS
from traceanalyzer.cost.registry import price_with
from traceanalyzer.device.options import named
from traceanalyzer.records import Cost, OpCall
from traceanalyzer.roofline.traffic import Cache, traffic

SPATIAL = "void (anonymous namespace)::cunn_SpatialSoftMaxForward<double, double, double>"
A100, V100 = named("a100-sxm4-80gb"), named("v100-sxm2")


def moved(name, shapes, kernels, *, device=A100, dtype="fp32", concrete=(), threads=0):
    """(bytes of one call with all proved passes or None, compulsory bytes)."""
    dtypes = tuple(dtype if shape else None for shape in shapes)
    call = OpCall(name, tuple(shapes), dtypes, dtypes, (), tuple(concrete))
    cost = price_with(FORMULAS[name], call)
    assert isinstance(cost, Cost), cost
    found = traffic(cost, each_call(kernels), Cache.of(device), threads)
    return (found.bytes if found else None), cost.bytes


def each_call(*calls):
    """What is asked of a row's calls, each with its list of kernels."""

    def calls_with(pattern):
        return sum(any(re.search(pattern, name) for name in names) for names in calls), len(calls)

    return calls_with


def log_softmax(dims, axis, kernel, **more):
    more.setdefault("concrete", ("", str(axis), "False"))
    return moved("aten::_log_softmax", (dims, (), ()), [kernel], dtype="fp64", **more)


def test_a_softmax_over_channels_that_outgrow_the_cache_reads_its_input_three_times():
    """108 x 2048 threads with 19 doubles in and out are 67 MB of 40."""
    x = 8 * 8 * 19 * 1024 * 1024
    assert log_softmax((8, 19, 1024, 1024), 1, SPATIAL) == (4 * x, 2 * x)
    assert log_softmax((8, 19, 1024, 1024), -3, SPATIAL)[0] == 4 * x


def test_few_channels_stay_in_the_cache():
    """108 x 2048 threads with 6 doubles in and out are 21 MB of 40."""
    assert log_softmax((4, 6, 512, 512), 1, SPATIAL)[0] is None


def test_an_input_that_fits_stays_however_many_channels():
    assert log_softmax((4, 150, 2048), 1, SPATIAL)[0] is None


def test_fewer_resident_threads_need_less_of_the_cache():
    assert log_softmax((8, 19, 1024, 1024), 1, SPATIAL, threads=1024)[0] is None


@pytest.mark.parametrize(
    "kernel",
    [
        "void (anonymous namespace)::softmax_warp_forward<double, double, double, 10, true>",
        "void at::native::(anonymous namespace)::cunn_SoftMaxForwardSmem<8, double, double, double>",
        "void at::native::(anonymous namespace)::cunn_SoftMaxForwardReg<double, double, double>",
    ],
)
def test_kernels_that_keep_the_row_read_it_once(kernel):
    assert log_softmax((2048, 65536), 1, kernel)[0] is None


def test_rows_of_a_block_each_are_read_three_times_where_those_at_work_outgrow_the_cache():
    """108 x 2 blocks of 1024 threads with a row of 65,536 doubles in and out are 226 MB."""
    x = 8 * 2048 * 65536
    kernel = "void at::native::(anonymous namespace)::cunn_SoftMaxForward<2, double, double, double>"
    assert log_softmax((2048, 65536), 1, kernel) == (4 * x, 2 * x)
    short = log_softmax((65536, 5185), 1, kernel)
    assert short[0] is None, "216 rows of 5,185 doubles in and out are 18 MB"


@pytest.mark.parametrize("concrete", [(), ("", "", ""), ("", "7", "False"), ("", "many", "False")])
def test_without_the_dimension_nothing_is_claimed_and_the_price_stays(concrete):
    assert log_softmax((8, 19, 1024, 1024), 1, SPATIAL, concrete=concrete) == (None, 16 * 8 * 19 * 1024**2)


def test_nothing_is_claimed_of_parts_whose_counters_were_not_seen():
    """AMD's caches beyond the L2 are not in the table, nor were counters of them seen."""
    assert log_softmax((8, 19, 1024, 1024), 1, SPATIAL, device=named("mi300x"))[0] is None
    unknown = msgspec.structs.replace(A100, l2_bytes=None)
    assert log_softmax((8, 19, 1024, 1024), 1, SPATIAL, device=unknown)[0] is None


BN = ((64, 64, 112, 112), (64,), (64,), (64,), (64,), (), (), ())
X = 4 * 64 * 64 * 112 * 112


@pytest.mark.parametrize(
    ("kernels", "again"),
    [
        (["void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int=512, true, int=1, true>"], X),
        (["void at::native::batch_norm_collect_statistics_kernel<X>",
          "void at::native::batch_norm_transform_input_kernel<X>"], X),
        (["void cudnn::bn_fw_tr_1C11_singleread<float, 512, true, 1, 2, 0>"], None),
    ],
)  # fmt: skip
def test_batch_normalization_reads_x_twice_but_for_kernels_that_keep_it(kernels, again):
    found, compulsory = moved("aten::native_batch_norm", BN, kernels, device=V100,
                              concrete=("", "", "", "", "", "True", "0.1", "1e-5"))  # fmt: skip
    assert found == (None if again is None else compulsory + again)


TRAINING = ("", "", "", "", "", "True", "0.1", "1e-5")
TWICE = "void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int=512, true, int=1, true>"
ONCE = "void cudnn::bn_fw_tr_1C11_singleread<float, 512, true, 1, 2, 0>"


@pytest.mark.parametrize(("twice", "once"), [(1, 9), (9, 1), (3, 0), (1, 2)])
def test_a_pass_counts_for_the_calls_whose_kernels_show_it(twice, once):
    """The same sizes may get one kernel in one call and another in the next."""
    call = OpCall("aten::native_batch_norm", BN, ("fp32",) * 5, ("fp32",) * 5, (), TRAINING)
    cost = price_with(FORMULAS[call.name], call)
    found = traffic(cost, each_call(*[[TWICE]] * twice, *[[ONCE]] * once), Cache.of(V100), 0)
    assert found.bytes == cost.bytes + X * twice // (twice + once)
    assert ("calls" in found.why) == (once > 0)
    assert traffic(cost, each_call(*[[ONCE]] * once), Cache.of(V100), 0) is None


def norms_trace(folder, kernels):
    trace, at = Kineto(), 1000.0
    for kernel in kernels:
        inputs = [([64, 64, 112, 112], "float"), *[([64], "float")] * 4]
        trace.run("aten::cudnn_batch_norm", at, kernel, at + 10, 300.0, *inputs)
        at += 400
    return traceanalyzer.analyze(trace.write(folder / "t.json"))


def test_a_row_moves_what_its_calls_move(tmp_path):
    """Ten calls of 2 X, three of them with a further X; statistics aside."""
    (row,) = norms_trace(tmp_path, [TWICE] * 3 + [ONCE] * 7).op_rows
    assert row.calls == 10
    assert row.traffic_bytes - row.read_bytes - row.write_bytes == pytest.approx(3 * X)
    assert "in 3 of 10 calls" in row.note
    (row,) = norms_trace(tmp_path, [ONCE] * 10).op_rows
    assert row.traffic_bytes is None


def test_in_evaluation_there_are_no_statistics():
    kernels = ["void at::native::batch_norm_collect_statistics_kernel<X>"]
    concrete = ("", "", "", "", "", "False", "0.1", "1e-5")
    assert moved("aten::native_batch_norm", BN, kernels, device=V100, concrete=concrete)[0] is None


def test_its_backward_reads_both_tensors_twice():
    dims = ((64, 64, 112, 112), (64, 64, 112, 112), (64,), (64,), (64,), (64,), (64,))
    for kernel in ("void cudnn::bn_bw_1C11_kernel_new<float, float, float2, 512, true, 1>",
                   "void at::native::batch_norm_backward_reduce_kernel<float>"):  # fmt: skip
        found, compulsory = moved("aten::native_batch_norm_backward", dims, [kernel], device=V100)
        assert (found, round(compulsory / X)) == (compulsory + 2 * X, 3)


def test_small_channels_stay_on_the_chip():
    """2048 channels of 32 x 7 x 7: 80 x 4 blocks of 512 threads hold 4 MB of 6."""
    small = ((32, 2048, 7, 7), (2048,), (2048,), (2048,), (2048,), (), (), ())
    kernels = ["void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, 512, true, 1, true>"]
    assert moved("aten::native_batch_norm", small, kernels, device=V100)[0] is None


def test_constant_padding_writes_its_inside_twice():
    kernels = ["void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>",
               "void at::native::unrolled_elementwise_kernel<direct_copy_kernel_cuda>"]  # fmt: skip
    found, compulsory = moved("aten::constant_pad_nd", ((64, 64, 112, 112), (), ()), kernels, device=V100,
                              concrete=("", "[1, 1, 1, 1]", "0"))  # fmt: skip
    assert compulsory == X + 4 * 64 * 64 * 114 * 114
    assert found == compulsory + X


def test_a_depthwise_backward_reads_dy_for_both_gradients():
    dims = ((64, 96, 112, 112), (64, 96, 112, 112), (96, 1, 3, 3)) + ((),) * 8
    kernels = ["void at::native::conv_depthwise2d_backward_kernel<3, 1, float, int>",
               "void at::native::conv_depthwise2d_grad_weight_kernel<float, int>"]  # fmt: skip
    concrete = (
        "",
        "",
        "",
        "[0]",
        "[1, 1]",
        "[1, 1]",
        "[1, 1]",
        "False",
        "[0, 0]",
        "96",
        "[True, True, False]",
    )
    dy = 4 * 64 * 96 * 112 * 112
    found, compulsory = moved("aten::convolution_backward", dims, kernels, device=V100, concrete=concrete)
    assert found == compulsory + dy
    only_dx = (*concrete[:-1], "[True, False, False]")
    assert moved("aten::convolution_backward", dims, kernels, device=V100, concrete=only_dx)[0] is None


def test_every_pass_stands_in_its_formulas_docstring():
    """Whoever reads `explain` finds the factor and the counters behind it."""
    helpers = {"FurtherPass", "_softmax_passes", "_channel_passes", "_gradients"}
    having = {name: f for name, f in FORMULAS.items() if helpers & set(f.price.__code__.co_names)}
    assert len({formula.price for formula in having.values()}) == 6
    for name, formula in having.items():
        assert "Traffic =" in formula.doc and "counters" in formula.doc, name
