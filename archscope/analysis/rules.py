"""The table of operators: which rule of `ops` answers for which of PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from archscope.analysis import ops
from archscope.analysis.ops import Rule
from archscope.errors import ArchscopeError
from archscope.records import Cost, Factor, Product

OperatorKind = Literal["counted", "elementwise", "free", "unknown"]

COUNTED: Mapping[str, Rule] = {
    "aten::convolution": ops.convolution,
    "aten::_convolution": ops.convolution,
    "aten::convolution_overrideable": ops.convolution,
    "aten::convolution_backward": ops.convolution_backward,
    "aten::convolution_backward_overrideable": ops.convolution_backward,
    "aten::mm": ops.mm,
    "aten::addmm": ops.addmm,
    "aten::_addmm_activation": ops.addmm,
    "aten::linear": ops.linear,
    "aten::bmm": ops.bmm,
    "aten::baddbmm": ops.baddbmm,
    "aten::addbmm": ops.addbmm,
    "aten::_grouped_mm": ops.grouped_mm,
    "aten::mv": ops.mv,
    "aten::addmv": ops.addmv,
    "aten::dot": ops.dot,
    "aten::vdot": ops.dot,
    "aten::addr": ops.addr,
    "aten::_trilinear": ops.trilinear,
    "aten::_euclidean_dist": ops.euclidean_distances,
    "aten::affine_grid_generator": ops.affine_grid,
    "aten::mkldnn_rnn_layer": ops.lstm_layer_on_cpu,
    "aten::mkldnn_rnn_layer_backward": ops.lstm_layer_on_cpu_backward,
    "torchvision::deform_conv2d": ops.deformable_convolution,
    "torchvision::_deform_conv2d_backward": ops.deformable_convolution_backward,
    **{
        f"aten::_scaled_dot_product_{backend}": ops.attention
        for backend in (
            "flash_attention",
            "flash_attention_for_cpu",
            "efficient_attention",
            "cudnn_attention",
            "fused_attention_overrideable",
        )
    },
    **{
        f"aten::_scaled_dot_product_{backend}_backward": ops.attention_backward
        for backend in (
            "flash_attention",
            "flash_attention_for_cpu",
            "efficient_attention",
            "cudnn_attention",
            "fused_attention_overrideable",
        )
    },
}

_WRITTEN = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional
    _native_batch_norm_legit_no_training batch_norm_with_update _batch_norm_with_update
    _batch_norm_no_update cudnn_batch_norm miopen_batch_norm native_layer_norm native_group_norm
    _fused_rms_norm native_batch_norm_backward cudnn_batch_norm_backward batch_norm_backward
    native_layer_norm_backward native_group_norm_backward _fused_rms_norm_backward _softmax
    _log_softmax _safe_softmax _masked_softmax _softmax_backward_data _log_softmax_backward_data
    native_dropout native_dropout_backward glu_backward _thnn_fused_lstm_cell _thnn_fused_gru_cell
    _thnn_fused_lstm_cell_backward_impl _thnn_fused_gru_cell_backward
    _thnn_differentiable_lstm_cell_backward cumsum cumprod logcumsumexp cummax cummin _prelu_kernel
    _prelu_kernel_backward avg_pool2d_backward avg_pool3d_backward max_pool2d_with_indices_backward
    max_pool3d_with_indices_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward
    adaptive_max_pool2d_backward adaptive_max_pool3d_backward upsample_bilinear2d
    upsample_bicubic2d upsample_trilinear3d upsample_linear1d _upsample_bilinear2d_aa
    _upsample_bicubic2d_aa upsample_bilinear2d_backward upsample_bicubic2d_backward
    upsample_trilinear3d_backward upsample_linear1d_backward upsample_nearest1d_backward
    upsample_nearest2d_backward upsample_nearest3d_backward grid_sampler_2d grid_sampler_3d
    grid_sampler_2d_backward grid_sampler_3d_backward embedding_dense_backward embedding_renorm_
    _weight_norm_interface _weight_norm_interface_backward rrelu_with_noise
    rrelu_with_noise_backward mse_loss_backward smooth_l1_loss_backward
    binary_cross_entropy_backward nll_loss_backward nll_loss2d_backward masked_scatter_backward
    index_add scatter_add scatter_reduce hardswish hardswish_backward hardsigmoid_backward
    hardtanh_backward leaky_relu_backward elu_backward softplus_backward log_sigmoid_backward
    log_sigmoid_forward mish_backward col2im im2col fractional_max_pool2d_backward masked_fill
    where lerp addcmul addcdiv floor_divide leaky_relu glu hardshrink_backward softshrink_backward
    _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward
    _upsample_nearest_exact3d_backward _upsample_bilinear2d_aa_backward
    _upsample_bicubic2d_aa_backward _upsample_lanczos2d_aa _upsample_lanczos2d_aa_backward
    fractional_max_pool3d_backward _embedding_bag_backward _embedding_bag_dense_backward
    huber_loss_backward soft_margin_loss_backward multi_margin_loss_backward
    multilabel_margin_loss_backward _ctc_loss_backward _masked_softmax_backward linalg_cross polar
    index_reduce _unsafe_masked_index_put_accumulate renorm
    fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _fused_moving_avg_obs_fq_helper
"""

