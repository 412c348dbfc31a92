"""Networks deeper than a stack: as deep as PyTorch itself runs them."""

import threading

import torch
from torch import nn

import archscope


def test_two_hundred_nested_modules():
    net = nn.Sequential(nn.Linear(8, 8, bias=False))
    for _ in range(200):
        net = nn.Sequential(net)
    total = archscope.summary(net, (torch.ones(2, 8),), backward=True).total
    assert (total.macs, total.macs_backward) == (128, 128)  # the weight's gradient alone


def test_a_long_graph_is_freed_without_recursion():
    """A thousand layers on a stack of 256 KiB, as 50,000 on one of 8 MiB."""
    net = nn.Sequential(*[nn.Linear(2, 2, bias=False) for _ in range(1000)])
    found = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(
            target=lambda: found.append(
                archscope.summary(net, (torch.ones(1, 2),), backward=True).total
            )
        )
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert found[0].macs == 4000
    assert found[0].macs_backward == 2 * 4000 - 4  # the input needs no gradient


def test_random_branches_go_the_same_way_in_every_count():
    class Drawn(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.big = nn.Linear(8, 1), nn.Linear(8, 80)

        def forward(self, x):
            return self.small(x) if torch.rand(1).item() < 0.5 else self.big(x)

    net, x = Drawn(), torch.ones(2, 8)
    assert len({archscope.summary(net, (x,)).total.macs for _ in range(6)}) == 1
