"""A network built for one run is lent channels last, and has its own tensors back afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archscope.analysis import borrow, images


class Tied(nn.Module):
    """Two convolutions with one kernel, a mask and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(8, 8, 3)
        self.second = nn.Conv2d(8, 8, 3)
        self.second.weight = self.first.weight
        self.mask: Tensor
        self.register_buffer("mask", torch.ones(1, 8, 5, 5))
        self.linear = nn.Linear(8, 4)


def is_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def test_kernels_and_images_are_lent_channels_last_and_come_back() -> None:
    network = Tied()
    given = {id(tensor) for tensor in (*network.parameters(), network.linear.weight)}
    with images.owned_last(network, ((), {}), borrow.weightless) as (lent, _):
        assert lent is network
        assert is_last(network.first.weight)
        assert is_last(network.mask)
        assert network.second.weight is network.first.weight
        assert id(network.linear.weight) in given
    assert {id(tensor) for tensor in network.parameters()} == given
    assert network.mask.is_contiguous()


def test_a_run_that_fails_leaves_the_network_as_it_was() -> None:
    network = Tied()
    kernel = network.first.weight
    with (
        pytest.raises(ZeroDivisionError),
        images.owned_last(network, ((), {}), borrow.weightless),
    ):
        raise ZeroDivisionError
    assert network.first.weight is network.second.weight is kernel


@pytest.mark.parametrize(
    "tensor",
    [
        nn.Parameter(torch.ones(2, 3, 4, 5), requires_grad=False),
        torch.ones(2, 3, 4, 5, dtype=torch.float64, requires_grad=True),
    ],
)
def test_a_stand_in_differs_in_its_order_alone(tensor: Tensor) -> None:
    twin, usual = images.channels_last(tensor), borrow.weightless(tensor)
    assert is_last(twin)
    assert usual.is_contiguous()
    for name in ("shape", "dtype", "device", "requires_grad"):
        assert getattr(twin, name) == getattr(usual, name)
    assert type(twin) is type(usual)


def test_what_is_no_dense_image_has_the_usual_stand_in() -> None:
    """Integers keep their values, a sparse tensor what it stores."""
    assert images.channels_last(torch.ones(2, 3, 4, 5).to_sparse()).is_sparse
    assert images.channels_last(torch.ones(2, 3, 4, 5, dtype=torch.int64)).is_contiguous()
    assert images.channels_last(torch.ones(2, 3)).is_contiguous()
