"""What Tab completes: names of networks, keys, and files where files are meant.

Names of libraries are stored in the cache folder, by version: a Tab must not wait for torchvision.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem


def _timm() -> list[str]:
    from archscope.resolve import timm_models

    return [f"timm:{name}" for name in timm_models.names()]


def _transformers() -> list[str]:
    from archscope.resolve.huggingface import architectures

    return [f"hf:{name}" for name in architectures()]


def _torchvision() -> list[str]:
    from archscope.resolve import vision

    return vision.names()


LIBRARIES: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "timm": ("timm:", _timm),
    "transformers": ("hf:", _transformers),
    "torchvision": ("", _torchvision),
}
"""Libraries that name networks, with the prefix of their names."""


def networks(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of networks; files where none matches."""
    from archscope import zoo

    names: list[str] = list(zoo.names())
    for library, (prefix, listed) in LIBRARIES.items():
        if incomplete.startswith(prefix) and (prefix or ":" not in incomplete):
            names = [*names, *_stored(library, listed)]
    prefixes = [prefix for prefix, _ in LIBRARIES.values() if prefix]
    found = _matching([*names, *prefixes], incomplete)
    return found or files(context, parameter, incomplete)


def _stored(library: str, listed: Callable[[], Iterable[str]], of: str = "") -> list[str]:
    """The names that a library lists, from the cache folder where they are stored.

    Args:
        library: the distribution, whose version decides whether a stored list still holds.
        listed: makes the list, which may take seconds.
        of: what the names belong to, where they are not networks.
    """
    from archscope.saved import cache

    try:
        version = importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return []
    store = cache.store("names")
    key = f"{library} {version} {of}".rstrip()
    text = None if store is None else store.get(key)
    if text is None:
        text = "\n".join(listed())
        if store is not None:
            store.put(key, text)
    return text.split("\n")


ARGUMENTS = ("model", "models", "base")
"""Arguments by which commands name a network."""


def settings(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Keywords of the constructor of the network that the command line names so far."""
    from archscope import zoo
    from archscope.resolve.signatures import accepted_keywords

    if "=" in incomplete:
        return []
    named = [context.params[key] for key in ARGUMENTS if context.params.get(key)]
    # Behind an option that waits for its value click has read no argument: they are all left.
    given = next(iter([*named, *context.args]), "")
    name = given[0] if isinstance(given, tuple) else given
    if name in zoo.names():
        card = zoo.card(name)
        family = importlib.import_module(f"archscope.zoo.{card.family}")
        keys = sorted(accepted_keywords(getattr(family, card.constructor)) or ())
    elif name in _stored("torchvision", _torchvision):
        keys = _stored("torchvision", lambda: _torchvision_keywords(name), of=name)
    else:  # a Tab imports no file of the user's
        return []
    return _matching([f"{key}=" for key in keys], incomplete)


def _torchvision_keywords(name: str) -> list[str]:
    from archscope.resolve import vision
    from archscope.resolve.signatures import accepted_keywords

    keys = accepted_keywords(vision.builder(name)) or frozenset()
    return sorted(keys - {"weights", "progress"})


def columns(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Keys of `--columns`, after the last comma."""
    from archscope.study.summary import COLUMNS

    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(before + comma + str(item.value)) for item in _matching(COLUMNS, last)]


def sort_keys(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Keys of `--sort`."""
    from archscope.study.summary import SORTABLE

    return _matching(SORTABLE, incomplete)


def network_keys(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Keys of `--sort` where the rows are networks."""
    from archscope.study.compare.many import FACTS, NAME

    keys = [NAME.key, *(fact.column.key for fact in FACTS)]
    return _matching([*keys, *(f"-{key}" for key in keys)], incomplete)


def optimizers(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of `--optimizer`."""
    from archscope.ask.memory.setting import OPTIMIZERS

    return _matching(OPTIMIZERS, incomplete)


def formats(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of `--format`."""
    from archscope.formats import FORMATS

    return _matching([suffix[1:] for suffix in FORMATS], incomplete)


def devices(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of GPUs that have a data sheet, after the last comma."""
    from archscope.latency.devices import devices as known

    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(before + comma + str(item.value)) for item in _matching(known(), last)]


def files(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Whatever files the shell finds."""
    return [CompletionItem(incomplete, type="file")]


def _matching(known: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]
