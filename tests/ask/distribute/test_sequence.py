"""Tokens divided between divided layers, beside the plan that PyTorch's guide writes by hand."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import archscope
from archscope.ask.distribute.plan import ParallelPlan
from archscope.errors import ArchscopeError

WIDTH, LENGTH, BATCH, DEPTH = 64, 16, 2, 2
TOKENS = 4 * BATCH * LENGTH * WIDTH
"""Bytes of an activation."""


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (-1, 16)).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        x = x + self.attention(x=self.norm1(x))
        return x + self.down(torch.relu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    checkpointed = False

    def __init__(self, block=Block):
        super().__init__()
        self.stem = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(block() for _ in range(DEPTH))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointed else block(x)
        return x


def divide(network=None, plan="tp", gpus=4, length=LENGTH, **how):
    network = network or Transformer()
    given = {"input": f"{length}x{WIDTH}", "batch": BATCH, "sequence_parallel": True, **how}
    return archscope.distribute(network, plan, gpus, **given).record


def test_an_all_reduce_becomes_a_scatter_and_a_gather():
    """Korthikanti et al. 2022: two of each in a block and pass, and one at each end."""
    found = divide()
    pairs = 2 * DEPTH * TOKENS
    assert found.total("reduce_scatter", "forward") == pairs
    assert found.total("all_gather", "forward") == pairs + TOKENS
    assert found.total("reduce_scatter", "backward") == pairs
    assert found.total("all_gather", "backward") == pairs + TOKENS
    assert found.total("all_reduce") == 0
    assert [form.reasons[0][1] for form in found.closed_forms if form.reasons] == [TOKENS, TOKENS]
    scattered = [row.layer for row in found.step if row.kind == "reduce_scatter"][:2]
    assert scattered == ["blocks.0.attention.o", "blocks.0.down"]
    assert any("Gradients of normalisation" in note for note in found.notes)


def test_pytorch_counts_as_many_for_the_plan_that_its_guide_writes_by_hand():
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.debug import CommDebugMode
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        PrepareModuleInput,
        PrepareModuleOutput,
        RowwiseParallel,
        SequenceParallel,
        parallelize_module,
    )

    from archscope.collectives import fsdp
    from archscope.collectives.fake import fake_group, fake_tensors

    with fake_group(4), fake_tensors():
        network = Transformer()
        for number in range(DEPTH):
            parallelize_module(network.blocks[number], fsdp.meshes(None, 1, 4)[1], {
                "norm1": SequenceParallel(use_local_output=True),
                "norm2": SequenceParallel(use_local_output=True),
                "attention": PrepareModuleInput(
                    input_kwarg_layouts={"x": Shard(1)},
                    desired_input_kwarg_layouts={"x": Replicate()},
                ),
                "attention.q": ColwiseParallel(), "attention.k": ColwiseParallel(),
                "attention.v": ColwiseParallel(),
                "attention.o": RowwiseParallel(output_layouts=Shard(1)),
                "up": ColwiseParallel(input_layouts=Shard(1)),
                "down": RowwiseParallel(output_layouts=Shard(1)),
            })  # fmt: skip
        ends = {
            "blocks.0": PrepareModuleInput(
                input_layouts=Replicate(), desired_input_layouts=Shard(1), use_local_output=True
            ),
            f"blocks.{DEPTH - 1}": PrepareModuleOutput(
                output_layouts=Shard(1), desired_output_layouts=Replicate()
            ),
        }
        parallelize_module(network, fsdp.meshes(None, 1, 4)[1], ends)
        with CommDebugMode() as counted:
            network(torch.empty(BATCH, LENGTH, WIDTH)).sum().backward()
    kinds = {"all_gather_into_tensor": "all_gather", "reduce_scatter_tensor": "reduce_scatter"}
    by_pytorch = {kinds[str(k.__name__)]: n for k, n in counted.get_comm_counts().items() if n}
    assert Counter(row.kind for row in divide().step) == by_pytorch


@pytest.mark.parametrize(
    ("plan", "how"),
    [("fsdp+tp", {"dtype": "bfloat16"}), ("hsdp+tp", {"replicas": 2}), ("ddp+tp", {})],
)
def test_data_parallelism_sums_the_gradients_of_normalisation(plan, how):
    found = divide(plan=plan, gpus=16, tp=4, **how)
    sums = [row for row in found.step if row.content == "gradients of normalisation"]
    parameters = DEPTH * 2 * 2 * WIDTH  # two norms a block, with weight and bias
    itemsize = 2 if "dtype" in how else 4
    assert sum(row.size_bytes for row in sums) == itemsize * parameters
    assert {row.group for row in sums} == {4} and len(sums) == DEPTH * 2 * 2
    assert not any("not explained" in why for form in found.closed_forms for why, _ in form.reasons)
    assert found.total("reduce_scatter", "forward") == 2 * DEPTH * TOKENS * itemsize // 4


def test_layers_around_the_blocks_are_divided_as_without_it():
    style = {"*.q": "colwise", "*.k": "colwise", "*.v": "colwise", "*.o": "rowwise",
             "*.up": "colwise", "*.down": "rowwise", "stem": "colwise_gather_output"}  # fmt: skip
    found = divide(style=style)
    gathers = {row.layer: row.size_bytes for row in found.step if row.phase == "forward"}
    assert gathers["stem"] == TOKENS and gathers["blocks.0.attention"] == TOKENS
    assert not any("not explained" in why for form in found.closed_forms for why, _ in form.reasons)


def test_groups_of_an_earlier_run_are_forgotten():
    """PyTorch caches layouts by the shape of a mesh, with the names of its groups."""
    plans = [("fsdp+tp", {}), ("hsdp+tp", {"replicas": 2}), ("ddp+tp", {}), ("fsdp+tp", {})]
    for plan, how in plans:
        found = divide(plan=plan, gpus=16, tp=4, **how)
        groups = {row.group for row in found.step if row.content == "activations"}
        assert groups == {4}


def test_checkpointed_blocks_gather_and_scatter_again():
    network = Transformer()
    network.checkpointed = True
    found = divide(network)
    again = [row for row in found.step if row.phase == "backward" and row.content == "activations"]
    assert again
    assert not any("not explained" in why for form in found.closed_forms for why, _ in form.reasons)


class Whole(Block):
    """With attention that no style divides."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)

    def forward(self, x):
        x = x + self.attention(x, x, x)[0]
        return x + self.down(torch.relu(self.up(self.norm2(x))))


@pytest.mark.parametrize(
    ("network", "how", "message"),
    [
        (None, {"length": 18}, "4 GPUs cannot divide the 18 tokens that blocks.0 takes evenly"),
        (Transformer(Whole), {}, r"blocks.0.attention \(MultiheadAttention\) stays undivided"),
        (None, {"style": {"stem": "colwise_gather_output"}}, "no divided layer in a repeated"),
    ],
)
def test_what_pytorch_has_no_style_for_is_refused(network, how, message):
    with pytest.raises(ArchscopeError, match=message):
        divide(network, **how)


def test_it_goes_with_divided_layers():
    with pytest.raises(ArchscopeError, match="use plan='tp' with sequence_parallel=True"):
        ParallelPlan("sp", 8)
    with pytest.raises(ArchscopeError, match="has no effect under ddp"):
        ParallelPlan("ddp", 8, sequence=True)
