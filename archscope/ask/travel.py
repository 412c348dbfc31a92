"""What the network of a name needs on another machine: a user's files, and packages' versions."""

from __future__ import annotations

import ast
import hashlib
import platform
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from archscope._version import __version__
from archscope.engines.place import Work
from archscope.saved import answers

FOLDER = "users_files"
"""Where a user's file is on another machine, apart from what is imported by its name."""

DECISIVE = {
    "timm": ("timm",),
    "hf": ("transformers",),
    "diffusers": ("diffusers", "transformers"),
}
"""Packages whose versions decide the networks of a prefix, besides torch and torchvision."""


@dataclass(frozen=True)
class Luggage:
    """A network's name here and on a machine that was sent its files.

    Args:
        name: as the user gave it.
        files: what has to be sent, by its place there; empty where the name alone is enough.
    """

    name: str
    files: Mapping[str, Path] = field(default_factory=dict)

    def digest(self) -> str:
        """Hash of all that is sent; empty where nothing is."""
        found = hashlib.sha256()
        for place, source in sorted(self.files.items()):
            for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
                found.update(f"{place} {file.name}\n".encode() + file.read_bytes())
        return found.hexdigest()[:12] if self.files else ""

    @property
    def _sent(self) -> str:
        """The user's file in its place there."""
        return f"{FOLDER}/{_file(self.name).name}"

    @property
    def _arrived(self) -> bool:
        return bool(self.files) and is_users_file(self.name) and Path(self._sent).is_file()

    def name_here(self) -> str:
        """What the network is called on the machine that runs this."""
        if not self._arrived:
            return self.name
        return f"{self._sent}:{self.name.rpartition(':')[2]}"

    def worded(self, text: str) -> str:
        """A message about the network with the path that the user gave."""
        if not self._arrived:
            return text
        path = str(_file(self.name))
        return text.replace(str(Path.cwd() / self._sent), path).replace(self._sent, path)


def is_users_file(name: str) -> bool:
    """Whether a name is `FILE.py:CLASS`."""
    return name.rpartition(":")[0].endswith(".py")


def _file(name: str) -> Path:
    return Path(name.rpartition(":")[0])


def libraries(name: str) -> tuple[str, ...]:
    """The packages that must be the same wherever the network is counted."""
    return ("torch", "torchvision", *DECISIVE.get(name.partition(":")[0], ()))


def counted(name: str) -> Work:
    """What an engine must know to count networks of that name."""
    from archscope import zoo

    modules = ["torch", "archscope.analysis.trace", "archscope.ask.network.call"]
    if name not in zoo.names() and ":" not in name:
        modules.append("torchvision.models")
    return Work(modules, libraries(name), luggage(name).files)


def decided_by(sent: Luggage) -> dict[str, str]:
    """What decides a count besides what is asked, alike on every machine that counts the same."""
    found = {"python": platform.python_version()}
    found["archscope"] = f"{__version__} ({answers.own_files()[:12]})"
    for package in libraries(sent.name):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    digest = sent.digest()
    return {**found, "file": digest} if digest else found


def luggage(name: str) -> Luggage:
    """The user's file or package behind a name with all local modules that it imports.

    What they import is read from their text, wherever it stands in it; packages that were
    installed are not sent, since a machine that can count has them.
    """
    if is_users_file(name):
        file = _file(name).resolve()
        if not file.is_file():
            return Luggage(name)  # the count says so
        found, waiting = {f"{FOLDER}/{file.name}": file}, [file]
        folder = file.parent
    else:
        place, colon, _ = name.partition(":")
        if not colon or place in DECISIVE:
            return Luggage(name)
        found, waiting, folder = {}, [], None
        _take(place.partition(".")[0], folder, found, waiting)
    while waiting:
        source = waiting.pop()
        for module in _imported(source):
            _take(module, folder, found, waiting)
    return Luggage(name, found)


def _take(module: str, folder: Path | None, found: dict[str, Path], waiting: list[Path]) -> None:
    """Add a module by its top-level name, a neighbour first as Python finds it."""
    neighbour = None if folder is None else _neighbour(module, folder)
    source = neighbour or _local_origin(module)
    if source is None:
        return
    place = source.name if neighbour is None else f"{FOLDER}/{source.name}"
    if source not in found.values():
        found[place] = source
        waiting += sorted(source.rglob("*.py")) if source.is_dir() else [source]


def _neighbour(module: str, folder: Path) -> Path | None:
    """The file or package of that name beside the user's file."""
    package, file = folder / module, folder / f"{module}.py"
    if module and package.is_dir() and any(package.rglob("*.py")):
        return package
    return file if file.is_file() else None


def _local_origin(module: str) -> Path | None:
    """The file or folder of a module that is neither Python's nor installed."""
    if module in sys.stdlib_module_names or module in ("archscope", ""):
        return None
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin).resolve()
    installed = [Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")]
    if any(origin.is_relative_to(folder) for folder in installed) or not origin.is_file():
        return None
    return origin.parent if origin.name == "__init__.py" else origin


def _imported(source: Path) -> Iterator[str]:
    """The top-level name of everything that a file imports; of a relative import, its own."""
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
