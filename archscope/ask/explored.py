"""Whatever the user names → all that one page explores of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from archscope.ask import predict as time
from archscope.ask.count import analyse_both_passes
from archscope.ask.graph import NetworkGraph, network_graph
from archscope.ask.memory.prediction import predict
from archscope.ask.target import Target, network_target
from archscope.errors import ArchscopeError
from archscope.latency.setting import Setting
from archscope.records import Analysis, MemoryPrediction, Prediction, Profile
from archscope.saved.record import Saved

DEVICE = "RTX 4090"
"""Whose time a page predicts where nobody measured: one of those that the model was fitted on."""


@dataclass(frozen=True)
class Explored:
    """One network with everything that is known of it.

    Args:
        label: its name on the page.
        analysis: forward and, where it can, backward.
        profile: what was measured, when it was.
        memory: of a training step with plain SGD; `None` where it cannot be predicted.
        prediction: its time; of inference on `DEVICE` where none was asked for or measured.
        graph: how its tensors flow; `None` where they cannot be followed.
    """

    label: str
    analysis: Analysis
    profile: Profile | None = None
    memory: MemoryPrediction | None = None
    prediction: Prediction | None = None
    graph: NetworkGraph | None = None


def explored(
    target: Target | Saved,
    analysis: Analysis,
    *,
    label: str = "",
    profile: Profile | None = None,
    prediction: Prediction | None = None,
) -> Explored:
    """Add to a count what its page shows besides; what cannot be found is left out.

    Args:
        target: what was counted.
        analysis: the count at hand, which stands where no backward pass can be added.
        label: its name on the page; the network's when empty.
        profile: what was measured of it.
        prediction: its predicted time, where it was asked for.
    """
    name = label or analysis.model
    network = target
    if isinstance(network, Saved):
        try:
            network = network_target(network)
        except ArchscopeError:  # a record of a network that is nowhere to be found
            return Explored(name, analysis, profile, prediction=prediction)
    if not analysis.backward_traced and target is network:
        with suppress(ArchscopeError):
            analysis = _with_backward(network, analysis)
    memory = graph = None
    if not analysis.input.symbols:
        with suppress(ArchscopeError):  # what can be counted may still not be trained
            memory = predict(network)
        with suppress(ArchscopeError):
            graph = network_graph(network, analysis)
        if profile is None and prediction is None:
            with suppress(ArchscopeError):
                prediction = time.predict(network, DEVICE, Setting())
    return Explored(name, analysis, profile, memory, prediction, graph)


def _with_backward(target: Target, analysis: Analysis) -> Analysis:
    """The same count with its backward pass, where it counts the same forward pass."""
    both = analyse_both_passes(target)
    return both if both.total.macs == analysis.total.macs else analysis
