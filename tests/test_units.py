"""Numbers read well and come back."""

from __future__ import annotations

import pytest

from archscope import units
from archscope.errors import ArchscopeError


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (999_499, "999 k"),
        (999_999, "1.00 M"),
        (4_089_184_256, "4.09 G"),
        (-2_500_000, "-2.50 M"),
        (0.25, "0.250"),
    ],
)
def test_counts(number: float, text: str) -> None:
    assert units.si(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (102_228_128, "97.5 MiB")],
)
def test_bytes(number: int, text: str) -> None:
    assert units.binary_bytes(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.5, "2.50 s"), (0.0031, "3.10 ms"), (4.2e-5, "42.0 µs"), (3e-9, "3.00 ns"), (0, "0.00 ns")],
)
def test_seconds(number: float, text: str) -> None:
    assert units.seconds(number) == text


def test_shares_and_ratios() -> None:
    assert units.percent(0.9793) == "97.9 %"
    assert units.percent(-0.0004) == units.percent(-0.0) == "0.0 %"
    assert units.percent(-0.0006) == "-0.1 %"
    assert units.ratio(0.97933) == "0.979×"
    assert units.ratio(0.00023) == "0.00023×"
    assert units.ratio(0.0) == "0.000×"
    assert units.ratio(1714.656) == "1,715×"
    assert units.ratio(414.25) == "414.2×"
    assert units.ratio(20.636) == "20.64×"


def test_a_change_has_a_sign_unless_it_is_nothing() -> None:
    assert units.signed(units.si(-528_128)) == "−528 k"
    assert units.signed(units.binary_bytes(25 * 2**20)) == "+25.0 MiB"
    assert units.signed(units.percent(-0.0001)) == "0.0 %"
    assert units.signed("0 B") == "0 B"


def test_quantities_are_read_as_they_are_written() -> None:
    assert units.parse_count("4.2G", "--max") == 4_200_000_000
    assert units.parse_count("25M", "--max") == 25_000_000
    assert units.parse_bytes("24GiB", "--fit") == 24 * 2**30
    assert units.parse_bytes("512 MB", "--fit") == 512_000_000
    assert units.parse_bytes("2000000", "--fit") == 2_000_000
    assert units.parse_bytes("4B", "--fit") == 4
    assert units.parse_seconds("3.1ms", "--max") == pytest.approx(0.0031)


def test_a_few_bytes_without_a_unit_are_refused() -> None:
    with pytest.raises(ArchscopeError, match=r"^--plan: '4' has no unit; write 4GiB or 4B$"):
        units.parse_bytes("4", "--plan")


@pytest.mark.parametrize("text", ["", "G", "4.2Q", "-3", "4,2G", "1e", "nan", "inf"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ArchscopeError, match=r"^--max: "):
        units.parse_count(text, "--max")


def test_one_thing_is_no_plural() -> None:
    assert [units.plural(n, "group") for n in (0, 1, 1024)] == [
        "0 groups",
        "1 group",
        "1,024 groups",
    ]
