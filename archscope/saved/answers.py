"""Answers saved by earlier runs, so that a network already counted does not wait for torch.

An answer is saved under everything that decides it: what was asked, archscope's own sources, the
versions and files of the libraries, and, for a user's file, every local source that it imports.
Where something else might decide it, nothing is saved and nothing is looked up.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from archscope import archive
from archscope._version import __version__
from archscope.errors import ArchscopeError
from archscope.files import at_home, read_text
from archscope.saved import cache, environment, in_memory, installed, user_files
from archscope.saved.journal import UNKNOWN
from archscope.saved.libraries import LIBRARIES as LIBRARIES_OF_LAYERS

Answer = TypeVar("Answer")

Policy = Literal["before torch", "always", "never"]

PACKAGE = Path(__file__).parents[1]

LIBRARIES = ("torch", "torchvision", "timm")

MOST_PER_PROCESS = 32
"""A sweep over thousands of networks would push out everything else."""


class _Process:
    """What this process may keep and look up.

    `before torch` trusts a process only until torch is imported: from then on its user can have
    changed torchvision's networks in memory.
    The command line imports nothing that its user wrote unless asked to, and trusts itself.
    """

    policy: Policy = "before torch"
    put = 0


def use(policy: Policy) -> None:
    """Choose for this process whether answers are saved and looked up."""
    _Process.policy = policy


def store() -> cache.Store | None:
    """The store of answers, `None` on a system without a cache folder."""
    return cache.store(cache.COUNTS)


def stores() -> dict[str, cache.Store]:
    """Every store of this user by what it holds; empty on a system without a cache folder."""
    known = {"counts": store(), "roofs of devices": cache.store(cache.ROOFS)}
    return {held: shelf for held, shelf in known.items() if shelf is not None}


def roofs() -> cache.Store | None:
    """Where devices' roofs are saved; `None` where nothing may be saved or looked up."""
    return None if _Process.policy == "never" else cache.store(cache.ROOFS)


def record(
    kind: str, model: object, arguments: Mapping[str, object], compute: Callable[[], Answer]
) -> Answer:
    """The record that answers a question, saved or computed; see `answer`."""
    return answer(kind, model, arguments, compute, archive.compact, archive.loads)


def answer(
    kind: str,
    model: object,
    arguments: Mapping[str, object],
    compute: Callable[[], Answer],
    encode: Callable[[Any], str] = json.dumps,
    decode: Callable[[str], Any] = json.loads,
) -> Answer:
    """Look an answer up, or compute and keep it.

    Args:
        kind: what is asked, such as `analysis`.
        model: whom it is asked of; only names are looked up.
        arguments: all else that the answer depends on; only plain values are looked up.
        compute: finds the answer.
        encode: writes the answer as text.
        decode: reads it back.
    """
    shelf = store()
    name = key(kind, model, arguments) if shelf is not None else None
    if shelf is None or name is None:
        return compute()
    text = shelf.get(name)
    if text is not None:
        try:
            found: Answer = decode(text)
        except (ArchscopeError, ValueError, TypeError):
            shelf.discard(name)
        else:
            return found
    computed = compute()
    if getattr(computed, "executed_on", "meta") != "meta":
        return computed  # values decided it, and another machine rounds them differently
    watch = sys.modules.get("archscope.resolve.watch")
    if watch is not None and not watch.is_certain():
        return computed  # chance decided it
    # The sources may have changed while they were being read.
    if _Process.put < MOST_PER_PROCESS and _key(kind, str(model), arguments, sources()) == name:
        _Process.put += 1
        shelf.put(name, encode(computed))
    return computed


def key(kind: str, model: object, arguments: Mapping[str, object]) -> str | None:
    """Everything that decides an answer, as text; `None` where that is unknown."""
    if not isinstance(model, str) or not _trusted():
        return None
    return _key(kind, model, arguments, _sources())


def _key(
    kind: str, model: str, arguments: Mapping[str, object], known: tuple[str, ...] | None
) -> str | None:
    if known is None or not all(map(_plain, arguments.values())):
        return None
    own = own_sources(model)
    if own is None:
        return None
    if own:
        own = f"{own} {environment.machine()}"
    asked = [kind, model, {name: _text(value) for name, value in arguments.items()}]
    return json.dumps([*asked, own, *known])


def own_sources(model: str, known: Callable[[str], bool] = user_files.is_harmless) -> str | None:
    """What decides the network of a name besides archscope and the libraries; often nothing.

    Args:
        model: the name.
        known: which modules a user's file may import, as for `user_files.fingerprint`.

    Returns:
        `None` where that is unknown.
    """
    place, colon, attribute = model.rpartition(":")
    if model.endswith(".py") or place.endswith(".py"):
        found = user_files.fingerprint(Path(place), known)
        if found is None or not attribute.isidentifier():
            return None
        return f"{Path(place).resolve()} {found}"
    return None if model.endswith(".json") or (colon and place != "timm") else ""


def decisive(model: object, keywords: Mapping[str, object] | None = None) -> str | None:
    """Everything that decides the answers for a network besides the question, for a journal.

    A user's file may import libraries of layers here, whose versions and files are all in it.

    Args:
        model: what the user names; a class or a module is what memory holds, and so unknown.
        keywords: of its constructor.

    Returns:
        a hash; `None` where it is unknown.
    """
    return Deciding((model, keywords or {}))()


