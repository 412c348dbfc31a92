"""A size that is proposed is found by few trials, of which nobody notices anything."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from archscope.ask.network import sizes
from archscope.ask.network.sizes import MOST_TRIALS, fitting_image
from archscope.process import unnoticed


class Digits(nn.Module):
    """Takes images of 28×28 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2))
        self.classifier = nn.Linear(6 * 14 * 14, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class Noisy(Digits):
    def forward(self, x: Tensor) -> Tensor:
        print("given", x.shape)
        sys.stderr.write("given\n")
        warnings.warn("given", stacklevel=1)
        logging.getLogger("noisy").error("given")
        return super().forward(x)


class Reshaping(Digits):
    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).view(1, 6 * 14 * 14))


class Writes(Digits):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def forward(self, x: Tensor) -> Tensor:
        try:
            self.file.write_text("given")
        except Exception:
            return x
        return super().forward(x)


class Saves(Writes):
    def forward(self, x: Tensor) -> Tensor:
        torch.save({}, self.file)
        return super().forward(x)


class Waits(Digits):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(100)
        return super().forward(x)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sides of the images that are tried."""
    sides: list[int] = []
    error = sizes._error

    def noted(module: nn.Module, image: tuple[int, ...], end: float) -> Exception | None:
        sides.append(image[-1])
        return error(module, image, end)

    monkeypatch.setattr(sizes, "_error", noted)
    monkeypatch.setattr(sizes, "SECONDS", 1e6)  # however busy the machine is
    return sides


@pytest.mark.parametrize("kind", [Digits, Reshaping])
@pytest.mark.parametrize("near", [0, 64, 512])
def test_a_trial_that_fails_says_which_size_to_try_next(kind, near, tried) -> None:
    assert fitting_image(kind(), 1, near) == "1x28x28"
    assert len(tried) <= MOST_TRIALS


def test_nothing_of_the_trials_is_heard(
    tried: list[int], capsys: Any, caplog: Any, recwarn: Any
) -> None:
    assert fitting_image(Noisy(), 1) == "1x28x28"
    assert len(tried) > 1
    assert capsys.readouterr() == ("", "")
    assert not caplog.records
    assert not recwarn.list


@pytest.mark.parametrize("kind", [Writes, Saves])
def test_a_trial_that_writes_a_file_is_ended_before(kind, tmp_path, tried) -> None:
    assert fitting_image(kind(tmp_path / "log.txt"), 1) == ""
    assert len(tried) == 1
    assert not list(tmp_path.iterdir())
    kind(tmp_path / "log.txt").forward(torch.zeros(1, 1, 28, 28))
    assert list(tmp_path.iterdir())  # afterwards it may


def layers() -> nn.Sequential:
    return nn.Sequential(Digits().features, nn.Flatten(), nn.ReLU(), nn.Linear(6 * 14 * 14, 10))


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda *given: None)
    return module


NETWORKS = {
    "layers": (layers(), False),
    "torchvision": (torchvision.models.squeezenet1_0(weights=None), False),
    "a class": (Digits(), True),
    "a class inside": (nn.Sequential(layers(), Digits()), True),
    "a hook": (nn.Sequential(hooked(layers())), True),
    "a function": (nn.TransformerEncoderLayer(8, 2, 8, activation=lambda x: x.relu()), True),
    "PyTorch's function": (nn.TransformerEncoderLayer(8, 2, 8, activation="relu"), False),
    "a graph": (torch.fx.symbolic_trace(layers()), True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_python_is_watched_only_for_code_that_is_not_of_a_layer(name, tried, monkeypatch) -> None:
    installed: list[Any] = []
    monkeypatch.setattr(unnoticed, "_installed", [])
    monkeypatch.setattr(sys, "addaudithook", installed.append)
    network, is_watched = NETWORKS[name]
    fitting_image(network, 1)
    assert tried
    assert bool(installed) is is_watched


def test_a_slow_network_is_not_tried_on(tried, monkeypatch) -> None:
    monkeypatch.setattr(sizes, "SECONDS", 0.0)
    assert fitting_image(Digits(), 1) == ""
    assert len(tried) == 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python audits no time.sleep")
def test_a_network_that_waits_is_not_tried_on(tried) -> None:
    assert fitting_image(Waits(), 1) == ""
    assert len(tried) == 1
