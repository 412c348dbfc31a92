"""Memory and time of a GPU beside its collectives."""

import pytest
import torch
from torch import nn

import archscope
from archscope.records import StepTime


class Perceptron(nn.Module):
    """2 · 64 · 256 parameters, in blocks of half as many."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(64, 128, bias=False)
        self.down = nn.Linear(128, 64, bias=False)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


WEIGHTS = 4 * 2 * 2 * 64 * 128


def memory(plan, gpus, **how):
    found = archscope.distribute(Perceptron(), plan, gpus, input="64", batch=4, **how).record
    return {held.sharing: held for held in found.memory}


def test_zero_shares_out_one_kind_more_in_each_stage():
    """Rajbhandari et al. 2020, section 5: Adam's two moments, gradients, parameters."""
    held = memory("fsdp", 8, optimizer="adam")
    shared = [
        (row.parameters, row.gradients, row.optimizer)
        for row in (held[f"ZeRO stage {stage}"] for stage in range(4))
    ]
    assert shared == [
        (WEIGHTS, WEIGHTS, 2 * WEIGHTS),
        (WEIGHTS, WEIGHTS, 2 * WEIGHTS // 8),
        (WEIGHTS, WEIGHTS // 8, 2 * WEIGHTS // 8),
        (WEIGHTS // 8, WEIGHTS // 8, 2 * WEIGHTS // 8),
    ]
    assert len({row.activations for row in held.values()}) == 1


def test_stage_0_is_what_memory_predicts():
    predicted = archscope.memory(Perceptron(), input="64", batch=4, optimizer="adamw").record
    assert memory("ddp", 8)["ZeRO stage 0"].peak_bytes == predicted.peak_bytes


def test_divided_layers_hold_their_part():
    """A block keeps its input whole, and this GPU's part of what is between its layers."""
    held = memory("tp", 4)
    part, alone = held["divided layers"], held["one GPU alone"]
    assert alone.parameters == WEIGHTS and part.parameters == WEIGHTS // 4
    assert part.optimizer == alone.optimizer // 4
    between = 2 * 4 * 4 * 128  # in two blocks: batch 4, 128 floats, saved once as ReLU's result
    assert alone.activations - part.activations == between - between // 4


def test_both_share_out_the_parts():
    held = memory("fsdp+tp", 8, tp=4)
    assert held["ZeRO stage 3"].parameters == WEIGHTS // 8
    assert "ZeRO stage 0" not in held


def test_time_is_between_hidden_and_exposed():
    found = archscope.distribute("lenet", "ddp", 8, on="h100").record
    time = found.time
    assert time.exposed == time.compute + time.communication
    assert time.hidden == max(time.compute, time.communication)
    assert time.compute_low < time.compute < time.compute_high and not time.across_nodes
    predicted = archscope.predict("lenet", device="h100", mode="training").record
    assert time.compute == predicted.seconds
    assert archscope.distribute("lenet", "ddp", 16, on="h100").record.time.across_nodes


def test_a_gpu_whose_links_nobody_measured_is_refused():
    with pytest.raises(archscope.ArchscopeError, match="no collectives were measured on it"):
        archscope.distribute("lenet", on="rtx3090")
    with pytest.raises(archscope.ArchscopeError, match="unknown device"):
        archscope.distribute("lenet", on="gpu9000")


def test_a_longer_collective_hides_the_work():
    time = StepTime("GPU", "amp", 3.0, 2.0, 1.0, 4.0, 0.1, 0.2, False, "", "")
    assert (time.hidden, time.exposed) == (3.0, 5.0)
