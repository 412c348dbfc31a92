"""A recorded run with replayed blocks lists what a run of every block does."""

from __future__ import annotations

from collections import Counter

import pytest
from torch import nn

from archscope.analysis import execution
from archscope.ask.predict import executed
from archscope.ask.target import network_target
from archscope.latency.kernels import kernels
from archscope.latency.setting import Setting
from archscope.records import Execution


def recorded(model: str, batch: int, layout: str) -> Execution:
    target = network_target(model, batch=batch)
    return executed(*target.called(), Setting(layout=layout), True).execution


class NoReplays(execution.Replays):
    """Runs every block."""

    def run(self, call: object, forward: object, args: object, kwargs: object) -> object:
        return forward(call.module, *args, **kwargs)  # type: ignore[attr-defined, operator]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    "model", ["resnet50", "vit_b_32", "convnext_tiny", "swin_t", "efficientnet_b0"]
)
def test_replayed_blocks_launch_the_same_kernels(
    model: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernel by kernel under autocast, where the dtype of a block's input decides its casts."""
    with_replays = recorded(model, 2, layout)
    monkeypatch.setattr(execution, "Replays", NoReplays)
    without = recorded(model, 2, layout)
    assert len(with_replays.runs) == len(without.runs)
    assert with_replays.layers == without.layers
    assert list(kernels(with_replays, "amp")) == list(kernels(without, "amp"))
    assert Counter(kernels(with_replays, "amp", True)) == Counter(kernels(without, "amp", True))


def test_a_block_is_replayed() -> None:
    """The check above would pass if nothing were replayed; fresh tensors have numbers below 0."""
    runs = recorded("resnet50", 1, "nchw").runs
    assert any(operand.storage < 0 for run in runs for operand in run.inputs)


def test_a_training_run_replays_nothing() -> None:
    network = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4)) for _ in range(3)))
    target = network_target(network, input="4", batch=2)
    runs = executed(*target.called(), Setting("training"), True).execution.runs
    assert all(operand.storage >= 0 for run in runs for operand in run.inputs)
