"""Experts: the modules that hold them, how many each token is routed to, and their MACs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from archscope.analysis.borrow import members
from archscope.records import Layer
from archscope.records.generation import ExpertMacs, Experts

if TYPE_CHECKING:
    from torch import nn


def experts(module: nn.Module, layers: Sequence[Layer], tokens: int) -> tuple[Experts, ...]:
    """The experts of every mixture that ran.

    A module holds experts where its own parameters are stacked along a first side of that many,
    and its products have a row for each token and expert that it meets.

    Args:
        module: the network.
        layers: of a call.
        tokens: of that call, in all sequences.
    """
    found = []
    modules = members(module)
    for layer in layers:
        held = modules.get(layer.name)
        stacked = [p for p in held._parameters.values() if p is not None] if held else []
        count = getattr(held, "num_experts", None)
        rows = [_rows(product.factors) for product in layer.forward.cost.products]
        if not isinstance(count, int) or count < 2 or not rows or layer.call:
            continue
        stacked = [p for p in stacked if p.dim() >= 2 and p.shape[0] == count]
        if not any(p.dim() == 3 for p in stacked) or rows[0] % tokens:
            continue
        found.append(
            Experts(
                layer.name,
                count,
                rows[0] // tokens,
                sum(p.numel() for p in stacked) // count,
                sum(p.nbytes for p in stacked) // count,
            )
        )
    return tuple(found)


def _rows(factors: Iterable[object]) -> int:
    """Rows of a product of matrices."""
    values = {str(f.name): int(f.value) for f in factors}  # type: ignore[attr-defined]
    return values.get("rows", 0)


def macs(layers: Sequence[Layer], mixtures: Sequence[Experts]) -> ExpertMacs | None:
    """The multiply-accumulates of a call by what they are for; `None` without experts.

    What a block holds beside its experts is its router, unless it is called shared.
    """
    if not mixtures:
        return None
    routed_names = {mixture.name for mixture in mixtures}
    blocks = {name.rpartition(".")[0] for name in routed_names}
    routed = shared = router = others = 0
    for layer in layers:
        place = next((name for name in routed_names if _within(layer.name, name)), None)
        block = next((name for name in blocks if _within(layer.name, name)), None)
        if place is not None:
            routed += layer.macs
        elif block is not None and "shared" in layer.name.removeprefix(block):
            shared += layer.macs
        elif block is not None:
            router += layer.macs
        else:
            others += layer.macs
    return ExpertMacs(routed, shared, router, others)


def _within(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def table_params(module: nn.Module, layers: Sequence[Layer]) -> int:
    """Parameters of tables that a call looks rows up in, and multiplies with nothing."""
    from torch import nn

    called = _called(module, layers)
    tables = {id(part.weight): part.weight for part in called if isinstance(part, nn.Embedding)}
    for part in called:
        if not isinstance(part, nn.Embedding):
            for parameter in part._parameters.values():
                tables.pop(id(parameter), None)
    return sum(weight.numel() for weight in tables.values())


def _called(module: nn.Module, layers: Sequence[Layer]) -> list[nn.Module]:
    """The modules of a call."""
    modules = members(module)
    return [modules[layer.name] for layer in layers if layer.called and layer.name in modules]


def touched(
    module: nn.Module, layers: Sequence[Layer], mixtures: Sequence[Experts], tokens: int
) -> int:
    """Bytes of weights that a call reads: of experts the expected ones, of tables the rows.

    Args:
        module: the network.
        layers: of the call.
        mixtures: its experts.
        tokens: of the call, in all sequences.
    """
    from torch import nn

    called = _called(module, layers)
    tables = [part for part in called if isinstance(part, nn.Embedding)]
    used = {
        id(p): p.nbytes
        for part in called
        if not isinstance(part, nn.Embedding)
        for p in part._parameters.values()
        if p is not None
    }
    rows = sum(
        min(tokens, part.num_embeddings) * part.weight.nbytes // part.num_embeddings
        for part in dict.fromkeys(tables)
        if id(part.weight) not in used
    )
    idle = sum((e.count - e.distinct(tokens)) * e.bytes for e in mixtures)
    return sum(used.values()) + rows - round(idle)
