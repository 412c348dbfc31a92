"""Whatever the user names → what each of its layers sees of the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import InputSpec

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis.calls import Arguments
    from archscope.analysis.receptive.fields import ReceptiveFields
    from archscope.ask.target import Target


@dataclass(frozen=True)
class NetworkFields:
    """The receptive fields of one network on one input."""

    model: str
    input: InputSpec
    found: ReceptiveFields
    keywords: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def receptive_fields(target: Target) -> NetworkFields:
    """Find what every layer of a network in evaluation mode sees of its input.

    Args:
        target: the network with its call.

    Raises:
        ArchscopeError: the network cannot be found, built, or run on this input, or its input has
            no height or width.
    """
    from archscope.analysis import borrow
    from archscope.analysis.receptive import fields
    from archscope.ask.network.runs import executed

    subject, call = target.called()

    def run(network: nn.Module, arguments: Arguments, on_meta: bool) -> ReceptiveFields:
        args, kwargs = arguments
        borrow.set_training(network, False)
        try:
            return fields.receptive_fields(network, args, kwargs, on_meta=on_meta)
        except fields.NoImageError as error:
            raise ArchscopeError(
                parameter("input", call.spec), str(error), "receptive fields need an image"
            ) from error

    found, _, notes = executed(subject, call, run)
    return NetworkFields(subject.name, call.spec, found, subject.keywords, (*subject.notes, *notes))
