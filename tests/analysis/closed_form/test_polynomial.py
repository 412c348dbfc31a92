"""Closed forms behave like the numbers that they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archscope.analysis.closed_form.polynomial import Polynomial, product, total

SYMBOLS = ("N", "H", "W")

floors = st.builds(
    Polynomial.floor,
    st.sampled_from(SYMBOLS),
    st.integers(1, 6),
    st.integers(-40, 40),
    st.integers(1, 33),
)
polynomials = st.recursive(
    st.one_of(floors, st.builds(Polynomial.constant, st.integers(-9, 9))),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner), st.builds(lambda a, b: a * b, inner, inner)
    ),
    max_leaves=5,
)
sizes = st.fixed_dictionaries({symbol: st.integers(1, 500) for symbol in SYMBOLS})


@given(st.integers(1, 9), st.integers(-50, 50), st.integers(1, 40), st.integers(1, 999))
def test_a_floor_in_lowest_terms_has_the_value_of_the_floor(a, b, s, x) -> None:
    assert Polynomial.floor("H", a, b, s).value({"H": x}) == (a * x + b) // s


@given(polynomials, polynomials, sizes)
def test_sums_and_products_have_the_sum_and_product_of_the_values(p, q, values) -> None:
    assert (p + q).value(values) == p.value(values) + q.value(values)
    assert (p * q).value(values) == p.value(values) * q.value(values)


@given(polynomials, sizes, st.integers(1, 8))
def test_multiples_of_the_stride_give_the_same_value_without_floors(p, values, times) -> None:
    strides = p.strides()
    multiples = {s: (k * times, s.lower()) for s, k in strides.items()}
    reduced = p.at_multiples(multiples)
    assert all(atom.divisor == 1 for monomial in reduced.terms for atom in monomial)
    large = {s: strides.get(s, 1) * times * v for s, v in values.items()}
    assert reduced.value({s.lower(): v for s, v in values.items()}) == p.value(large)


@given(polynomials, sizes, st.integers(1, 32))
def test_a_form_in_units_has_its_value_at_multiples_of_the_unit(p, values, unit) -> None:
    units = dict.fromkeys(SYMBOLS, unit)
    in_numbers = {s: unit * v for s, v in values.items()}
    assert p.in_units(units).value(in_numbers) == p.value(values)


@given(polynomials, sizes)
def test_the_written_form_means_what_it_says(p, values) -> None:
    assert evaluated(str(p), values) == p.value(values)


def evaluated(text, values):
    """Read a printed form as a person would."""
    for power, digit in zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True):
        text = text.replace(power, f"**{digit}")
    text = text.replace("·", "*").replace("⌊", "((").replace("/", ")//").replace("⌋", ")")
    return eval(text, {"__builtins__": {}}, dict(values))


def test_common_factors_stand_in_front_and_the_batch_comes_first() -> None:
    n, h, w = (Polynomial.floor(symbol) for symbol in ("N", "h", "w"))
    form = n * h * w * (16384 * 5091) + n * (16384 * 125)
    assert str(form) == "16384·N·(5091·h·w + 125)"
    assert str(h * h * n) == "N·h²"
    assert str(Polynomial()) == "0"


def test_floors_are_written_with_their_offset() -> None:
    assert str(Polynomial.floor("H", 1, 1, 2)) == "⌊(H+1)/2⌋"
    assert str(Polynomial.floor("H", 1, -3, 4)) == "⌊(H-3)/4⌋"
    assert str(Polynomial.floor("H", 3, 0, 2)) == "⌊3·H/2⌋"
    assert str(Polynomial.floor("H", 4, 6, 2)) == "2·H + 3"


def test_degree_counts_all_powers_and_above_keeps_the_faster_terms() -> None:
    n, length = Polynomial.floor("N"), Polynomial.floor("L")
    form = n * length * length * 3 + n * length * 5 + n
    assert form.degree(["L"]) == 2
    assert form.degree(["N", "L"]) == 3
    assert str(form.above(1, ["L"])) == "3·N·L²"


def test_nothing_added_up_is_zero_and_nothing_multiplied_is_one() -> None:
    assert total([]).value({}) == 0
    assert product([]).value({}) == 1


@pytest.mark.parametrize("value", [0, 7, -7])
def test_a_constant_needs_no_sizes(value) -> None:
    form = Polynomial.constant(value)
    assert form.is_constant
    assert form.value({}) == value
    assert str(form) == str(value)
