"""Networks in Python files and packages of users, which are imported to be found."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import itertools
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.parameters import SET, parameter
from archscope.resolve import huggingface
from archscope.resolve.declared import networks
from archscope.resolve.recipe import Recipe, of_transformers
from archscope.resolve.signatures import check_keywords, did_you_mean, nearest

NETWORKS = "name an nn.Module class, or a function that makes one"

_NUMBER = itertools.count()

USER_CODE: set[str] = set()
"""Files and packages of users that ran in this process and may have changed anything in it."""


def from_file(path: str, attribute: str, keywords: Mapping[str, Any]) -> Recipe:
    """The network that a Python file names.

    Raises:
        ArchscopeError: there is no such file, its import fails, or it has no such network.
    """
    file = Path(path)
    if not file.is_file():
        raise ArchscopeError(path, "there is no such file", "give path/to/file.py:Class")
    if not attribute:
        raise ArchscopeError(path, "names no class in the file", _choices(file, networks(file)))
    folder = str(file.resolve().parent)
    USER_CODE.add(path)
    module = _imported(file.resolve(), folder)
    return _from_module(f"{path}:{attribute}", module, attribute, keywords, "file path", folder)


def _choices(file: str | Path, names: Sequence[str]) -> str:
    """Ask for one of the networks of a file, each as it is to be written."""
    *others, last = [f"{file}:{name}" for name in names] or [f"{file}:Class"]
    return f"write {', '.join(others)} or {last}" if others else f"write {last}"


def from_package(place: str, attribute: str, keywords: Mapping[str, Any]) -> Recipe:
    """The network that an installed package names.

    Raises:
        ArchscopeError: it cannot be imported, is Python's own, or has no such network.
    """
    argument = f"{place}:{attribute}"
    if place.partition(".")[0] in sys.stdlib_module_names:
        raise ArchscopeError(
            argument, "is of Python's standard library, which holds no networks", NETWORKS
        )
    USER_CODE.add(place)
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        file = f"{place.replace('.', '/')}.py"
        here = Path(file).is_file()
        remedy = f"write {file}:{attribute}" if here else "give an installed package:factory"
        raise ArchscopeError(argument, str(error), remedy) from error
    except (Exception, SystemExit) as error:
        raise ArchscopeError(
            argument, f"its import raises {described(error)}", "fix the package"
        ) from error
    return _from_module(argument, module, attribute, keywords, "package", "")


def _from_module(
    argument: str,
    module: Any,
    attribute: str,
    keywords: Mapping[str, Any],
    source: str,
    folder: str,
) -> Recipe:
    """A class, factory or finished network that an imported module holds under a name."""
    from torch import nn

    found = getattr(module, attribute, None)
    if huggingface.is_configuration(found):
        return of_transformers(source, huggingface.configured(argument, found, keywords))
    if isinstance(found, nn.Module):
        if keywords:
            raise ArchscopeError(
                argument, f"is a finished network and takes no {', '.join(keywords)}",
                "name its class or a factory instead",
            )  # fmt: skip
        return Recipe(source, found, lambda network: None)
    if not callable(found):
        problem = f"{attribute} is not a class or function" if found else f"has no {attribute}"
        raise ArchscopeError(argument, problem, _instead(argument, module, attribute))
    if not makes_networks(found):
        raise ArchscopeError(
            argument, f"{attribute} is neither an nn.Module class nor a function of yours", NETWORKS
        )
    check_keywords(argument, found, keywords)
    place = argument.rpartition(":")[0]
    place = str(Path(place).resolve()) if folder else place

    def construct() -> object:
        from archscope.resolve.watch import watching

        with _importable(folder) if folder else contextlib.nullcontext(), watching(place):
            return found(**keywords)

    return Recipe(source, construct, lambda network: None)


def _instead(argument: str, module: Any, attribute: str) -> str:
    """The networks near a name that a module lacks, or all of them."""
    from torch import nn

    place = argument.rpartition(":")[0]
    named, space, keywords = attribute.partition(" ")
    if space and "=" in keywords:
        settings = " ".join(parameter(SET, keyword) for keyword in keywords.split())
        return f"name {place}:{named} alone, and beside it {settings}"
    own = [
        key for key, value in vars(module).items()
        if isinstance(value, nn.Module)
        or (isinstance(value, type) and issubclass(value, nn.Module))
    ]  # fmt: skip
    if place.endswith(".py"):
        declared = networks(Path(place))
        instances = [key for key in own if isinstance(vars(module)[key], nn.Module)]
        own = [*dict.fromkeys((*declared, *instances))]
        return did_you_mean(attribute, own) or _choices(place, own)
    return nearest(attribute, own, "it has")


def makes_networks(found: object) -> bool:
    """Whether something may be called for a network because a user typed its name.

    That is an `nn.Module` class, or a Python function outside the standard library: calling
    `os.system` or `shutil.rmtree` can never be what the user wants, whoever imported it.
    """
    from torch import nn

    if isinstance(found, functools.partial):
        return makes_networks(found.func)
    if isinstance(found, type):
        return issubclass(found, nn.Module)
    if isinstance(found, types.MethodType):
        return makes_networks(found.__func__)
    if isinstance(found, (types.FunctionType, functools._lru_cache_wrapper)):
        own = inspect.unwrap(found)
        return isinstance(own, types.FunctionType) and not _is_of_python(own)
    return False


def _is_of_python(function: types.FunctionType) -> bool:
    if str(function.__module__).partition(".")[0] in sys.stdlib_module_names:
        return True
    file = Path(function.__code__.co_filename)
    packages = {"site-packages", "dist-packages"}
    return str(file).startswith("<frozen") or (
        file.is_relative_to(sysconfig.get_path("stdlib")) and packages.isdisjoint(file.parts)
    )


_IMPORTED: dict[Path, tuple[Mapping[Path, bytes], Any]] = {}
"""Each user's file that was imported, with what it and its neighbours held at that time."""


