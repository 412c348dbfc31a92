"""What is saved between runs, as a table."""

from __future__ import annotations

from archscope import cache
from archscope.saved import journal
from archscope.saved.answers import stores
from archscope.table import Cell, Column, Report, Row, Table
from archscope.units import binary_bytes

# What is kept

INFO = (
    Column("kind", "Saved", "name"),
    Column("entries", "Entries", "exact"),
    Column("total_bytes", "Size", "bytes"),
    Column("most_bytes", "At most", "bytes"),
    Column("folder", "Folder", "name"),
)


def info_report() -> Report:
    """The report of `archscope cache info`."""
    rows = tuple(
        Row((kind, held.entries, held.total_bytes, shelf.most_bytes, str(shelf.folder)))
        for kind, shelf in stores().items()
        for held in [shelf.contents()]
    )
    if rows:
        held, folder = journal.contents(), journal.default_folder()
        rows += (Row(("journals", held.entries, held.total_bytes, None, str(folder))),)
    else:
        note = (
            f"Nothing is saved between runs: install platformdirs or set {cache.FOLDER_VARIABLE}."
        )
        return Report("Cache", (Table("Cache", INFO, (), (note,)),))
    notes = (
        "A journal holds the finished points of a sweep, or networks of verify --all, for "
        "--resume.",
        "A count is used while archscope, torch, torchvision, timm and the sources of a user's "
        "network stay unchanged.",
        "Roofs are used while the device, its driver, torch, the thread count and the way of "
        f"measuring stay unchanged. {cache.FOLDER_VARIABLE} moves the folder.",
    )
    entries, size = (sum(_whole(row.cells[place]) for row in rows) for place in (1, 2))
    answer = f"{entries:,} answers and journals of earlier runs take {binary_bytes(size)}."
    return Report("Cache", (Table("Cache", INFO, rows, notes),), answer=answer)


def _whole(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0
