"""Which modules a file reaches through those that it imports: `torch.utils.benchmark`, say.

Known are those that hold nothing but layers and functions of tensors.
Where PyTorch's folder has another one of that name, it may hold a clock, a host's name, anything.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("torch", "torchvision")

KNOWN = frozenset({
    "torch", "torch.amp", "torch.autograd", "torch.autograd.function", "torch.compiler",
    "torch.distributions", "torch.fft", "torch.func", "torch.functional", "torch.fx",
    "torch.library", "torch.linalg", "torch.masked", "torch.nested", "torch.nn",
    "torch.nn.attention",
    "torch.nn.attention.bias", "torch.nn.attention.flex_attention", "torch.nn.common_types",
    "torch.nn.functional", "torch.nn.init", "torch.nn.modules", "torch.nn.parameter",
    "torch.nn.utils", "torch.nn.utils.parametrizations", "torch.nn.utils.parametrize",
    "torch.nn.utils.rnn", "torch.nn.utils.spectral_norm", "torch.nn.utils.weight_norm",
    "torch.quasirandom", "torch.signal", "torch.sparse", "torch.special", "torch.types",
    "torch.utils", "torch.utils.checkpoint", "torchvision", "torchvision.models",
    "torchvision.ops",
})  # fmt: skip
BELOW = ("torch.nn.modules.", "torch.distributions.", "torchvision.models.", "torchvision.ops.")
"""Beginnings of more such modules."""


def reaches_doubt(tree: ast.AST, harmless: frozenset[str]) -> bool:
    """Whether a file may reach a module that is not known, or hands a module on.

    Args:
        tree: the file.
        harmless: the modules that it may import.
    """
    names, doubt = _module_names(tree, harmless)
    if doubt:
        return True
    within = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    within |= {id(node) for node in _asked(tree)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in within:
            chain = _chain(node)
            if chain and chain[0] in names and _is_doubtful((*names[chain[0]], *chain[1:])):
                return True
    return False


def _asked(tree: ast.AST) -> Iterator[ast.AST]:
    """Modules in `getattr(nn, "ReLU")`, whose name is read elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr" and node.args:
            yield node.args[0]


def _module_names(
    tree: ast.AST, harmless: frozenset[str]
) -> tuple[dict[str, tuple[str, ...]], bool]:
    """The names by which a file knows modules, and whether it imports one that is not known."""
    names: dict[str, tuple[str, ...]] = {}
    doubt = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                path = tuple(alias.name.split("."))
                if path[0] in harmless:
                    doubt = doubt or not _is_known(path)
                    names[alias.asname or path[0]] = path if alias.asname else path[:1]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            start = tuple((node.module or "").split("."))
            for alias in node.names:
                path = (*start, alias.name)
                if path[0] in harmless and path[0] != "__future__":
                    doubt = doubt or _leads_out(path)
                    if _is_module(path):
                        names[alias.asname or alias.name] = path
    return names, doubt


def _chain(node: ast.expr) -> tuple[str, ...]:
    """`("torch", "nn", "Linear")` of an expression; empty for another."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def _is_doubtful(path: tuple[str, ...]) -> bool:
    """Whether a chain of names leads out of what is known, or ends at a module."""
    return _is_module(path) or _leads_out(path)


def _leads_out(path: tuple[str, ...]) -> bool:
    private = any(name.startswith("_") and name != "__version__" for name in path[1:])
    places = (path[:end] for end in range(1, len(path) + 1))
    return private or any(_is_module(place) and not _is_known(place) for place in places)


def _is_known(path: tuple[str, ...]) -> bool:
    name = ".".join(path)
    return path[0] not in LIBRARIES or name in KNOWN or f"{name}.".startswith(BELOW)


@functools.cache
def _is_module(path: tuple[str, ...]) -> bool:
    """Whether names lead to a module; a function may be called like its file, which is known."""
    if len(path) == 1:
        return True
    if path[0] not in LIBRARIES:
        return path[0] == "collections" and path[1:] == ("abc",)
    folder = _folder(path[0])
    if folder is None or ".".join(path) in _FUNCTIONS:
        return False
    place = folder.joinpath(*path[1:])
    return place.is_dir() or place.with_suffix(".py").is_file()


_FUNCTIONS = (
    "torch.utils.checkpoint.checkpoint", "torch.nn.utils.weight_norm",
    "torch.nn.utils.spectral_norm", "torchvision.models.densenet", "torchvision.models.googlenet",
    "torchvision.models.resnet",
)  # fmt: skip


@functools.cache
def _folder(library: str) -> Path | None:
    spec = find_spec(library)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
