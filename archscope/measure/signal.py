"""Statistics of real activations and gradients, call by call, from one forward and backward pass.

The statistics are those of Brock, De and Smith 2021 (section 3): mean square, average channel
variance and average squared channel mean.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from archscope.measure.step import leaves
from archscope.records import SignalPoint

Role = Literal["block", "activation", "weight", "other"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of all elements of one tensor; mean square = variance + squared mean."""

    mean_square: float
    variance: float
    squared_mean: float


def statistics(x: Tensor) -> Statistics:
    """Mean square, channel variance and squared channel mean of N×C, N×C×H×W or N×L×C.

    Variance and mean are taken of each channel over batch and positions, then averaged over the
    channels. Of a jagged tensor the rows of all sequences count.
    """
    x = _rows(x)
    channels = x.dim() - 1 if x.dim() == 3 else min(1, x.dim() - 1)
    others = [dim for dim in range(x.dim()) if dim != channels] or [0]
    variance, mean = torch.var_mean(x.detach().float(), others, correction=0)
    return Statistics(
        float(x.detach().float().square().mean()),
        float(variance.mean()),
        float(mean.square().mean()),
    )


def _rows(x: Tensor) -> Tensor:
    """The rows of all sequences of a jagged tensor; any other as it is."""
    return x.values() if x.layout is torch.jagged else x


def propagate(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    loss: Callable[[Any], Tensor],
) -> tuple[SignalPoint, ...]:
    """Run forward and backward once in training mode and note what passes through every call.

    Args:
        module: with weights; its gradients and running statistics change.
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        loss: makes a scalar of what the module returns.

    Raises:
        Exception: whatever the module raises.
    """
    module.train()
    module.zero_grad(set_to_none=True)
    probe = _Probe(module)
    with torch.enable_grad(), probe.attached():
        loss(module(*args, **kwargs)).backward()  # type: ignore[no-untyped-call]
    return tuple(probe.finished())


class _Visit:
    """One module call while it runs, and what is known of it afterwards."""

    __slots__ = ("call", "gradient_norms", "has_block", "module", "point", "weights_before")

    def __init__(self, module: nn.Module, call: int, weights_before: int) -> None:
        self.module = module
        self.call = call
        self.weights_before = weights_before
        self.has_block = False
        self.point: SignalPoint | None = None
        self.gradient_norms: list[float] = []

    def keep_norm(self, gradient: Tensor) -> None:
        self.gradient_norms.append(float(_rows(gradient).norm()))


class _Probe:
    """Hooks on every module call of a network."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.names = {module: name for name, module in network.named_modules()}
        self.weights = 0
        self.calls: Counter[nn.Module] = Counter()
        self.running: list[_Visit] = []
        self.done: list[_Visit] = []

    @contextmanager
    def attached(self) -> Iterator[None]:
        handles = (
            register_module_forward_pre_hook(self._entered),
            register_module_forward_hook(self._left),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _entered(self, module: nn.Module, args: Any) -> None:
        if module not in self.names:
            return
        visit = _Visit(module, self.calls[module], self.weights)
        self.calls[module] += 1
        self.running.append(visit)
        for tensor in leaves(args):
            if tensor.requires_grad:
                # Of the tensor as it is now: an in-place activation may overwrite it.
                tensor.register_hook(visit.keep_norm)  # type: ignore[no-untyped-call]

    def _left(self, module: nn.Module, args: Any, output: Any) -> None:
        if module not in self.names:
            return
        visit = self.running.pop()
        self.weights += isinstance(module, (_ConvNd, nn.Linear))
        role = self._role(visit)
        if (role == "block" or visit.has_block) and self.running:
            self.running[-1].has_block = True
        tensor = next((t for t in leaves(output) if t.is_floating_point()), None)
        if tensor is None or not tensor.numel():
            return
        found = statistics(tensor)
        visit.point = SignalPoint(
            self.names[module],
            type(module).__name__,
            visit.call,
            self.weights,
            role,
            found.mean_square,
            found.variance,
            found.squared_mean,
        )
        self.done.append(visit)

    def _role(self, visit: _Visit) -> Role:
        """A block is the smallest container, other than a sequence, of two or more weight layers.

        So a residual block, a dense layer or an inception module is one, and a stage is not.
        """
        module = visit.module
        if isinstance(module, (_ConvNd, nn.Linear)):
            return "weight"
        if type(module).__module__ == activation.__name__:
            return "activation"
        contained = self.weights - visit.weights_before
        is_network = module is self.network
        if contained > 1 and not (
            visit.has_block or is_network or isinstance(module, nn.Sequential)
        ):
            return "block"
        return "other"

    def finished(self) -> Iterator[SignalPoint]:
        """The points with the gradients that the backward pass has left."""
        for visit in self.done:
            assert visit.point is not None
            gradients = [
                parameter.grad
                for parameter in visit.module.parameters()
                if parameter.grad is not None and parameter.dim() > 1
            ]
            norm = float(torch.stack([g.norm() for g in gradients]).norm()) if gradients else None
            yield replace(
                visit.point,
                weight_gradient_norm=norm,
                input_gradient_norm=math.hypot(*visit.gradient_norms) or None,
            )
