"""The operator classes of the published table, whatever the bound: by op name, else by kernel name.

Contractions are matmuls, convolutions, fused attention and recurrent networks; statistical normalization is
anything with a reduction, forward or backward (bias-gradient sums belong here: only so do the published FLOP
shares come out); transforms, decompositions and what touches no element (views, allocations, a number for the
host) are none of the three; the rest of ATen is element-wise.
"""

from __future__ import annotations

import re
from functools import lru_cache

from traceanalyzer.cost.views import TO_HOST, VIEWS
from traceanalyzer.records import OperatorClass


def _any(*patterns: str) -> re.Pattern[str]:
    """A name that is one of these words or patterns, whole."""
    return re.compile("|".join(word for text in patterns for word in text.split()))


# Bare names: without `aten::` and without the `_` of an in-place variant.
_CONTRACTION = _any(
    r"mm addmm bmm baddbmm addbmm mv addmv addr ger outer inner dot vdot matmul linear einsum tensordot",
    r"bilinear _trilinear chain_matmul (?:linear|matmul)_backward linalg_(?:matmul|multi_dot|vecdot)",
    r"(?:linalg_)?matrix_power _euclidean_dist _addmm_activation _int_mm _foreach_mm",
    r"_scaled_(?:grouped_)?mm(?:_v2)? _grouped_mm _weight_int[48]pack_mm\w* _dyn_quant_matmul_4bit",
    r"_mixed_dtypes_linear fbgemm_linear_(?:int8|fp16)_weight\w* mkldnn_linear(?:_backward\w*)?",
    r"_wrapped_quantized_linear_prepacked smm hspmm sspaddmm _sparse_mm _sparse_addmm sparse_sampled_addmm",
    r"_sparse_sparse_matmul _sparse_mm_reduce_impl(?:_backward)? _cslt_sparse_mm(?:_search)?",
    r"_sparse_semi_structured_(?:linear|mm|addmm)",
    r"(?!mkldnn_reorder_)\w*conv(?:olution)?(?:_\w+|[123]d\w*)?",
    r"_?scaled_dot_product_(?:\w+_)?attention(?:_\w+)?",
    r"_(?:flash|efficient|cudnn)_attention_(?:for|back)ward\w*",
    r"_(?:native|triton)_multi_head_attention _triton_scaled_dot_attention _transformer_encoder_layer_fwd",
    r"(?:quantized_)?(?:lstm|gru|rnn_tanh|rnn_relu)(?:_cell)? _lstm_mps lstm_mps_backward",
    r"(?:_cudnn|miopen)_rnn(?:_backward)? mkldnn_rnn_layer(?:_backward)?",
)
_NORMALIZATION = _any(
    r"\w*softmax(?:_backward|_backward_data|_with_shape)?",
    r"\w*(?:layer|batch|group|instance|rms|weight)_norm(?:_\w+)?",
    r"norm native_norm norm_except_dim frobenius_norm linalg_(?:vector_|matrix_)?norm linalg__powsum renorm",
    r"(?:_no_grad_)?embedding_renorm _foreach_(?:norm|powsum|max)",
    r"(?:nan)?(?:sum|mean|median|quantile) (?:var|std)(?:_mean)? amax amin _?aminmax argmax argmin max min",
    r"prod any all _is_(?:all|any)_true (?:special_)?logsumexp mode trace count_nonzero hash_tensor",
    r"sum_to_size _grad_sum_to_size _sparse_sum _sparse_csr_(?:sum|prod) trapz trapezoid cov corrcoef",
    r"cumsum cumprod(?:_backward)? _?logcumsumexp cummax cummin _cum(?:max|min)_helper cumulative_trapezoid",
    r"_?segment_reduce(?:_backward)? bincount histc histogram _?histogramdd\w*",
    r"sort msort argsort topk kthvalue _unique2? unique_dim unique_(?:dim_)?consecutive",
    r"(?!_use_)\w+_loss(?:2d|_nd)?(?:_forward|_backward)? kl_div",
    r"binary_cross_entropy(?:_with_logits)?(?:_backward)? cosine_similarity pairwise_distance",
    r"cdist pdist _[cp]dist_(?:forward|backward) dist(?:_backward)?",
    r"(?:_|mkldnn_|quantized_|fractional_)?(?:adaptive_)?(?:avg|max)_pool[123]d(?:_with_indices)?(?:_backward)?",
    r"_?fused_moving_avg_obs_\w+ _choose_qparams_per_tensor choose_qparams_optimized",
)
_OTHER = _any(
    r"fft_(?!\w*(?:freq|shift))\w+ _fft_(?:c2c|c2r|r2c) _cufft_\w+ stft istft",
    r"linalg_(?!cross|diagonal|vander)\w+ _linalg_\w+ cholesky(?:_inverse|_solve)? _cholesky_solve_helper",
    r"inverse pinverse det logdet slogdet qr svd geqrf orgqr ormqr lu_solve lu_unpack _lu_with_info",
    r"triangular_solve _spsolve matrix_exp(?:_backward)? _compute_linear_combination nuclear_norm",
)
_BY_ATEN: tuple[tuple[re.Pattern[str], OperatorClass], ...] = (
    (_CONTRACTION, "tensor_contraction"),
    (_NORMALIZATION, "statistical_normalization"),
    (_OTHER, "other"),
)
# Inductor's kernels: the prefix is the kind of loop, whatever ops the name goes on to list.
_GENERATED: dict[str, OperatorClass] = {
    "tem": "tensor_contraction", "poi": "element_wise", "for": "element_wise",
    "red": "statistical_normalization", "per": "statistical_normalization",
    "spl": "statistical_normalization", "mix": "statistical_normalization",
}  # fmt: skip
_LIBRARY_CONTRACTION = _any(
    r"mkl::_mkl_linear mkldnn::_(?:linear|convolution)\w* onednn::q(?:linear|conv)\w*",
    r"quantized::(?:linear|conv)\w* flash_attn\w*::\w*(?:flash_attn\w*|fwd|bwd)",
    r"flex_attention\w* xformers\w*::.*fmha\w* xformers\w*::(?:efficient_attention|flash)_\w+",
    r"fbgemm::\w*gemm\w* _C::\w*(?:gemm|scaled_mm|scaled_fp4_mm)\w*",
    r"_?vllm\w*::\w*(?:attention|experts|gemm)\w* (?:vllm|sglang)::\w*(?:moe|experts)\w*",
    r"bitsandbytes::(?:gem[mv]_4bit|int8_(?:linear_matmul|scaled_mm|mixed_scaled_mm)) _Linear(?:Backward)?",
    r"trtllm::\w*(?:gemm|_mm|moe|attention)\w*",
    r"_LayerNorm(?:Linear|MLP)(?:Backward)? _GroupedLinear(?:Backward)?",
    r"primus_turbo(?:_cpp_extension)?::\w*gemm\w* tex_ts::te_gemm\w* FlashAttn\w*Func Evoformer\w*Attention",
    r"Mamba\w*ScanCombinedFn SelectiveScanFn",
    r"vllm::gemm_\w+ DaoAILab::_causal_conv1d_\w+ aiter::\w*(?:gemm|mha|fmha|moe|flash_attn)\w*",
    r"(?:sgl_kernel|fbgemm)::\w*(?:scaled_(?:\w+_)?mm|[if]8bf16)\w*",
)
_LIBRARY_NORMALIZATION = _any(
    r"(?:_C|sgl_kernel|flashinfer|aiter)::\w*rms_?norm\w* (?:_moe_C|sgl_kernel)::(?:topk_softmax|moe_sum)",
    r"Fused(?:Layer|RMS)Norm\w*Function (?:Generic)?Scaled(?:UpperTriang)?(?:Masked)?Softmax",
    r"Liger\w*(?:Norm|CrossEntropy|KLDiv|JSD|Softmax)\w*Function",
)
_LIBRARY_ELEMENTS = _any(
    r"(?:_C|sgl_kernel|flashinfer)::\w*(?:_and_mul|quant|rotary|rope|gelu_)\w* _C_cache_ops::\w+",
    r"bitsandbytes::\w*(?:quant|update)\w*",
    r"FusedRoPEFunc Liger\w*(?:Mul|Rope)Function fbgemm::(?:permute|recat)_\w+",
)
_BY_LIBRARY: tuple[tuple[re.Pattern[str], OperatorClass], ...] = (
    (_LIBRARY_CONTRACTION, "tensor_contraction"),
    (_LIBRARY_NORMALIZATION, "statistical_normalization"),
    (_LIBRARY_ELEMENTS, "element_wise"),
)

