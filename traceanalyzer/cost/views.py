"""ATen operators that touch no element: views, allocations, metadata, numbers for the host."""

from __future__ import annotations

_VIEWS = """
view reshape _reshape_alias _unsafe_view view_as as_strided as_strided_ expand expand_as transpose transpose_
t t_ permute slice select narrow squeeze squeeze_ unsqueeze unsqueeze_ detach detach_ alias split
split_with_sizes chunk unbind unfold diagonal movedim moveaxis swapaxes swapdims flatten unflatten empty
empty_like empty_strided new_empty new_empty_strided empty_permuted resize_ resize_as_ set_ resolve_conj
resolve_neg conj _conj view_as_real view_as_complex real_view lift lift_fresh is_same_size size numel dim
stride is_floating_point is_complex is_nonzero_ result_type can_cast broadcast_tensors broadcast_to meshgrid
tensor_split hsplit vsplit dsplit requires_grad_ set_data _version output_nr retain_grad rename align_to names
_has_compatible_shallow_copy_type is_pinned _nested_view_from_buffer _local_scalar_dense_view mT mH adjoint
numpy_T _to_cpu_view swapaxes_ record_stream _foreach_view atleast_1d atleast_2d atleast_3d ravel unsafe_chunk
unsafe_split unsafe_split_with_sizes swapdims_ _neg_view reshape_as sym_size sym_numel sym_stride
sym_storage_offset storage_offset element_size is_contiguous is_signed is_conj is_neg is_set_to is_leaf
_is_zerotensor _fw_primal _make_dual _unpack_dual matrix_H linalg_diagonal _nested_get_values
_nested_get_offsets _nested_get_lengths _nested_view_from_jagged slice_inverse resize resize_as set
"""
VIEWS = frozenset(_VIEWS.split())  # no kernel of their own
# A number that the host asks for: it waits for the device, and one element is copied.
TO_HOST = frozenset(("item", "_local_scalar_dense", "is_nonzero"))
