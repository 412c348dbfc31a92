"""Every torchvision network costs what its published metadata says."""

from __future__ import annotations

import warnings

import pytest
import torchvision

import archscope
from archscope.resolve import published_entries

CLASSIFICATION = torchvision.models.list_models(module=torchvision.models)


def entries(name: str) -> list[dict[str, object]]:
    return published_entries(name)


def test_there_are_eighty_networks_with_115_weight_entries() -> None:
    assert len(CLASSIFICATION) == 80
    assert sum(len(entries(name)) for name in CLASSIFICATION) == 115


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_parameters_and_multiply_accumulates_are_the_published_ones(name: str) -> None:
    counted: dict[str, archscope.Summary] = {}
    for entry in entries(name):
        keywords = dict(entry["keywords"])  # type: ignore[call-overload]
        call = f"{keywords} {entry['input']}"
        if call not in counted:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                counted[call] = archscope.summary(name, entry["input"], **keywords)
        total = counted[call].total
        assert total.params == entry["num_params"]
        # The metadata rounds to three decimals of 10⁹.
        assert abs(total.macs / 1e9 - entry["gmacs"]) < 0.001  # type: ignore[operator]
        assert counted[call].coverage.complete
