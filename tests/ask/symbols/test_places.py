"""Every number of a layer has one place, wherever it is taken from or put back."""

from __future__ import annotations

import archscope
from archscope.ask.symbols.places import filled, taken


def test_what_is_taken_is_put_back_where_it_was() -> None:
    for layer in archscope.summary("lenet").record.calls:
        values = iter([place.value for place in taken(layer)])
        at = filled(layer, values)
        assert list(values) == []
        assert (at.input_shapes, at.output_shapes) == (layer.input_shapes, layer.output_shapes)
        products = layer.forward.cost.products
        assert at.products == tuple(tuple(f.value for f in item.factors) for item in products)
        assert at.activation_bytes == layer.activation_bytes


def test_factors_are_the_places_that_multiply() -> None:
    # Linear(120, 84): rows · D_in · D_out, besides two shapes and the result's 84 floats.
    (layer,) = [each for each in archscope.summary("lenet").record.calls if each.params == 84 * 121]
    places = taken(layer)
    assert [place.value for place in places if place.multiplies] == [1, 120, 84]
    assert [place.value for place in places if not place.multiplies] == [1, 120, 1, 84, 84 * 4]