def _imported(file: Path, folder: str) -> Any:
    """Import a file, once as long as neither it nor a neighbour that it imports changes.

    A second import of the same text would register the same operators twice, which
    `torch.library` refuses.
    """
    known = _IMPORTED.get(file)
    if known is not None and known[0] == _contents(known[0]):
        return known[1]
    from archscope.resolve.watch import watching

    with _importable(folder) as neighbours, watching(str(file)):
        module = _run(file)
    _IMPORTED[file] = _contents((file, *neighbours)), module
    return module


def _contents(files: Iterable[Path]) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in files if file.is_file()}


def _run(file: Path) -> Any:
    """Import a file under a name that no other module has."""
    name = f"_archscope_{file.stem}_{next(_NUMBER)}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # the suffix is .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ArchscopeError(
            str(file), f"its import raises {described(error)}", "fix the file"
        ) from error
    return module


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[list[Path]]:
    """Let a file import its neighbours, which are forgotten after, as is the way to them.

    No bytecode of them is written: an edit within the same second would not be noticed.

    Yields:
        the neighbours' files, filled in at the end.
    """
    path, before = list(sys.path), set(sys.modules)
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    neighbours: list[Path] = []
    sys.path.insert(0, folder)
    try:
        yield neighbours
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes_none
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if not name.startswith("_archscope_") and str(Path(origin).parent).startswith(folder):
                del sys.modules[name]
                neighbours.append(Path(origin))


def described(error: BaseException) -> str:
    """Kind and message of an exception, with the line that a user can go to."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    file = Path(frame.tb_frame.f_code.co_filename) if frame is not None else Path()
    if frame is None or file.parent == Path(__file__).parent or file.name.startswith("<frozen"):
        return text  # raised by the call itself, or by Python's own import
    return f"{text} ({file.name}, line {frame.tb_lineno})"
