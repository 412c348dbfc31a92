"""Closed forms are found from values, and only where there are any."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archscope.analysis.closed_form.fitting import NoClosedFormError, Range, fit
from archscope.analysis.closed_form.lines import solve
from archscope.analysis.closed_form.polynomial import Polynomial

BATCH = Range("N", 2, 64, degree=1)
HEIGHT = Range("H", 224, 224 + 1792)
WIDTH = Range("W", 224, 224 + 1792)

FURTHER = [(1, 224, 225), (3, 500, 999), (7, 1023, 641), (40, 2001, 1337)]


def found(function, ranges=(BATCH, HEIGHT, WIDTH)):
    return fit(lambda point: [function(*point)], ranges).forms[0]


def agrees(function, points=FURTHER):
    form = found(function)
    return all(form.value(dict(zip("NHW", p, strict=True))) == function(*p) for p in points)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 4, 7, 8, 16, 28, 32, 64, 3, 5, 12, 224]),
    st.integers(-100, 100),
    st.integers(1, 12),
    st.integers(-20, 20),
    st.integers(300, 4000),
)
def test_a_strided_size_is_found_whatever_its_padding(
    stride, padding, times, shift, further
) -> None:
    def function(h):
        return times * ((h + padding) // stride) + shift

    form = found(function, (HEIGHT,))
    assert form.value({"H": further}) == function(further)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 31), st.integers(0, 15), st.integers(1, 99), st.integers(0, 9))
def test_a_sum_of_products_of_sizes_is_found(a, b, many, alone) -> None:
    assert agrees(lambda n, h, w: many * n * ((h + a) // 32) * ((w - b) // 16) + alone * n)


def test_all_positions_with_all_is_found() -> None:
    """As in a network, the sizes themselves are among the values."""

    def attention(n, h, w):
        length = (h // 16) * (w // 16) + 1
        return 2 * n * 64 * length * length + 5 * n * length

    result = fit(lambda p: [p[1] // 16, p[2] // 16, attention(*p)], (BATCH, HEIGHT, WIDTH))
    for n, h, w in FURTHER:
        assert result.forms[2].value({"N": n, "H": h, "W": w}) == attention(n, h, w)


def test_a_size_enlarged_by_a_fraction_is_found() -> None:
    assert agrees(lambda n, h, w: 3 * h // 2)


def test_constants_are_constants() -> None:
    form = found(lambda n, h, w: 64)
    assert form.is_constant
    assert form.value({}) == 64


@pytest.mark.parametrize("stride", [54, 90, 150, 200, 300, 360])
def test_strides_with_few_steps_in_range_are_told_from_their_neighbours(stride: int) -> None:
    """The range is no multiple of them; only the last step before its end tells 360 from 358."""
    form = found(lambda h: (h + 100) // stride, (HEIGHT,))
    assert str(form) == str(Polynomial.floor("H", 1, 100, stride))


def test_what_has_no_closed_form_is_refused_by_its_index() -> None:
    with pytest.raises(NoClosedFormError) as refusal:
        fit(lambda point: [point[0], bin(point[0]).count("1")], (HEIGHT,))
    assert refusal.value.index == 1


def test_what_is_optional_may_stay_without_a_form() -> None:
    result = fit(lambda p: [p[0], bin(p[0]).count("1")], (HEIGHT,), lambda index: index == 1)
    assert str(result.forms[0]) == "H"
    assert result.forms[1] is None


def test_the_points_that_verify_were_not_fitted_and_differ() -> None:
    result = fit(lambda point: [point[0] * (point[1] // 8)], (BATCH, HEIGHT))
    assert len(set(result.verified)) == 3


def test_a_system_without_a_whole_solution_has_none() -> None:
    assert solve([[1, 1], [1, 2], [1, 3]], [5, 7, 9]) == [3, 2]
    assert solve([[1, 1], [1, 2], [1, 3]], [5, 7, 10]) is None
    assert solve([[2], [4]], [1, 2]) is None
    assert solve([[1, 1]], [1]) is None
