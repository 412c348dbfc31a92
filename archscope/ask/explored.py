"""Whatever the user names → all that one page explores of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from archscope.ask.count import analyse_both_passes
from archscope.ask.memory import predict
from archscope.ask.target import recalled
from archscope.errors import ArchscopeError
from archscope.records import Analysis, MemoryPrediction, Profile
from archscope.saved.record import saved


@dataclass(frozen=True)
class Explored:
    """One network with everything that is known of it.

    Args:
        label: its name on the page.
        analysis: forward and, where it can, backward.
        profile: what was measured, when it was.
        memory: of a training step with plain SGD; `None` where it cannot be predicted.
    """

    label: str
    analysis: Analysis
    profile: Profile | None = None
    memory: MemoryPrediction | None = None


def explored(
    model: Any,
    analysis: Analysis,
    *,
    label: str = "",
    profile: Profile | None = None,
    input: Any = None,
    batch: Any = None,
    keywords: Mapping[str, Any] | None = None,
) -> Explored:
    """Add to a count what its page shows besides; what cannot be found is left out.

    Args:
        model: what was counted: as for `analyse`, or a saved record.
        analysis: the count at hand, which stands where no backward pass can be added.
        label: its name on the page; the network's when empty.
        profile: what was measured of it.
        input: as given for the count.
        batch: as given for the count.
        keywords: as given for the count.
    """
    name = label or analysis.model
    asked: dict[str, Any] = {"input": input, "batch": batch, "keywords": keywords}
    if saved(model) is not None:
        try:
            question = recalled(model, {})
        except ArchscopeError:  # a record of a network that is nowhere to be found
            return Explored(name, analysis, profile)
        model = question.model
        asked = {"input": question.input, "batch": question.batch, "keywords": question.keywords}
    if not analysis.backward_traced and saved(model) is None:
        with suppress(ArchscopeError):
            analysis = _with_backward(model, analysis, asked)
    memory = None
    if not analysis.input.symbols:
        with suppress(ArchscopeError):  # what can be counted may still not be trained
            memory = predict(model, **asked)
    return Explored(name, analysis, profile, memory)


def _with_backward(model: Any, analysis: Analysis, asked: Mapping[str, Any]) -> Analysis:
    """The same count with its backward pass, where it counts the same forward pass."""
    both = analyse_both_passes(model, **asked)
    return both if both.total.macs == analysis.total.macs else analysis
