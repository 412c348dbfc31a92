"""Which modules of a network are its blocks: what is gathered, and sharded, at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from torch import nn

from archscope.analysis.borrow import members

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def blocks(network: nn.Module) -> list[str]:
    """Names of the outermost repeated modules: a transformer's layers, a ResNet's blocks.

    A block has children and parameters, and is one of several of its class in a container. Where a
    network of Hugging Face names the classes that no device may split, these are its blocks.

    Examples:
        >>> blocks(nn.Transformer(8, 2, 2, 1))
        ['encoder.layers.0', 'encoder.layers.1', 'decoder.layers.0']
    """
    named = frozenset(getattr(network, "_no_split_modules", None) or ())
    modules = members(network)
    found = _outermost(name for name, module in modules.items() if type(module).__name__ in named)
    if found:
        return found
    kinds = _repeated(modules)
    return _outermost(name for name, module in modules.items() if type(module) in kinds)


def _repeated(modules: dict[str, nn.Module]) -> set[type[nn.Module]]:
    """Classes that a container holds more than one of; a list, any of."""
    found: set[type[nn.Module]] = set()
    for container in modules.values():
        if isinstance(container, CONTAINERS):
            least = 1 if isinstance(container, nn.ModuleList) else 2
            held = Counter(type(child) for child in container.children() if _holds_layers(child))
            found |= {kind for kind, times in held.items() if times >= least}
    return found


def _holds_layers(module: nn.Module) -> bool:
    plain = type(module) in CONTAINERS
    return not plain and any(module.children()) and any(True for _ in module.parameters())


def _outermost(names: Iterable[str]) -> list[str]:
    """Those that are not inside an earlier one; parents come first."""
    found: list[str] = []
    for name in names:
        if name and not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
    return found
