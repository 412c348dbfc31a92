"""Where a name leads: the zoo, torchvision, timm, transformers, a file or a package."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.util
import inspect
import itertools
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import InputSpec
from archscope.resolve import diffusion, huggingface, vision
from archscope.resolve.inputs import parse_input
from archscope.resolve.sides import SIDES, resized
from archscope.resolve.signatures import (
    accepted_keywords,
    check_keywords,
    did_you_mean,
    nearest,
)

if TYPE_CHECKING:
    from torch import nn

NETWORKS = "name an nn.Module class, or a function that makes one"

_NUMBER = itertools.count()

USER_CODE: set[str] = set()
"""Files and packages of users that ran in this process and may have changed anything in it."""


@dataclass(frozen=True)
class Recipe:
    """How to construct one network, and what is known before that.

    Args:
        source: `archscope zoo`, `torchvision`, `timm`, `transformers`, `diffusers`, `file path` or
            `package`.
        construct: builds it again at each call, or is the finished module that a file holds.
        default_input: from the built network; `None` where nobody says.
        libraries: packages whose versions decide the network.
        notes: sentences a reader of the numbers must know.
    """

    source: str
    construct: Callable[[], object] | nn.Module
    default_input: Callable[[nn.Module], InputSpec | None]
    libraries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def recipe(name: str, keywords: Mapping[str, Any]) -> Recipe:
    """Find a name of the zoo, `hf:…`, `diffusers:…`, `timm:…`, `FILE.py:CLASS`, `PACKAGE:NAME`.

    Anything else is a name of torchvision.

    Raises:
        ArchscopeError: nothing has that name (the nearest ones are suggested), a file or package
            cannot be imported or lacks it, or a keyword is unknown.
    """
    from archscope import zoo

    place, colon, attribute = name.rpartition(":")
    if name in zoo.names():
        return _from_zoo(name, keywords)
    if name.startswith(huggingface.PREFIX):
        built = huggingface.named(name.removeprefix(huggingface.PREFIX), keywords)
        return _of_transformers("transformers", built)
    if name.startswith(diffusion.PREFIX):
        made = diffusion.named(name.removeprefix(diffusion.PREFIX), keywords)
        return Recipe("diffusers", *made, ("diffusers",))
    if place == "timm":
        return _from_timm(attribute, keywords)
    if name.endswith(".py") or (colon and place.endswith(".py")):
        return _from_file(*((place, attribute) if colon else (name, "")), keywords)
    if colon:
        return _from_package(place, attribute, keywords)
    if name in vision.names():
        return _from_torchvision(name, keywords)
    if name.endswith(".json"):
        raise ArchscopeError(name, "is a file, and this needs the network itself", "name that")
    raise ArchscopeError(
        name,
        "unknown network",
        did_you_mean(name, [*zoo.names(), *vision.names()])
        or "list the names with `archscope models`, or give path/to/file.py:Class",
    )


def from_configuration(name: str, config: Any, keywords: Mapping[str, Any]) -> Recipe:
    """How to construct the network of a configuration of transformers, or of its class.

    Raises:
        ArchscopeError: an unknown setting or task.
    """
    return _of_transformers("transformers", huggingface.configured(name, config, keywords))


def _of_transformers(source: str, built: huggingface.Built) -> Recipe:
    return Recipe(source, built.construct, built.default_input, ("transformers",), built.notes)


def _from_zoo(name: str, keywords: Mapping[str, Any]) -> Recipe:
    from archscope import zoo

    card = zoo.card(name)
    module = importlib.import_module(f"archscope.zoo.{card.family}")
    constructor = getattr(module, card.constructor)
    sized = "image_size" in (accepted_keywords(constructor) or ())
    given, keywords = keywords, _for_constructor(keywords, "image_size" if sized else None)
    check_keywords(name, constructor, keywords)

    def default_input(module: nn.Module) -> InputSpec | None:
        sides = card.input.split("x")
        sides[0] = str(keywords.get("input_channels", sides[0]))
        if "image_size" in keywords:
            sides[1:] = [str(keywords["image_size"])] * (len(sides) - 1)
        return resized(parse_input("x".join(sides)), given)

    def construct() -> nn.Module:
        try:
            return zoo.build(name, **keywords)
        except ValueError as error:  # the zoo says `keyword=value: what is admissible`
            given, _, admissible = str(error).partition(": ")
            raise ArchscopeError(parameter("set", given), admissible) from error

    return Recipe("archscope zoo", construct, default_input)


def _from_torchvision(name: str, keywords: Mapping[str, Any]) -> Recipe:
    given = keywords
    keywords = _for_constructor(given, "image_size" if name.startswith("vit_") else None)
    complete, notes = vision.complete(name, keywords)
    check_keywords(name, vision.builder(name), keywords)
    spec = resized(vision.default_input(name, keywords), given)
    construct = functools.partial(vision.construct, name, complete)
    return Recipe("torchvision", construct, lambda module: spec, ("torchvision",), notes)


def _from_timm(name: str, keywords: Mapping[str, Any]) -> Recipe:
    timm = _timm()
    if not is_timm_name(name):
        raise ArchscopeError(
            f"timm:{name}", "timm has no such network",
            nearest(name, timm.list_models(), "see timm.list_models(); it has")[:200],
        )  # fmt: skip
    for key in ("pretrained", "checkpoint_path"):
        if keywords.get(key):
            raise ArchscopeError(
                key, "archscope counts without weights and downloads none", "leave it out"
            )

    given = keywords
    sized = "image" in given and timm.get_pretrained_cfg(name).fixed_input_size
    keywords = _for_constructor(given, "img_size" if sized else None)

    def default_input(module: nn.Module) -> InputSpec | None:
        config: Mapping[str, Any] = getattr(module, "pretrained_cfg", {})
        channels, *sides = config.get("input_size", (3, 224, 224))
        if "img_size" in keywords:
            size = keywords["img_size"]
            sides = list(size) if isinstance(size, tuple) else [size] * len(sides)
        channels = keywords.get("in_chans", channels)
        return resized(parse_input("x".join(map(str, (channels, *sides)))), given)

    construct = functools.partial(timm.create_model, name, **keywords)
    return Recipe("timm", construct, default_input, ("timm",))


def _for_constructor(keywords: Mapping[str, Any], size: str | None) -> dict[str, Any]:
    """The keywords without `SIDES`; an image's size goes to a constructor that fixes one.

    Args:
        keywords: given by the user.
        size: the constructor's keyword for it, `None` where any size runs.
    """
    rest = {key: value for key, value in keywords.items() if key not in SIDES}
    if size is not None and "image" in keywords:
        rest.setdefault(size, keywords["image"])
    return rest


def is_timm_name(name: str) -> bool:
    """Whether timm can build a network of that name.

    Raises:
        ArchscopeError: timm is not installed.
    """
    return bool(_timm().is_model(name))


def timm_names() -> list[str]:
    """Every name that timm can build.

    Raises:
        ArchscopeError: timm is not installed.
    """
    return list(_timm().list_models())


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ArchscopeError(
            "timm", f"cannot be imported ({error})", "install it: python -m pip install timm"
        ) from error


def _from_file(path: str, attribute: str, keywords: Mapping[str, Any]) -> Recipe:
    file = Path(path)
    if not file.is_file():
        raise ArchscopeError(path, "there is no such file", "give path/to/file.py:Class")
    if not attribute:
        raise ArchscopeError(path, "names no class in the file", _attributes(file))
    folder = str(file.resolve().parent)
    USER_CODE.add(path)
    module = _imported(file.resolve(), folder)
    return _from_module(f"{path}:{attribute}", module, attribute, keywords, "file path", folder)


def _attributes(file: Path) -> str:
    """The classes and functions of a file, read without running it."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError, OSError):
        body = []
    kinds = (ast.ClassDef, ast.FunctionDef)
    public = [each for each in body if isinstance(each, kinds) and each.name[0] != "_"]
    modules = {"Module"}
    for each in public:
        if isinstance(each, ast.ClassDef) and modules & {_last_name(base) for base in each.bases}:
            modules.add(each.name)
    names = sorted((each.name for each in public), key=lambda name: name not in modules)
    first, *others = [f"{file}:{name}" for name in names] or [f"{file}:Class"]
    return f"write {first}" + (f", or one of {', '.join(names[1:])}" if others else "")


