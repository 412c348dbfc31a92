"""How many heads one GPU has, where the code of attention reads it from an attribute.

`parallelize_module` divides a layer's columns and leaves the code around it alone, which must then
shape what is left by the heads of one GPU. PyTorch's own tutorial on tensor parallelism divides
`n_heads` by hand for this.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

from torch import nn

from archscope.analysis.borrow import members
from archscope.collectives.styles import ATTENTION, FUSED, Style

COUNTS = frozenset({
    "all_head_size", "attn_dim", "embed_dim", "inner_dim", "kv_dim", "kv_heads", "n_head",
    "n_heads", "n_kv_heads", "num_attention_heads", "num_heads", "num_key_value_heads",
    "num_kv_heads", "split_size",
})  # fmt: skip
"""What attention calls the number of its heads, and their features side by side."""


def share(network: nn.Module, styles: Mapping[str, Style], gpus: int) -> None:
    """Give the attention of a network's copy the counts of one GPU.

    Args:
        network: whose modules.
        styles: how its layers are divided.
        gpus: that divide them.
    """
    modules = members(network)
    layers: dict[str, set[str]] = {}
    for name, style in styles.items():
        parent, _, layer = name.rpartition(".")
        if style == "colwise" and layer in ATTENTION:
            layers.setdefault(parent, set()).add(layer)
    for parent, names in layers.items():
        attention = modules[parent]
        _divide(attention, gpus)
        config = getattr(attention, "config", None)
        if names & FUSED and hasattr(config, "__dict__"):  # Phi-3 slices by these
            own = copy(config)
            _divide(own, gpus)
            vars(attention)["config"] = own


def _divide(holder: object, gpus: int) -> None:
    held = vars(holder)
    for name in COUNTS & held.keys():
        if isinstance(held[name], int) and not held[name] % gpus:
            held[name] //= gpus
