"""One network on meta at any sizes: what the search for closed forms is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from archscope.ask.symbols.places import taken
from archscope.errors import first_line
from archscope.records import Cost, Coverage, Dim, Factor, InputSpec, Layer, Product, totals

if TYPE_CHECKING:
    from torch import nn

    from archscope.ask.network.subject import Subject


class TrialError(Exception):
    """The network did not run at some sizes.

    Args:
        place: the innermost module call, such as `fc1 (Linear)`.
        reason: the first line of what it raised.
        on_values: whether it failed only because meta tensors hold no values.
    """

    def __init__(self, place: str, reason: str, on_values: bool = False) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason
        self.on_values = on_values


@dataclass(frozen=True)
class Observation:
    """What one count says, as whole numbers in an order that is the same at every size.

    Args:
        structure: the number of all that must be equal at every size for one formula to hold:
            calls, ranks of shapes, products and the names of their factors.
        numbers: of each call what stands at its places; see `taken`.
        macs, activation_bytes: the totals, summed by the plain count.
    """

    structure: int
    numbers: tuple[int, ...]
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Trial:
    """Runs one network at sizes given for its symbols, each sizes once.

    Args:
        subject: the network as it was named.
        network: the same, with stand-ins for its tensors; see `archscope.analysis.borrow`.
        spec: its input, with symbols.
        train: whether it runs in training mode.
        gathered: whether equal products of a layer are one with their number, as in a recurrent
            layer, which runs the same ones at every step.
        seen: what it found, by input.
        structures: the number of each structure, in the order in which they came.
    """

    subject: Subject
    network: nn.Module
    spec: InputSpec
    train: bool = False
    gathered: bool = False
    seen: dict[InputSpec, Observation | TrialError] = field(default_factory=dict)
    structures: dict[object, int] = field(default_factory=dict)

    @property
    def in_steps(self) -> bool:
        """Whether a layer runs its input step by step, so that a run takes as long as that is."""
        from torch import nn

        return any(isinstance(module, nn.RNNBase) for module in self.network.modules())

    def of(self, spec: InputSpec) -> Trial:
        """The same network with another input."""
        return replace(self, spec=spec)

    def observe(self, values: Mapping[str, int]) -> Observation:
        """Count one forward pass with a number for each symbol.

        Raises:
            TrialError: the network fails.
        """
        numeric = at(self.spec, values)
        if numeric not in self.seen:
            try:
                layers = self.layers(values)
                total = totals(layers)
                self.seen[numeric] = Observation(
                    self.structures.setdefault(_structure(layers), len(self.structures)),
                    tuple(place.value for layer in layers for place in taken(layer)),
                    total.macs,
                    total.activation_bytes,
                )
            except TrialError as error:
                self.seen[numeric] = error
        found = self.seen[numeric]
        if isinstance(found, TrialError):
            raise found
        return found

    def works(self, values: Mapping[str, int]) -> bool:
        """Whether the network runs at these sizes."""
        try:
            self.observe(values)
        except TrialError:
            return False
        return True

    def layers(self, values: Mapping[str, int]) -> tuple[Layer, ...]:
        """Count one forward pass and keep every layer.

        Raises:
            TrialError: the network fails.
        """
        return self.count(values)[0]

    def count(self, values: Mapping[str, int]) -> tuple[tuple[Layer, ...], Coverage]:
        """Count one forward pass: every layer, and which operators have a formula.

        Raises:
            TrialError: the network fails.
        """
        from archscope.analysis import borrow, calls, dispatch, trace
        from archscope.ask.network.call import network_call
        from archscope.ask.network.failure import channels_refused, depends_on_values, place_of

        args, kwargs = network_call(self.subject, at(self.spec, values), None).on_meta()
        borrow.set_training(self.network, self.train)
        try:
            log, coverage = trace.run(self.network, args, kwargs, backward=False, on_meta=True)
        except Exception as error:
            reason = first_line(error)
            if "grad" in reason and not dispatch.run.gradients:  # it differentiates in `forward`
                with dispatch.asking_about(None, gradients=True):
                    return self.count(values)
            reason = channels_refused(error) or reason
            raise TrialError(place_of(error), reason, depends_on_values(error)) from error
        layers = calls.layers(log, False)
        return tuple(map(_gathered, layers)) if self.gathered else layers, coverage


def at(spec: InputSpec, values: Mapping[str, Dim]) -> InputSpec:
    """The same input with numbers (or other symbols) for the symbols named in `values`."""
    tensors = tuple(
        replace(
            tensor,
            shape=tuple(values.get(s, s) if isinstance(s, str) else s for s in tensor.shape),
        )
        for tensor in spec.tensors
    )
    return InputSpec(tensors, spec.layout)


def _gathered(layer: Layer) -> Layer:
    """The layer with equal products as one, in the order in which they came first."""
    products = tuple(
        Product((Factor("times", number), *item.factors), item.role)
        for item, number in Counter(layer.forward.cost.products).items()
    )
    return replace(layer, forward=replace(layer.forward, cost=Cost(products)))


def _structure(layers: Sequence[Layer]) -> tuple[object, ...]:
    return tuple(
        (
            layer.name,
            layer.call,
            tuple(map(len, layer.input_shapes)),
            tuple(map(len, layer.output_shapes)),
            tuple(
                (product.role, tuple(factor.name for factor in product.factors))
                for product in layer.forward.cost.products
            ),
        )
        for layer in layers
    )
