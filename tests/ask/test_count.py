"""Whatever the user names is counted, or refused in one line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope import archive
from archscope.ask.count import analyse, require_complete
from archscope.ask.target import target
from archscope.errors import ArchscopeError, UnknownCostError
from archscope.records import Analysis
from tests.analysis.test_borrow import portrait, same
from tests.networks import Fails, Functional, Gate, Gated


def test_a_name_a_class_and_a_module_agree() -> None:
    by_class = analyse(target(Functional, input="5", batch=3))
    assert by_class.total.macs == analyse(target(Functional(), input="5", batch=3)).total.macs
    assert by_class.model == "Functional"


class Drawing(nn.Linear):
    """Draws a number that has nothing to do with its parameters."""

    def __init__(self) -> None:
        super().__init__(4, 4)
        self.gain = random.random() + float(torch.rand(()))


def test_a_class_is_built_without_moving_the_caller_s_random_generators() -> None:
    before = random.getstate(), torch.get_rng_state().tolist()
    analyse(target(Drawing, input="4"))
    assert (random.getstate(), torch.get_rng_state().tolist()) == before


def test_a_network_that_a_function_only_hands_out_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = portrait(network)
    assert analyse(target(lambda: network, input="4", batch=2)).total.macs == 2 * 16
    assert same(before, portrait(network)) and network.training


def test_a_class_takes_keywords() -> None:
    counted = archscope.summary(nn.Linear, "4", in_features=4, out_features=9)
    assert counted.total.macs == 36
    assert counted.analysis.keywords == (("in_features", "4"), ("out_features", "9"))


def test_a_saved_record_stands_for_its_network(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(archive.dumps(analyse(target("lenet"), backward=True)))
    assert archscope.summary(path).total == archscope.summary("lenet", backward=True).total


def test_a_saved_record_cannot_be_counted_anew(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(archive.dumps(analyse(target("lenet"))))
    with pytest.raises(ArchscopeError, match="cannot be counted again"):
        analyse(target(str(path), input="1x28x28"))
    with pytest.raises(ArchscopeError, match="without a backward pass; save it again"):
        analyse(target(str(path)), backward=True)


def test_the_batch_scales_the_cost() -> None:
    one, eight = analyse(target("lenet")), analyse(target("lenet", batch=8))
    assert eight.total.macs == 8 * one.total.macs
    assert eight.total.params == one.total.params


def test_control_flow_on_values_is_counted_on_the_cpu_and_named() -> None:
    counted = analyse(target(Gated(), input="4"), backward=True)
    assert counted.executed_on == "cpu"
    assert (counted.total.macs, counted.total.macs_backward) == (12, 12)
    assert any("gate (Gate) needs the values of tensors" in note for note in counted.notes)


def test_control_flow_on_values_without_values_is_told() -> None:
    with torch.device("meta"):
        network = Gated()
    with pytest.raises(ArchscopeError, match=r"gate \(Gate\) needs the values .* give it with"):
        analyse(target(network, input="4"))


def test_a_real_run_uses_the_values_given() -> None:
    class TwoWays(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.dear, self.cheap = Gate(), nn.Linear(4, 8), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.dear(x) if x.sum() > 0 else self.cheap(x)

    assert analyse(target(TwoWays(), input=torch.ones(1, 4))).total.macs == 32
    assert analyse(target(TwoWays(), input=-torch.ones(1, 4))).total.macs == 4


def test_half_precision_networks_get_an_input_of_their_own_dtype() -> None:
    assert analyse(target(nn.Linear(4, 4).half(), input="4")).total.bytes_written == 8


def test_a_tensor_on_another_device_is_a_network_s_own_business() -> None:
    class MakesPositions(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.arange(4)

    assert analyse(target(MakesPositions(), input="4")).executed_on == "meta"


def counted(backward: bool = False, train_only: str | None = None, **named: Any) -> Analysis:
    return analyse(target(**named), backward=backward, train_only=train_only)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": nn.Linear(4, 4)}, "^input: is needed: .*; it takes 4 features; give one like"),
        ({"model": nn.Linear(4, 4), "input": "5"}, "^input='5': .* takes 4 features"),
        ({"model": "lenet", "input": "3x28x28"}, "lenet fails in conv1 .*input='1x28x28'"),
        ({"model": "lenet", "input": "28"}, "did you mean input='1x28x28'"),
        ({"model": Fails(), "input": "3x8x8"}, "Fails fails in Fails: half-way"),
        ({"model": nn.Linear, "input": "4"}, "Linear: its constructor raises TypeError"),
        ({"model": dict, "input": "4"}, "dict: makes an instance of dict, not an nn.Module"),
        ({"model": 3}, "3: is not a network"),
        ({"model": nn.Linear(4, 4), "keywords": {"bias": False}}, "is built already"),
        ({"model": nn.Linear(4, 4), "input": torch.ones(4), "batch": 2}, "^batch: goes with"),
        ({"model": "lenet", "train_only": "nothing*"}, "^train_only=.*matches no trainable"),
        (
            {"model": nn.Embedding(4, 4), "input": "3:int64", "backward": True,
             "train_only": "weight"},
            None,
        ),
        ({"model": nn.Flatten(), "input": "4", "backward": True}, "Flatten: has no output that"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(options: dict[str, object], words: str | None) -> None:
    if words is None:
        counted(**options)
        return
    with pytest.raises(ArchscopeError, match=words) as raised:
        counted(**options)
    assert "\n" not in str(raised.value)


def test_strict_names_the_operators_without_a_formula() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.aten._test_autograd_multiple_dispatch(x)

    counted = analyse(target(Spectrum(), input="4"))
    with pytest.raises(
        UnknownCostError, match="aten::_test_autograd_multiple_dispatch in the network itself"
    ):
        require_complete(counted)
    require_complete(analyse(target("lenet")))
