"""Operators that are one operation under several names: by device, release, and in place or not."""

from __future__ import annotations

_MEMBERS = {
    "convolution": (
        "conv1d conv2d conv3d convolution _convolution cudnn_convolution mkldnn_convolution "
        "miopen_convolution _slow_conv2d_forward thnn_conv2d _conv_depthwise2d "
        "miopen_depthwise_convolution convolution_overrideable"
    ),
    "transposed convolution": (
        "conv_transpose1d conv_transpose2d conv_transpose3d cudnn_convolution_transpose "
        "miopen_convolution_transpose"
    ),
    "linear": "linear addmm _addmm_activation",
    "batch norm": (
        "batch_norm native_batch_norm cudnn_batch_norm miopen_batch_norm _batch_norm_impl_index "
        "_native_batch_norm_legit _batch_norm_with_update batch_norm_with_update"
    ),
    "layer norm": "layer_norm native_layer_norm",
    "group norm": "group_norm native_group_norm",
    "RMS norm": "rms_norm _fused_rms_norm",
    "instance norm": "instance_norm",
    "embedding": "embedding",
    "embedding bag": "embedding_bag _embedding_bag",
    "LSTM": "lstm _cudnn_rnn_lstm",
    "GRU": "gru",
    "RNN": "rnn_tanh rnn_relu",
    "max pooling": (
        "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices "
        "max_pool1d_with_indices"
    ),
    "adaptive average pooling": (
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d "
        "_adaptive_avg_pool3d"
    ),
    "ReLU": "relu relu_ clamp_min clamp_min_",
    "dropout": "dropout native_dropout _fused_dropout feature_dropout",
    "attention": (
        "scaled_dot_product_attention _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_flash_attention_for_cpu"
    ),
    "softmax": "softmax _softmax",
}

_FAMILY = {member: family for family, members in _MEMBERS.items() for member in members.split()}

WEIGHTED = frozenset({
    "convolution", "transposed convolution", "linear", "batch norm", "layer norm", "group norm",
    "RMS norm", "instance norm", "embedding", "embedding bag", "LSTM", "GRU", "RNN",
})  # fmt: skip
"""Families of operators that may have weights; by these two runs of a network are compared."""

FUSED = {
    "_native_multi_head_attention": "MultiheadAttention",
    "_transformer_encoder_layer_fwd": "TransformerEncoderLayer",
}
"""Operators that do all the work of a module in evaluation mode, by the class of that module."""

FREE = frozenset({
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "t", "transpose", "permute",
    "expand", "expand_as", "squeeze", "unsqueeze", "select", "slice", "narrow", "split", "chunk",
    "unbind", "detach", "alias", "as_strided", "to", "_to_copy", "contiguous", "clone", "empty",
    "empty_like", "zeros", "ones", "lift_fresh", "resolve_conj", "size", "numpy_T", "movedim",
    "_has_compatible_shallow_copy_type", "is_nonzero", "item",
})  # fmt: skip
"""Views and the like, which one release runs and another does not."""


def base(name: str) -> str:
    """`conv2d` of `aten::conv2d`."""
    return name.rpartition("::")[2]


def family(name: str) -> str:
    """What an operator does, whatever its name: `convolution` of `aten::cudnn_convolution`."""
    plain = base(name)
    return _FAMILY.get(plain) or _FAMILY.get(plain.rstrip("_")) or plain.rstrip("_")


_NODE_FAMILY = {member.replace("_", ""): family for member, family in _FAMILY.items()}


def family_of_node(name: str) -> str:
    """The same of a name in the way of autograd's nodes: `CudnnBatchNorm`, or an operator's."""
    plain = name.replace("_", "").lower()
    return _NODE_FAMILY.get(plain, plain)
