"""What changed between two versions of a network, layer by layer, told like a code review."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

from archscope.records import Analysis, Dim, Layer
from archscope.study import lower_bound
from archscope.study.analyse import analyse
from archscope.study.recall import Saved, saved
from archscope.study.summary import shape_text
from archscope.study.titles import call_title, network_title
from archscope.table import Cell, Column, Report, Row, Table, Unit

Status = Literal["same", "renamed", "changed", "added", "removed"]

SIGNS: dict[Status, str] = {
    "same": " ",
    "renamed": "→",
    "changed": "~",
    "added": "+",
    "removed": "-",
}

IGNORED_SETTINGS = ("inplace",)
"""Constructor facts that change no number."""

CONSEQUENCES = ("parameters", "trainable", "MACs")
"""Facts that a table shows as numbers, and that follow from the others where those changed."""


@dataclass(frozen=True)
class Change:
    """One layer in both versions, or in one of them.

    Args:
        old: `None` for a layer that is new.
        new: `None` for a layer that is gone.
    """

    old: Layer | None
    new: Layer | None

    @property
    def status(self) -> Status:
        if self.old is None:
            return "added"
        if self.new is None:
            return "removed"
        if _facts(self.old) != _facts(self.new):
            return "changed"
        return "same" if _name(self.old) == _name(self.new) else "renamed"

    @property
    def name(self) -> str:
        """`old → new` where the two differ."""
        names = [_name(layer) for layer in (self.old, self.new) if layer is not None]
        return " → ".join(dict.fromkeys(names))

    def difference(self, read: Callable[[Layer], int]) -> int:
        """New minus old of a quantity; an absent layer has nothing."""
        old, new = (0 if layer is None else read(layer) for layer in (self.old, self.new))
        return new - old

    @property
    def sentence(self) -> str:
        """What changed in it, fact by fact."""
        if self.old is None or self.new is None:
            return _described(self.old or self.new)
        old, new = _facts(self.old), _facts(self.new)
        changed = self._changed_facts()
        causes = [key for key in changed if key not in CONSEQUENCES] or changed
        return "; ".join(f"{key} {_value(old, key)} → {_value(new, key)}" for key in causes)

    @property
    def follows(self) -> bool:
        """Whether a layer without parameters or MACs only has the shapes that it is given."""
        changed = set(self._changed_facts())
        costs = any(layer.params or layer.macs for layer in (self.old, self.new) if layer)
        return bool(changed) and not costs and changed <= {"input", "output"}

    def _changed_facts(self) -> list[str]:
        if self.old is None or self.new is None:
            return []
        old, new = _facts(self.old), _facts(self.new)
        return [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]


def counted(
    old: str, new: str, *, input: str | None = None, batch: Dim | None = None
) -> tuple[Analysis, Analysis]:
    """Count what is named, and read what is saved.

    Args:
        old: a name, or the path of a saved record.
        new: the same.
        input: as for `analyse`, for what is named.
        batch: as for `analyse`, for what is named; of a saved file with several it chooses one.

    Raises:
        ArchscopeError: one cannot be counted or read; both are saved on another input.
    """
    pair = [saved(model) or model for model in (old, new)]
    named = any(isinstance(side, str) for side in pair)
    first, second = (
        side.count(batch)
        if named and isinstance(side, Saved)
        else analyse(side, input=input, batch=batch)
        for side in pair
    )
    return first, second


def changes(old: Analysis, new: Analysis) -> tuple[Change, ...]:
    """Align two networks and tell what became of each layer, in the order of the new one.

    Layers of the same name and facts meet first; between those, layers with the same facts in the
    same order are the same layer renamed, then those of one name are one layer changed, then
    those of one kind in the same order.
    """
    return tuple(_aligned(list(old.layers), list(new.layers), _IDENTITIES))


_IDENTITIES: tuple[Callable[[Layer], Hashable], ...] = (
    lambda layer: (_place(layer), tuple(_facts(layer).items())),
    lambda layer: tuple(_facts(layer).items()),
    lambda layer: _place(layer),
    lambda layer: layer.kind,
)


def _aligned(
    old: Sequence[Layer], new: Sequence[Layer], identities: Sequence[Callable[[Layer], Hashable]]
) -> Iterator[Change]:
    """Match by the first identity, and what lies between the matches by the next one."""
    if not (old and new and identities):
        yield from (Change(layer, None) for layer in old)
        yield from (Change(None, layer) for layer in new)
        return
    identity, *others = identities
    matcher = SequenceMatcher(None, [*map(identity, old)], [*map(identity, new)], autojunk=False)
    at_old = at_new = 0
    for block in matcher.get_matching_blocks():  # the last one is empty and ends both
        yield from _aligned(old[at_old : block.a], new[at_new : block.b], others)
        at_old, at_new = block.a + block.size, block.b + block.size
        pairs = zip(old[block.a : at_old], new[block.b : at_new], strict=True)
        yield from (Change(first, second) for first, second in pairs)


def _name(layer: Layer) -> str:
    return call_title(layer.name, layer.kind, layer.call)


def _place(layer: Layer) -> tuple[str, int]:
    """Where a layer is; the network itself is at the same place whatever its class is called."""
    return layer.name, layer.call


def _facts(layer: Layer) -> dict[str, Hashable]:
    """Everything about a layer that a reviewer wants to hear of."""
    network = not layer.name and layer.children > 0  # its class is its name
    facts: dict[str, Hashable] = {} if network else {"kind": layer.kind}
    facts |= {key: value for key, value in layer.settings if key not in IGNORED_SETTINGS}
    return facts | {
        "input": layer.input_shapes,
        "output": layer.output_shapes,
        "parameters": layer.params,
        "trainable": layer.trainable_params,
        "MACs": layer.macs,
    }


def _value(facts: dict[str, Hashable], key: str) -> str:
    value = facts.get(key)
    if value is None:
        return "none"
    if key in ("input", "output"):
        return ", ".join(str(shape_text(shape)) for shape in value) or "none"  # type: ignore[attr-defined]
    if key in ("parameters", "trainable", "MACs"):
        return f"{value:,}"
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _described(layer: Layer | None) -> str:
    assert layer is not None  # one of the two versions has it
    shapes = [shape_text(shape) or "none" for shape in (layer.input_shape, layer.output_shape)]
    return f"{layer.kind}, {' → '.join(shapes)}"


# Tables

TOTALS = (
    Column("quantity", "", "text"),
    Column("old", "Old", "decimal"),
    Column("new", "New", "decimal"),
    Column("difference", "Change", "decimal"),
    Column("relative", "", "percent"),
)

CHANGES = (
    Column("sign", "", "text"),
    Column("layer", "Layer", "name"),
    Column("what", "What changed", "text"),
    Column("params", "Params", "exact"),
    Column("macs", "MACs", "macs"),
)

QUANTITIES: tuple[tuple[str, str, Unit], ...] = (
    ("Parameters", "params", "exact"),
    ("MACs forward", "macs", "exact"),
    ("MACs backward", "macs_backward", "exact"),
    ("Elementwise", "elementwise", "exact"),
    ("Activations", "activation_bytes", "bytes"),
    ("Layers", "", "exact"),
)


def diff_report(old: Analysis, new: Analysis) -> Report:
    """The report of `archscope diff`: totals, then what changed, equal layers left out."""
    found = changes(old, new)
    title = " → ".join(network_title(side.model, side.keywords) for side in (old, new))
    notes = ["+ new, - gone, ~ changed, → renamed only (same facts in the same order)."]
    if old.input != new.input:
        notes.append(f"Counted on different inputs: {old.input} and {new.input}.")
    told = [change for change in found if not change.follows]
    runs = [list(run) for _, run in groupby(told, _fold)]
    rows = [row for run in runs for row in _rows(run)]
    if len(told) < len(found):
        notes.append(
            f"Left out: layers without parameters that only follow the shapes around them "
            f"({len(found) - len(told)}); -o diff.csv lists every layer."
        )
    notes.append(_kept(found, len(new.layers)))
    tables = (_totals(old, new, title), Table("Layers", CHANGES, tuple(rows), tuple(notes)))
    return Report(title, tables if rows else tables[:1], data=_data(found))


def _kept(found: Sequence[Change], layers: int) -> str:
    """How many layers are what they were, under their old name or another."""
    renamed = sum(change.status == "renamed" for change in found)
    same = sum(change.status == "same" for change in found) + renamed
    names = f", {renamed} of them under another name" if renamed else ""
    return f"{same} of {layers} layers are as they were{names}."


def _totals(old: Analysis, new: Analysis, title: str) -> Table:
    rows = []
    sides = (("old", old), ("new", new))
    gaps = {key: gap for key, a in sides if (gap := lower_bound.gap(a.coverage))}
    for name, key, unit in QUANTITIES:
        values = [getattr(a.total, key) if key else len(a.layers) for a in (old, new)]
        before, after = values
        if before is None or after is None:
            continue
        relative = (after - before) / before if before else None
        bounds = gaps.keys() if key in lower_bound.BOUNDED else ()
        cells = (name, before, after, after - before, relative)
        rows.append(Row(cells, unit=unit, lower_bound=frozenset(bounds)))
    total = "counted total" if gaps else "total"
    notes = [] if any(row.cells[3] for row in rows) else [f"No {total} changed."]
    if gaps:
        notes += [lower_bound.note(gap) for gap in dict.fromkeys(gaps.values())]
        notes.append("Changes beside a lower bound are those of what is counted.")
    return Table(title, TOTALS, tuple(rows), tuple(notes))


def _fold(change: Change) -> tuple[Status, str]:
    """Neighbours that share this are told in one row: whole blocks come, go and move."""
    if change.status == "changed":
        return change.status, change.name
    return change.status, ""


def _rows(run: Sequence[Change]) -> Iterator[Row]:
    """One row for a run of neighbours with the same fate."""
    first, last = run[0], run[-1]
    if first.status == "same":
        return
    differences: list[Cell] = [
        sum(change.difference(read) for change in run)
        for read in (lambda layer: layer.params, lambda layer: layer.macs)
    ]
    if len(run) == 1:
        yield Row((SIGNS[first.status], first.name, first.sentence, *differences))
        return
    sides = [
        f"{_name(a)} … {_name(b)}"
        for a, b in ((first.old, last.old), (first.new, last.new))
        if a is not None and b is not None
    ]
    what = f"{len(run)} layers"
    yield Row((SIGNS[first.status], " → ".join(sides), what, *differences))


DATA = (
    Column("status", "Status", "text"),
    Column("old", "Old", "name"),
    Column("new", "New", "name"),
    Column("what", "What changed", "text"),
    Column("params", "Params", "exact"),
    Column("macs", "MACs", "exact"),
)


def _data(found: Sequence[Change]) -> Table:
    rows = tuple(
        Row(
            (
                change.status,
                None if change.old is None else _name(change.old),
                None if change.new is None else _name(change.new),
                change.sentence,
                change.difference(lambda layer: layer.params),
                change.difference(lambda layer: layer.macs),
            )
        )
        for change in found
    )
    return Table("Layers", DATA, rows)
