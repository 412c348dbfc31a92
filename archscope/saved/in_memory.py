"""Whether this process runs the code of the files: a script may have changed a library, or itself.

A function that takes the place of a library's own has its code elsewhere, and a constant that was
assigned is not the literal of its source.
"""

from __future__ import annotations

import ast
import enum
import functools
import sys
import sysconfig
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from types import FunctionType, ModuleType

FUNCTIONS_OF = ("torch.nn", "torchvision.models", "torchvision.ops", "timm", "archscope.zoo")
"""Packages whose functions and methods are looked at."""

CONSTANTS_OF = ("torchvision.models", "torchvision.ops", "timm.models", "timm.layers",
                "archscope.zoo")  # fmt: skip
"""Packages of which the constants are looked at, too."""


def is_patched() -> bool:
    """Whether a function, a class or a constant of the libraries of networks was replaced."""
    code = (held for _, module in _modules(FUNCTIONS_OF) for held in list(vars(module).values()))
    if any(_is_users(function) for held in code for function in _functions(held)):
        return True
    return any(
        _differs(module, constant) for _, module in _modules(CONSTANTS_OF)
        for constant in _constants(getattr(module, "__file__", None) or "")
    )  # fmt: skip


def is_imported(sources: Collection[Path]) -> bool:
    """Whether a script imported one of these files, which may have changed in memory or since.

    What archscope imported has a name of its own, and is imported again once its file changes.
    """
    loaded = [
        getattr(module, "__file__", None) for name, module in list(sys.modules.items())
        if not name.startswith("_archscope_")
    ]  # fmt: skip
    return any(file is not None and _resolved(file) in sources for file in loaded)


@functools.cache
def _resolved(file: str) -> Path:
    """Where a file is; a long run asks of thousands of modules at each of its points."""
    return Path(file).resolve()


def _modules(packages: tuple[str, ...]) -> Iterator[tuple[str, ModuleType]]:
    beginnings = tuple(f"{package}." for package in packages)
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and f"{name}.".startswith(beginnings):
            yield name, module


def _functions(held: object) -> Iterator[FunctionType]:
    """A function, or the methods of a class."""
    if isinstance(held, functools.partial):
        held = held.func
    if isinstance(held, FunctionType):
        yield held
    elif isinstance(held, type):
        for method in list(vars(held).values()):
            inner = getattr(method, "__func__", getattr(method, "fget", method))
            if isinstance(inner, FunctionType):
                yield inner


def _is_users(function: FunctionType) -> bool:
    """Whether a function's code is neither an installed library's nor Python's or archscope's."""
    file = function.__code__.co_filename
    if file == "<string>":  # a dataclass's, or that of `python -c`
        return function.__module__ == "__main__"
    return not file.startswith(_INSTALLED)


_LIBRARIES = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")]
_INSTALLED = (
    *(str(place) for folder in _LIBRARIES for place in (folder, folder.resolve())),
    str(Path(__file__).parents[1]),
    "<frozen",
)
"""Beginnings of the paths of installed code."""

Constant = tuple[str, str, object]
"""Of a class, or of the module where that is empty: a name and the literal that it is given."""


@functools.cache
def _constants(file: str) -> tuple[Constant, ...]:
    """The literals that a module's source gives to its names and those of its classes, once."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bodies = [("", tree.body), *((node.name, node.body) for node in classes)]
    changed = {name for node in ast.walk(tree) if isinstance(node, ast.Global)
               for name in node.names}  # fmt: skip
    return tuple(
        (owner, name, value)
        for owner, body in bodies
        for name, value in _literals(body)
        if name not in changed
    )


def _literals(body: list[ast.stmt]) -> Iterator[tuple[str, object]]:
    """Names that a body gives a literal to, and nothing else."""
    given = Counter(
        node.id for part in body for node in ast.walk(part)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )  # fmt: skip
    for statement in body:
        if isinstance(statement, ast.Assign):
            names, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            names, value = [statement.target], statement.value
        else:
            continue
        for name in names:
            if isinstance(name, ast.Name) and given[name.id] == 1 and _is_literal(value):
                yield name.id, ast.literal_eval(value)


def _is_literal(value: ast.expr) -> bool:
    """Numbers, texts and tuples of them, which nothing changes in place."""
    try:
        return isinstance(ast.literal_eval(value), (bool, int, float, str, tuple))
    except (ValueError, TypeError):
        return False


def _differs(module: ModuleType, constant: Constant) -> bool:
    owner, name, value = constant
    holder = getattr(module, owner, None) if owner else module
    found = getattr(holder, "__dict__", {}).get(name, value)
    return not isinstance(found, enum.Enum) and repr(found) != repr(value)
