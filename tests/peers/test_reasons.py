"""A difference is explained where the amounts of known conventions sum to it, to the unit."""

from __future__ import annotations

import pytest

from archscope.peers.amounts import attention_products
from archscope.peers.conventions import FVCORE, PTFLOPS, THOP, TORCHINFO, TORCHPROFILE
from archscope.peers.reasons import Convention, Operator, Part, Reason, explained
from archscope.records import Cost, Factor, Layer, Product, Work

NORM = Layer("n", "Norm", output_shapes=((2, 3),), forward=Work(elementwise=6, operators=1))
ONE = Convention("counts one", lambda layer: 6)
TWO = Convention("counts two", lambda layer: 12)


@pytest.mark.parametrize(
    ("difference", "sentences"),
    [(6, ["counts one"]), (12, ["counts two"]), (18, ["counts one", "counts two"]), (7, None)],
)
def test_the_fewest_conventions_that_sum_exactly(
    difference: int, sentences: list[str] | None
) -> None:
    found = explained(difference, Part([NORM]), [ONE, TWO])
    assert (None if found is None else [reason.sentence for reason in found]) == sentences


def test_rounding_is_bounded() -> None:
    rounded = Convention("rounds", rounding=lambda layer: 3)
    assert explained(15, Part([NORM]), [TWO, rounded]) == (
        Reason("counts two", 12),
        Reason("rounds", 3),
    )
    assert explained(16, Part([NORM]), [TWO, rounded]) is None


def batched(*values: int) -> Product:
    return Product(tuple(map(Factor, ("B", "rows", "D_in", "D_out"), values)))


def test_attention_is_two_batched_products_of_which_one_feeds_the_other() -> None:
    first, second, other = batched(3, 7, 4, 9), batched(3, 7, 9, 4), batched(3, 7, 5, 5)
    layer = Layer("a", "A", forward=Work(Cost((other, first, second))))
    assert attention_products(layer) == [first, second]


def conv(weight: tuple[int, ...], out: tuple[int, ...], groups: int = 1) -> Operator:
    """A transposed convolution with a bias."""
    pair = (1, 1)
    arguments = ((2, 8, 5, 5), weight, (6,), pair, pair, pair, True, (0, 0), groups)
    return Operator("convolution", arguments, (out,))


def test_transposed_convolutions_by_output_positions() -> None:
    """2·5·5 input positions times 8·6·3·3 weights, against 2·10·10 outputs of 6 channels."""
    ran = conv((8, 6, 3, 3), (2, 6, 10, 10))
    part = Part((), [ran])
    right = 2 * 5 * 5 * 8 * 6 * 3 * 3
    by_output = 2 * 6 * 10 * 10 * 8 * 3 * 3
    for tool in (THOP, TORCHINFO, TORCHPROFILE):
        assert explained(by_output - right, part, tool) == (
            Reason("counts transposed convolutions by output positions", by_output - right),
        )


def norm(*scale: int, statistics: bool = False) -> Operator:
    arguments = ((2, 3, 4, 4), scale or None, None, (3,), (3,), statistics, 0.1, 1e-5)
    return Operator("native_batch_norm", arguments, ((2, 3, 4, 4), (0,), (0,)))


@pytest.mark.parametrize(
    ("conventions", "ran", "times"),
    [
        (FVCORE, norm(3), 2),
        (FVCORE, norm(), 1),
        (FVCORE, norm(3, statistics=True), 5),
        (TORCHPROFILE, norm(3), 1),
        (THOP, norm(3), 4),
        (THOP, norm(), 2),
        (PTFLOPS, norm(3), 2),
        (PTFLOPS, Operator("relu_", ((2, 3, 4, 4),), ((2, 3, 4, 4),)), 2),
        (PTFLOPS, Operator("mean", ((2, 3, 4, 4), (-1, -2), True), ((2, 3, 1, 1),)), 2),
        (FVCORE, Operator("upsample_bilinear2d", ((2, 3, 2, 2),), ((2, 3, 4, 4),)), 4),
    ],
)
def test_operations_per_element(
    conventions: tuple[Convention, ...], ran: Operator, times: int
) -> None:
    amount = times * 2 * 3 * 4 * 4
    reasons = explained(amount, Part((), [ran]), conventions)
    assert reasons is not None and [reason.amount for reason in reasons] == [amount]
    assert explained(amount + 1, Part((), [ran]), conventions) is None


def test_what_a_tool_tells_apart_is_a_reason() -> None:
    reasons = explained(7, Part((), separate={"sizes": 7}), TORCHPROFILE)
    assert reasons == (Reason("counts products of sizes", 7),)
