"""Solving for a whole number that makes two totals equal."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archscope.ask.match import Solved, meter, solve, width_keyword
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.quantities import MACS, PARAMS
from archscope.study.compare.match import match_tables

REFERENCES = Path(__file__).parents[1] / "references"


def nearest(target, totals):
    """What trying every value finds."""
    return min(totals, key=lambda value: (abs(totals[value] - target), value))


@settings(deadline=None)
@given(
    target=st.integers(1, 10**9),
    start=st.integers(1, 300),
    coefficients=st.tuples(st.integers(0, 50), st.integers(1, 5000), st.integers(0, 10**6)),
    step=st.integers(1, 16),
    falls=st.booleans(),
)
def test_the_nearest_value_is_found_for_any_total_that_rises_or_falls(
    target, start, coefficients, step, falls
):
    square, linear, constant = coefficients

    def total(value):
        width = (400 - value if falls else value) // step * step
        return square * width**2 + linear * width + constant

    solution = solve(target, total, start=start, least=1, most=300)
    best = nearest(target, {value: total(value) for value in range(1, 301)})
    assert abs(solution.difference.amount) == abs(total(best) - target)
    assert solution.total == total(solution.value)


@given(target=st.integers(1, 10**12), start=st.integers(1, 2000))
def test_few_values_are_counted(target, start):
    solution = solve(target, lambda width: 9 * width**2 + 512 * width + 2_000_000, start=start)
    assert len(solution.tried) <= 20


def test_few_values_are_counted_across_a_jump_that_no_power_law_has():
    solution = solve(10**6 + 3001, lambda width: 10**6 * (width > 3000) + width, most=60_000)
    assert solution.value == 3001
    assert len(solution.tried) <= 45


@given(target=st.integers(1, 10**7), heads=st.integers(2, 16))
def test_values_that_no_network_can_have_are_left_out(target, heads):
    def total(width):
        if width % heads:
            raise ArchscopeError("width", f"{width} is not divisible by {heads} heads")
        return 12 * width**2

    solution = solve(target, total, most=2000)
    possible = {width: total(width) for width in range(heads, 2001, heads)}
    assert solution.value == nearest(target, possible)


def test_the_error_of_a_keyword_that_does_not_exist_reaches_the_user():
    def total(width):
        raise ArchscopeError("widht", "resnet50 takes no such keyword")

    with pytest.raises(ArchscopeError, match="takes no such keyword"):
        solve(10, total)


def test_a_target_out_of_reach_gets_the_end_that_is_nearest():
    assert solve(1, lambda width: 1000 * width).value == 1
    assert solve(10**9, lambda width: width, most=40).value == 40


@pytest.mark.parametrize(
    ("groups", "width"), [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)]
)  # Xie et al. 2017, Table 2
def test_equal_parameters_give_the_widths_of_the_resnext_paper(groups, width):
    def block_params(d):
        return groups * (256 * d + 3 * 3 * d * d + d * 256)  # Xie et al. 2017, equation 4

    assert solve(69632, block_params).value == width


def test_a_network_of_one_width_alone_says_so():
    """Basic blocks refuse every other base width (torchvision's `BasicBlock`)."""
    solution = solve(
        4 * 10**9, meter(network_target("resnet18"), "width_per_group", MACS), start=64
    )
    assert solution.value == 64
    assert "base_width=64" in solution.refusal
    solved = Solved("resnet50", MACS, (("resnet18", "width_per_group", solution),))
    (note,) = match_tables(solved)[0].notes
    assert note.startswith("resnet18 can be built with no other width_per_group near it: ")
    assert solve(64, lambda value: value).refusal == ""


def test_whole_networks_match_at_the_published_widths():
    rows = list(
        csv.DictReader((REFERENCES / "resnext_cardinality_resnet50.csv").read_text().splitlines())
    )
    wanted, row = rows[0], next(row for row in rows if row["C"] == "8")
    grouped = network_target("resnet50", keywords={"groups": 8})
    by_params = solve(int(wanted["params"]), meter(grouped, "width_per_group", PARAMS))
    assert (by_params.value, by_params.total) == (14, int(row["params"]))
    by_macs = solve(int(wanted["conv_fc_macs"]), meter(grouped, "width_per_group", MACS))
    assert by_macs.value == 13
    assert (14, int(row["conv_fc_macs"])) in by_macs.tried


def test_a_width_is_known_by_its_keyword():
    assert width_keyword(network_target("resnext50_32x4d")) == "width_per_group"
    assert width_keyword(network_target("resnet50_v1")) == "width"
    with pytest.raises(ArchscopeError, match="no known width keyword"):
        width_keyword(network_target("squeezenet1_0"))
