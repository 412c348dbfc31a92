"""The numbers of a layer that may change with the size of the input, each at its place.

`taken` and `filled` are the two directions: the only functions that know the order of the places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from archscope.records import Layer, Shape

Value = TypeVar("Value")


class Place(NamedTuple):
    """One number of a layer.

    Args:
        value: at the sizes that were counted.
        multiplies: whether it is a factor of a product.
    """

    value: int
    multiplies: bool


@dataclass(frozen=True)
class Filled(Generic[Value]):
    """What stands at the places of one layer."""

    input_shapes: tuple[tuple[Value, ...], ...]
    output_shapes: tuple[tuple[Value, ...], ...]
    products: tuple[tuple[Value, ...], ...]
    activation_bytes: Value


def taken(layer: Layer) -> list[Place]:
    """The sides of a layer's shapes, the factors of its products and its activation bytes."""
    shapes = (*layer.input_shapes, *layer.output_shapes)
    return [
        *(Place(int(side), False) for shape in shapes for side in shape),
        *(Place(f.value, True) for item in layer.forward.cost.products for f in item.factors),
        Place(layer.activation_bytes, False),
    ]


def filled(layer: Layer, values: Iterator[Value]) -> Filled[Value]:
    """Put a value at each place, in the order of `taken`."""

    def shapes(given: Sequence[Shape]) -> tuple[tuple[Value, ...], ...]:
        return tuple(tuple(next(values) for _ in shape) for shape in given)

    return Filled(
        shapes(layer.input_shapes),
        shapes(layer.output_shapes),
        tuple(tuple(next(values) for _ in item.factors) for item in layer.forward.cost.products),
        next(values),
    )
