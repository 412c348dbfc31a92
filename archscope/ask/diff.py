"""What changed between two versions of a network, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.quantities import Difference, Quantity
from archscope.records import Analysis, Dim, Layer
from archscope.saved.record import saved
from archscope.wording import call_title, shape_text

if TYPE_CHECKING:
    from archscope.ask.target import Input, Model

Status = Literal["same", "renamed", "changed", "added", "removed"]

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

    def difference(self, quantity: Quantity) -> float:
        """New minus old of a quantity; an absent layer has nothing."""
        old, new = (
            quantity.of(() if layer is None else (layer,)) for layer in (self.old, self.new)
        )
        return Difference(new, old).amount

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
    old: Model, new: Model, *, input: Input | None = None, batch: Dim | None = None
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
    records = [saved(model) for model in (old, new)]
    named = None in records
    first, second = (
        record.count(batch)
        if named and record is not None
        else analyse(target(record or model, input=input, batch=batch))
        for model, record in zip((old, new), records, strict=True)
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
    """Match by the first identity, and what is between the matches by the next one."""
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
