"""Operators without products: their time is that of the bytes that they move."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archscope.latency.kernel import Kernel, is_channels_last, order
from archscope.latency.precision import Typed
from archscope.latency.products import read, written
from archscope.records import OperatorRun

ACTIVATIONS = frozenset(
    (
        "cos", "elu", "elu_backward", "exp", "gelu", "gelu_backward", "hardswish",
        "hardswish_backward", "log", "mish", "mish_backward", "pow", "rsqrt", "sigmoid",
        "sigmoid_backward", "silu", "silu_backward", "sin", "softplus", "softplus_backward",
        "sqrt", "tanh", "tanh_backward",
    )
)  # fmt: skip
"""Element by element with a function that takes several instructions."""

COPIES = frozenset(("_to_copy", "clone", "contiguous", "copy_"))

GATHERS = frozenset(
    (
        "_embedding_bag", "_unsafe_index", "cat", "channel_shuffle", "col2im", "constant_pad_nd",
        "embedding", "flip", "gather", "grid_sampler_2d", "grid_sampler_3d", "im2col", "index",
        "index_add", "index_select", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d",
        "reflection_pad2d", "reflection_pad3d", "repeat", "replication_pad1d", "replication_pad2d",
        "replication_pad3d", "roll", "scatter_add", "scatter_reduce", "select_backward",
        "slice_backward", "stack", "torchvision::_ps_roi_align", "torchvision::_ps_roi_pool",
        "torchvision::_roi_align", "torchvision::_roi_pool", "torchvision::ps_roi_align",
        "torchvision::ps_roi_pool", "torchvision::roi_align", "torchvision::roi_pool",
    )
)  # fmt: skip
"""Copies whose elements change places."""

REDUCTIONS = frozenset(
    (
        "_adaptive_avg_pool2d", "_weight_norm_interface", "addmv", "all", "amax", "amin", "any",
        "argmax", "argmin", "cummax", "cummin", "cumprod", "cumsum", "dot", "linalg_vector_norm",
        "logcumsumexp", "logsumexp", "max", "mean", "min", "mv", "prod", "renorm", "std", "sum",
        "var", "var_mean", "vdot",
    )
)  # fmt: skip
"""Operators that read tensors once and keep little, products with a vector among them."""

WINDOWS = frozenset(
    (
        "avg_pool2d", "cat", "col2im", "im2col", "max_pool2d_with_indices", "stack",
        "upsample_bicubic2d", "upsample_bilinear2d", "upsample_nearest2d",
    )
)  # fmt: skip
"""Operators that read several elements for one, or write into a larger tensor."""

BY_ELEMENT = frozenset(
    (
        "_prelu_kernel", "affine_grid_generator", "arange", "bernoulli", "complex",
        "embedding_dense_backward", "empty", "empty_like",
        "empty_strided", "eye", "fake_quantize_per_channel_affine_cachemask",
        "fake_quantize_per_tensor_affine_cachemask", "fill", "full", "full_like", "glu",
        "hardsigmoid", "hardtanh", "index_put", "leaky_relu", "linspace", "log_sigmoid",
        "log_sigmoid_forward", "masked_fill", "native_dropout", "new_empty", "new_empty_strided",
        "new_full", "new_ones", "new_zeros", "nll_loss", "nll_loss_forward", "normal", "ones",
        "ones_like", "rand", "rand_like", "randn", "randn_like", "rrelu_with_noise",
        "scalar_tensor", "scatter", "softshrink", "tril", "triu", "unfold", "uniform", "zero",
        "zeros", "zeros_like",
    )
)  # fmt: skip
"""Operators, with their gradients, that read and write each element about once, as those do that
PyTorch says work element by element."""

NORMS = {
    "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "archscope::rms_norm": "layer_norm",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "softmax",
    "_softmax_backward_data": "softmax",
    "_log_softmax_backward_data": "softmax",
}

WANT_CONTIGUOUS = frozenset(("native_layer_norm", "native_group_norm", "_softmax", "_safe_softmax"))
"""Operators that copy an input that is in another order first."""


def has_kind(run: OperatorRun) -> bool:
    """Whether the time of an operator without products is that of its kind of work."""
    name = run.name.removesuffix("_")
    forward = name.removesuffix("_backward")
    known = (ACTIVATIONS, COPIES, GATHERS, REDUCTIONS, BY_ELEMENT, NORMS)
    return (
        (run.pointwise and not run.macs)
        or run.name in COPIES
        or any(name in names or forward in names for names in known)
        or "pool" in name
        or "upsample" in name
    )


def stream(operator: Typed) -> Iterator[Kernel]:
    """The kernels of an operator that computes little for each byte."""
    run = operator.run
    moved = (read(operator), written(operator))
    if run.name in WANT_CONTIGUOUS and run.inputs[0].axes:
        yield Kernel("transposition", operator.dtype, read=moved[0], written=moved[0])
    kind = stream_kind(run)
    yield Kernel(
        kind, operator.dtype, order(run.outputs[0]),
        read=moved[0], written=moved[1], serial=_serial(run),
    )  # fmt: skip


def stream_kind(run: OperatorRun) -> str:
    """The kind of an operator without products."""
    name = run.name.removesuffix("_")
    norm = NORMS.get(name) or NORMS.get(name.removesuffix("_backward"))
    if norm is not None:
        training = norm == "batch_norm" and run.arguments[:1] == (True,)
        kind = "batch_norm_statistics" if training else norm
        if norm == "group_norm" and _groups(run) == 1:
            kind = "group_norm_of_one"
    elif run.name in COPIES or name in COPIES or name in GATHERS:
        kind = _copy_kind(run, "gather" if name in GATHERS else "copy")
    elif name in REDUCTIONS:
        kind = "reduction"
    elif "pool" in name:
        kind = "pooling"
    elif "upsample" in name:
        kind = "upsampling"
    else:
        kind = "activation" if name in ACTIVATIONS else "elementwise"
        kind = _copy_kind(run, kind)
    return kind if run.phase == "forward" else f"{kind}_backward"


def _groups(run: OperatorRun) -> int:
    """Groups of a group normalisation, after batch, channels and positions."""
    numbers = [argument for argument in run.arguments if type(argument) is int]
    return numbers[3]


def _copy_kind(run: OperatorRun, usual: str) -> str:
    """`transposition` where large tensors of different innermost axes meet."""
    most = max(operand.elements for operand in run.outputs)
    large = [
        operand
        for operand in (*run.inputs, *run.outputs)
        if 2 * operand.elements > most and len(operand.shape) > 1
    ]
    innermost = {(operand.axes or (len(operand.shape) - 1,))[-1] for operand in large}
    return "transposition" if len(innermost) > 1 else usual


def _serial(run: OperatorRun) -> float:
    """Steps of a kernel that starts one thread an output position and loops over all planes.

    PyTorch resizes contiguous images by `bilinear` and `bicubic` in this way.
    """
    if not run.name.startswith(("upsample_bilinear2d", "upsample_bicubic2d")):
        return 0
    x = run.inputs[0]
    if len(x.shape) != 4 or is_channels_last(x):
        return 0
    return prod(x.shape[:2])
