"""Whatever the user names → what each of its layers sees of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.records import InputSpec

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis.borrow import StandIn
    from archscope.analysis.calls import Arguments
    from archscope.analysis.receptive.fields import ReceptiveFields


@dataclass(frozen=True)
class NetworkFields:
    """The receptive fields of one network on one input."""

    model: str
    input: InputSpec
    found: ReceptiveFields
    keywords: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def receptive_fields(
    model: Any, *, input: Any = None, keywords: Mapping[str, Any] | None = None
) -> NetworkFields:
    """Find what every layer of a network in evaluation mode sees of its input.

    Args:
        model: as for `analyse`: a name, an `nn.Module`, or what makes one.
        input: a specification, or tensors; the network's default when `None`.
        keywords: passed to the constructor.

    Raises:
        ArchscopeError: the model cannot be found, built, or run on this input, or its input has
            no height or width.
    """
    from archscope.analysis import borrow
    from archscope.analysis.receptive import fields
    from archscope.ask.network.call import network_call
    from archscope.ask.network.runs import executed
    from archscope.ask.network.subject import find

    subject = find(model, keywords or {})
    call = network_call(subject, input, None)

    def run(module: nn.Module, arguments: Arguments, stand_in: StandIn) -> ReceptiveFields:
        args, kwargs = arguments
        with borrow.borrowed(module, stand_in) as network:
            network.eval()
            on_meta = stand_in is borrow.weightless
            try:
                return fields.receptive_fields(network, args, kwargs, on_meta=on_meta)
            except fields.NoImageError as error:
                raise ArchscopeError(
                    f"--input {call.spec}", str(error), "receptive fields need an image"
                ) from error

    found, _, notes = executed(subject, call, run)
    return NetworkFields(subject.name, call.spec, found, subject.keywords, (*subject.notes, *notes))
