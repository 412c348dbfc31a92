"""Random small networks against PyTorch's own counter in a real run, and bit-identical after."""

import copy
import random

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import archscope

N, T, D = 2, 6, 8

STEPS = (
    "linear", "wide", "conv", "depthwise", "attend", "kernel", "outer", "gate", "norm", "residual",
    "mask", "twice", "inplace", "chunks", "checkpoint", "gather", "state",
)  # fmt: skip


class Drawn(nn.Module):
    """A sequence of steps on N × T × D, each with layers of its own."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.memory, self.calls = {"seen": [torch.zeros(N, T, D)]}, 0
        make = {
            "linear": lambda: nn.Linear(D, D),
            "wide": lambda: nn.Sequential(nn.Linear(D, 3 * D), nn.GELU(), nn.Linear(3 * D, D)),
            "conv": lambda: nn.Conv1d(D, D, 3, padding=1),
            "depthwise": lambda: nn.Conv1d(D, D, 3, padding=1, groups=D),
            "attend": lambda: nn.Linear(D, 3 * D),
            "kernel": lambda: nn.Linear(D, 3 * D),
            "twice": lambda: nn.Linear(D, D),
            "chunks": lambda: nn.Linear(D // 2, D // 2),
            "checkpoint": lambda: nn.Linear(D, D),
            "gather": lambda: nn.Embedding(5, D),
            "norm": lambda: nn.LayerNorm(D),
        }
        self.layers = nn.ModuleList([make.get(step, nn.Identity)() for step in steps])

    def forward(self, x):
        self.calls += 1
        for step, layer in zip(self.steps, self.layers, strict=True):
            x = getattr(self, step)(layer, x)
        return {"out": [x], "index": x.argmax(-1), "none": None}

    def linear(self, layer, x):
        return layer(x)

    wide = norm = linear

    def conv(self, layer, x):
        return layer(x.mT).mT

    depthwise = conv

    def attend(self, layer, x):
        q, k, v = layer(x).chunk(3, -1)
        return (q @ k.mT / D**0.5).softmax(-1) @ v

    def kernel(self, layer, x):
        q, k, v = (y.view(N, T, 2, D // 2).transpose(1, 2) for y in layer(x).chunk(3, -1))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, T, D)

    def outer(self, layer, x):
        return torch.einsum("ntd,ned->nte", x, x) @ x

    def gate(self, layer, x):
        return x * torch.sigmoid(x.mean(1, keepdim=True))

    def residual(self, layer, x):
        return x + random.random() * torch.rand(N, T, D)

    def mask(self, layer, x):
        mask = torch.ones(T, T, dtype=torch.bool).tril()
        return (x @ x.mT).masked_fill(~mask, 0.0) @ x if bool(mask.any()) else x

    def twice(self, layer, x):
        return layer(layer(x))

    def inplace(self, layer, x):
        y = x.clone()
        y[:, 0] = y[:, 1]
        return y.relu_()

    def chunks(self, layer, x):
        return torch.cat([layer(y) for y in x.split(D // 2, -1)], -1)

    def checkpoint(self, layer, x):
        return torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)

    def gather(self, layer, x):
        return x + layer(torch.arange(T) % 5)

    def state(self, layer, x):
        self.memory["seen"].append(x)
        return x + self.memory["seen"][0]


def of_pytorch(net, x, backward):
    """MACs by PyTorch's counter: two operations each; forward, then backward."""
    net = copy.deepcopy(net)
    # On a CPU it has no formula for the kernel of attention, but one for its products.
    with FlopCounterMode(display=False) as forward, sdpa_kernel(SDPBackend.MATH):
        out = net(x)["out"][0]
    if not backward:
        return forward.get_total_flops() // 2, None
    with FlopCounterMode(display=False) as backward_counter:
        out.backward(torch.ones_like(out))
    return forward.get_total_flops() // 2, backward_counter.get_total_flops() // 2


def state_of(net):
    tensors = [(id(t), t.device, t.tolist()) for t in net.parameters()]
    flags = [(m.training, len(vars(m))) for m in net.modules()]
    seen = [id(t) for t in net.memory["seen"]]
    grads = [p.grad for p in net.parameters()]
    generators = random.getstate(), torch.get_rng_state().tolist()
    return tensors, flags, seen, grads, net.calls, generators


@settings(max_examples=40, deadline=None, derandomize=True)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), asks=st.booleans())
def test_counts_are_those_of_a_real_run(steps, asks):
    # The kernel of attention computes its scores again in its backward pass, as PyTorch's formula
    # says, and a checkpoint its layer: there only the forward pass is compared.
    # Of grouped convolutions its formula for the backward pass leaves out the groups.
    backward = not {"kernel", "checkpoint", "depthwise"} & set(steps)
    net, x = Drawn(["linear", *steps]), torch.randn(N, T, D)
    if asks:
        net.register_forward_pre_hook(_ask)
    wanted = of_pytorch(net, x, backward)
    before = state_of(net)
    total = archscope.summary(net, (x,), backward=backward).total
    assert (total.macs, total.macs_backward if backward else None) == wanted
    assert state_of(net) == before


def _ask(module, args):
    """Needs a value, so the count is of a run on the CPU."""
    assert float(args[0].sum()) < 1e9
