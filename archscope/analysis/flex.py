"""`flex_attention` as its kernel: the blocks of its mask that are computed, and no others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from archscope.analysis.dispatch import run
from archscope.analysis.formulas.fused import PAIRS
from archscope.analysis.own_operators import defined
from archscope.analysis.values.contents import is_meta
from archscope.process import patched

MODULE = "torch.nn.attention.flex_attention"

FORWARD = f"flex_attention(Tensor q, Tensor k, Tensor v, int {PAIRS}) -> (Tensor, Tensor)"
BACKWARD = (
    f"flex_attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, int {PAIRS}) "
    "-> (Tensor, Tensor, Tensor)"
)


@cache
def _library() -> torch.library.Library:
    return defined({FORWARD: _forward, BACKWARD: _backward})


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, score_mod: Any, block_mask: Any, scale: float,
    kernel_options: Any = None, *buffers: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The result, the logarithms of the rows' sums, and their greatest scores."""
    _library()
    pairs = computed_pairs(query, key, block_mask)
    values = None
    if not is_meta(query):
        values = _values(query, key, value, score_mod, block_mask, scale, kernel_options, *buffers)
    captured = _captured(score_mod, query) if torch.is_grad_enabled() else ()
    result, sums = _Flex.apply(query, key, value, pairs, values, *captured)
    return result, sums, sums.new_empty(0)


def computed_pairs(query: Tensor, key: Tensor, block_mask: Any) -> int:
    """Query and key positions that meet, over every sample and head, by blocks.

    A block that is computed counts in full: its kernel masks the scores, not the products.

    Args:
        query: (N, heads, L, E).
        key: (N, heads, S, E).
        block_mask: as `BlockMask.as_tuple` gives it: lengths, then how many blocks each row of
            blocks has and which, those in part first and then those in full; block sides; mask.
    """
    batch, heads, length, _ = query.shape
    source = key.shape[-2]
    tall, wide = block_mask[-3:-1]
    total = 0
    for counts, places in (block_mask[2:4], block_mask[4:6]):
        if counts is None:
            continue
        met = 0
        for head_counts, head_places in zip(
            counts.flatten(0, 1).tolist(), places.flatten(0, 1).tolist(), strict=True
        ):
            for row, (count, columns) in enumerate(zip(head_counts, head_places, strict=True)):
                height = max(0, min(tall, length - row * tall))
                widths = (max(0, min(wide, source - place * wide)) for place in columns[:count])
                met += height * sum(widths)
        total += met * (batch // counts.shape[0]) * (heads // counts.shape[1])
    return total


@torch.no_grad()
def _values(*args: Any) -> Any:
    """What the operator really returns, in a run with values; nobody's work."""
    from torch._higher_order_ops.flex_attention import sdpa_dense

    with torch._C._DisableTorchDispatch():
        return sdpa_dense(*args)[:2]


class _Captures(TorchFunctionMode):
    """Notes the tensors that need a gradient and come from outside of what runs."""

    def __init__(self) -> None:
        super().__init__()
        self.captured: dict[int, Tensor] = {}
        self.made: dict[int, Any] = {}  # alive, so that no number is used twice

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for x in tree_leaves((args, kwargs)):
            if isinstance(x, Tensor) and x.requires_grad and id(x) not in self.made:
                self.captured[id(x)] = x
        results = function(*args, **(kwargs or {}))
        self.made.update((id(x), x) for x in tree_leaves(results) if isinstance(x, Tensor))
        return results


def _captured(score_mod: Any, query: Tensor) -> tuple[Tensor, ...]:
    """The tensors with gradients that `score_mod` uses, such as a bias that is trained.

    PyTorch's compiler finds these as it traces the function; here it runs at one position, which
    is nobody's work.
    """
    from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex

    captures = _Captures()
    reached: set[Any] = set()
    with torch._C._DisableTorchDispatch(), _on_the_cpu(), suppress(Exception):
        device = "meta" if is_meta(query) else "cpu"
        with torch._C.DisableTorchFunction():
            score = torch.zeros(1, dtype=query.dtype, device=device)
            places = [torch.zeros(1, dtype=torch.int, device=device) for _ in range(4)]
        with TransformGetItemToIndex(), captures:
            changed = torch.vmap(score_mod)(score, *places)
        reached = _nodes_below(changed)
    return tuple(x for x in captures.captured.values() if get_gradient_edge(x).node in reached)


@contextmanager
def _on_the_cpu() -> Iterator[None]:
    """Let tensors say that they are there, so that what is made beside them works anywhere."""
    chosen, run.device = run.device, "cpu"
    try:
        yield
    finally:
        run.device = chosen


def _nodes_below(result: Tensor) -> set[Any]:
    """The nodes of autograd's graph that a gradient of a tensor reaches."""
    pending, reached = [result.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is not None and node not in reached:
            reached.add(node)
            pending += [below for below, _ in node.next_functions]
    return reached


class _Flex(torch.autograd.Function):
    """Keeps its operands, the result and the rows' sums, as the kernel does."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, pairs: int, values: Any,
        *captured: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        result, sums = torch.ops.archscope.flex_attention(query, key, value, pairs)
        if values is not None:
            with torch._C._DisableTorchDispatch():
                result.copy_(values[0])
                sums.copy_(values[1])
        ctx.pairs = pairs
        ctx.save_for_backward(query, key, value, result, sums, *captured)
        ctx.mark_non_differentiable(sums)
        return result, sums

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, of_sums: Tensor) -> Any:
        query, key, value, _, _, *captured = ctx.saved_tensors
        gradients = torch.ops.archscope.flex_attention_backward(
            gradient, query, key, value, ctx.pairs
        )
        return *gradients, None, None, *map(torch.zeros_like, captured)


def _forward(query: Tensor, key: Tensor, value: Tensor, pairs: int) -> tuple[Tensor, Tensor]:
    sums = torch.zeros(query.shape[:3], dtype=torch.float32, device=query.device)
    return query.new_zeros((*query.shape[:3], value.shape[-1])), sums


def _backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, pairs: int
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)


class _WhileCounting:
    """True in a thread that counts, else what it was: whether flex_attention runs uncompiled."""

    def __init__(self, otherwise: bool) -> None:
        self.otherwise = otherwise

    def __bool__(self) -> bool:
        return run.attention_kernels is not None or bool(self.otherwise)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let a thread that counts run flex_attention on any device, without compiling it.

    It is a function of Python that asks two things of its module; both answer any other thread as
    ever.
    """
    module: Any = sys.modules.get(MODULE)
    if module is None:
        yield
        return
    validate, flag = module._validate_device, module._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG

    def validate_device(*tensors: Tensor) -> None:
        if run.attention_kernels is None:
            validate(*tensors)

    patches = [
        (module, "_validate_device", validate_device),
        (module, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", _WhileCounting(flag)),
    ]
    with patched(patches):
        yield
