"""All that earlier runs saved in the user's cache folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archscope.saved import journal_folder
from archscope.saved.answers import stores


@dataclass(frozen=True)
class Held:
    """What one part of the cache folder holds.

    Args:
        kind: what it is, such as `counts`.
        entries: how many.
        total_bytes: what they take.
        most_bytes: what they may take; `None` where nothing bounds it.
        folder: where they are.
    """

    kind: str
    entries: int
    total_bytes: int
    most_bytes: int | None
    folder: Path


def held() -> tuple[Held, ...]:
    """Counts, roofs of devices and journals; nothing on a system without a cache folder."""
    found = [
        Held(kind, saved.entries, saved.total_bytes, store.most_bytes, store.folder)
        for kind, store in stores().items()
        for saved in [store.contents()]
    ]
    folder = journal_folder.default_folder()
    if folder is not None:
        saved = journal_folder.contents()
        found.append(Held("journals", saved.entries, saved.total_bytes, None, folder))
    return tuple(found)


def clear() -> tuple[Held, ...]:
    """Remove all of it, and return what there was."""
    before = held()
    for store in stores().values():
        store.clear()
    journal_folder.clear()
    return before
