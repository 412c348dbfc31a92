"""Which networks there are, and what is published of one."""

from __future__ import annotations

from collections import Counter

from archscope import zoo
from archscope.errors import ArchscopeError
from archscope.resolve import published, published_entries, vision
from archscope.resolve.huggingface import PREFIX, architectures
from archscope.resolve.huggingface.cards import Card, card, short_card
from archscope.resolve.inputs import parse_input, setting_text
from archscope.resolve.names import LIST_ALL, known, matching
from archscope.resolve.signatures import did_you_mean
from archscope.table import Column, Report, Row, Table
from archscope.units import si

LISTING = (
    Column("name", "Name", "name"),
    Column("source", "Source", "text", priority=1),
    Column("input", "Default input", "text", priority=1),
    Column("params", "Params", "count"),
)

ARCHITECTURES = (
    Column("name", "Architecture", "name"),
    Column("layers", "Layers", "exact"),
    Column("width", "Width", "exact"),
    Column("heads", "Heads", "exact"),
    Column("kv_heads", "KV heads", "exact"),
    Column("experts", "Experts", "exact", priority=1),
    Column("experts_per_token", "Per token", "exact", priority=1),
    Column("context", "Context", "exact", priority=2),
    Column("vocabulary", "Vocabulary", "exact", priority=2),
)

FACTS = (
    Column("fact", "Fact", "text"),
    Column("value", "Value", "text"),
    Column("where", "Where", "text", priority=1),
)

ENTRIES = (
    Column("entry", "Weights", "name"),
    Column("input", "Input", "text", priority=1),
    Column("params", "Params", "exact"),
    Column("gmacs", "GMACs", "decimal"),
    Column("top1", "Top-1", "percent", priority=1),
    Column("top5", "Top-5", "percent", priority=2),
)


def models_report(pattern: str = "") -> Report:
    """The card of a network of exactly that name, or the list of those that match."""
    exact = pattern in zoo.names() or pattern in vision.names()
    if pattern.startswith(PREFIX):
        exact = pattern.removeprefix(PREFIX) in architectures()
        table = _architecture_card(pattern) if exact else _architectures_table(pattern)
    else:
        table = model_card(pattern) if exact else models_table(pattern)
    if pattern.startswith(PREFIX) or exact:
        return Report(table.title, (table,))
    return Report(table.title, (table,), answer=_answer(table))


def _answer(table: Table) -> str:
    """How many networks there are, from where, and from the smallest to the largest."""
    sources = Counter(str(cell) for cell in table.column("source"))
    where = ", ".join(f"{count} of {source}" for source, count in sources.items())
    sizes = [(cell, name) for cell, name in zip(table.column("params"), table.column("name"),
             strict=True) if isinstance(cell, int)]  # fmt: skip
    if len(sizes) < 2:
        return f"{table.title}: {where}."
    (least, small), (most, large) = min(sizes), max(sizes)
    return f"{table.title}: {where}; from {si(least)} parameters ({small}) to {si(most)} ({large})."


def models_table(pattern: str = "") -> Table:
    """List the networks whose name holds the pattern, or matches it where it has `*`, `?` or `[`.

    Networks of timm and diffusers are listed, by name only, where the pattern begins with `timm:`
    or `diffusers:`.

    Raises:
        ArchscopeError: no name matches (the nearest ones are suggested), or the library is missing.
    """
    names = matching(pattern)
    library = next((one for one in BY_NAME_ONLY if pattern.startswith(f"{one}:")), "")
    rows = [Row((name, library, None, None)) if library else _listed(name) for name in names]
    if not rows:
        remedy = did_you_mean(pattern, known(pattern)) or LIST_ALL
        raise ArchscopeError(pattern, "unknown network", remedy)
    title = f"{len(rows)} networks" if len(rows) > 1 else "1 network"
    note = "Parameters as published; where they are missing, `archscope summary NAME` counts them."
    more = BY_NAME_ONLY.get(library, "")
    return Table(title, LISTING, tuple(rows), (note, more) if more else (note,))


