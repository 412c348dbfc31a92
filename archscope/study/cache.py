"""What is saved between runs, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.parameters import parameter
from archscope.saved import cache
from archscope.saved.overview import Held
from archscope.table import Column, Report, Row, Table
from archscope.units import binary_bytes

INFO = (
    Column("kind", "Saved", "name"),
    Column("entries", "Entries", "exact"),
    Column("total_bytes", "Size", "bytes"),
    Column("most_bytes", "At most", "bytes"),
    Column("folder", "Folder", "name"),
)


def info_report(held: Sequence[Held]) -> Report:
    """The report of `archscope cache info`.

    Args:
        held: what is saved, by kind.
    """
    if not held:
        note = (
            f"Nothing is saved between runs: install platformdirs or set {cache.FOLDER_VARIABLE}."
        )
        return Report("Cache", (Table("Cache", INFO, (), (note,)),))
    rows = tuple(
        Row((one.kind, one.entries, one.total_bytes, one.most_bytes, str(one.folder)))
        for one in held
    )
    notes = (
        "A journal holds the finished points of a long run, such as a sweep, for "
        f"{parameter('resume', True)}.",
        "A count is used while archscope, torch, torchvision, timm and the sources of a user's "
        "network stay unchanged.",
        "Roofs are used while the device, its driver, torch, the thread count and the way of "
        f"measuring stay unchanged. {cache.FOLDER_VARIABLE} moves the folder.",
    )
    entries, size = sum(one.entries for one in held), sum(one.total_bytes for one in held)
    answer = f"{entries:,} answers and journals of earlier runs take {binary_bytes(size)}."
    return Report("Cache", (Table("Cache", INFO, rows, notes),), answer=answer)
