"""Formulas against arithmetic done by hand, on shapes alone: no torch is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from math import prod

import pytest

from archscope.analysis import ops, rules
from archscope.analysis.formulas import fused
from archscope.errors import ArchscopeError
from archscope.records import Cost, Factor, Product


@dataclass
class Shaped:
    shape: tuple[int, ...]

    def numel(self) -> int:
        return prod(self.shape)


def shaped(*shape: int) -> Shaped:
    return Shaped(shape)


def convolution(x: Shaped, weight: Shaped, out: Shaped, *, transposed: bool = False) -> ops.Tally:
    spatial = len(weight.shape) - 2
    return ops.convolution(
        x, weight, None, [1] * spatial, [0] * spatial, [1] * spatial, transposed, [0] * spatial, 1,
        out=out,
    )  # fmt: skip


def test_the_first_convolution_of_lenet() -> None:
    # LeCun et al. 1998, C1: 156 parameters, 122,304 connections; 28·28·6·25 without the biases.
    tally = convolution(shaped(1, 1, 32, 32), shaped(6, 1, 5, 5), shaped(1, 6, 28, 28))
    assert tally.cost.macs == 122_304 - 28 * 28 * 6
    (cost,) = tally.cost.products
    assert [factor.name for factor in cost.factors] == [
        "N", "C_out", "H_out", "W_out", "C_in/G", "K_h", "K_w",
    ]  # fmt: skip
    assert [factor.value for factor in cost.factors] == [1, 6, 28, 28, 1, 5, 5]


def test_a_bias_is_elementwise() -> None:
    tally = ops.convolution(
        shaped(1, 3, 8, 8), shaped(4, 3, 3, 3), shaped(4), [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
        out=shaped(1, 4, 8, 8),
    )  # fmt: skip
    assert tally.elementwise == 4 * 8 * 8


def test_a_transposed_convolution_spreads_its_kernel_from_every_input_position() -> None:
    # 5·6 input positions, 8 input channels, 4 output channels, 4×4 kernel.
    tally = convolution(
        shaped(1, 8, 5, 6), shaped(8, 4, 4, 4), shaped(1, 4, 10, 12), transposed=True
    )
    assert tally.cost.macs == 5 * 6 * 8 * 4 * 16


def test_convolutions_in_one_and_three_dimensions() -> None:
    assert convolution(shaped(2, 4, 20), shaped(8, 4, 3), shaped(2, 8, 18)).cost.macs == (
        2 * 8 * 18 * 4 * 3
    )
    volume = convolution(shaped(1, 3, 4, 8, 8), shaped(5, 3, 2, 3, 3), shaped(1, 5, 3, 6, 6))
    assert volume.cost.macs == 5 * 3 * 6 * 6 * 3 * 2 * 3 * 3


@pytest.mark.parametrize("groups", [1, 2, 4, 8, 16, 32, 64])
def test_both_gradients_of_a_grouped_convolution_cost_its_forward_pass_each(groups: int) -> None:
    x = out = shaped(1, 64, 7, 7)
    weight = shaped(64, 64 // groups, 3, 3)
    forward = convolution(x, weight, out).cost.macs
    assert forward == 64 * 49 * 64 // groups * 9
    backward = ops.convolution_backward(
        out, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], groups, [True, True, False],
        out=None,
    )  # fmt: skip
    assert [product.role for product in backward.cost.products] == [
        "input gradient",
        "weight gradient",
    ]
    assert backward.cost.macs == 2 * forward


def test_a_convolution_without_input_gradient_costs_half_as_much_backward() -> None:
    x = shaped(1, 3, 8, 8)
    backward = ops.convolution_backward(
        shaped(1, 4, 8, 8), x, shaped(4, 3, 3, 3), [4], [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
        [False, True, True], out=None,
    )  # fmt: skip
    assert [product.role for product in backward.cost.products] == ["weight gradient"]
    assert backward.elementwise == 4 * 8 * 8


def test_matrix_products() -> None:
    assert ops.mm(shaped(4, 5), shaped(5, 6), out=None).cost.macs == 4 * 5 * 6
    assert ops.bmm(shaped(3, 4, 5), shaped(3, 5, 6), out=None).cost.macs == 3 * 4 * 5 * 6
    assert ops.mv(shaped(4, 5), shaped(5), out=None).cost.macs == 20
    assert ops.dot(shaped(7), shaped(7), out=None).cost.macs == 7
    linear = ops.linear(shaped(2, 3, 5), shaped(6, 5), shaped(6), out=shaped(2, 3, 6))
    assert (linear.cost.macs, linear.elementwise) == (2 * 3 * 5 * 6, 2 * 3 * 6)


def test_attention_is_two_products_forward_and_four_backward() -> None:
    query, key, value = shaped(2, 4, 10, 8), shaped(2, 4, 12, 8), shaped(2, 4, 12, 16)
    forward = fused.attention(query, key, value, out=None)
    assert forward.cost.macs == 2 * 4 * 10 * 12 * (8 + 16)
    backward = fused.attention_backward(shaped(2, 4, 10, 16), query, key, value, out=None)
    assert backward.cost.macs == 2 * 4 * 10 * 12 * (8 + 8 + 16 + 16)


def test_pooling_works_on_every_window_element() -> None:
    pooled = ops.window(shaped(1, 4, 8, 8), [2, 2], out=shaped(1, 4, 4, 4))
    assert (pooled.cost.macs, pooled.elementwise) == (0, 4 * 4 * 4 * 4)
    assert ops.window(shaped(1, 4, 8, 8), [2], out=shaped(1, 4, 4, 4)) == pooled


def test_a_user_teaches_a_formula() -> None:
    name = "testlib::taught"
    try:
        rules.register_formula(name, lambda a, *, out: a.numel())
        kind, rule = rules.lookup(name) or pytest.fail("not registered")
        assert (kind, rule(shaped(3, 4), out=None).cost.macs) == ("counted", 12)
        rules.register_formula(name, lambda a, *, out: Cost((Product((Factor("N", 5),)),)))
        assert rules.REGISTERED[name](shaped(1), out=None).cost.macs == 5
        rules.register_formula(name, lambda a, *, out: "many")
        with pytest.raises(TypeError, match="returns a Tally"):
            rules.REGISTERED[name](shaped(1), out=None)
    finally:
        rules.REGISTERED.pop(name, None)


def test_a_formula_needs_a_namespace() -> None:
    with pytest.raises(ArchscopeError, match="namespace::name"):
        rules.register_formula("fused_block", lambda *args, out: 0)


def test_no_operator_counts_in_two_columns() -> None:
    columns = (rules.COUNTED, rules.ELEMENTWISE, rules.FREE)
    names = [name for column in columns for name in column]
    assert len(names) == len(set(names))


def test_formulas_do_not_need_torch() -> None:
    code = "import sys, archscope.analysis.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
