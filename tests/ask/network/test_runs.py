"""A network runs as it can: without gradients, with them, or with values on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archscope

X = torch.ones(2, 8)
LAYER, HEAD = 2 * 8 * 8, 2 * 8 * 64
"""Multiply-accumulates of one product with each layer's weight, forward or backward."""


class Energy(nn.Module):
    """Returns what a function makes of its layers, 8 to 8 and 8 to 64, and its input."""

    def __init__(self, makes: Callable[[Energy, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 64, bias=False)
        self.makes = makes

    def forward(self, x: Tensor) -> Tensor:
        return self.makes(self, x)

    def of(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)).pow(2).sum()  # type: ignore[no-any-return]


def force(net: Energy, x: Tensor) -> Tensor:
    return -torch.autograd.grad(net.of(x.requires_grad_()), x, create_graph=True)[0]


def own_backward(net: Energy, x: Tensor) -> Tensor:
    place = x.clone().requires_grad_()
    net.of(place).backward()  # type: ignore[no-untyped-call]
    assert place.grad is not None
    return place.grad


def inner_step(net: Energy, x: Tensor) -> Tensor:
    loss = net.layer(x).pow(2).mean()
    (slope,) = torch.autograd.grad(loss, net.layer.weight)
    return F.linear(x, net.layer.weight - 0.1 * slope)


def hooked(net: Energy, x: Tensor) -> Tensor:
    y = net.layer(x)
    y.register_hook(lambda gradient: gradient)
    return y  # type: ignore[no-any-return]


def decided_by_force(net: Energy, x: Tensor) -> Tensor:
    return net.head(x) if force(net, x).abs().sum() > 0 else net.layer(x)  # type: ignore[no-any-return]


DIFFERENTIATE: dict[Callable[[Energy, Tensor], Tensor], int] = {
    # forward, and back through each layer to its input
    force: 2 * (LAYER + HEAD),
    # as before, and to both weights
    own_backward: 3 * (LAYER + HEAD),
    # forward, to the weight, and forward again
    inner_step: 3 * LAYER,
    hooked: LAYER,
    # where the force is not zero, as with any weights drawn
    decided_by_force: 2 * (LAYER + HEAD) + HEAD,
}


@pytest.mark.parametrize("makes", DIFFERENTIATE, ids=lambda makes: str(makes.__name__))
def test_a_network_that_differentiates_in_its_forward_is_counted(
    makes: Callable[[Energy, Tensor], Tensor],
) -> None:
    network = Energy(makes)
    summary = archscope.summary(network, X)
    assert summary.total.macs == DIFFERENTIATE[makes]
    assert any("with gradients enabled" in note for note in summary.analysis.notes)
    assert all(p.grad is None for p in network.parameters())
    assert not X.requires_grad


def test_its_formula_its_memory_and_its_backward_pass_are_known() -> None:
    network = Energy(force)
    assert "1152·N" in str(archscope.formula(network, "8")).replace(" ", "").replace(",", "")
    assert str(archscope.memory(network, X, inference=True)).startswith("Inference of Energy needs")
    backward = archscope.summary(network, X, backward=True)
    # a force is linear in both layers twice: back through all four products, to two operands each
    assert backward.total.macs_backward == 2 * backward.total.macs


def test_a_network_that_fails_either_way_is_refused_for_what_it_failed_first() -> None:
    with pytest.raises(archscope.ArchscopeError) as caught:
        archscope.summary(Energy(lambda net, x: net.of(x) + vars(net)["missing"]), X)
    assert "KeyError: 'missing'" in str(caught.value)
    assert "gradients" not in str(caught.value)