# Distances are bounded: without, a long name that repeats the first word of a pattern takes the square of
# its length to search.
_LAYOUT_KERNEL = re.compile(
    r"(?:nchw|nhwc)To\w{0,200}(?:nchw|nhwc)|im2(?:d2)?col|col2im|reshape_and_cache|dequant_mm", re.IGNORECASE
)
_CONTRACTION_KERNEL = re.compile(
    r"(?<!fb)gemm|fbgemm(?!_gpu|::)|marlin|(?<!finalize_)matmul|nvjet|xmma|cutlass.{0,2000}(?:tensorop|simt)|conv(?!er[ts])|scudnn|dgrad|wgrad|fprop|winograd"
    r"|flash(?!infer)|fmha|fmoe|fused_moe_kernel|Batch(?:Prefill|Decode)With|attention|attn|Cijk_|wvSplitK|gemv"
    r"|splitKreduce|dot_kernel|reduce_1block_kernel|mfma|cudnn::.{0,2000}engine|bmm",
    re.IGNORECASE,
)
_NORMALIZATION_KERNEL = re.compile(
    r"softmax|layer_?norm|batch_?norm|\bbn_|group_?norm|rms_?norm|reduce_kernel|norm_kernel|RowwiseMoments"
    r"|GammaBeta|welford|ComputeInternalGradients|Compute(?:Backward)?FusedParams|pool|nll_loss|topk|RadixSort"
    r"|\bln_(?:fwd|bwd)|cross_entropy|Top[PK](?![a-z])|sampling|bitonicSort|kernel_scan_|kernelHistogram|cub::.{0,2000}(?:Reduce|Scan)|wrapped_(?:scan|reduce|\w{0,200}sort)_config",
    re.IGNORECASE,
)
_ELEMENT_KERNEL = re.compile(
    r"elementwise|copy_kernel|CatArray|index|gather|scatter|dropout|multi_tensor_apply|(?<!pre)fill|embedding"
    r"|silu|gelu|relu|act_and_mul|rotary|(?<![a-z])rope|fused_?rope|(?<!broad)cast|transpose|distribution"
    r"|convertTensor|upsample|triu_tril|quant|kOptimizer|(?:gated|dgated)_act|pointwise|swiglu|geglu",
    re.IGNORECASE,
)
_BY_KERNEL: tuple[tuple[re.Pattern[str], OperatorClass], ...] = (
    (_LAYOUT_KERNEL, "element_wise"),
    (_CONTRACTION_KERNEL, "tensor_contraction"),
    (_NORMALIZATION_KERNEL, "statistical_normalization"),
    (_ELEMENT_KERNEL, "element_wise"),
)
# Loops over elements that are a step of a norm, by their template arguments.
_STEP_OF_NORM = re.compile(r"softmax|(?:layer|batch|group|rms)_?norm|(?:Lp|L2|Max)NormFunctor", re.IGNORECASE)


