"""The network as one GPU has it where layers are divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archscope.ask.network.subject import Subject
    from archscope.collectives.styles import Style


def part_of(subject: Subject, styles: Mapping[str, Style], gpus: int) -> Subject:
    """A copy whose divided layers have this GPU's share of columns or rows.

    It runs as the divided network does between collectives, so that its memory and time are those
    of one GPU.

    Args:
        subject: the network.
        styles: how its layers are divided.
        gpus: that divide them.
    """
    from torch import nn

    from archscope.analysis import borrow
    from archscope.collectives import head_counts, heads
    from archscope.collectives.parts import part
    from archscope.collectives.transposed import write_linear

    with borrow.copied(subject.module, (), borrow.weightless) as (network, _):
        write_linear(network)
        if any(name.endswith(".in_proj") for name in styles):
            heads.split(network)
        for name, style in styles.items():
            whole = network.get_submodule(name)
            assert isinstance(whole, (nn.Linear, nn.Embedding))
            network.set_submodule(name, part(whole, style, gpus))
        head_counts.share(network, styles, gpus)
    return replace(subject, module=network, rebuild=None, private=False)
