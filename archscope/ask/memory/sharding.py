"""ZeRO: what each of several GPUs holds of a step (Rajbhandari et al. 2020, section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from archscope.records import LiveBytes

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis.memory import Manner


def blocks(network: nn.Module) -> dict[str, int]:
    """Bytes of the parameters of every block, whose weights stage 3 gathers together.

    A block is one of a numbered list (`layers.3`), the innermost one; any other module with
    parameters of its own is a block by itself.
    """
    found: dict[str, int] = {}
    seen: set[int] = set()
    for name, parameter in network.named_parameters():
        if id(parameter) not in seen:
            seen.add(id(parameter))
            block = block_of(name.rpartition(".")[0])
            found[block] = found.get(block, 0) + parameter.nbytes
    return found


def block_of(layer: str) -> str:
    """The part of a module's name up to its last number; the name itself without one."""
    numbered = re.match(r"(.*\.\d+|\d+)(?:\.|$)", layer)
    return numbered[1] if numbered else layer


def shared_out(
    timeline: tuple[LiveBytes, ...],
    stage: int,
    gpus: int,
    gathered: Mapping[str, int],
    manner: Manner,
    padded: Fraction = Fraction(1),
) -> tuple[LiveBytes, ...]:
    """The timeline of one GPU among several.

    Args:
        timeline: of one GPU that holds everything.
        stage: 1, 2 or 3.
        gpus: how many share.
        gathered: bytes of the weights of each block, held in full while it runs (stage 3).
        manner: of the device, for what must be allowed.
        padded: how many times as large what is shared is, where parameters are filled up until
            all GPUs get as much.
    """

    def share(size: int) -> int:
        return ceil(size * padded / gpus)

    found = []
    for moment in timeline:
        held = replace(moment, optimizer=share(moment.optimizer))
        if moment.phase == "update":  # each GPU updates the weights whose state it holds
            held = replace(held, temporary=share(moment.temporary))
        if stage >= 2:
            held = replace(held, gradients=share(moment.gradients))
        if stage >= 3:
            here = 0 if moment.phase == "update" else gathered.get(block_of(moment.layer), 0)
            held = replace(
                held,
                parameters=share(moment.parameters),
                temporary=held.temporary + here - share(here),
            )
        allowance = manner.allowance(held.allocated)
        found.append(replace(held, allowance=allowance))
    return tuple(found)
