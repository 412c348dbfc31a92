"""Functions in Python that run layers inside one event of autograd's, as reentrant checkpoints do.

`torch.utils.checkpoint` with `use_reentrant=True` is such a function: its event holds the block's
operators, and its node of the backward pass runs them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archscope.traces.events import Event
from archscope.traces.nesting import is_graph, is_node

CHECKPOINT = "CheckpointFunction"
"""Of PyTorch, and of the libraries that have their own."""


def is_function(event: Event) -> bool:
    """Whether it is the forward pass of a `torch.autograd.Function` written in Python."""
    if event.kind != "operator" or "::" in event.name or is_node(event) or is_graph(event):
        return False
    # Inside another checkpoint gradients are off, and nothing has a number.
    return event.sequence >= 0 or event.name == CHECKPOINT


def functions_around(event: Event) -> Iterator[Event]:
    """The functions that hold an event, the innermost first."""
    above = event.parent
    while above is not None:
        if is_function(above):
            yield above
        above = above.parent


def last_operators(host: Iterable[Event]) -> dict[Event, Event]:
    """The last operator that each function runs, which makes its result.

    Args:
        host: nested, by time.
    """
    found: dict[Event, Event] = {}
    for event in host:
        if event.kind == "operator" and "::" in event.name and not event.name.endswith("detach"):
            above = event.parent
            while above is not None and "::" not in above.name:
                if is_function(above):
                    found[above] = event
                above = above.parent
    return found


def in_python(host: Iterable[Event]) -> set[Event]:
    """Events around layers' operators, whose own time is that of Python between them."""
    found: set[Event] = set()
    for event in host:
        above = event.parent
        if event.name.startswith(CHECKPOINT):
            found.add(event)
        elif event.phase == "recompute" and above is not None and above.phase == "backward":
            found.add(above)
    return found
