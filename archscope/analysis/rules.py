"""The table of operators: which rule of `ops` answers for which of PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Literal

from archscope.analysis import ops
from archscope.analysis.formulas import fused, linalg, packed, sparse, spectral
from archscope.analysis.ops import Rule
from archscope.errors import ArchscopeError
from archscope.records import Cost, Factor, Product

OperatorKind = Literal["counted", "elementwise", "free", "unknown"]

_CONVOLUTIONS: Mapping[str, Rule] = {
    "aten::_conv_depthwise2d": ops.direct_convolution,
    "aten::_convolution": ops.convolution,
    "aten::_nnpack_spatial_convolution": ops.direct_convolution,
    "aten::_slow_conv2d_forward": ops.direct_convolution,
    "aten::conv_depthwise3d": ops.direct_convolution,
    "aten::conv_tbc": ops.conv_tbc,
    "aten::convolution": ops.convolution,
    "aten::convolution_backward": ops.convolution_backward,
    "aten::convolution_backward_overrideable": ops.convolution_backward,
    "aten::convolution_overrideable": ops.convolution,
    "aten::cudnn_convolution": ops.direct_convolution,
    "aten::cudnn_convolution_add_relu": ops.direct_convolution,
    "aten::cudnn_convolution_relu": ops.direct_convolution,
    "aten::cudnn_convolution_transpose": ops.direct_transposed_convolution,
    "aten::miopen_convolution": ops.direct_convolution,
    "aten::miopen_convolution_add_relu": ops.direct_convolution,
    "aten::miopen_convolution_relu": ops.direct_convolution,
    "aten::miopen_convolution_transpose": ops.direct_transposed_convolution,
    "aten::miopen_depthwise_convolution": ops.direct_convolution,
    "aten::mkldnn_convolution": ops.direct_convolution,
    "aten::slow_conv3d_forward": ops.direct_convolution,
    "aten::slow_conv_dilated2d": ops.direct_convolution,
    "aten::slow_conv_dilated3d": ops.direct_convolution,
    "aten::slow_conv_transpose2d": ops.direct_transposed_convolution,
    "aten::slow_conv_transpose3d": ops.direct_transposed_convolution,
    "torchvision::_deform_conv2d_backward": ops.deformable_convolution_backward,
    "torchvision::deform_conv2d": ops.deformable_convolution,
}

_PRODUCTS: Mapping[str, Rule] = {
    "aten::_addmm_activation": sparse.operands(1)(ops.addmm),
    "aten::_euclidean_dist": ops.euclidean_distances,
    "aten::_grouped_mm": ops.grouped_mm,
    "aten::_int_mm": ops.mm,
    "aten::_trilinear": ops.trilinear,
    "aten::addbmm": ops.addbmm,
    "aten::addmm": sparse.operands(1)(ops.addmm),
    "aten::addmv": sparse.operands(1)(ops.addmv),
    "aten::addr": ops.addr,
    "aten::affine_grid_generator": ops.affine_grid,
    "aten::baddbmm": ops.baddbmm,
    "aten::bmm": sparse.operands(0)(ops.bmm),
    "aten::cudnn_affine_grid_generator": ops.affine_grid,
    "aten::dot": ops.dot,
    "aten::linear": sparse.operands(0)(ops.linear),
    "aten::mkldnn_linear": ops.linear,
    "aten::mm": sparse.operands(0)(ops.mm),
    "aten::mv": sparse.operands(0)(ops.mv),
    "aten::vdot": ops.dot,
}

_SPARSE: Mapping[str, Rule] = {
    "aten::_cslt_sparse_mm": packed.two_of_four_compressed,
    "aten::_sparse_addmm": sparse.operands(1)(ops.addmm),
    "aten::_sparse_mm_reduce_impl": sparse.reduced,
    "aten::_sparse_semi_structured_addmm": packed.two_of_four_added,
    "aten::_sparse_semi_structured_linear": packed.two_of_four_linear,
    "aten::_sparse_semi_structured_mm": packed.two_of_four,
    "aten::_sparse_sparse_matmul": sparse.products,
    "aten::hspmm": sparse.products,
    "aten::sparse_sampled_addmm": sparse.sampled_addmm,
    "pyg::grouped_matmul": ops.listed_mm,
    "pyg::segment_matmul": ops.segment_mm,
    "torch_sparse::spmm_max": sparse.spmm,
    "torch_sparse::spmm_mean": sparse.spmm,
    "torch_sparse::spmm_min": sparse.spmm,
    "torch_sparse::spmm_sum": sparse.spmm,
}

_PACKED: Mapping[str, Rule] = {
    "aten::_dyn_quant_matmul_4bit": packed.by_result,
    "aten::_mixed_dtypes_linear": packed.by_result,
    "aten::_scaled_grouped_mm": packed.scaled_grouped_mm,
    "aten::_scaled_grouped_mm_v2": packed.scaled_grouped_mm,
    "aten::_scaled_mm": packed.scaled_mm,
    "aten::_scaled_mm_v2": packed.scaled_mm,
    "aten::_weight_int4pack_mm": packed.by_result,
    "aten::_weight_int4pack_mm_for_cpu": packed.by_result,
    "aten::_weight_int4pack_mm_with_scales_and_zeros": packed.by_result,
    "aten::_weight_int8pack_mm": packed.by_result,
    "aten::quantized_gru": packed.GRU.sequence,
    "aten::quantized_lstm": packed.LSTM.sequence,
    "bitsandbytes::gemv_4bit": packed.by_result,
    "bitsandbytes::int8_linear_matmul": packed.by_result,
    "bitsandbytes::int8_mixed_scaled_mm": packed.by_result,
    "bitsandbytes::int8_scaled_mm": packed.by_result,
    "quantized::conv1d": packed.convolution,
    "quantized::conv1d_dynamic": packed.convolution,
    "quantized::conv1d_relu": packed.convolution,
    "quantized::conv2d": packed.convolution,
    "quantized::conv2d_add": packed.convolution,
    "quantized::conv2d_add_relu": packed.convolution,
    "quantized::conv2d_dynamic": packed.convolution,
    "quantized::conv2d_relu": packed.convolution,
    "quantized::conv3d": packed.convolution,
    "quantized::conv3d_dynamic": packed.convolution,
    "quantized::conv3d_relu": packed.convolution,
    "quantized::conv_transpose1d": packed.transposed_convolution,
    "quantized::conv_transpose2d": packed.transposed_convolution,
    "quantized::conv_transpose2d_dynamic": packed.transposed_convolution,
    "quantized::conv_transpose3d": packed.transposed_convolution,
    "quantized::int4mm_packed_weight_cpu": packed.by_result,
    "quantized::linear": packed.by_result,
    "quantized::linear_dynamic": packed.by_result,
    "quantized::linear_dynamic_fp16": packed.by_result,
    "quantized::linear_relu": packed.by_result,
    "quantized::linear_relu_dynamic": packed.by_result,
    "quantized::quantized_gru_cell_dynamic": packed.GRU.cell,
    "quantized::quantized_lstm_cell_dynamic": packed.LSTM.cell,
    "quantized::quantized_rnn_relu_cell_dynamic": packed.RNN.cell,
    "quantized::quantized_rnn_tanh_cell_dynamic": packed.RNN.cell,
}

_QUANTIZED_ELEMENTWISE = (
    "add", "add_relu", "add_scalar", "batch_norm2d", "batch_norm2d_relu", "batch_norm3d", "celu",
    "elu", "group_norm", "hardswish", "instance_norm", "layer_norm", "leaky_relu", "mul",
    "mul_relu", "mul_scalar", "prelu", "sigmoid", "softmax",
)  # fmt: skip

_LINALG: Mapping[str, Rule] = {
    "aten::_cholesky_solve_helper": linalg.solve_factored,
    "aten::_linalg_det": linalg.lu,
    "aten::_linalg_eigh": linalg.symmetric_eigenvalues,
    "aten::_linalg_eigvals": linalg.eigenvalues,
    "aten::_linalg_slogdet": linalg.lu,
    "aten::_linalg_solve_ex": linalg.solve,
    "aten::_linalg_svd": linalg.singular_values,
    "aten::cholesky_inverse": linalg.inverse_of_cholesky,
    "aten::cholesky_solve": linalg.solve_factored,
    "aten::geqrf": linalg.householder,
    "aten::linalg_cholesky_ex": linalg.cholesky,
    "aten::linalg_eig": linalg.eigenvalues,
    "aten::linalg_householder_product": linalg.householder_product,
    "aten::linalg_inv_ex": linalg.inverse,
    "aten::linalg_ldl_factor_ex": linalg.cholesky,
    "aten::linalg_ldl_solve": linalg.solve_factored_first,
    "aten::linalg_lstsq": linalg.least_squares,
    "aten::linalg_lu": linalg.lu,
    "aten::linalg_lu_factor_ex": linalg.lu,
    "aten::linalg_lu_solve": linalg.solve_factored_first,
    "aten::linalg_matrix_exp": linalg.exponential,
    "aten::linalg_pinv": linalg.pseudo_inverse,
    "aten::linalg_qr": linalg.qr,
    "aten::linalg_solve_triangular": linalg.solve_triangular,
    "aten::ormqr": linalg.reflect,
    "aten::triangular_solve": linalg.triangular_solve,
}

_TRANSFORMS: Mapping[str, Rule] = {
    "aten::_fft_c2c": spectral.complex_transform,
    "aten::_fft_c2r": spectral.inverse_real_transform,
    "aten::_fft_r2c": spectral.real_transform,
}

_FUSED: Mapping[str, Rule] = {
    "aten::_native_multi_head_attention": fused.multi_head_attention,
    "aten::_transformer_encoder_layer_fwd": fused.transformer_encoder_layer,
    "archscope::flex_attention": fused.flex_attention,
    "archscope::flex_attention_backward": fused.flex_attention_backward,
    "aten::mkldnn_rnn_layer": fused.lstm_layer_on_cpu,
    "aten::mkldnn_rnn_layer_backward": fused.lstm_layer_on_cpu_backward,
    **{
        f"aten::_scaled_dot_product_{backend}{way}": rule
        for way, rule in (("", fused.attention), ("_backward", fused.attention_backward))
        for backend in (
            "cudnn_attention",
            "efficient_attention",
            "flash_attention",
            "flash_attention_for_cpu",
            "fused_attention_overrideable",
        )
    },
}

COUNTED: Mapping[str, Rule] = {
    name: rule if table is _TRANSFORMS else ops.in_real_numbers(rule)
    for table in (_CONVOLUTIONS, _PRODUCTS, _SPARSE, _PACKED, _LINALG, _TRANSFORMS, _FUSED)
    for name, rule in table.items()
}


def _listed(file: str, rule: Rule) -> dict[str, Rule]:
    """The operators of PyTorch that one of the lists in `operators/` names, one a line."""
    folder = resources.files("archscope.analysis").joinpath("operators")
    names = folder.joinpath(f"{file}.txt").read_text("utf-8").split()
    return {f"aten::{name}": rule for name in names}


ELEMENTWISE: Mapping[str, Rule] = {
    **_listed("elements_written", ops.elements_written),
    **_listed("elements_read", ops.elements_read),
    **_listed("windows", ops.window),
    "aten::_cdist_backward": ops.along_rows_backward,
    "aten::_cdist_forward": ops.along_rows,
    "aten::_ctc_loss": ops.ctc_loss,
    "aten::_embedding_bag": ops.embedding_bag,
    "aten::_embedding_bag_forward_only": ops.embedding_bag,
    "aten::_embedding_bag_per_sample_weights_backward": ops.along_rows,
    "aten::_fused_adagrad": ops.elements_of_list,
    "aten::_fused_adam": ops.elements_of_list,
    "aten::_fused_adamw": ops.elements_of_list,
    "aten::_fused_sgd": ops.elements_of_list,
    "aten::_pdist_backward": ops.along_rows_backward,
    "aten::_pdist_forward": ops.along_rows,
    "aten::_sparse_csr_prod": sparse.elements_stored,
    "aten::_sparse_csr_sum": sparse.elements_stored,
    "aten::_sparse_log_softmax": sparse.elements_stored,
    "aten::_sparse_softmax": sparse.elements_stored,
    "aten::_sparse_softmax_backward_data": sparse.elements_stored,
    "aten::_sparse_sum": sparse.elements_stored,
    "archscope::rms_norm": ops.elements_written,
    "archscope::rms_norm_backward": ops.elements_written,
    "bitsandbytes::dequantize_4bit": ops.elements_written,
    "bitsandbytes::dequantize_blockwise": ops.elements_written,
    "bitsandbytes::int8_double_quant": ops.elements_read,
    "bitsandbytes::int8_mm_dequant": ops.elements_written,
    "bitsandbytes::int8_vectorwise_dequant": ops.elements_written,
    "bitsandbytes::int8_vectorwise_quant": ops.elements_read,
    "bitsandbytes::quantize_4bit": ops.elements_read,
    "bitsandbytes::quantize_blockwise": ops.elements_read,
    **{f"quantized::{name}": ops.elements_written for name in _QUANTIZED_ELEMENTWISE},
    "torch_scatter::scatter_max": ops.elements_read,
    "torch_scatter::scatter_mean": ops.elements_read,
    "torch_scatter::scatter_min": ops.elements_read,
    "torch_scatter::scatter_mul": ops.elements_read,
    "torch_scatter::scatter_sum": ops.elements_read,
    "torch_scatter::segment_sum_csr": ops.elements_read,
    "torchvision::_ps_roi_align_backward": ops.elements_written,
    "torchvision::_ps_roi_pool_backward": ops.elements_written,
    "torchvision::_roi_align_backward": ops.elements_written,
    "torchvision::_roi_pool_backward": ops.elements_written,
    "torchvision::nms": ops.elements_read,
    "torchvision::ps_roi_align": ops.elements_written,
    "torchvision::ps_roi_pool": ops.elements_written,
    "torchvision::roi_align": ops.elements_written,
    "torchvision::roi_pool": ops.elements_written,
}

FREE: Mapping[str, Rule] = {
    **_listed("free", ops.free),
    "aten::_foreach_clone": ops.free,
    "aten::_foreach_copy": ops.free,
    "aten::_foreach_zero": ops.free,
    "prim::device": ops.free,
    "prims::broadcast_in_dim": ops.free,
    "prims::collapse_view": ops.free,
    "prims::convert_element_type": ops.free,
    "prims::device_put": ops.free,
    "prims::split_dim": ops.free,
    "prims::view_element_type": ops.free,
    "prims::view_of": ops.free,
    "profiler::_record_function_enter_new": ops.free,
    "profiler::_record_function_exit": ops.free,
}

LOOKED_UP: Mapping[str, Callable[..., int]] = {
    "aten::embedding": ops.looked_up,
    "aten::index_select": ops.looked_up,
    "aten::gather": ops.looked_up,
    "aten::index": ops.looked_up,
    "aten::_unsafe_index": ops.looked_up,
    "aten::take": ops.looked_up,
    "aten::_embedding_bag": ops.looked_up_in_bags,
    "aten::_embedding_bag_forward_only": ops.looked_up_in_bags,
}
"""Operators that read only some elements of their first argument, and how many."""

ASKED_FOR = frozenset({"aten::mkldnn_rnn_layer_backward"})
"""Kernels that compute every gradient; their rules take `wanted`, those that autograd uses."""

VIEWS = frozenset(
    f"aten::{name}"
    for name in [
        "_unsafe_view",
        "unsafe_split",
        "unsafe_split_with_sizes",
        "squeeze_",
        "unsqueeze_",
        "transpose_",
        "t_",
        "swapaxes_",
        "swapdims_",
    ]
)
"""Views that their schemas do not call so: autograd takes them for new tensors, or in place."""

REGISTERED: dict[str, Rule] = {}
"""Formulas of users; they win over the built-in ones."""

TABLES: tuple[tuple[OperatorKind, Mapping[str, Rule]], ...] = (
    ("counted", REGISTERED), ("counted", COUNTED), ("elementwise", ELEMENTWISE), ("free", FREE),
)  # fmt: skip
"""Where a rule is looked for, in this order."""


def register_formula(operator: str, formula: Rule) -> None:
    """Teach archscope what a custom operator costs.

    Args:
        operator: its name with namespace, `mylib::fused_block`.
        formula: called with the operator's arguments and `out=` (its result); returns a `Tally`,
            a `Cost`, or a whole number of multiply-accumulates.

    Raises:
        ArchscopeError: the name has no namespace.

    Examples:
        >>> archscope.register_formula("mylib::mm", lambda a, b, *, out: a.shape[0] * b.numel())
    """
    namespace, separator, name = operator.partition("::")
    if not (namespace and separator and name):
        raise ArchscopeError(operator, "is not an operator name", "write it as namespace::name")
    REGISTERED[operator] = _tallied(formula)


def _tallied(formula: Rule) -> Rule:
    """The same formula, its number or Cost wrapped as a Tally."""

    def rule(*args: object, out: object, **kwargs: object) -> ops.Tally:
        result: object = formula(*args, out=out, **kwargs)
        if isinstance(result, ops.Tally):
            return result
        if isinstance(result, Cost):
            return ops.Tally(result)
        if isinstance(result, int):
            product = Product((Factor("registered", result),))
            return ops.Tally(Cost((product,)))
        raise TypeError(f"a formula returns a Tally, a Cost or an int, not {result!r:.40}")

    return rule


_FOREACH = "aten::_foreach_"
"""Elementwise operators over lists of tensors, as optimisers use them; one for each of a tensor."""


def lookup(operator: str) -> tuple[OperatorKind, Rule] | None:
    """The rule for an operator's name and the column it counts in, `None` when there is none.

    An in-place form has the rule of the operator that it is a form of, unless it has its own, and
    a primitive that of its namesake.
    """
    for name in dict.fromkeys((operator, functional(operator), namesake(operator))):
        for kind, table in TABLES:
            if name in table:
                return kind, table[name]
    if operator.startswith(_FOREACH):
        return "elementwise", ops.elements_of_list
    return None


def namesake(operator: str) -> str:
    """`aten::add` for the primitive `prims::add`, of which forward-mode derivatives are made."""
    return operator.replace("prims::", "aten::", 1)


def functional(operator: str) -> str:
    """The name without the underscore of an in-place form: `aten::mish` for `aten::mish_`."""
    return operator.removesuffix("_")