_READ = """
    sum mean var std var_mean std_mean prod amax amin aminmax max min all any norm
    linalg_vector_norm logsumexp argmax argmin nansum median _adaptive_avg_pool2d
    _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d nll_loss_forward
    nll_loss2d_forward kl_div sort topk kthvalue bincount histc _unique2 unique_consecutive
    unique_dim count_nonzero _adaptive_avg_pool1d mode cosine_similarity searchsorted bucketize
    isin binary_cross_entropy binary_cross_entropy_with_logits mse_loss smooth_l1_loss huber_loss
    soft_margin_loss multi_margin_loss multilabel_margin_loss_forward nanmedian trace dist _unique
"""

_WINDOW = """
    max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d avg_pool1d max_pool2d
    mkldnn_max_pool2d quantized_max_pool2d max_pool3d max_pool1d fractional_max_pool2d
    fractional_max_pool3d
"""

_FREE = """
    clone copy _to_copy contiguous cat stack empty empty_like empty_strided new_empty
    new_empty_strided empty_permuted zeros zeros_like new_zeros ones ones_like new_ones full
    full_like new_full fill as_strided_ squeeze_copy arange linspace logspace eye
    scalar_tensor zero lift lift_fresh lift_fresh_copy detach alias index_select gather scatter
    index index_put index_fill _index_put_impl_ _unsafe_index _unsafe_index_put index_copy take
    repeat repeat_interleave roll flip constant_pad_nd reflection_pad1d reflection_pad2d
    reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward
    replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward pixel_shuffle
    pixel_unshuffle channel_shuffle native_channel_shuffle upsample_nearest1d upsample_nearest2d
    upsample_nearest3d embedding tril triu tril_indices triu_indices masked_select nonzero
    nonzero_static one_hot bernoulli rand rand_like randn randn_like randint randint_like randperm
    uniform normal normal_functional multinomial resize_ set_ _local_scalar_dense equal
    is_same_size select_backward slice_backward select_scatter slice_scatter diagonal_scatter
    diagonal_backward as_strided_scatter unfold unfold_backward index_select_backward
    _reshape_alias _reshape_copy masked_scatter diag_embed max_unpool2d max_unpool3d sym_size
    sym_numel sym_stride sym_storage_offset view_as_real_copy expand_copy
    _assert_async _assert_tensor_metadata exponential_ geometric_ log_normal_ cauchy_ random
    _nested_tensor_from_mask_left_aligned _has_compatible_shallow_copy_type split_with_sizes_copy
    _pin_memory is_pinned value_selecting_reduction_backward _conj_physical _fused_dropout
    _values_copy trace_backward block_diag _padded_dense_to_jagged_forward resize_as_
    _pack_padded_sequence rot90 complex put diagonal_copy _efficientzerotensor _unsafe_masked_index
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
"""


def _named(names: str, rule: Rule) -> dict[str, Rule]:
    return {f"aten::{name}": rule for name in names.split()}


ELEMENTWISE: Mapping[str, Rule] = {
    **_named(_WRITTEN, ops.elements_written),
    **_named(_READ, ops.elements_read),
    **_named(_WINDOW, ops.window),
    **_named("_embedding_bag _embedding_bag_forward_only", ops.embedding_bag),
    **_named(
        "_cdist_forward _pdist_forward _embedding_bag_per_sample_weights_backward", ops.along_rows
    ),
    **_named("_cdist_backward _pdist_backward", ops.along_rows_backward),
    **_named("_ctc_loss", ops.ctc_loss),
    "torchvision::roi_align": ops.elements_written,
    "torchvision::roi_pool": ops.elements_written,
    "torchvision::ps_roi_align": ops.elements_written,
    "torchvision::ps_roi_pool": ops.elements_written,
    "torchvision::_roi_align_backward": ops.elements_written,
    "torchvision::_roi_pool_backward": ops.elements_written,
    "torchvision::_ps_roi_align_backward": ops.elements_written,
    "torchvision::_ps_roi_pool_backward": ops.elements_written,
    "torchvision::nms": ops.elements_read,
}

FREE: Mapping[str, Rule] = {
    **_named(_FREE, ops.free),
    "prim::device": ops.free,
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

    Example:
        >>> archscope.register_formula("mylib::mm", lambda a, b, *, out: a.shape[0] * b.numel())
    """
    namespace, separator, name = operator.partition("::")
    if not (namespace and separator and name):
        raise ArchscopeError(operator, "is no operator name", "write it as namespace::name")
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


def lookup(operator: str) -> tuple[OperatorKind, Rule] | None:
    """The rule for an operator's name and the column it counts in, `None` when there is none.

    An in-place form has the rule of the operator that it is a form of, unless it has its own.
    """
    for name in dict.fromkeys((operator, functional(operator))):
        for kind, table in TABLES:
            if name in table:
                return kind, table[name]
    return None


def functional(operator: str) -> str:
    """The name without the underscore of an in-place form: `aten::mish` for `aten::mish_`."""
    return operator.removesuffix("_")
