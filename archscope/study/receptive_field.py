"""Receptive fields → a table, a figure over the image, a column of the summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.patterns import matching, unmatched
from archscope.records import Analysis, Layer
from archscope.saved.record import Saved
from archscope.table import Axis, Chart, Column, Report, Row, Series, Table
from archscope.wording import call_title, network_title

if TYPE_CHECKING:
    from archscope.analysis.receptive.fields import Field, LayerField
from archscope.ask.receptive_field import NetworkFields, receptive_fields

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""What the axes of an image are called, by how many there are."""

DRAWN = 6
"""Fields in a figure when no layers are chosen."""

CONVENTION = (
    "Size: input pixels that one position depends on, the largest over all paths. "
    "Stride: pixels between neighbouring positions. "
    "Padding: effective padding, pixels by which the first field begins before the image. "
    "Centre: pixel in the middle of the first field. "
    "Global: every position depends on the whole image."
)


def add_fields(analysis: Analysis, target: Target | Saved) -> Analysis:
    """Fill in the receptive fields of a network just counted; a record keeps those it has.

    Raises:
        ArchscopeError: as `receptive_fields`, or the count is a record saved without them.
    """
    if isinstance(target, Target):
        return with_fields(analysis, receptive_fields(target))
    if all(layer.receptive_field is None for layer in analysis.calls):
        raise ArchscopeError(
            parameter("columns", "receptive_field"),
            f"{target.name} was saved without it",
            "name the network itself",
        )
    return analysis


def with_fields(analysis: Analysis, network: NetworkFields) -> Analysis:
    """The same count with the receptive field of each layer filled in."""
    by_call = {(layer.name, layer.call): layer.fields for layer in network.found.layers}

    def filled(layer: Layer) -> Layer:
        fields = by_call.get((layer.name, layer.call), ())
        known = [field for field in fields if field is not None]
        if not known or len(known) < len(fields):
            return layer
        sizes = (None if field.size is None else ceil(field.size) for field in known)
        return replace(layer, receptive_field=tuple(sizes))

    return replace(analysis, calls=tuple(map(filled, analysis.calls)))


# What is shown


def fields_report(network: NetworkFields, pattern: str | None = None) -> Report:
    """The report of `archscope receptive-field`.

    Args:
        network: what was found.
        pattern: glob of layer names to list and draw; by default every layer that changes the
            field is listed, and the last one at each stride is drawn.

    Raises:
        ArchscopeError: the pattern matches no layer.
    """
    layers = network.found.layers
    if pattern is None:
        shown = _changes(layers)
        drawn = _last_at_each_stride(shown)
    else:
        shown = [layer for layer in layers if matching(pattern, layer.name, layer.kind)]
        drawn = [layer for layer in shown if _is_local(layer)]
        if not shown:
            names = (layer.name for layer in layers)
            raise unmatched(parameter("layers", pattern), pattern, network.model, names)
    chart = _image_chart(network, drawn) if len(network.found.image) == 2 and drawn else None
    return Report(
        f"Receptive fields of {network.model}",
        (_table(network, shown),),
        (chart,) if chart else (),
        data=_plain_table(network),
        answer=_answer(network),
    )


def _answer(network: NetworkFields) -> str:
    """What one place of the last feature map sees."""
    image = network.found.image
    output = next((layer for layer in network.found.layers if not layer.name), None)
    if output is not None and _is_local(output):
        return f"One position of the output of {network.model} sees {_seen(output, image)}."
    last = next(filter(_is_local, reversed(_changes(network.found.layers))), None)
    if last is None:
        text = "×".join(map(str, image))
        places = f"{text} input" if len(image) == 2 else f"{text} positions of the input"
        return f"No layer has a known local receptive field on the {places}."
    layer = call_title(last.name, last.kind, last.call)
    return f"{layer}, the last layer with a local receptive field, sees {_seen(last, image)}."


def _seen(layer: LayerField, image: Sequence[int]) -> str:
    """`14×14 pixels of the 28×28 input`; of a sequence or a volume, positions."""
    sizes = [ceil(field.size or 0) for field in layer.fields if field is not None]
    strides = _joined([f"{stride:g}" for stride in _strides(layer)])
    field, text = ("×".join(map(str, axes)) for axes in (sizes, image))
    seen = f"{field} pixels of the {text} input"
    if len(image) != 2:
        seen = f"{field} position{'' if sizes == [1] else 's'} of {text}"
    return f"{seen}, with a stride of {strides}"


def _changes(layers: Sequence[LayerField]) -> list[LayerField]:
    """The modules without children whose field differs from their input's or the one before."""
    leaves = [layer for layer in layers if layer.children == 0]
    return [
        layer
        for index, layer in enumerate(leaves)
        if index == 0 or layer.changes or layer.fields != leaves[index - 1].fields
    ]


def _is_local(layer: LayerField) -> bool:
    return all(field is not None and field.size is not None for field in layer.fields)


def _last_at_each_stride(layers: Sequence[LayerField]) -> list[LayerField]:
    last = {_strides(layer): layer for layer in layers if _is_local(layer)}
    return list(last.values())[-DRAWN:]


