"""The operator classes of the published table, whatever the bound: by op name, else by kernel name.

Contractions are products, convolutions and fused attention; statistical normalization is anything with
a reduction (bias-gradient sums belong here: only so do the published FLOP shares come out); the rest
is element-wise.
"""

from __future__ import annotations

import re
from functools import lru_cache

from traceanalyzer.model import OperatorClass

_CONTRACTION_OP = re.compile(
    r"aten::(?:_?(?:mm|addmm|bmm|baddbmm|addbmm|matmul|linear|mv|addmv|addr|ger|dot|vdot|einsum|bilinear)$"
    r"|_?addmm_activation|_scaled_(?:grouped_)?mm|_grouped_mm|_int_mm|_weight_int|_cslt|_sparse_semi|_fused_sdp"
    r"|.*conv(?:olution|_transpose|_tbc|_depthwise)?(?:[123]d)?(?:_|$)|.*convolution|scaled_dot_product"
    r"|_scaled_dot_product|_flash_attention|_efficient_attention|_cudnn_attention|_transformer"
    r"|.*(?:lstm|gru|rnn)|_thnn_fused|mkldnn_linear|mkldnn_rnn)"
    r"|mkl::_mkl_linear|mkldnn::_(?:linear|convolution)|flash_attn|xformers.*fmha|triton_tem_|flex_attention"
    r"|fbgemm::.*gemm|_C::.*(?:gemm|scaled_mm)|_?vllm.*attention|aiter::.*gemm"
)
_NORMALIZATION_OP = re.compile(
    r"triton_(?:red|per)_|aten::(?:_?(?:log_)?softmax|_softmax_backward|_log_softmax_backward"
    r"|.*(?:layer|batch|group|instance|rms)_norm|.*_norm(?:_|$)|(?:linalg_)?(?:vector_)?norm|sum|nansum|mean|nanmean"
    r"|var|std|var_mean|std_mean|amax|amin|aminmax|argmax|argmin|max|min|prod|any|all|logsumexp|median|count_nonzero"
    r"|cumsum|cumprod|_?cumsum|.*_loss|nll_loss|.*_loss_backward|.*pool\dd|.*pool|_foreach_norm|_foreach_max"
    r"|bincount|histc|sort|topk|argsort|kthvalue|_softmax|special_softmax|renorm|_weight_norm)"
)
_POOL = re.compile(r"aten::.*pool[123]d")
_FREE_OP = re.compile(r"(?:aten|prims|triton|torchvision|quantized|fbgemm|_C|mkldnn|mkl|xformers)[:_]")

_CONTRACTION_KERNEL = re.compile(
    r"gemm|nvjet|xmma|cutlass.*(?:tensorop|simt)|conv(?:olve|_fwd|_bwd|2d|3d)|dgrad|wgrad|fprop|winograd|flash|fmha"
    r"|attention|attn|Cijk_|wvSplitK|gemv|splitKreduce|dot_kernel|mfma|cudnn::.*engine|miopen.*conv|igemm|bmm",
    re.IGNORECASE,
)
_NORMALIZATION_KERNEL = re.compile(
    r"softmax|layer_?norm|batch_?norm|\bbn_|group_?norm|rms_?norm|reduce_kernel|norm_kernel|RowwiseMoments|triton_(?:red|per)_"
    r"|GammaBeta|welford|pool|nll_loss|topk|cub::.*(?:Reduce|Scan)",
    re.IGNORECASE,
)
_ELEMENT_KERNEL = re.compile(
    r"elementwise|triton_poi_|copy_kernel|CatArray|index|gather|scatter|dropout|multi_tensor_apply|fill|embedding"
    r"|silu|gelu|relu|rotary|rope|cast|transpose|distribution",
    re.IGNORECASE,
)


@lru_cache(maxsize=65536)
def operator_class(op_name: str | None, kernel_name: str | None) -> OperatorClass:
    """Class of a row from its op, or, for a row of a kernel name, from the kernel where that is plain."""
    if op_name is not None:
        if op_name.startswith("triton_tem_") or _CONTRACTION_OP.match(op_name):
            return "tensor_contraction"
        if _NORMALIZATION_OP.match(op_name) or _POOL.match(op_name):
            return "statistical_normalization"
        if op_name.startswith("aten::") or op_name.startswith("triton_poi_"):
            return "element_wise"
    for pattern, kind in _BY_KERNEL:
        if kernel_name is not None and pattern.search(kernel_name):
            return kind
    return "other"


_BY_KERNEL: tuple[tuple[re.Pattern[str], OperatorClass], ...] = (
    (_CONTRACTION_KERNEL, "tensor_contraction"),
    (_NORMALIZATION_KERNEL, "statistical_normalization"),
    (_ELEMENT_KERNEL, "element_wise"),
)
