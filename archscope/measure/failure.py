"""What fails while a network is measured, in one line that names the phase and the remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from archscope.errors import ArchscopeError, NetworkError, first_line
from archscope.measure.memory import is_out_of_memory, release
from archscope.parameters import parameter
from archscope.records import InputSpec


class OutOfMemoryError(ArchscopeError):
    """A step of this batch does not fit on the device."""


LONGEST_REASON = 90
"""Characters of an exception that a message quotes; `--debug` shows all of it."""

REMEDIES = {
    "training": f"check {parameter('input')}, or measure inference with {parameter('eval', True)}",
    "forward": f"check {parameter('input')}",
    "backward": f"measure inference with {parameter('eval', True)}",
    "optimizer": f"leave out the update with {parameter('optimizer', 'none')}",
    "inference": f"check {parameter('input')}",
}


@contextmanager
def failures(model: str, phase: str, input: InputSpec, device: torch.device) -> Iterator[None]:
    """Tell in one line what failed, in which phase of which network."""
    try:
        yield
    except NetworkError as error:
        raise error.named(model) from error
    except ArchscopeError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            release(device)
            raise OutOfMemoryError(
                f"batch {input.batch}",
                f"runs out of memory on {device} in {phase}",
                f"use a smaller {parameter('batch')} or ask {parameter('max_batch', True)}",
            ) from error
        reason = textwrap.shorten(first_line(error), LONGEST_REASON, placeholder=" …")
        problem = f"fails in {phase} ({type(error).__name__}: {reason})"
        raise ArchscopeError(model, problem, REMEDIES[phase]) from error
