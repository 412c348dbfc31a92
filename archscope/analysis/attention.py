"""Scaled dot-product attention as the kernel that a device would choose.

`torch.nn.functional.scaled_dot_product_attention` picks one of several kernels by device, dtype and
shapes. On the meta device it always falls apart into products and keeps the matrix of attention
weights, which a fused kernel (Dao et al. 2022) never writes.
Here the choice is that of the user's device: for a CPU, PyTorch itself is asked; for a GPU, the
conditions of `aten/src/ATen/native/transformers/cuda/sdp_utils.cpp` are checked for an NVIDIA GPU
of compute capability 8.0 or later.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from archscope.analysis.dispatch import run
from archscope.analysis.values.contents import is_meta
from archscope.analysis.values.known import value_of
from archscope.analysis.values.needed import ValueNeeded

aten = torch.ops.aten

FLASH, EFFICIENT, MATH = "flash", "memory-efficient", "math"

_HALF = (torch.float16, torch.bfloat16)
_CPU_CHOICES = {0: MATH, 1: FLASH}
"""`torch.nn.attention.SDPBackend` of what a CPU has."""


def attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, *, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    operands = (query, key, value, attn_mask)
    plain = not any(t is not None and t.is_nested for t in operands)
    if run.attention_kernels is None or not plain:
        return _composite(*operands, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    device = run.device or ("cpu" if query.device.type == "meta" else query.device.type)
    choose = _choice_of_a_gpu if device == "cuda" else _choice_of_a_cpu
    kernel = choose(*operands, dropout_p, is_causal, enable_gqa)
    run.attention_kernels.add(f"{kernel} on {device}")
    _note_mask(query, key, attn_mask, is_causal)
    single = query.dim() == key.dim() == value.dim() == 3
    if single:  # kernels take a batch
        query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
        while attn_mask is not None and attn_mask.dim() < 4:
            attn_mask = attn_mask.unsqueeze(0)
    batched = (query, key, value, attn_mask)
    if kernel == MATH:
        result = _products(*batched, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    else:
        result = _fused(kernel, device, *batched, dropout_p, is_causal, scale)
    return result.squeeze(0) if single else result


LARGEST_MASK = 2**24
"""Elements up to which a mask is looked at: 4,096 positions square."""


def _note_mask(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool) -> None:
    """Note how many scores of a head are computed, and how many of them a mask lets through."""
    queries, keys = query.shape[-2], key.shape[-2]
    if causal:  # query i sees the keys up to its own place
        seen = min(queries, keys)
        needed = seen * (seen + 1) // 2 + (queries - seen) * keys
    elif mask is not None and mask.dtype is torch.bool and mask.numel() <= LARGEST_MASK:
        try:
            with torch._C._DisableTorchDispatch():
                shown = value_of(mask)
                passed = int(shown.sum()) * queries * keys
                needed = passed // max(1, shown.numel())
        except ValueNeeded:
            return
    else:
        return
    run.scores[queries * keys, needed] = None


def _composite(*args: object, **options: object) -> Tensor:
    """PyTorch's own way: on meta, products and a softmax."""
    result: Tensor = aten.scaled_dot_product_attention.default.decompose(*args, **options)
    return result


def _products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, causal: bool,
    *, scale: float | None, enable_gqa: bool,
) -> Tensor:  # fmt: skip
    """The kernel called math: two products and a softmax, on meta and on the CPU alike."""
    if mask is not None and mask.dtype is torch.bool:
        mask = _added(mask, query)
    result: Tensor = aten._scaled_dot_product_attention_math.default.decompose(
        query, key, value, mask, dropout, causal, None, scale=scale, enable_gqa=enable_gqa
    )[0]
    return result


def _added(mask: Tensor, query: Tensor) -> Tensor:
    """A mask of booleans as what is added to the scores."""
    dtype, device = query.dtype, mask.device
    attended = torch.zeros((), dtype=dtype, device=device)
    return torch.where(mask, attended, torch.full((), float("-inf"), dtype=dtype, device=device))


