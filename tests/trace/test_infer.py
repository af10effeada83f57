"""What other rows prove of a call: output shapes and list dtypes; and what proves nothing."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from tests.files import loaded
from tests.trace.build import Rows, name_of
from traceanalyzer.inference.list_dtypes import ItemType, item_type
from traceanalyzer.records import Dims, OpCall, Shape
from traceanalyzer.records.trace import Trace

FOLDER = os.environ.get("TRACEANALYZER_REAL_TRACES")
IMAGES, FILTERS = (2, 3, 9, 9), (8, 3, 3, 3)


def call(name: str, *shapes: Dims, concrete: tuple[str, ...] = ()) -> OpCall:
    types = tuple("TensorList" if s and isinstance(s[0], tuple) else "float" if s else "" for s in shapes)
    dtypes = tuple("fp32" if t == "float" else None for t in types)
    return OpCall(name, shapes, dtypes, types, concrete=concrete)


def convolution(rows: Rows, start: int, sequence: int = -1, *, concrete: tuple[str, ...] = ()) -> None:
    """conv2d > convolution > cudnn_convolution, 100 ns long."""
    for depth, name in enumerate(("aten::conv2d", "aten::convolution", "aten::cudnn_convolution")):
        more = {"sequence": sequence, "forward_thread": 0} if sequence >= 0 else {}
        made = call(name, IMAGES, FILTERS, concrete=concrete)
        rows.op(name, start + depth, start + 100 - depth, call=made, **more)


def outputs(trace: Trace, name: str) -> list[Shape | None]:
    return [trace.calls[c].output for i, c in enumerate(trace.ops.call.tolist()) if name_of(trace, i) == name]


def test_the_gradient_given_to_the_backward_node_has_the_outputs_shape() -> None:
    rows = Rows()
    convolution(rows, 0, 5)
    convolution(rows, 100, 6)
    rows.node("CudnnConvolutionBackward0", 500, 600, 6, call=call("CudnnConvolutionBackward0", (2, 8, 4, 4)))
    rows.node("CudnnConvolutionBackward0", 600, 700, 5, call=call("CudnnConvolutionBackward0", (2, 8, 7, 7)))
    trace = rows.trace()
    for name in ("aten::conv2d", "aten::convolution", "aten::cudnn_convolution"):
        assert outputs(trace, name) == [(2, 8, 7, 7), (2, 8, 4, 4)], name
    proved = trace.calls[trace.ops.call[0]]
    assert proved.output_from
    assert proved.shapes == (IMAGES, FILTERS)


def test_a_node_of_another_op_proves_nothing() -> None:
    rows = Rows()
    convolution(rows, 0, 5)
    rows.node("AddBackward0", 500, 600, 5, call=call("AddBackward0", (2, 8, 7, 7)))
    assert set(outputs(rows.trace(), "aten::conv2d")) == {None}


@pytest.mark.parametrize(
    ("name", "shapes", "output"),
    [
        ("aten::convolution_backward", ((2, 8, 4, 4), IMAGES, FILTERS), (2, 8, 4, 4)),
        ("aten::cudnn_convolution_backward", (IMAGES, (2, 8, 4, 4), FILTERS), (2, 8, 4, 4)),
        ("aten::convolution_backward", ((2, 8, 4, 4), (2, 3, 5, 5), FILTERS), None),  # another one's input
    ],
)
def test_the_backward_op_inside_the_node_proves_it_too(
    name: str, shapes: tuple[Shape, ...], output: Shape | None
) -> None:
    rows = Rows()
    convolution(rows, 0, 5)
    rows.node("ConvolutionBackward0", 500, 600, 5)
    rows.op(name, 510, 590, thread=1, call=call(name, *shapes))
    assert outputs(rows.trace(), "aten::cudnn_convolution") == [output]


def test_proofs_that_contradict_each_other_prove_nothing() -> None:
    rows = Rows()
    convolution(rows, 0, 5)
    rows.node("CudnnConvolutionBackward0", 500, 600, 5, call=call("CudnnConvolutionBackward0", (2, 8, 7, 7)))
    rows.op("aten::convolution_backward", 510, 590, thread=1,
            call=call("aten::convolution_backward", (2, 8, 4, 4), IMAGES, FILTERS))  # fmt: skip
    assert outputs(rows.trace(), "aten::conv2d") == [None]


def test_where_strides_are_recorded_nothing_is_added() -> None:
    rows = Rows()
    convolution(rows, 0, 5, concrete=("", "", "[1, 1]"))
    rows.node("CudnnConvolutionBackward0", 500, 600, 5, call=call("CudnnConvolutionBackward0", (2, 8, 7, 7)))
    trace = rows.trace()
    assert outputs(trace, "aten::conv2d") == [None]
    assert len(trace.calls) == len(rows.calls)


def test_without_a_backward_the_bias_inside_proves_it() -> None:
    rows = Rows()
    rows.op("aten::conv2d", 0, 100, call=call("aten::conv2d", IMAGES, FILTERS, (8,)))
    rows.op("aten::add_", 50, 60, call=call("aten::add_", (2, 8, 4, 4), (1, 8, 1, 1)))
    assert outputs(rows.trace(), "aten::conv2d") == [(2, 8, 4, 4)]


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ((2, 8, 7, 7), (2, 8, 7, 7)),  # stride 1
        ((2, 8, 5, 5), (2, 8, 5, 5)),  # stride 2, padding 1
        ((2, 8, 30, 30), None),  # larger than any padding makes it
        ((2, 4, 7, 7), None),  # other channels
        ((3, 8, 7, 7), None),  # another batch
    ],
)
def test_the_norm_behind_proves_it_if_the_convolution_could_make_that(
    given: Shape, output: Shape | None
) -> None:
    rows = Rows()
    convolution(rows, 0)
    rows.op("aten::add_", 110, 120, call=call("aten::add_", (), ()))
    rows.op("aten::batch_norm", 130, 200, call=call("aten::batch_norm", given, (8,)))
    assert outputs(rows.trace(), "aten::conv2d") == [output]


def test_norms_that_disagree_or_other_ops_between_prove_nothing() -> None:
    rows = Rows()
    for i, made in enumerate(((2, 8, 7, 7), (2, 8, 5, 5))):
        convolution(rows, 1000 * i)
        rows.op("aten::batch_norm", 1000 * i + 130, 1000 * i + 200, call=call("aten::batch_norm", made, (8,)))
    assert outputs(rows.trace(), "aten::conv2d") == [None, None]
    rows = Rows()
    convolution(rows, 0)
    rows.op("aten::relu", 110, 120, call=call("aten::relu", (2, 8, 7, 7)))
    rows.op("aten::batch_norm", 130, 200, call=call("aten::batch_norm", (2, 8, 7, 7), (8,)))
    assert outputs(rows.trace(), "aten::conv2d") == [None]


def test_proved_shapes_are_those_that_torch_made(tmp_path: Path) -> None:
    """A recording stripped of `Concrete Inputs`, against the shapes that hooks saw."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, (1, 5), padding=(0, 2), groups=4), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, dilation=2), nn.AvgPool2d(3, stride=1),
    )  # fmt: skip
    seen: list[Shape] = []
    for layer in net:
        if "Conv" in type(layer).__name__ or "Pool" in type(layer).__name__:
            layer.register_forward_hook(lambda _, __, made: seen.append(tuple(made.shape)))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        net(torch.randn(2, 3, 32, 32)).sum().backward()
    path = tmp_path / "t.json"
    profiler.export_chrome_trace(str(path))
    document = json.loads(path.read_text())
    for event in document["traceEvents"]:
        event.get("args", {}).pop("Concrete Inputs", None)
    path.write_text(json.dumps(document))
    trace = loaded(str(path))
    forward = {"aten::convolution", "aten::max_pool2d_with_indices", "aten::avg_pool2d"}
    rows = [i for i in range(len(trace.ops)) if name_of(trace, i) in forward]
    assert [trace.calls[trace.ops.call[row]].output for row in rows] == seen


