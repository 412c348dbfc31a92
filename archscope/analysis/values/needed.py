"""What is raised where a run asks for the value of a tensor of which only the shape is known."""

from __future__ import annotations

NEEDS_VALUES = "needs the values of tensors"


class ValueNeeded(BaseException):
    """Stops the run at the place where it asks.

    No `Exception`, so that a network which catches errors of its own does not take it for one.
    """


class NoValueError(Exception):
    """The run asked for a value that is not known."""
