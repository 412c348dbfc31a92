"""Sequence parallelism: between divided layers each GPU has its share of the tokens.

Korthikanti et al. 2022, section 4.2.2. What PyTorch offers for it are styles: `SequenceParallel`
for normalisation, and layouts of inputs and outputs. Which module gets which follows from the
blocks of a network, its divided layers, and one run that shows where the tokens are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
)

from archscope.analysis.borrow import members
from archscope.analysis.calls import Arguments
from archscope.collectives.closed_forms import Moved
from archscope.collectives.styles import Style
from archscope.errors import NetworkError
from archscope.parameters import parameter

TOKENS = 1
"""Which side of an activation the tokens are: batch, tokens, features."""

REMEDY = f"leave {parameter('sequence_parallel', True)} out"

BY_TOKEN = ("LayerNorm", "RMSNorm", "LayerScale")
"""Ends of the names of classes that treat every token by itself."""


@dataclass(frozen=True)
class Seen:
    """What a module was called with, and what it returned: shapes where tokens are, else `None`."""

    args: tuple[tuple[int, ...] | None, ...]
    kwargs: Mapping[str, tuple[int, ...] | None]
    outputs: tuple[tuple[int, ...] | None, ...]

    @property
    def given(self) -> list[tuple[int, ...]]:
        """The shapes of the tokens that it got."""
        return [shape for shape in (*self.args, *self.kwargs.values()) if shape is not None]

    def prepared(self, before: Any, after: Any, *, local: bool) -> PrepareModuleInput:
        """The style that gives its inputs with tokens another layout.

        Args:
            before: the layout that they have.
            after: the layout that they get.
            local: whether the module is given this GPU's part as a plain tensor.
        """

        def layouts(layout: Any) -> dict[str, Any]:
            return {key: layout for key, shape in self.kwargs.items() if shape is not None}

        positional = any(shape is not None for shape in self.args)

        def each(layout: Any) -> Any:
            row = tuple(None if shape is None else layout for shape in self.args)
            return row if positional else None

        return PrepareModuleInput(
            input_layouts=each(before),
            desired_input_layouts=each(after),
            input_kwarg_layouts=layouts(before),
            desired_input_kwarg_layouts=layouts(after),
            use_local_output=local,
        )

    def gathered(self) -> PrepareModuleOutput:
        """The style that gathers what it returns."""

        def each(layout: Any) -> Any:
            return tuple(None if shape is None else layout for shape in self.outputs)

        return PrepareModuleOutput(
            output_layouts=each(Shard(TOKENS)),
            desired_output_layouts=each(Replicate()),
            use_local_output=True,
        )


@dataclass
class Sequences:
    """The styles that divide a sequence, and the bytes that they promise to move; see `Moved`.

    Args:
        styles: dotted path of a module and its style, in the order in which they are applied.
        gathered: by module.
        rows: by row-parallel layer.
        entered: by first block.
        left: by last block.
        normalising: of the trained parameters that every GPU uses on its own tokens.
    """

    styles: list[tuple[str, ParallelStyle]] = field(default_factory=list)
    gathered: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    normalising: int = 0

    @property
    def moved(self) -> Moved:
        """What a closed form takes."""
        return Moved(self.gathered, self.rows, self.entered, self.left, self.normalising)


def sequences(
    network: nn.Module,
    arguments: Arguments,
    layers: Mapping[str, Style],
    blocks: Sequence[str],
    gpus: int,
    itemsize: int,
) -> Sequences:
    """Divide the sequence in the blocks of a network, one run of which shows its shapes.

    Args:
        network: of fake tensors; it is as before afterwards.
        arguments: of its call.
        layers: how layers are divided; those of no block stay as they are.
        blocks: its repeated modules.
        gpus: that divide them.
        itemsize: bytes of an element of an activation.

    Raises:
        NetworkError: a layer of a block does not treat every token by itself, no divided layer is
            in a block, or the tokens cannot be shared evenly.
    """
    divided = [name for name in blocks if any(_inside(layer, name) for layer in layers)]
    layers = {n: style for n, style in layers.items() if any(_inside(n, b) for b in divided)}
    if not layers:
        raise NetworkError("has no divided layer in a repeated block", REMEDY)
    regions = _regions(layers, divided)
    watched = {*divided, *layers, *(region for region in regions.values() if region)}
    seen = _seen(network, arguments, watched)
    found = Sequences()
    for block in divided:
        _require_even(block, seen[block], gpus)
        for name in _normalising(network, block, layers, regions):
            found.styles.append((name, SequenceParallel(use_local_output=True)))
            own = network.get_submodule(name).parameters(recurse=False)
            found.normalising += sum(itemsize * p.numel() for p in own if p.requires_grad)
    _add_layers(found, layers, regions, seen, itemsize)
    for first, last in _runs(divided):
        found.styles.append((first, seen[first].prepared(Replicate(), Shard(TOKENS), local=True)))
        found.styles.append((last, seen[last].gathered()))
        found.entered[first] = itemsize * sum(map(prod, seen[first].given))
        found.left[last] = itemsize * sum(prod(s) for s in seen[last].outputs if s is not None)
    return found


def _add_layers(
    found: Sequences, layers: Mapping[str, Style], regions: Mapping[str, str],
    seen: Mapping[str, Seen], itemsize: int,
) -> None:  # fmt: skip
    """Gather what enters the divided layers once a module, and scatter what leaves them."""
    for region in dict.fromkeys(filter(None, regions.values())):
        whole = seen[region].prepared(Shard(TOKENS), Replicate(), local=False)
        found.styles.append((region, whole))
        found.gathered[region] = itemsize * sum(map(prod, seen[region].given))
    for name, style in layers.items():
        if style == "rowwise":
            found.styles.append((name, RowwiseParallel(output_layouts=Shard(TOKENS))))
            outputs = (shape for shape in seen[name].outputs if shape is not None)
            found.rows[name] = itemsize * sum(map(prod, outputs))
        elif regions[name]:
            found.styles.append((name, ColwiseParallel()))
        else:
            found.styles.append((name, ColwiseParallel(input_layouts=Shard(TOKENS))))
            found.gathered[name] = itemsize * sum(map(prod, seen[name].given))


def _regions(layers: Mapping[str, Style], blocks: Sequence[str]) -> dict[str, str]:
    """The module inside of a block that each layer is in; empty for one of the block itself."""
    found = {}
    for layer in layers:
        parent = layer.rpartition(".")[0]
        found[layer] = "" if parent in blocks else parent
    return found


def _seen(network: nn.Module, arguments: Arguments, names: set[str]) -> dict[str, Seen]:
    """Run the network once, and note what these modules got and gave.

    Raises:
        NetworkError: one of them never ran.
    """
    modules, found = members(network), dict[str, Seen]()

    def noting(name: str) -> Any:
        def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            returned = output if isinstance(output, (tuple, list)) else (output,)
            shapes = {key: _tokens(value) for key, value in kwargs.items()}
            found.setdefault(
                name, Seen(tuple(map(_tokens, args)), shapes, tuple(map(_tokens, returned)))
            )

        return note

    handles = [modules[n].register_forward_hook(noting(n), with_kwargs=True) for n in names]
    try:
        args, kwargs = arguments
        with torch.no_grad():
            network(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    missing = sorted(names - set(found))
    if missing:
        raise NetworkError(f"{missing[0]} never runs", REMEDY)
    return found


def _tokens(value: Any) -> tuple[int, ...] | None:
    """The shape of an activation: batch, tokens, features."""
    plain = isinstance(value, Tensor) and value.ndim == 3 and torch.is_floating_point(value)
    return tuple(value.shape) if plain else None


def _require_even(block: str, seen: Seen, gpus: int) -> None:
    """Refuse what has no tokens, or as many as the GPUs cannot share."""
    if not seen.given or all(shape is None for shape in seen.outputs):
        raise NetworkError(
            f"{block} takes and returns no tensor of batch, tokens and features",
            REMEDY,
        )
    for shape in seen.given:
        if shape[TOKENS] % gpus:
            raise NetworkError(
                f"{gpus} GPUs cannot divide the {shape[TOKENS]:,} tokens that {block} takes evenly",
                "choose an input whose length they divide",
            )


def _normalising(
    network: nn.Module, block: str, layers: Mapping[str, Style], regions: Mapping[str, str]
) -> Iterator[str]:
    """The layers of a block between those that are divided.

    Raises:
        NetworkError: one of them may relate tokens, or has no style.
    """
    for name, module in members(network).items():
        divided = name in layers or any(_inside(name, region) for region in regions.values())
        plain = not any(True for _ in module.parameters(recurse=False))
        if not _inside(name, block) or divided or plain:
            continue
        if not type(module).__name__.endswith(BY_TOKEN):
            raise NetworkError(
                f"{name} ({type(module).__name__}) stays undivided, and PyTorch has no style that "
                "divides its sequence",
                REMEDY,
            )
        yield name


def _runs(blocks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The first and the last of the blocks of each container."""
    held: dict[str, list[str]] = {}
    for block in blocks:
        held.setdefault(block.rpartition(".")[0], []).append(block)
    for names in held.values():
        yield names[0], names[-1]


def outside(layers: Mapping[str, Style], blocks: Sequence[str]) -> dict[str, Style]:
    """The divided layers of no block."""
    return {n: style for n, style in layers.items() if not any(_inside(n, b) for b in blocks)}


def _inside(name: str, module: str) -> bool:
    return bool(module) and name.startswith(f"{module}.")
