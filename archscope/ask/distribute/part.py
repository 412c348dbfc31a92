"""The network as one GPU has it where layers are divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archscope.ask.network.subject import Subject
    from archscope.collectives.styles import Style


def part_of(subject: Subject, styles: Mapping[str, Style], gpus: int) -> Subject:
    """A copy whose divided linear layers have this GPU's share of columns or rows.

    It runs as the divided network does between collectives, so that its memory and time are those
    of one GPU.

    Args:
        subject: the network.
        styles: how its linear layers are divided.
        gpus: that divide them.
    """
    import torch
    from torch import nn

    from archscope.analysis import borrow

    with borrow.copied(subject.module, (), borrow.weightless) as (network, _):
        for name, style in styles.items():
            whole = network.get_submodule(name)
            assert isinstance(whole, nn.Linear)
            columns = whole.out_features // (gpus if style == "colwise" else 1)
            rows = whole.in_features // (gpus if style == "rowwise" else 1)
            part = nn.Linear(
                rows, columns, whole.bias is not None, torch.device("meta"), whole.weight.dtype
            )
            for own, parameter in part.named_parameters():
                parameter.requires_grad_(getattr(whole, own).requires_grad)
            network.set_submodule(name, part)
    return replace(subject, module=network, rebuild=None, private=False)
