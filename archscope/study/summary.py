"""Analysis → the layer tree with its totals, and the flat rows for frames and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from math import floor, log10

from archscope import quantities
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.quantities import LOWER_BOUNDS, Quantity
from archscope.records import Analysis, Layer, Shape, Totals, totals
from archscope.study.icicle import icicle
from archscope.study.tree import Group, grouped
from archscope.table import Cell, Column, Report, Row, RowKind, Table
from archscope.units import percent, si
from archscope.wording import (
    CONVENTION,
    OWN_WORK,
    call_title,
    coverage_note,
    network_title,
    shape_text,
)

COMFORTABLE_ROWS = 60
"""Without `--depth`, the tree goes as deep as it can in this many rows."""

CHECKED_BY_HAND = 10_000_000
"""Below this many MACs a network is one whose every number somebody checks: all digits show."""


@dataclass(frozen=True)
class _Reading:
    """A column and how its cell is read from one layer and the totals of its rows."""

    column: Column
    read: Callable[[Layer, Totals, Totals], Cell]


def _shapes_text(shapes: Sequence[Shape]) -> str | None:
    return ", ".join(filter(None, map(shape_text, shapes))) or None


def _sides_text(sides: object) -> str | None:
    """A kernel as `3×3`."""
    if sides is None:
        return None
    return "×".join(map(str, sides)) if isinstance(sides, tuple) else str(sides)


def field_text(field: tuple[int | None, ...] | None) -> str | None:
    """Write a receptive field as `427`, `427×211` or `global`; `None` stays unknown."""
    if field is None:
        return None
    sides = ["global" if side is None else str(side) for side in field]
    return sides[0] if len(set(sides)) == 1 else "×".join(sides)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _counted(quantity: Quantity, priority: int = 0) -> _Reading:
    """The column of a quantity that the totals hold."""
    assert quantity.read is not None
    read = quantity.read
    return _Reading(quantity.column(priority), lambda layer, t, w: read(t))


COLUMNS: dict[str, _Reading] = {
    reading.column.key: reading
    for reading in (
        _Reading(Column("kind", "Kind", "text", 3), lambda layer, t, w: layer.kind),
        _Reading(
            Column("input_shape", "Input", "text", 8),
            lambda layer, t, w: _shapes_text(layer.input_shapes),
        ),
        _Reading(
            Column("output_shape", "Output", "text", 2),
            lambda layer, t, w: _shapes_text(layer.output_shapes),
        ),
        _counted(quantities.PARAMS),
        _counted(quantities.PARAM_BYTES, 9),
        _counted(quantities.TRAINABLE, 1),
        _Reading(
            Column("shared_params", "Shared", "exact", 9),
            lambda layer, t, w: layer.shared_params,
        ),
        _counted(quantities.BUFFERS, 9),
        _counted(quantities.MACS),
        _Reading(
            Column("macs_share", "Share", "percent", 4), lambda layer, t, w: _share(t.macs, w.macs)
        ),
        _Reading(Column("bar", "of MACs", "bar", 4), lambda layer, t, w: _share(t.macs, w.macs)),
        _Reading(Column("flops", "FLOPs", "macs", 9), lambda layer, t, w: 2 * t.macs),
        _Reading(
            Column("kernel_size", "Kernel", "text", 9),
            lambda layer, t, w: _sides_text(layer.setting("kernel_size")),
        ),
        _counted(quantities.MACS_BACKWARD, 1),
        _counted(quantities.ELEMENTWISE, 6),
        _counted(quantities.BYTES_READ, 9),
        _counted(quantities.BYTES_WRITTEN, 9),
        _counted(quantities.BYTES_MOVED, 9),
        _counted(quantities.INTENSITY, 9),
        _counted(quantities.ACTIVATIONS, 5),
        _Reading(
            Column("receptive_field", "Receptive field", "text", 4),
            lambda layer, t, w: field_text(layer.receptive_field),
        ),
    )
}

USUAL = ("kind", "output_shape", "params", "macs", "bar", "elementwise", "activation_bytes")
SORTABLE = ("execution", "name", *(key for key in COLUMNS if COLUMNS[key].column.numeric))


def summary_report(
    analysis: Analysis,
    *,
    depth: int | None = None,
    unfold: bool = False,
    columns: Sequence[str] | None = None,
    sort: str = "execution",
    top: int | None = None,
    unfrozen: Analysis | None = None,
) -> Report:
    """The report of `archscope summary`: a tree, or sorted layers, with the record behind it.

    Args:
        analysis: what was counted.
        depth: levels of the tree; as many as read comfortably when `None`.
        unfold: show each of several equal blocks instead of one with `×N`.
        columns: keys of `COLUMNS`; the usual ones when `None`.
        sort: a key of `SORTABLE`; other than `execution` lists single layers, largest first.
        top: how many of the sorted layers; all when `None`.
        unfrozen: the same network with every layer trained, where some are frozen.

    Raises:
        ArchscopeError: an unknown column or sort key.
    """
    readings = [_reading(key, analysis) for key in columns or _shown(analysis, sort)]
    readings = [_always(each) if each.column.key == sort else each for each in readings]
    if sort not in SORTABLE:
        raise ArchscopeError(parameter("sort", sort), "unknown order", _one_of(sort, SORTABLE))
    if top is not None and sort == "execution":
        remedy = f"add {parameter('sort', 'macs')}"
        raise ArchscopeError(parameter("top"), "takes the first of sorted layers", remedy)
    if sort == "execution":
        table = _tree_table(analysis, readings, depth, unfold)
    else:
        table = _sorted_table(analysis, readings, sort, top)
    return Report(
        f"{analysis.model}",
        (table,),
        record=analysis,
        data=layers_table(analysis),
        drawing=partial(icicle, analysis),
        answer=_answer(analysis, unfrozen),
    )


def _answer(analysis: Analysis, unfrozen: Analysis | None) -> str:
    """What the network costs, and what freezing layers saves."""
    total, name = analysis.total, network_title(analysis.model, analysis.keywords)
    least = "" if analysis.coverage.complete else "at least "
    amount = "{:,}".format if total.macs < CHECKED_BY_HAND else si
    cost = (
        f"{name} has {total.params:,} parameters and takes {least}{amount(total.macs)} MACs "
        f"({least}{amount(2 * total.macs)} FLOPs)"
    )
    if unfrozen is None:
        return f"{cost} on {analysis.input}."
    frozen, free = total.macs_backward or 0, unfrozen.total.macs_backward or 0
    step = total.macs + free
    saved = f": a step is {percent((free - frozen) / step, digits=0)} cheaper" if step else ""
    trained = _first_digit(total.trainable_params / total.params)
    return (
        f"{total.trainable_params:,} of {total.params:,} parameters ({trained}) are trained; "
        "the backward pass takes "
        f"{amount(frozen)} MACs instead of {amount(free)}{saved}."
    )


def _first_digit(fraction: float) -> str:
    """A share with one decimal, or as many more as the first digit that is not zero needs."""
    digits = 1 if fraction == 0 else max(1, -floor(log10(100 * fraction)))
    return percent(fraction, digits)


def _one_of(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown word: the nearest that is known, or all of them."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"


def _reading(key: str, analysis: Analysis) -> _Reading:
    if key not in COLUMNS:
        raise ArchscopeError(parameter("columns", key), "unknown column", _one_of(key, COLUMNS))
    reading = COLUMNS[key]
    if reading.column.unit in ("macs", "count") and analysis.total.macs < CHECKED_BY_HAND:
        return replace(reading, column=replace(reading.column, unit="exact"))
    return reading


def _usual(analysis: Analysis) -> list[str]:
    keys = list(USUAL)
    if analysis.backward_traced:
        keys.insert(keys.index("macs") + 1, "macs_backward")
    if analysis.total.trainable_params != analysis.total.params:
        keys.insert(keys.index("params") + 1, "trainable_params")
    return keys


# The tree


def _tree_table(
    analysis: Analysis, readings: Sequence[_Reading], depth: int | None, unfold: bool
) -> Table:
    forest = grouped(analysis, unfold)
    deepest = max((_height(group) for group in forest), default=0)
    if depth is None:
        depth = deepest if unfold else _comfortable_depth(forest, deepest)
    whole = analysis.total
    rows = [row for group in forest for row in _rows(group, readings, whole, depth, 0)]
    rows.append(_total_row(analysis, readings))
    notes = [*_notes(analysis)]
    if depth < deepest:
        notes.insert(0, f"Depth {depth} of {deepest}; {parameter('depth', deepest)} shows more.")
    if any(row.times > 1 for row in rows):
        notes.insert(0, SUMS_NOTE)
    columns = (Column("name", "Layer", "name"), *(reading.column for reading in readings))
    return Table(_title(analysis), columns, tuple(rows), tuple(notes), parameter("columns"))


SUMS_NOTE = "×N: N equal blocks; every number of their rows is the sum over all of them."


def _height(group: Group) -> int:
    return 1 + max((_height(child) for child in group.children), default=-1)


def _comfortable_depth(forest: tuple[Group, ...], deepest: int) -> int:
    """The deepest level at which all rows down to it still fit, at least 1."""
    level: list[Group] = list(forest)
    seen = len(level)
    for depth in range(1, deepest + 1):
        level = [child for group in level for child in group.children]
        seen += len(level)
        if seen > COMFORTABLE_ROWS:
            return max(1, depth - 1)
    return deepest


def _rows(
    group: Group, readings: Sequence[_Reading], whole: Totals, depth: int, level: int,
    around: int = 1,
) -> Iterable[Row]:  # fmt: skip
    """The row of a group and those below it; `around` equal ones are summed in each."""
    times = around * group.times
    opened = bool(group.children) and level < depth
    kind: RowKind = "group" if opened else "row"
    own = group.total
    cells = [reading.read(group.layer, own, whole) for reading in readings]
    bound = LOWER_BOUNDS if group.unknown else frozenset()
    if group.label == OWN_WORK:
        hidden = {"kind", "input_shape", "output_shape", "receptive_field"}
        cells = [
            None if reading.column.key in hidden else cell
            for reading, cell in zip(readings, cells, strict=True)
        ]
    yield Row((group.label, *cells), kind, level, bound, times=times)
    if opened:
        for child in group.children:
            yield from _rows(child, readings, whole, depth, level + 1, times)


def _total_row(analysis: Analysis, readings: Sequence[_Reading]) -> Row:
    whole = analysis.total
    blank = Layer("", "")
    bound = frozenset() if analysis.coverage.complete else LOWER_BOUNDS
    cells = [reading.read(blank, whole, whole) for reading in readings]
    cells = [
        None if reading.column.key in ("kind", "bar") else cell
        for reading, cell in zip(readings, cells, strict=True)
    ]
    return Row(("Total", *cells), "total", 0, bound)


def _shown(analysis: Analysis, sort: str) -> list[str]:
    """The usual columns, and the one that the layers are sorted by."""
    usual = _usual(analysis)
    return usual if sort in usual or sort not in COLUMNS else [*usual, sort]


def _always(reading: _Reading) -> _Reading:
    """The same column, which no narrow terminal leaves out."""
    return replace(reading, column=replace(reading.column, priority=0))


def _sorted_table(
    analysis: Analysis, readings: Sequence[_Reading], sort: str, top: int | None
) -> Table:
    whole = analysis.total

    def size(layer: Layer) -> tuple[float, str]:
        if sort == "name":
            return 0, layer.name
        value = COLUMNS[sort].read(layer, totals((layer,)), whole)
        return -float(value or 0), ""

    rows = [
        Row((_full_name(layer), *_cells(layer, readings, whole)))
        for layer in sorted(analysis.layers, key=size)[:top]
    ]
    columns = (Column("name", "Layer", "name"), *(reading.column for reading in readings))
    return Table(
        _title(analysis),
        columns,
        (*rows, _total_row(analysis, readings)),
        (*_rest(len(analysis.layers) - len(rows)), *_notes(analysis)),
        parameter("columns"),
    )


def _rest(layers: int) -> list[str]:
    return (
        [f"{layers:,} more layers are not listed; the total holds all of them."] if layers else []
    )


def _cells(layer: Layer, readings: Sequence[_Reading], whole: Totals) -> list[Cell]:
    """One layer by itself."""
    own = totals((layer,))
    return [reading.read(layer, own, whole) for reading in readings]


def _full_name(layer: Layer) -> str:
    name = call_title(layer.name, layer.kind, layer.call)
    return name if layer.called else f"{name} (not called)"


def layers_table(analysis: Analysis) -> Table:
    """Every layer under its full name with every column, for CSV and frames."""
    left_out = {"bar", "macs_share", "flops"}
    if all(layer.receptive_field is None for layer in analysis.layers):
        left_out.add("receptive_field")
    readings = [reading for key, reading in COLUMNS.items() if key not in left_out]
    whole = analysis.total
    columns = (
        Column("name", "Layer", "name"),
        Column("call", "Call", "exact"),
        *(reading.column for reading in readings),
    )
    rows = tuple(
        Row((layer.name, layer.call, *_cells(layer, readings, whole))) for layer in analysis.layers
    )
    return Table(_title(analysis), columns, rows)


# What stands around the rows


def _title(analysis: Analysis) -> str:
    return f"{network_title(analysis.model, analysis.keywords)} on {analysis.input}"


def _notes(analysis: Analysis) -> tuple[str, ...]:
    return (*analysis.notes, CONVENTION, coverage_note(analysis))