def _aligned(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """As the memory-efficient kernel takes a mask: rows that begin at multiples of 8 elements."""
    if mask.stride(-1) != 1 or any(step % 8 for step in mask.stride()[:-1]):
        width = mask.shape[-1]
        mask = F.pad(mask, (0, -width % 8))[..., :width]
    return mask.expand(*query.shape[:2], query.shape[2], key.shape[2])


def _fused(
    kernel: str, device: str, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
    dropout: float, causal: bool, scale: float | None,
) -> Tensor:  # fmt: skip
    """One fused kernel, with what PyTorch does to its operands before it."""
    if mask is not None and mask.dtype is torch.bool:
        mask = _added(mask, query)
    if device == "cpu" or not is_meta(query):  # a CPU run has this kernel alone
        result: Tensor = aten._scaled_dot_product_flash_attention_for_cpu.default(
            query, key, value, dropout, causal, attn_mask=mask, scale=scale
        )[0]
        return result
    if kernel == FLASH:
        return _flash_on_a_gpu(query, key, value, dropout, causal, scale)
    needed = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    if mask is not None:
        mask = _aligned(mask, query, key)
    efficient: Tensor = aten._scaled_dot_product_efficient_attention.default(
        query, key, value, mask, needed, dropout, causal, scale=scale
    )[0]
    return efficient


def _flash_on_a_gpu(
    query: Tensor, key: Tensor, value: Tensor, dropout: float, causal: bool, scale: float | None
) -> Tensor:
    """The kernel takes head widths that are multiples of 8; PyTorch pads others."""
    width = query.shape[-1]
    if width % 8:
        scale = width**-0.5 if scale is None else scale
        query, key, value = (F.pad(t, (0, 8 - width % 8)) for t in (query, key, value))
    result: Tensor = aten._scaled_dot_product_flash_attention.default(
        query, key, value, dropout, causal, scale=scale
    )[0]
    return result[..., :width]


def _choice_of_a_cpu(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float,
    causal: bool, grouped: bool,
) -> str:  # fmt: skip
    """Ask PyTorch, with tensors on the CPU of the same shapes that share a few elements."""
    if mask is not None and mask.requires_grad:  # the question, asked below autograd, loses it
        return MATH
    with torch._C._DisableTorchDispatch():
        choice = torch._fused_sdp_choice(
            _shell(query),
            _shell(key),
            _shell(value),
            None if mask is None else _shell(mask),
            dropout,
            causal,
            enable_gqa=grouped,
        )
    return _CPU_CHOICES.get(choice, MATH)


def _shell(tensor: Tensor) -> Tensor:
    """A tensor on the CPU of one row's storage whose shape and last stride are those of another."""
    width = tensor.shape[-1] if tensor.dim() else 1
    step = tensor.stride(-1) if tensor.dim() else 1
    row = torch.empty(width, 2 if step != 1 else 1, dtype=tensor.dtype)[:, 0]
    return row.expand(tensor.shape).requires_grad_(tensor.requires_grad)


def _choice_of_a_gpu(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float,
    causal: bool, grouped: bool,
) -> str:  # fmt: skip
    if not (query.dim() == key.dim() == value.dim() and query.dim() in (3, 4)):
        return MATH
    if not _fusable(query, key, value, grouped):
        return MATH
    width, value_width = query.shape[-1], value.shape[-1]
    square = not causal or query.shape[-2] == key.shape[-2]
    if (
        torch._C._get_flash_sdp_enabled()
        and query.dtype in _HALF
        and mask is None
        and square
        and width == value_width <= 256
    ):
        return FLASH
    aligned = 16 // query.itemsize  # elements of 16 bytes, which a tensor core takes at once
    if (
        torch._C._get_mem_efficient_sdp_enabled()
        and query.dtype in (*_HALF, torch.float32)
        and width % aligned == value_width % aligned == 0
        and (mask is None or mask.stride(-1) == 1 or mask.shape[-1] == 1)
    ):
        return EFFICIENT
    return MATH


def _fusable(query: Tensor, key: Tensor, value: Tensor, grouped: bool) -> bool:
    """What the fused kernels of a GPU ask of their operands alike."""
    if not (query.dtype == key.dtype == value.dtype and query.shape[-1] == key.shape[-1]):
        return False
    if not (query.stride(-1) == key.stride(-1) == value.stride(-1) == 1):
        return False
    if query.shape[:-3] != key.shape[:-3] or key.shape[:-1] != value.shape[:-1]:
        return False
    heads, others = query.shape[-3], key.shape[-3]
    shared = others == 1 or (grouped and heads % others == 0)
    return (heads == others or shared) and 0 not in (query.shape[-2], key.shape[-2])