class Deciding:
    """`decisive` for a long run over some networks, which asks it of every entry.

    Memory is looked at once, here, as that takes longer than the count of a small network: what
    the run's own networks change there is in their sources.

    Args:
        networks: what the user names, each with the keywords of its constructor.
    """

    def __init__(self, *networks: tuple[object, Mapping[str, object]]) -> None:
        self._models = [str(model) for model, _ in networks]
        self._unknown = next(filter(None, (_in_memory(*network) for network in networks)), "")

    def __call__(self) -> str | None:
        """The hash of each; `None` where one of them is unknown."""
        if self._unknown:
            return None
        hashes = [_decided(model) for model in dict.fromkeys(self._models)]
        return None if None in hashes else " ".join(filter(None, dict.fromkeys(hashes)))

    def obstacle(self) -> str:
        """Why it is unknown, such as "net.py imports os, which may read anything"."""
        return self._unknown or next(filter(None, map(_obstacle, self._models)), UNKNOWN)


def _in_memory(model: object, keywords: Mapping[str, object]) -> str:
    """Why memory decides about a network what no file tells; empty where it does not."""
    if not isinstance(model, str):
        return f"{getattr(model, '__name__', type(model).__name__)} is an object of this process"
    objects = [key for key, value in keywords.items() if not _plain(value)]
    if objects:
        return f"{objects[0]} is an object of this process"
    return "code of this process differs from its files" if _is_changed_in_memory(model) else ""


def _obstacle(model: str) -> str:
    place, _, name = model.rpartition(":")
    imported: set[str] = set(CONFIGURED.get(place, ()))
    found = ""
    if place.endswith(".py"):
        found = user_files.obstacle(Path(place), partial(_is_known, imported))
        if not found and not is_certain(model):
            found = f"{Path(place).name} draws numbers that decide what is counted"
    elif place in CONFIGURED and _configuration(name) is None:
        found = f"{name} is wherever the hub's cache has it"
    libraries = map(installed.obstacle, (*LIBRARIES, *sorted(imported)))
    return found or next(filter(None, libraries), "")


def _decided(model: str) -> str | None:
    known = _sources()
    if known is None or not is_certain(model):
        return None
    place, _, name = model.partition(":")
    imported: set[str] = set(CONFIGURED.get(place, ()))
    if place in CONFIGURED:
        own = _configuration(name)
    else:
        own = own_sources(model, partial(_is_known, imported))
    libraries = [_stamped(library) for library in sorted(imported)]
    if own is None or None in libraries:
        return None
    text = json.dumps([own, _installed(), *known, *libraries])
    return hashlib.sha256(text.encode()).hexdigest()


CONFIGURED = {"hf": ("transformers",), "diffusers": ("diffusers", "transformers")}
"""Prefixes of names that lead to a library's class or to a configuration, with the libraries."""


def _configuration(name: str) -> str | None:
    path = at_home(name)
    path = path / "config.json" if path.is_dir() else path
    if path.is_file():
        return hashlib.sha256(read_text(path).encode()).hexdigest()
    return None if "/" in name else ""  # owner/name is wherever the hub's cache has it


def _is_known(imported: set[str], module: str) -> bool:
    """Whether a user's file may import a module; one of a library is noted."""
    if module in LIBRARIES_OF_LAYERS:
        imported.add(module)
    return user_files.is_harmless(module) or module in imported


def is_certain(model: str) -> bool:
    """Whether a user's network read nothing that differs from run to run where it was built here.

    Args:
        model: its name; a name of a library is certain.
    """
    watch = sys.modules.get("archscope.resolve.watch")
    place = model.rpartition(":")[0]
    place = str(Path(place).resolve()) if place.endswith(".py") else place
    return watch is None or not place or bool(watch.is_certain(place))


def _is_changed_in_memory(model: str) -> bool:
    """Whether this process may count other code than that of the files.

    The command line imports nothing that its user wrote before it asks.
    """
    if _Process.policy == "always":
        return False
    rules = sys.modules.get("archscope.analysis.rules")
    if rules is not None and rules.REGISTERED:
        return True
    place = model.rpartition(":")[0]
    known = partial(_is_known, set())
    own = user_files.sources(Path(place), known) if place.endswith(".py") else {}
    return in_memory.is_patched() or in_memory.is_imported(own or {})


@functools.cache
def _stamped(library: str) -> str | None:
    """Version and files of a library; empty where it is not there."""
    return installed.library_text(library, stamped=True)


@functools.cache
def _installed() -> str:
    return environment.installed()


def _plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _plain(item) for name, item in value.items())
    return value is None or type(value) in (int, float, bool, str)


def _text(value: object) -> str:
    """Tells 1, 1.0, True and "1" apart, and keywords in another order, which a record shows."""
    return repr(dict(value) if isinstance(value, Mapping) else value)


def _trusted() -> bool:
    """Whether this process cannot have changed what its answers depend on."""
    if _Process.policy == "never" or (_Process.policy != "always" and "torch" in sys.modules):
        return False
    rules = sys.modules.get("archscope.analysis.rules")
    if rules is not None and rules.REGISTERED:
        return False
    resolve = sys.modules.get("archscope.resolve.user_code")
    return resolve is None or not resolve.USER_CODE


# Sources


@functools.cache
def _sources() -> tuple[str, ...] | None:
    return sources()


def sources() -> tuple[str, ...] | None:
    """Python, archscope's own files, and the libraries; `None` where one of these may change.

    A library that is installed for development, or hidden by a folder of the same name, is such.
    """
    texts = [environment.environment(), sys.platform, __version__, own_files()]
    for library in LIBRARIES:
        text = installed.library_text(library)
        if text is None:
            return None
        texts.append(text)
    return tuple(texts)


def own_files() -> str:
    """Hash of archscope's own sources: an edit of a development install changes the answer."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()