@lru_cache(maxsize=65536)
def operator_class(op_name: str | None, kernel_name: str | None) -> OperatorClass:
    """Class of a row from its op, or, for a row of a kernel name, from the kernel where that is plain."""
    return _of_op(op_name or "") or _of_kernel(kernel_name or "")


def _of_op(name: str) -> OperatorClass | None:
    """None where the op does not say: not ATen's, not Inductor's, no known library's."""
    if name.startswith("aten::"):
        whole = name.removeprefix("aten::")
        if whole in VIEWS or whole in TO_HOST:
            return "other"
        bare = whole.removesuffix("_")
        return next(
            (operator_class for pattern, operator_class in _BY_ATEN if pattern.fullmatch(bare)),
            "element_wise",
        )
    for pattern, operator_class in _BY_LIBRARY:
        if pattern.fullmatch(name):
            return operator_class
    return _of_generated(name)


def _of_generated(name: str) -> OperatorClass | None:
    return _GENERATED.get(name[7:10]) if name.startswith("triton_") and name[10:11] == "_" else None


def _of_kernel(name: str) -> OperatorClass:
    """By the kernel's own name first: its template arguments name functors, types and other kernels."""
    generated = _of_generated(name)
    if generated is not None:
        return generated
    plain = re.sub(r"<unnamed>::|\(anonymous namespace\)::", "", name).partition("<")[0]
    for text in (plain, name):
        for pattern, operator_class in _BY_KERNEL:
            if pattern.search(text):
                step = operator_class == "element_wise" and _STEP_OF_NORM.search(name)
                return "statistical_normalization" if step else operator_class
    return "other"
