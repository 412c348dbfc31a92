"""What fits beside the weights, against a search."""

from __future__ import annotations

import pytest

from archscope.records import Generation, InputSpec
from archscope.records.generation import CacheLayer, StepCost


def layer(fixed: int, token: int, window: int | None) -> CacheLayer:
    found = CacheLayer("0", "layer", (), fixed, token, window, 0, 0)
    return CacheLayer(
        "0", "layer", (), fixed, token, window, found.bytes_at(10), found.bytes_at(14)
    )


def generation(*cache: CacheLayer) -> Generation:
    prefill = StepCost(10, 0, 0, 0, 0, 0)
    return Generation("net", InputSpec(()), 1, 10, 5, "float32", 25, 100, prefill, (), cache)


@pytest.mark.parametrize("budget", [90, 100, 107, 130, 200, 333, 1000])
@pytest.mark.parametrize(
    "cache",
    [
        (layer(0, 8, None),),
        (layer(5, 8, 6), layer(0, 4, None)),
        (layer(0, 8, 6), layer(0, 4, 20), layer(3, 2, None)),
    ],
)
def test_the_largest_context_is_that_of_a_search(budget, cache):
    found = generation(*cache)
    fits = [t for t in range(1000) if 100 + found.cache_bytes_at(t) <= budget]
    assert found.largest_context(budget) == max(fits, default=0)


def test_a_cache_that_ends_fits_without_end():
    assert generation(layer(4, 8, 6)).largest_context(1000) is None
    assert generation(layer(4, 0, None)).largest_context(1000) is None
    assert generation(layer(4, 8, 6)).largest_context(120) == 2


def test_the_largest_batch_shares_what_the_weights_leave():
    found = generation(layer(0, 8, None))  # 8·14 bytes a sequence
    assert found.largest_batch(100 + 3 * 112) == 3
    assert found.largest_batch(100 + 3 * 112 - 1) == 2
    assert found.largest_batch(50) == 0
