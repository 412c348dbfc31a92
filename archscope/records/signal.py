"""Statistics of activations and gradients at initialisation, by depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archscope.records.network import InputSpec


@dataclass(frozen=True, slots=True)
class SignalPoint:
    """Statistics of one module call's output x and of the gradients that reach it.

    Args:
        depth: convolutions and linear layers executed up to and including this call.
        role: `block`, `activation`, `weight` or `other`.
        mean_square: mean of x² over all elements.
        variance: of each channel over batch and positions, averaged over channels.
        squared_mean: squared mean of each channel, averaged over channels.
        weight_gradient_norm: Euclidean norm of the loss gradient of its weights, those of its
            children included, if it has any.
        input_gradient_norm: Euclidean norm of the loss gradient of all its inputs together;
            `None` where none needs a gradient.
    """

    name: str
    kind: str
    call: int
    depth: int
    role: Literal["block", "activation", "weight", "other"]
    mean_square: float
    variance: float
    squared_mean: float
    weight_gradient_norm: float | None = None
    input_gradient_norm: float | None = None


@dataclass(frozen=True)
class NetworkSignal:
    """Statistics by depth of one network at initialisation.

    Args:
        points: every module call that returns a floating tensor, in the order of completion.
    """

    model: str
    input: InputSpec
    points: tuple[SignalPoint, ...]
    keywords: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SignalPropagation:
    """How signal and gradient travel through one or several networks."""

    networks: tuple[NetworkSignal, ...]
    versions: tuple[tuple[str, str], ...] = ()