@pytest.mark.skipif(not FOLDER, reason="TRACEANALYZER_REAL_TRACES is not set")
def test_all_convolutions_of_a_trace_without_strides_are_proved_and_consistent() -> None:
    assert FOLDER
    trace = loaded(str(Path(FOLDER) / "train_resnet50_v100_torch19.json.gz"))
    proved: Counter[bool] = Counter()
    for c in trace.ops.call.tolist():
        made = trace.calls[c]
        if made.name == "aten::cudnn_convolution":
            proved[made.output is not None] += 1
            assert made.output and made.output[:2] == (made.shapes[0][0], made.shapes[1][0])
            stride = made.shapes[0][2] / made.output[2]
            assert stride in (1, 2)
    assert set(proved) == {True}


CAT = "void at::native::(anonymous namespace)::CatArrayBatchedCopy<{}, unsigned int, 2, 128, 1>({}*, at::nati"
FOREACH = (
    "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::"
    "TensorListMetadata<2>, at::native::(anonymous namespace)::{}, std::plus<float>, float>(at::native::"
)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (CAT.format("float", "float"), ItemType(4, "fp32")),
        (CAT.format("c10::BFloat16", "c10::BFloat16"), ItemType(2, "bf16")),
        (CAT.format("long", "long"), ItemType(8, "int64")),
        (CAT.format(*["at::native::(anonymous namespace)::OpaqueType<2u>"] * 2), ItemType(2, None)),
        (CAT.replace("Copy<", "Copy_aligned16_contig<").format("c10::Half", "x"), ItemType(2, "fp16")),
        (FOREACH.format("BinaryOpListAlphaFunctor<c10::BFloat16, 2, 2, 0>"), ItemType(2, "bf16")),
        (FOREACH.format("LpNormFunctor<c10::Half, at::native::NormType, float>"), ItemType(2, "fp16")),
        (FOREACH.format("CopyFunctor<int, long, 2, 1, 1>"), ItemType(4, "int32", "int64")),
        (FOREACH.format("CopyFunctor<long, long, 2, 1, 1>"), ItemType(8, "int64")),
        ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", None),
        ("ampere_sgemm_128x128_tn", None),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>(int)", None),
    ],
)
def test_item_types_in_kernel_names(kernel: str, expected: ItemType | None) -> None:
    assert item_type(kernel) == expected


