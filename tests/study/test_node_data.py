"""Node data for Model Explorer: a value for every node that torch.export writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.cli import run


class Residual(nn.Module):
    """Nodes outside any layer, one of them named like a method of modules (`float`)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).float() + x


def values(path: Path) -> dict[str, Any]:
    return {name: one["value"] for name, one in json.loads(path.read_text())["results"].items()}


def test_nodes_have_the_names_of_torch_export_and_what_each_costs(tmp_path: Path) -> None:
    macs, params = tmp_path / "x.modelexplorer.json", tmp_path / "x.params.modelexplorer.json"
    archscope.summary(Residual(), "2x4x4").save(str(macs), str(params))
    program = torch.export.export(Residual().eval(), (torch.zeros(1, 2, 4, 4),))
    computing = [node.name for node in program.graph.nodes if node.op == "call_function"]
    found = values(macs)
    assert list(found) == computing
    assert found["conv2d"] == sum(found.values()) == 2 * 2 * 9 * 4 * 4
    assert values(params) == {"p_conv_weight": 2 * 2 * 9}


def test_only_a_count_of_one_network_has_node_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.modelexplorer.json"
    assert run(["compare", "lenet", "lenet5", "-o", str(path)]) == 2
    assert "archscope summary" in capsys.readouterr().err
    assert not path.exists()


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(archscope.ArchscopeError, match=r"torch\.export cannot export it"):
        archscope.summary(nn.Sequential(nn.Linear(2, 2), Opaque()), "2").save(
            str(tmp_path / "x.modelexplorer.json")
        )


class Opaque(nn.Module):
    """Returns what torch.export does not know."""

    def forward(self, x: torch.Tensor) -> object:
        return Box(x)


class Box:
    """Holds a tensor."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x
