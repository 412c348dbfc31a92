"""What a user passes as the input of a network, read before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Dim, InputSpec, TensorSpec
from archscope.resolve.inputs import parse_input


@dataclass(frozen=True)
class Tensors:
    """Tensors to call a network with, nested as its `forward` takes them."""

    positional: tuple[object, ...] = ()
    named: Mapping[str, object] = field(default_factory=dict)


def read_input(given: object, batch: Dim | None) -> InputSpec | Tensors | None:
    """Read a specification, a shape, a tensor, a tuple of arguments or a dictionary of keywords.

    Args:
        given: as the user wrote it; `None` stands for the network's default.
        batch: size of the batch dimension of a specification, 1 when `None`.

    Raises:
        ArchscopeError: a specification is malformed, or a batch is given beside tensors.
    """
    if given is None or isinstance(given, InputSpec):
        return given
    if isinstance(given, str):
        return parse_input(given, 1 if batch is None else batch)
    require_no_batch(batch)
    shapes = _shapes(given)
    if shapes:
        return InputSpec(tuple(TensorSpec(shape) for shape in shapes))
    if isinstance(given, Mapping):
        return Tensors(named=dict(given))
    return Tensors(given if isinstance(given, tuple) else (given,))


def _shapes(given: object) -> list[tuple[int, ...]]:
    """The shapes of a tuple that holds numbers alone, or of several of them; else none.

    As torchinfo takes them: `(1, 3, 224, 224)`, with the batch.
    """
    if not isinstance(given, (tuple, list)) or not given:
        return []
    parts = given if isinstance(given[0], (tuple, list)) else [given]
    whole = all(
        isinstance(part, (tuple, list))
        and len(part) > 0
        and all(isinstance(side, int) and not isinstance(side, bool) for side in part)
        for part in parts
    )
    return [tuple(part) for part in parts] if whole else []


def require_no_batch(batch: Dim | None) -> None:
    """Refuse a batch size beside tensors, which have one already.

    Raises:
        ArchscopeError: it is not `None`.
    """
    if batch is not None:
        raise ArchscopeError(
            parameter("batch"), "goes with a specification", "give tensors of that batch"
        )
