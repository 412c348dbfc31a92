"""`nn.MultiheadAttention` written as two linear layers, which tensor parallelism can divide.

`parallelize_module` has no style for the module, whose one parameter `in_proj_weight` no layer has.
Written so, Megatron's plan (Shoeybi et al. 2019, section 3) is PyTorch's own: columns of the first
layer, whole heads of it, and rows of the second. A GPU's columns are of its heads; which rows of
`in_proj_weight` these are does not change what is sent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archscope.analysis.borrow import members

CROSS = "multihead_attn"
"""What `nn.TransformerDecoderLayer` calls attention to another sequence, whose queries have a layer
of their own."""


class UndividedCallError(Exception):
    """A call of attention that does not go through its two layers."""


class Heads(nn.Module):
    """Self-attention of as many heads as its first layer has columns for.

    Args:
        whole: whose parameters it takes.
    """

    def __init__(self, whole: nn.MultiheadAttention) -> None:
        super().__init__()
        width = whole.embed_dim
        with_bias = whole.in_proj_bias is not None
        self.in_proj = nn.Linear(width, 3 * width, bias=with_bias, device="meta")
        self.in_proj.weight = whole.in_proj_weight
        if with_bias:
            self.in_proj.bias = whole.in_proj_bias
        self.out_proj = whole.out_proj
        self.head_dim, self.num_heads = whole.head_dim, whole.num_heads
        self.batch_first, self.dropout = whole.batch_first, whole.dropout
        self.train(whole.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As that of `nn.MultiheadAttention`, of one sequence.

        Raises:
            UndividedCallError: keys are of another sequence, so that queries have a layer of their
                own, or each head has a mask of its own, of which a GPU has a part. The caller
                leaves attention undivided then.
        """
        if not (query is key is value):
            raise UndividedCallError(
                "nn.MultiheadAttention is called with keys of another sequence"
            )
        if attn_mask is not None and attn_mask.ndim > 2:
            raise UndividedCallError("nn.MultiheadAttention is called with a mask for each head")
        turned = not self.batch_first and query.ndim == 3
        x = query.transpose(0, 1) if turned else query
        sides = self.in_proj(x).unflatten(-1, (3, -1, self.head_dim)).transpose(-4, -2)
        q, k, v = sides.unbind(-3)
        mask = _added(q.dtype, attn_mask, key_padding_mask)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) / self.head_dim**0.5
            weights = F.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
            out = weights @ v
            weights = weights.mean(-3) if average_attn_weights else weights
        else:
            causal = is_causal and mask is None
            out = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal)
        out = self.out_proj(out.transpose(-3, -2).flatten(-2))
        return (out.transpose(0, 1) if turned else out), weights


def _added(dtype: torch.dtype, mask: Tensor | None, padding: Tensor | None) -> Tensor | None:
    """What both masks add to the scores."""
    padding = None if padding is None else padding[..., None, None, :]
    added = [
        torch.zeros_like(one, dtype=dtype).masked_fill(one, float("-inf"))
        if one.dtype == torch.bool
        else one
        for one in (mask, padding)
        if one is not None
    ]
    return sum(added[1:], added[0]) if added else None


def split(network: nn.Module) -> None:
    """Write every self-attention of a network's copy as its two layers."""
    for name, module in list(members(network).items()):
        if type(module) is nn.MultiheadAttention and name and _divides(name, module):
            network.set_submodule(name, Heads(module))


def _divides(name: str, module: nn.MultiheadAttention) -> bool:
    plain = module._qkv_same_embed_dim and module.bias_k is None and not module.add_zero_attn
    return plain and name.rpartition(".")[2] != CROSS
