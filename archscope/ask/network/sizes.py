"""Sizes of images that a network takes, found by trying those that are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

SIDES = (224, 28, 32, 64, 96, 128, 256, 299, 227, 84, 48, 112, 160, 192, 384, 512)
"""Of ImageNet, MNIST, CIFAR, STL-10, …; the one that is tried first is the most usual."""


def fitting_image(module: nn.Module, channels: int, near: int = 0) -> str:
    """A square image that a network runs on without weights, as `3x224x224`.

    Args:
        module: a copy of it is run.
        channels: of the image.
        near: side that was given in vain; it and sizes close to it are tried first.

    Returns:
        an empty text where it takes none of the usual sizes, or needs the values of tensors.
    """
    sides = [near, *sorted(SIDES, key=lambda side: abs(side - near))] if near else SIDES
    images = ((channels, side, side) for side in sides)
    found = next((image for image in images if _runs(module, image)), ())
    return "x".join(map(str, found))


def _runs(module: nn.Module, image: tuple[int, ...]) -> bool:
    import torch

    from archscope.analysis import borrow
    from archscope.process import interruptible

    given: Any = ((torch.empty((1, *image), device="meta"),), {})
    copies: Any = borrow.copied(module, given, borrow.weightless)
    try:
        with copies as (network, (args, kwargs)), torch.no_grad(), interruptible():
            borrow.set_training(network, False)
            network(*args, **kwargs)
    except Exception:  # whatever it raises, another size is tried
        return False
    return True