def _strides(layer: LayerField) -> tuple[float, ...]:
    return tuple(field.stride for field in layer.fields if field is not None)


def _table(network: NetworkFields, shown: Sequence[LayerField]) -> Table:
    columns = (
        Column("name", "Layer", "name"),
        Column("kind", "Kind", "text", 4),
        Column("output_shape", "Output", "text", 3),
        Column("size", "Size", "exact"),
        Column("stride", "Stride", "exact", 1),
        Column("padding", "Padding", "exact", 2),
        Column("center", "Centre", "exact", 2),
    )
    rows = tuple(
        Row(
            (
                call_title(layer.name, layer.kind, layer.call),
                layer.kind,
                "×".join(map(str, layer.output_shape)),
                *_cells(layer.fields),
            )
        )
        for layer in shown
    )
    return Table(_title(network), columns, rows, _notes(network))


def _cells(fields: tuple[Field | None, ...]) -> tuple[str | None, ...]:
    """Size, stride, padding and centre, each once where all axes agree."""
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return (None,) * 4
    if all(field.size is None for field in known):
        return ("global", None, None, None)
    sizes = ["global" if field.size is None else _text(field.size) for field in known]
    rest = [
        [
            None if field.size is None else _text(value)
            for field, value in zip(known, values, strict=True)
        ]
        for values in (
            [field.stride for field in known],
            [field.padding for field in known],
            [field.center for field in known],
        )
    ]
    return (_joined(sizes), *(_joined([text or "–" for text in texts]) for texts in rest))


def _text(number: float | None) -> str:
    return f"{number:g}" if number is not None and abs(number) < 10**5 else str(number)


def _joined(texts: Sequence[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def _title(network: NetworkFields) -> str:
    name = network_title(network.model, network.keywords)
    return f"Receptive fields of {name} on {network.input}"


def _notes(network: NetworkFields) -> tuple[str, ...]:
    notes = [*network.notes, CONVENTION]
    local = [layer for layer in network.found.layers if _is_local(layer)]
    if local:
        largest = max(local, key=lambda layer: layer.fields[0].size or 0)  # type: ignore[union-attr]
        sizes = [_text(field.size) for field in largest.fields if field is not None]
        side = "×".join(map(str, network.found.image))
        notes.insert(
            0,
            f"The largest field that is not global is {'×'.join(sizes)} "
            f"({largest.name or largest.kind}), on an image of {side}.",
        )
    if network.found.unknown:
        names = ", ".join(network.found.unknown)
        notes.append(f"Unknown (–) after operators without a rule: {names}.")
    return tuple(notes)


def _plain_table(network: NetworkFields) -> Table:
    """Every module call with plain numbers; a global field has no size and is shown as such."""
    names = AXES[len(network.found.image)]
    facts = ("size", "stride", "padding", "center")
    columns = (
        Column("name", "Layer", "name"),
        Column("call", "Call", "exact"),
        Column("kind", "Kind"),
        Column("output_shape", "Output"),
        *(
            Column(f"{axis}_{fact}", f"{fact.capitalize()} ({axis})", "decimal")
            for axis in names
            for fact in facts
        ),
        *(Column(f"{axis}_global", f"Global ({axis})") for axis in names),
    )
    rows = tuple(
        Row(
            (
                layer.name,
                layer.call,
                layer.kind,
                "×".join(map(str, layer.output_shape)),
                *(
                    None if field is None or field.size is None else getattr(field, fact)
                    for field in layer.fields
                    for fact in facts
                ),
                *(None if field is None else field.size is None for field in layer.fields),
            )
        )
        for layer in network.found.layers
    )
    return Table(_title(network), columns, rows)


def _image_chart(network: NetworkFields, drawn: Sequence[LayerField]) -> Chart:
    """The field of the middle position of each layer, over the outline of the image."""
    height, width = network.found.image
    outline = Series("input image", (0, width, width, 0, 0), (0, 0, height, height, 0))
    frames: dict[tuple[object, ...], Series] = {}
    for frame in map(_rectangle, drawn):
        frames.setdefault((frame.x, frame.y), frame)
    return Chart(
        f"Receptive fields of {network.model} over its input",
        "line",
        Axis("width, pixels", "decimal"),
        Axis("height, pixels", "decimal", downwards=True),
        tuple(frames.values())[:DRAWN],
        lines=(outline,),
        notes=(
            "Each frame holds what the middle position of a layer depends on; of layers with the "
            "same frame the first is named.",
        ),
        to_scale=True,
        name="fields",
    )


def _rectangle(layer: LayerField) -> Series:
    sides = []
    for field, length in zip(layer.fields, layer.output_shape[-2:], strict=True):
        assert field is not None and field.size is not None and isinstance(length, int)
        start = (length - 1) // 2 * field.stride - field.padding
        sides.append((start, start + field.size))
    (top, bottom), (left, right) = sides
    return Series(
        f"{layer.name or layer.kind}",
        (left, right, right, left, left),
        (top, top, bottom, bottom, top),
    )
