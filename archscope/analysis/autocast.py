"""Mixed precision on meta tensors: the casts that `torch.autocast` makes on a GPU.

PyTorch's own autocast does not know the meta device.
This mode converts the arguments of each function as autocast does (torch.amp, "CUDA Ops that can
autocast to float16", "… to float32", "… that promote to the widest input type"), above autograd,
so that casts are recorded, kept and freed as they are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from archscope.analysis.gpu_functions import transparent_functions

HALF = frozenset(
    (
        "__matmul__", "__rmatmul__", "_convolution", "addbmm", "addmm", "addmv", "addr", "baddbmm",
        "bmm", "chain_matmul", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d",
        "conv_transpose2d", "conv_transpose3d", "convolution", "einsum", "gru", "gru_cell",
        "linear", "lstm", "lstm_cell", "matmul", "mm", "multi_dot", "mv", "prelu", "rnn_relu",
        "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell", "scaled_dot_product_attention", "vecdot",
    )
)  # fmt: skip
"""Functions whose floating arguments autocast converts to half precision."""

SINGLE = frozenset(
    (
        "__pow__", "__rpow__", "acos", "asin", "binary_cross_entropy_with_logits", "cdist",
        "cosh", "cosine_embedding_loss", "cosine_similarity", "dist", "erfinv", "exp", "expm1",
        "group_norm", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "layer_norm",
        "log", "log10", "log1p", "log2", "logsumexp", "margin_ranking_loss", "mse_loss",
        "multi_margin_loss", "multilabel_margin_loss", "nll_loss", "nll_loss2d", "nll_loss_nd",
        "pdist", "poisson_nll_loss", "pow", "reciprocal", "renorm", "rms_norm", "rsqrt",
        "sinh", "smooth_l1_loss", "soft_margin_loss", "softplus", "tan", "triplet_margin_loss",
        "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d",
        "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d",
    )
)  # fmt: skip
"""Functions whose floating arguments autocast converts to float32."""

RESULT_IN_SINGLE = frozenset(
    (
        "cumprod", "cumsum", "linalg_matrix_norm", "linalg_norm", "linalg_vector_norm",
        "log_softmax", "matrix_norm", "norm", "prod", "softmax", "sum", "vector_norm",
    )
)  # fmt: skip
"""Functions that autocast asks for a float32 result, without a copy of their input."""

SOFTMAX = {"softmax": torch._softmax, "log_softmax": torch._log_softmax}
"""Kernels that read float16 and write float32."""

WIDEST = frozenset(
    (
        "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "grid_sampler",
        "grid_sampler_2d", "grid_sampler_3d", "index_put", "scatter_add", "tensordot",
    )
)  # fmt: skip
"""Functions whose floating arguments autocast converts to the widest dtype among them."""

FUSED_ATTENTION = "_scaled_dot_product"
"""How the names of attention kernels begin; autocast converts their arguments to half precision."""


class Autocast(TorchFunctionMode):
    """Converts the arguments of every function; parameters once.

    Args:
        dtype: the half precision, `torch.float16` or `torch.bfloat16`.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.weights: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in SOFTMAX and kwargs.get("dtype") is None and _is_fp16(args[0]):
            return _softmax(name, *args, **kwargs)
        if name == "cross_entropy_loss" and _has_half(args[:1]):
            return self._cross_entropy(*args, **kwargs)
        if name in HALF or name.startswith(FUSED_ATTENTION):
            args, kwargs = self._converted(args, self.dtype), self._converted(kwargs, self.dtype)
        elif name in SINGLE:
            args, kwargs = (self._converted(part, torch.float32) for part in (args, kwargs))
        elif name in RESULT_IN_SINGLE:
            if kwargs.get("dtype") is None and _has_half(args):
                kwargs["dtype"] = torch.float32
        elif name in WIDEST:
            wide = torch.float32 if has_single((args, kwargs)) else self.dtype
            args, kwargs = self._converted(args, wide), self._converted(kwargs, wide)
        return func(*args, **kwargs)

    def _cross_entropy(
        self, scores: Tensor, target: Tensor, weight: Tensor | None, reduction: int,
        ignored: int, smoothing: float,
    ) -> Tensor:  # fmt: skip
        """Its softmax in float32, and the rest of it on that."""
        nn: Any = torch._C._nn
        if smoothing or target.is_floating_point():
            single = self._converted((scores, target, weight), torch.float32)
            return cast(Tensor, nn.cross_entropy_loss(*single, reduction, ignored, smoothing))
        logarithms = torch.log_softmax(scores, 1 if scores.dim() > 1 else 0, dtype=torch.float32)
        return cast(Tensor, nn.nll_loss_nd(logarithms, target, weight, reduction, ignored))

    def _converted(self, value: Any, dtype: torch.dtype) -> Any:
        """The same nesting with eligible tensors in another dtype."""
        if isinstance(value, Tensor):
            eligible = value.is_floating_point() and value.dtype is not torch.float64
            return self._cast(value, dtype) if eligible and value.dtype is not dtype else value
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self._converted(item, dtype) for item in value)
        if isinstance(value, dict):
            return {key: self._converted(item, dtype) for key, item in value.items()}
        return value

    def _cast(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """A conversion; of a trainable weight to half precision the same one for every use."""
        once = tensor.is_leaf and tensor.requires_grad and dtype is self.dtype
        if not once:
            return tensor.to(dtype)
        found = self.weights.get(id(tensor))
        if found is None:
            found = self.weights[id(tensor)] = tensor.to(dtype)
        return found


def _softmax(name: str, x: Tensor, dim: int, *rest: Any, **kwargs: Any) -> Tensor:
    result: Tensor = SOFTMAX[name](x, dim, True)
    return result


def _is_fp16(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype is torch.float16


def _has_half(value: Any) -> bool:
    return any(t.dtype in (torch.float16, torch.bfloat16) for t in _tensors(value))


def has_single(value: Any) -> bool:
    """Whether a tensor of a nesting is of float32."""
    return any(t.dtype is torch.float32 for t in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)


@contextmanager
def autocast(dtype: torch.dtype) -> Iterator[Autocast]:
    """Run what is inside as `torch.autocast("cuda", dtype)` would."""
    with transparent_functions(), Autocast(dtype) as mode:
        yield mode
