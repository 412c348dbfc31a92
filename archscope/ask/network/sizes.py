"""Sizes of images that a network takes, found by a few trials of those that are in use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from math import sqrt
from typing import TYPE_CHECKING, Any

from archscope.errors import first_line

if TYPE_CHECKING:
    from torch import nn

SIDES = (224, 28, 32, 64, 96, 128, 256, 299, 227, 84, 48, 112, 160, 192, 384, 512)
"""Of ImageNet, MNIST, CIFAR, STL-10, …; the one that is tried first is the most usual."""

MOST_TRIALS = 4
SECONDS = 1.0
"""Of processor time that all trials of a network may take: a busy machine changes no answer."""


def fitting_image(module: nn.Module, channels: int, near: int = 0) -> str:
    """A square image that a network runs on without weights, as `3x224x224`.

    Each trial that fails in a linear layer says how many features too many or too few there are,
    whose root is about how far the side is off.

    Args:
        module: a copy of it is run.
        channels: of the image.
        near: side that was given in vain; it and sizes close to it are tried first.

    Returns:
        an empty text where it takes none that was tried, is slow, needs the values of tensors, or
        writes files, starts programs or waits as it runs.
    """
    from archscope.process.unnoticed import LeavesTracesError

    end = time.thread_time() + SECONDS
    side, left = near or SIDES[0], [size for size in SIDES if size != near]
    with suppress(LeavesTracesError):
        for _ in range(MOST_TRIALS):
            error = _error(module, (channels, side, side), end)
            if error is None:
                return f"{channels}x{side}x{side}"
            side = min(left, key=_distance(side * _ratio(first_line(error)) or near))
            left.remove(side)
    return ""


def _distance(wanted: float) -> Callable[[int], float]:
    """How far a size is from the one that is wanted; all are as good where none is."""
    return lambda size: abs(size - wanted) if wanted else 0


_FEATURES = (
    re.compile(r"same reduction dim, but got \[\d+, (\d+)\] X \[(\d+),"),
    re.compile(r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x"),
)
"""What PyTorch says of features that do not fit: how many it got, and how many are expected."""

_RESHAPED = re.compile(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)")


def _ratio(said: str) -> float:
    """The side that would fit over the one that was tried; 0 where the error does not tell."""
    if reshaped := _RESHAPED.search(said):
        expected = 1
        for number in map(int, reshaped[1].split(",")):
            expected *= abs(number)
        return sqrt(expected / max(int(reshaped[2]), 1))
    for pattern in _FEATURES:
        if found := pattern.search(said):
            return sqrt(int(found[2]) / max(int(found[1]), 1))
    return 0


def _error(module: nn.Module, image: tuple[int, ...], end: float) -> Exception | None:
    """What a copy of a network without weights raises on one image, unnoticed.

    Args:
        module: the network.
        image: without its batch.
        end: when it must have ended, by `time.thread_time`.

    Raises:
        LeavesTracesError: it is slow, or does what would be noticed.
    """
    import torch

    from archscope.analysis import borrow
    from archscope.process import interruptible
    from archscope.process.unnoticed import LeavesTracesError, traceless, unheard

    class Hurried(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if time.thread_time() > end:
                raise LeavesTracesError("it is slow")
            return function(*args, **(kwargs or {}))

    given: Any = ((torch.empty((1, *image), device="meta"),), {})
    copies: Any = borrow.copied(module, given, borrow.weightless)
    unnoticed = unheard if _is_layers_alone(module) else traceless
    try:
        with copies as (network, (args, kwargs)), torch.no_grad(), unnoticed(), Hurried():
            borrow.set_training(network, False)
            with interruptible():
                network(*args, **kwargs)
    except Exception as error:  # whatever it raises, another size is tried
        return error
    return None


_LAYERS = ("torch.nn.modules.", "torchvision.models.", "torchvision.ops.")


def _is_layers_alone(module: nn.Module) -> bool:
    """Whether a network runs no code but that of PyTorch's layers, which leaves nothing behind."""
    from torch.nn.modules import module as base

    from archscope.analysis.borrow import members

    if base._has_any_global_hook():  # type: ignore[no-untyped-call]
        return False
    return all(map(_is_layer, members(module).values()))


def _is_layer(module: nn.Module) -> bool:
    """Whether it is a layer of PyTorch's to which nobody has given a hook or a function."""
    import torch

    if not type(module).__module__.startswith(_LAYERS) or _hooks(module):
        return False
    tensors = (*module._parameters.values(), *module._buffers.values())
    if any(type(x) not in (torch.Tensor, torch.nn.Parameter, type(None)) for x in tensors):
        return False
    functions = (value for value in vars(module).values() if callable(value))
    return all(_code_of(value).startswith(("torch.", "torchvision.")) for value in functions)


def _hooks(module: nn.Module) -> bool:
    return any(value for name, value in vars(module).items() if name.endswith("_hooks"))


def _code_of(value: Any) -> str:
    """The name of the module that has the code of a function, a class or an object with one."""
    home = value if isinstance(value, type) or hasattr(value, "__code__") else type(value)
    return f"{getattr(home, '__module__', None)}."
