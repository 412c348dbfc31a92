"""Normalisations and activations by name, as factories that torchvision's constructors take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from math import gcd
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.resolve.signatures import nearest

if TYPE_CHECKING:
    from torch import nn

NORMS = ("batch", "group", "instance", "layer", "none")
ACTIVATIONS = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU",
    "gelu": "GELU", "silu": "SiLU", "mish": "Mish", "hardswish": "Hardswish",
    "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus", "none": "Identity",
}  # fmt: skip

GROUPS = 32
"""Groups of group normalisation (Wu & He 2018, section 4)."""

NOTES = {
    "group": f"norm_layer=group: GroupNorm with {GROUPS} groups, or the largest divisor of "
    f"{GROUPS} that divides the channels",
    "layer": "norm_layer=layer: GroupNorm with one group, over C×H×W with an affine pair a channel",
    "none": "norm_layer=none: Identity instead of every normalisation",
}


def with_factories(
    keywords: Mapping[str, Any], dimensions: int, tokens: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Replace layer types given as text by factories, and say in notes what they mean.

    Args:
        keywords: constructor keywords; `norm_layer`, `activation` and `activation_layer` count.
        dimensions: of the feature maps, 2 for images and 3 for video.
        tokens: whether the network normalises tokens (channels last) instead of feature maps.

    Raises:
        ArchscopeError: the name is none of `NORMS` or `ACTIVATIONS`.
    """
    made: dict[str, Any] = {}
    notes: list[str] = []
    for key, value in keywords.items():
        if key == "norm_layer" and isinstance(value, str):
            made[key] = _token_norm(value) if tokens else _norm(value, dimensions)
            notes += [] if tokens or value not in NOTES else [NOTES[value]]
        elif key in ("activation", "activation_layer") and isinstance(value, str):
            made[key] = _activation(key, value)
        else:
            made[key] = value
    return made, tuple(notes)


def _norm(name: str, dimensions: int) -> Callable[..., nn.Module]:
    from torch import nn

    factories: dict[str, Callable[..., nn.Module]] = {
        "batch": {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimensions],
        "group": lambda channels: nn.GroupNorm(gcd(GROUPS, channels), channels),
        "instance": partial({2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dimensions], affine=True),
        "layer": lambda channels: nn.GroupNorm(1, channels),
        "none": nn.Identity,
    }
    if name not in factories:
        raise ArchscopeError(
            f"norm_layer={name}", "unknown normalisation", nearest(name, NORMS, "use")
        )
    return factories[name]


def _token_norm(name: str) -> Callable[..., nn.Module]:
    from torch import nn

    factories: dict[str, Callable[..., nn.Module]] = {"layer": nn.LayerNorm, "none": nn.Identity}
    if name not in factories:
        raise ArchscopeError(
            f"norm_layer={name}", "this network normalises tokens", "use layer or none"
        )
    return factories[name]


def _activation(key: str, name: str) -> Callable[..., nn.Module]:
    from torch import nn

    if name not in ACTIVATIONS:
        raise ArchscopeError(
            f"{key}={name}", "unknown activation", nearest(name, ACTIVATIONS, "use")
        )
    kind = getattr(nn, ACTIVATIONS[name])
    if name == "none" or "inplace" in inspect.signature(kind).parameters:
        return kind  # type: ignore[no-any-return]

    def made(inplace: bool = False) -> nn.Module:
        """Drop the `inplace` that constructors pass: this activation has none."""
        return kind()  # type: ignore[no-any-return]

    return made