def _last_name(node: ast.expr) -> str:
    """`Module` of `nn.Module`."""
    return getattr(node, "attr", getattr(node, "id", ""))


def _from_package(place: str, attribute: str, keywords: Mapping[str, Any]) -> Recipe:
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
        return _of_transformers(source, huggingface.configured(argument, found, keywords))
    if isinstance(found, nn.Module):
        if keywords:
            raise ArchscopeError(
                argument, f"is a finished network and takes no {', '.join(keywords)}",
                "name its class or a factory instead",
            )  # fmt: skip
        return Recipe(source, found, lambda network: None)
    if not callable(found):
        own = [
            key for key, value in vars(module).items()
            if isinstance(value, nn.Module)
            or (isinstance(value, type) and issubclass(value, nn.Module))
        ]  # fmt: skip
        problem = f"{attribute} is not a class or function" if found else f"has no {attribute}"
        raise ArchscopeError(argument, problem, nearest(attribute, own, "it has"))
    if not makes_networks(found):
        raise ArchscopeError(
            argument, f"{attribute} is neither an nn.Module class nor a function of yours", NETWORKS
        )
    check_keywords(argument, found, keywords)

    def construct() -> object:
        with _importable(folder) if folder else contextlib.nullcontext():
            return found(**keywords)

    return Recipe(source, construct, lambda network: None)


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
    with _importable(folder) as neighbours:
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

    Yields:
        the neighbours' files, filled in at the end.
    """
    path, before = list(sys.path), set(sys.modules)
    neighbours: list[Path] = []
    sys.path.insert(0, folder)
    try:
        yield neighbours
    finally:
        sys.path[:] = path
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