def cat(rows: Rows, start: int, *kernels: str) -> None:
    rows.op("aten::cat", start, start + 10, call=call("aten::cat", ((4, 8), (4, 2)), ()))
    for i, kernel in enumerate(kernels):
        rows.launch(start * 10 + i + 1, start + 5)
        rows.kernel(kernel, start + 1000, start + 1001, start * 10 + i + 1)


def list_dtypes(trace: Trace, name: str = "aten::cat") -> list[str | None]:
    calls = trace.ops.call.tolist()
    return [trace.calls[c].list_dtype for i, c in enumerate(calls) if name_of(trace, i) == name]


FLOAT, LONG = CAT.format("float", "float"), CAT.format("long", "long")
OPAQUE = CAT.format("at::native::(anonymous namespace)::OpaqueType<2u>", "x")


def test_kernels_settle_the_dtype_of_each_invocation() -> None:
    rows = Rows()
    cat(rows, 0, FLOAT)
    cat(rows, 100, LONG)
    cat(rows, 200, FLOAT, LONG)
    cat(rows, 300, OPAQUE)
    assert list_dtypes(rows.trace()) == ["fp32", "int64", None, "uint16"]


def test_a_silent_invocation_takes_what_all_equal_calls_say() -> None:
    rows = Rows()
    cat(rows, 0, FLOAT)
    cat(rows, 100, "Memcpy DtoD (Device -> Device)")
    rows.kernels[-1] = (*rows.kernels[-1][:3], 1, *rows.kernels[-1][4:])  # a copy record
    assert list_dtypes(rows.trace()) == ["fp32", "fp32"]


def neighbor(dtype: str, *shapes: Shape) -> OpCall:
    return OpCall("aten::mul", shapes, tuple(dtype for _ in shapes), tuple("" for _ in shapes))


@pytest.mark.parametrize(
    ("neighbors", "expected"),
    [
        ([neighbor("bf16", (4, 8))], "bf16"),
        ([neighbor("bf16", (4, 8)), neighbor("fp32", (64, 64))], "bf16"),
        ([neighbor("bf16", (4, 8)), neighbor("fp32", (4, 2))], None),
        ([neighbor("fp32", (64, 64))], None),
    ],
)
def test_on_a_cpu_neighbors_with_tensors_of_the_items_dims_settle_it_if_they_agree(
    neighbors: list[OpCall], expected: str | None
) -> None:
    rows = Rows()
    for i, made in enumerate(neighbors):
        rows.op("aten::mul", 20 * i, 20 * i + 10, call=made)
    cat(rows, 100)
    assert list_dtypes(rows.trace()) == [expected]


def test_neighbors_say_which_dtype_of_a_known_size_it_is() -> None:
    rows = Rows()
    cat(rows, 0, OPAQUE)
    rows.op("aten::mul", 20, 30, call=neighbor("bf16", (4, 8)))
    rows.op("aten::mul", 30, 40, call=neighbor("int64", (4, 2)))
    assert list_dtypes(rows.trace()) == ["bf16"]
