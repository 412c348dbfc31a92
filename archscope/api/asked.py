"""Which network a function is asked about, where a saved record may stand beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archscope.ask.target import Target, network_target
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from archscope.ask.network.subject import Source
    from archscope.ask.target import Model


def asked(network: Model | None, model: Source | None, **question: Any) -> Target:
    """The network that is asked about: `model` beside the record `network`, or one of them alone.

    Args:
        network: what was given first: a network, or a saved record.
        model: the network of that record.
        question: input, batch and keywords, as for `network_target`.

    Raises:
        ArchscopeError: neither is given, or `model` is given beside what is not a record.
    """
    if network is not None:
        return network_target(network, **question, beside=model)
    if model is None:
        raise ArchscopeError("model", "is missing", "give a network, or its name")
    return network_target(model, **question)
