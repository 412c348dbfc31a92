"""Equal blocks that follow each other, such as a transformer's layers, as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from archscope.ask.symbols.formula import LayerForm


@dataclass(frozen=True)
class Folded:
    """A layer with its equals in the blocks beside its own.

    Args:
        form: of the first one.
        name: with a range where the blocks are counted: `layers.0…31.mlp`.
        times: how many there are.
    """

    form: LayerForm
    name: str
    times: int = 1


def folded(forms: Sequence[LayerForm], start: int = 0) -> list[Folded]:
    """Fold numbered blocks whose layers have the same shapes and costs, the outermost first.

    Args:
        forms: in execution order.
        start: parts of their names that all of them share.
    """
    rows: list[Folded] = []
    place = 0
    while place < len(forms):
        number = _numbered(forms[place], start)
        if number is None:
            rows.append(Folded(forms[place], forms[place].layer.name))
            place += 1
            continue
        block = _block(forms[place:], number)
        times = _equal_blocks(forms[place:], block, number)
        rows += [_ranged(row, number, times) for row in folded(block, number + 1)]
        place += times * len(block)
    return rows


def _numbered(form: LayerForm, start: int) -> int | None:
    """Which part of the name is the number of a block."""
    parts = form.layer.name.split(".")
    return next((i for i in range(start, len(parts)) if parts[i][-1:].isdigit()), None)


def _counted(part: str) -> tuple[str, int]:
    """`7` → ("", 7), `encoder_layer_7` → ("encoder_layer_", 7)."""
    stem = part.rstrip("0123456789")
    return stem, int(part[len(stem) :])


def _block(forms: Sequence[LayerForm], number: int) -> Sequence[LayerForm]:
    """The first layers that are in one block."""
    head = _head(forms[0], number)
    end = next((i for i, form in enumerate(forms) if _head(form, number) != head), len(forms))
    return forms[:end]


def _head(form: LayerForm, number: int) -> list[str]:
    return form.layer.name.split(".")[: number + 1]


def _equal_blocks(forms: Sequence[LayerForm], block: Sequence[LayerForm], number: int) -> int:
    """How many blocks of the same content and rising numbers come first."""
    size = len(block)
    *path, part = _head(block[0], number)
    stem, first = _counted(part)
    content = [_content(form, number) for form in block]
    times = 1
    while True:
        following = _block(forms[times * size :], number) if forms[times * size :] else ()
        if (
            not following
            or _head(following[0], number) != [*path, f"{stem}{first + times}"]
            or [_content(form, number) for form in following] != content
        ):
            return times
        times += 1


def _content(form: LayerForm, number: int) -> Hashable:
    """What makes layers of two blocks equal."""
    layer = form.layer
    return (
        layer.name.split(".")[number + 1 :],
        layer.kind,
        layer.call,
        layer.output_shapes,
        layer.params,
        str(form.macs),
        str(form.activation_bytes),
    )


def _ranged(row: Folded, number: int, times: int) -> Folded:
    if times == 1:
        return row
    parts = row.name.split(".")
    first = _counted(parts[number])[1]
    parts[number] = f"{parts[number]}…{first + times - 1}"
    return replace(row, name=".".join(parts), times=row.times * times)
