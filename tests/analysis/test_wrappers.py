"""Modules around modules: wrapped, compiled, with weights computed from others, or out of sight."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

import archscope
from tests.analysis.test_hard_cases import counted, macs, mlp


def compiled_part() -> nn.Module:
    network = mlp()
    network[2] = torch.compile(network[2])
    return network


def compiled_in_place() -> nn.Module:
    network = mlp()
    network[0].compile()
    network.compile()
    return network


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.DataParallel(mlp()),
        lambda: torch.compile(mlp()),
        compiled_part,
        compiled_in_place,
    ],
    ids=["DataParallel", "compiled", "compiled part", "compiled in place"],
)
def test_wrappers_cost_what_they_wrap(build: Callable[[], nn.Module]) -> None:
    summary = counted(build())
    assert macs(summary) == (28, 40)
    assert summary.total.params == 35
    assert [layer.kind for layer in summary.layers] == ["Linear", "ReLU", "Linear"]


def test_a_wrapper_is_mentioned() -> None:
    (note,) = counted(nn.DataParallel(mlp())).analysis.notes
    assert note == "Counted the Sequential inside its DataParallel wrapper."


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = torch.jit.script(mlp())
        return module


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "script": (scripted, "ScriptModule"),
    "part of script": (lambda: nn.Sequential(scripted()), "0 is a ScriptModule"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_runs_out_of_sight_is_refused(name: str) -> None:
    build, reason = REFUSED[name]
    with pytest.raises(archscope.ArchscopeError, match=reason) as caught:
        counted(build())
    assert len(str(caught.value).splitlines()) == 1


class Parametrized:
    """Each holds one 4→3 layer: 12 forward, 12 for the weight gradient."""

    weight_norm = staticmethod(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    spectral = staticmethod(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)))


def with_hook_of_old(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch asks for the parametrization instead
        return norm(nn.Linear(4, 3))


@pytest.mark.parametrize(
    "build",
    [Parametrized.weight_norm, lambda: with_hook_of_old(nn.utils.weight_norm)],
    ids=["parametrization", "hook"],
)
def test_weight_normalisation_adds_parameters_and_no_products(
    build: Callable[[], nn.Module],
) -> None:
    summary = counted(build())
    assert macs(summary) == (12, 12)
    assert summary.total.params == 3 * 4 + 3 + 3


@pytest.mark.parametrize(
    "build",
    [Parametrized.spectral, lambda: with_hook_of_old(nn.utils.spectral_norm)],
    ids=["parametrization", "hook"],
)
def test_spectral_normalisation_multiplies_the_weight_by_its_singular_vectors(
    build: Callable[[], nn.Module],
) -> None:
    summary = counted(build())  # σ = uᵀ(W v): 3·4 and 3
    assert summary.total.macs == 12 + 12 + 3
    assert summary.total.params == 15
