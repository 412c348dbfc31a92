"""What PyTorch's optimisers keep from step to step, and hold while they update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from archscope.analysis.optimizer_steps import CLASSES, OptimizerStep, optimizer_step

MOMENTS = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2, "adam8bit": 2, "adamw8bit": 2}
"""Values that each optimiser keeps for an element: momentum one, Adam two (Kingma and Ba 2015,
algorithm 1)."""

FORMS = ("foreach", "fused", "for-loop")
"""How PyTorch updates: all tensors at a time, in one kernel, or one tensor after another."""

BLOCK = 256
"""Elements that share a scale in 8-bit state (bitsandbytes, block-wise quantisation; Dettmers et
al. 2022, section 2)."""

LEAST_QUANTISED = 4096
"""Elements from which a tensor's state is kept in 8 bits (bitsandbytes, `min_8bit_size`)."""

CODES = 256 * 4
"""Bytes of the table that 8-bit codes stand for; the tensors share one a moment."""


@dataclass(frozen=True)
class Optimizer:
    """An optimiser of PyTorch, or bitsandbytes' 8-bit Adam.

    Args:
        name: one of `MOMENTS`, or of the `CLASSES` whose step is run to see what it needs.
        form: one of `FORMS`; 8-bit ones have a kernel of their own.
        master_weights: it keeps float32 weights beside those of the network and updates these
            (Micikevicius et al. 2018, section 3.1).
    """

    name: str
    form: str = "foreach"
    master_weights: bool = False

    @property
    def moments(self) -> int:
        return MOMENTS[self.name]

    def _step(self, parameters: Sequence[Tensor]) -> OptimizerStep:
        """A step of PyTorch's own class, on the master weights where there are."""
        weights = (
            (tuple(p.shape), torch.float32 if self.master_weights else p.dtype) for p in parameters
        )
        return optimizer_step(self.name, self.form == "foreach", tuple(weights))

    def state(self, parameters: Sequence[Tensor]) -> Iterator[int]:
        """Bytes of each tensor kept: moments in the dtype of the weights that they update."""
        if self.name in CLASSES:
            if self.master_weights:
                yield from (4 * parameter.numel() for parameter in parameters)
            yield from self._step(parameters).state
            return
        for parameter in parameters:
            elements = parameter.numel()
            if self.master_weights:
                yield 4 * elements
            if self.name.endswith("8bit") and elements >= LEAST_QUANTISED:
                for _ in range(self.moments):
                    yield elements
                    yield -(-elements // BLOCK) * 4
            else:
                eight_bit = self.name.endswith("8bit") or self.master_weights
                each = 4 if eight_bit else parameter.element_size()
                for _ in range(self.moments):
                    yield each * elements
        if self.name.endswith("8bit"):
            for _ in range(self.moments):
                yield CODES

    def update(self, parameters: Sequence[Tensor]) -> int:
        """Bytes made and dropped by the update.

        Adam holds the square root of its second moment: of all tensors at a time (`foreach`), or
        of one with its quotient, beside the quotient of the tensor before, which its Python name
        keeps (`for-loop`); a fused kernel holds none.
        Master weights are updated with gradients cast to float32.
        """
        cast = 4 * sum(p.numel() for p in parameters) if self.master_weights else 0
        if self.name in CLASSES:
            return cast + self._step(parameters).held
        if self.moments < 2 or self.form == "fused" or self.name.endswith("8bit"):
            return cast
        sizes = [p.numel() * (4 if self.master_weights else p.element_size()) for p in parameters]
        if self.form == "for-loop":
            return cast + max(
                (before + 2 * size for before, size in pairwise((0, *sizes))), default=0
            )
        return cast + sum(sizes)
