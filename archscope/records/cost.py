"""Multiply-accumulates as products of named factors, and the rest of a layer's work.

Single letters name factors only: N batch, C channels, H height, W width, D depth or features,
K kernel side, G groups, L sequence length.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class Factor:
    """A named number in a product, such as `C_out = 64`."""

    name: str
    value: int


COMPLEX = "real products of a complex one"
"""The factor, 4, of a product of complex operands: (a + bi)(c + di) = (ac − bd) + (ad + bc)i."""


@dataclass(frozen=True, slots=True)
class Product:
    """Multiply-accumulates as a product of named factors.

    Args:
        factors: in the order in which a textbook writes them.
        role: what the product computes where a cost has several: `weight gradient`,
            `input gradient`, `query·key`, ….
    """

    factors: tuple[Factor, ...]
    role: str = ""

    @property
    def value(self) -> int:
        return prod(factor.value for factor in self.factors)

    @property
    def is_convolution(self) -> bool:
        """Whether a kernel slides: its sides are among the factors."""
        return any(factor.name == "K" or factor.name.startswith("K_") for factor in self.factors)


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-accumulates as a sum of products; totals, prose and formulas all evaluate this."""

    products: tuple[Product, ...] = ()

    @property
    def macs(self) -> int:
        return sum(product.value for product in self.products)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.products + other.products)


FREE = Cost()


@dataclass(frozen=True, slots=True)
class Work:
    """What one layer does in one pass.

    Args:
        cost: multiply-accumulates.
        elementwise: operations of bias, normalisation, activation, pooling and adds.
        bytes_read: distinct inputs of each operator, once per operator; of a table that is looked
            up, the rows.
        bytes_written: outputs of each operator.
        operators: how many operators ran (views excluded).
    """

    cost: Cost = FREE
    elementwise: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    operators: int = 0

    @property
    def macs(self) -> int:
        return self.cost.macs

    @property
    def bytes_moved(self) -> int:
        return self.bytes_read + self.bytes_written


IDLE = Work()