BY_NAME_ONLY = {
    "timm": "",
    "diffusers": "Classes of the installed diffusers, built without weights with their default "
    "settings; diffusers:./folder/ reads a config.json.",
}
"""Libraries of which nothing is known but names, and what to say of these."""


def model_card(name: str) -> Table:
    """Tell what is published of one network of the zoo or of torchvision.

    Raises:
        ArchscopeError: neither has a network of that name.
    """
    if name in zoo.names():
        return _zoo_card(name)
    if name in vision.names():
        return _torchvision_card(name)
    remedy = did_you_mean(name, [*zoo.names(), *vision.names()]) or LIST_ALL
    raise ArchscopeError(name, "unknown network", remedy)


def _architectures_table(pattern: str) -> Table:
    """List transformers' architectures with what their default configurations say."""
    named = [name.removeprefix(PREFIX) for name in matching(pattern)]
    if not named:
        raise ArchscopeError(
            pattern, "unknown architecture of transformers", did_you_mean(pattern, known(pattern))
        )
    rows = tuple(Row((PREFIX + found.name, *_numbers(found))) for found in map(short_card, named))
    note = (
        "Default configurations; keywords change them, and hf:./folder/ reads a config.json. "
        "Width: of the stream between the layers. Per token: experts that a token is routed to."
    )
    title = f"{len(rows)} architectures of transformers" if len(rows) > 1 else named[0]
    return Table(title, ARCHITECTURES, rows, (note,))


def _numbers(found: Card) -> tuple[int | None, ...]:
    return (
        found.layers, found.width, found.heads, found.kv_heads, found.experts,
        found.experts_per_token, found.context, found.vocabulary,
    )  # fmt: skip


def _architecture_card(name: str) -> Table:
    """What the default configuration of one architecture says, and what it can be built as."""
    found = card(name.removeprefix(PREFIX))
    titles = [column.title for column in ARCHITECTURES[1:]]
    facts = [
        (title.lower(), f"{value:,}", "default configuration")
        for title, value in zip(titles, _numbers(found), strict=True)
        if value is not None
    ]
    facts.append(("tasks", ", ".join(found.tasks), "keyword task"))
    note = f"Parameters and costs: archscope summary {name}."
    return Table(f"{name}, an architecture of transformers", FACTS, tuple(map(Row, facts)), (note,))


def _listed(name: str) -> Row:
    if name in zoo.names():
        card = zoo.card(name)
        return Row((name, "archscope zoo", str(parse_input(card.input)), card.params))
    own = name.removeprefix(vision.PREFIX)
    spec = str(vision.default_input(own, {}))
    return Row((name, "torchvision", spec, published(own)["num_params"]))


def _zoo_card(name: str) -> Table:
    card = zoo.card(name)
    facts: list[tuple[str, str, str]] = [
        ("source", card.source, ""),
        ("default input", str(parse_input(card.input)), ""),
        ("parameters", f"{card.params:,}", "counted"),
        ("multiply-accumulates", f"{card.macs:,}", "counted on the default input"),
    ]
    preset = ", ".join(f"{key}={setting_text(value)}" for key, value in card.keywords.items())
    facts += [("preset keywords", preset, "")] if preset else []
    facts += [(quantity, _printed(value), where) for quantity, value, where in card.published]
    return Table(f"{name}: {card.introduced}", FACTS, tuple(Row(fact) for fact in facts))


def _printed(value: int | float | str) -> str:
    """A published value: whole numbers in full, rounded counts as millions or billions."""
    if isinstance(value, int):
        return f"{value:,}"
    return si(value) if isinstance(value, float) and value >= 1000 else str(value)


def _torchvision_card(name: str) -> Table:
    rows = tuple(
        Row(
            (
                entry["entry"],
                str(entry["input"]),
                entry["num_params"],
                entry["gmacs"],
                _share(entry["acc@1"]),
                _share(entry["acc@5"]),
            )
        )
        for entry in published_entries(name)
    )
    note = "From the metadata of torchvision's weights; GMACs are 10⁹ multiply-accumulates."
    return Table(f"{name} as torchvision publishes it", ENTRIES, rows, (note,))


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
