"""What TorchScript changes in a trace: normalisation that it folds into convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.traces.events import Event
from archscope.traces.families import family
from archscope.traces.network import NetworkOperator

METHOD = "forward"
"""Event around the operators of a scripted network; it bears the name of its method."""

FOLDED = "batch norm"


def folds_normalisation(forward: Sequence[Event], network: Sequence[NetworkOperator]) -> bool:
    """Whether a scripted network was frozen: `torch.jit.freeze` leaves no batch normalisation.

    Args:
        forward: operators of the trace.
        network: all its operators.
    """
    return (
        any(family(operator.name) == FOLDED for operator in network)
        and not any(family(event.name) == FOLDED for event in forward)
        and any(_is_scripted(event) for event in forward)
    )


def without_normalisation(network: Sequence[NetworkOperator]) -> list[NetworkOperator]:
    """The operators that a frozen network still runs."""
    return [operator for operator in network if family(operator.name) != FOLDED]


def _is_scripted(event: Event) -> bool:
    above = event.parent
    while above is not None and above.name != METHOD:
        above = above.parent
    return above is not None
