"""Costs as closed forms in the batch, height and width that are left free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archscope.analysis.closed_form import fitting
from archscope.analysis.closed_form.polynomial import Polynomial, product, total
from archscope.ask.symbols import domains as symbols_of
from archscope.ask.symbols.domains import Domain, Fixed, Limits
from archscope.ask.symbols.places import filled, taken
from archscope.ask.symbols.trial import Trial, TrialError, at
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Coverage, Dim, InputSpec, Layer

if TYPE_CHECKING:
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target


UNKNOWN_SIDE = "?"


@dataclass(frozen=True)
class LayerForm:
    """One module call with its costs as closed forms.

    Args:
        layer: with symbols in its shapes; counts are those at the usual sizes.
        macs: forward multiply-accumulates.
        activation_bytes: bytes of the tensors that it creates, `None` where no form was found.
    """

    layer: Layer
    macs: Polynomial
    activation_bytes: Polynomial | None


@dataclass(frozen=True)
class Verified:
    """A plain count that the formula was held against.

    Args:
        values: of the symbols.
        macs: forward multiply-accumulates.
        activation_bytes: `None` where they have no closed form.
    """

    values: Mapping[str, int]
    macs: int
    activation_bytes: int | None


@dataclass(frozen=True)
class Formula:
    """What a network costs, in symbols.

    Args:
        model: the name it was asked for by.
        input: with the symbols that stay free.
        layers: every module call in execution order.
        domains: of each free symbol, with the usual value.
        fixed: symbols that the network itself fixes, left out of `input`.
        limits: where the MACs hold.
        activation_limits: where the activation bytes hold: at a size of 1 PyTorch may copy what it
            otherwise views, or the other way round. Without entries where they have no form.
        verified: counts at sizes that no form was made from.
        keywords: constructor keywords given by the user, as text.
        notes: sentences a reader must know.
        coverage: which operators the count knows; the MACs are a lower bound unless all.
    """

    model: str
    input: InputSpec
    layers: tuple[LayerForm, ...]
    domains: tuple[Domain, ...]
    fixed: tuple[Fixed, ...]
    limits: Limits
    activation_limits: Limits
    verified: tuple[Verified, ...]
    keywords: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)

    @cached_property
    def macs(self) -> Polynomial:
        """Forward multiply-accumulates, exact floors."""
        return _macs(self.layers)

    @cached_property
    def activation_bytes(self) -> Polynomial | None:
        return _activation_bytes(self.layers)

    @property
    def params(self) -> int:
        return sum(form.layer.params for form in self.layers)

    @property
    def usual(self) -> dict[str, int]:
        """The usual value of each symbol, a batch of 1."""
        values = {d.symbol: d.base for d in self.domains}
        return {s: 1 if s == self.input.batch else v for s, v in values.items()}

    @property
    def sides(self) -> tuple[str, ...]:
        """The symbols besides the batch."""
        return tuple(d.symbol for d in self.domains if d.symbol != self.input.batch)

    @cached_property
    def strides(self) -> dict[str, int]:
        """For each side, the network's stride: at its multiples every floor is exact."""
        found = total((self.macs, self.activation_bytes or Polynomial())).strides()
        return {s: found[s] for s in self.sides if found.get(s, 1) > 1}

    @property
    def multiples(self) -> dict[str, tuple[int, str]]:
        """For each side, its stride and the symbol in the other case: H = 32h, or h = 32H."""
        return {s: (k, s.upper() if s.islower() else s.lower()) for s, k in self.strides.items()}

    def reduced(self, form: Polynomial) -> Polynomial:
        """A form at multiples of the strides."""
        return form.at_multiples(self.multiples)


def formula(target: Target) -> Formula:
    """Find closed forms of a network's costs.

    Args:
        target: the network, with symbols for the sides of its input that stay free; without an
            input, the default one with all free sides that the network takes. Its batch is a
            symbol or a number; `N` when `None`.

    Raises:
        ArchscopeError: symbols that clash, or that the network cannot take.
    """
    from archscope.ask.network.call import network_call, with_batch

    subject = target.subject()
    size = symbols_of.BATCH if target.batch is None else target.batch
    if target.input is not None:
        spec = network_call(subject, target.input, size).spec
        return formula_of(subject, spec, asked=True)
    default = network_call(subject, None, None).spec
    return formula_of(subject, with_batch(symbols_of.freed(default), size), asked=False)


def formula_of(subject: Subject, spec: InputSpec, asked: bool, train: bool = False) -> Formula:
    from archscope.analysis import borrow

    symbols_of.check_symbols(spec)
    if not spec.symbols:
        raise ArchscopeError(
            parameter("input", spec),
            "leaves nothing free",
            f"give a symbol: {parameter('input', '3xHxW')} or {parameter('batch', 'N')}",
        )
    with borrow.copied(subject.module, (), borrow.weightless) as (network, _):
        return _searched(Trial(subject, network, spec, train), asked)


class OtherPathError(Exception):
    """The network runs other layers or products at some sizes than at the usual ones."""

    def __init__(self, values: Mapping[str, int]) -> None:
        super().__init__(sizes_text(values))
        self.values = values


def sizes_text(values: Mapping[str, int]) -> str:
    """`N = 2, H = 224`."""
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _searched(trial: Trial, asked: bool) -> Formula:
    subject = trial.subject
    trial, domains, fixed = _free_symbols(trial, asked)
    if not domains:
        raise ArchscopeError(
            subject.name,
            "fixes every side of its input: " + "; ".join(f"{f.symbol} = {f.sizes}" for f in fixed),
            "count it with archscope summary",
        )
    search = _Search(trial, domains)
    try:
        forms, verified = search.forms()
    except OtherPathError as error:
        if not trial.gathered:
            return _searched(replace(trial, gathered=True, seen={}), asked)
        raise ArchscopeError(
            parameter("input", trial.spec),
            f"{subject.name} has no single formula: it runs different layers or products at "
            f"{sizes_text(error.values)} and at {sizes_text(search.base)}, as where it loops over "
            "a side or branches on its size",
            "give numbers",
        ) from error
    except TrialError as error:
        raise ArchscopeError(
            parameter("input", trial.spec),
            f"{subject.name} takes only some sizes: {error.place} raises {error.reason}",
            "give numbers",
        ) from error
    macs, activations = _macs(forms), _activation_bytes(forms)
    limits = symbols_of.limits(
        trial, domains, search.base, lambda seen, values: seen.macs == macs.value(values)
    )
    activation_limits: Limits = {}
    if activations is not None:
        activation_limits = symbols_of.limits(
            trial,
            domains,
            search.base,
            lambda seen, values: seen.activation_bytes == activations.value(values),
        )
    return Formula(subject.name, trial.spec, forms, domains, fixed, limits, activation_limits,
                   verified, subject.keywords, subject.notes, search.coverage)  # fmt: skip


def _macs(forms: Sequence[LayerForm]) -> Polynomial:
    return total(form.macs for form in forms)


def _activation_bytes(forms: Sequence[LayerForm]) -> Polynomial | None:
    parts = [form.activation_bytes for form in forms]
    found = [part for part in parts if part is not None]
    return total(found) if len(found) == len(parts) else None


def _free_symbols(trial: Trial, asked: bool) -> tuple[Trial, tuple[Domain, ...], tuple[Fixed, ...]]:
    """The symbols that may vary; those that may not become numbers, or an error when asked for."""
    values = symbols_of.usual_values(trial)
    found = [symbols_of.domain(trial, symbol, values) for symbol in trial.spec.symbols]
    fixed = tuple(item for item in found if isinstance(item, Fixed))
    if fixed and asked:
        raise symbols_of.refusal(trial, fixed, values)
    tied = symbols_of.tied_sides(trial.spec)
    if tied is not None and {"H", "W"} <= {item.symbol for item in fixed}:
        square = trial.of(tied)
        free = symbols_of.domain(square, "S", {**values, "S": values["H"]})
        if isinstance(free, Domain):
            return _free_symbols(square, asked=False)
    numbers = {item.symbol: values[item.symbol] for item in fixed}
    rest = trial.of(at(trial.spec, numbers))
    return rest, tuple(item for item in found if isinstance(item, Domain)), fixed


class _Search:
    """Fits the observations of a trial over the domains of its symbols."""

    def __init__(self, trial: Trial, domains: Sequence[Domain]) -> None:
        self.trial = trial
        self.domains = domains
        self.base = {d.symbol: d.base for d in domains}
        self.layers, self.coverage = trial.count(self.base)
        self.structure = trial.observe(self.base).structure

    def forms(self) -> tuple[tuple[LayerForm, ...], tuple[Verified, ...]]:
        """Every layer's closed forms, and the fresh counts that agreed."""
        batch = self.trial.spec.batch
        ranges = [
            fitting.Range(
                d.symbol, d.base // d.unit, d.far // d.unit, 1 if d.symbol == batch else 2
            )
            for d in self.domains
        ]
        needed = [place.multiplies for layer in self.layers for place in taken(layer)]
        try:
            found = fitting.fit(self._numbers, ranges, lambda index: not needed[index])
        except fitting.NoClosedFormError as error:
            raise ArchscopeError(
                self.trial.subject.name,
                f"{self._layer_of(error.index)} has no closed form in {', '.join(self.base)}",
                "give numbers for some symbols",
            ) from error
        units = {d.symbol: d.unit for d in self.domains}
        images = {form: form.in_units(units) for form in set(found.forms) if form is not None}
        forms = (None if form is None else images[form] for form in found.forms)
        layers = _layer_forms(self.layers, forms)
        return layers, self._verified(layers, found.verified)

    def _values(self, point: fitting.Point) -> dict[str, int]:
        return {d.symbol: d.unit * n for d, n in zip(self.domains, point, strict=True)}

    def _numbers(self, point: fitting.Point) -> Sequence[int]:
        """The values at a point.

        Raises:
            OtherPathError: it runs other layers or products there.
            TrialError: the network fails there.
        """
        values = self._values(point)
        observed = self.trial.observe(values)
        if observed.structure != self.structure:
            raise OtherPathError(values)
        return observed.numbers

    def _layer_of(self, index: int) -> str:
        for layer in self.layers:
            index -= len(taken(layer))
            if index < 0:
                break
        return f"{layer.name} ({layer.kind})" if layer.name else layer.kind

    def _verified(
        self, layers: Sequence[LayerForm], points: Sequence[fitting.Point]
    ) -> tuple[Verified, ...]:
        """Hold the totals against plain counts at points that no form was made from."""
        macs, activations = _macs(layers), _activation_bytes(layers)
        checks = []
        for point in points:
            values = self._values(point)
            counted = self.trial.observe(values)
            if macs.value(values) != counted.macs:
                raise AssertionError(f"{macs} is not {counted.macs} at {values}")
            created = None if activations is None else counted.activation_bytes
            if activations is not None and activations.value(values) != created:
                raise AssertionError(f"{activations} is not {created} at {values}")
            checks.append(Verified(values, counted.macs, created))
        return tuple(checks)


def _layer_forms(layers: Sequence[Layer], forms: Iterator[Any]) -> tuple[LayerForm, ...]:
    """Each layer with the closed form of every number."""
    found = []
    for layer in layers:
        at = filled(layer, forms)
        symbolic = replace(
            layer,
            input_shapes=tuple(tuple(map(_side, shape)) for shape in at.input_shapes),
            output_shapes=tuple(tuple(map(_side, shape)) for shape in at.output_shapes),
        )
        macs = total(map(product, at.products))
        found.append(LayerForm(symbolic, macs, at.activation_bytes))
    return tuple(found)


def _side(form: Polynomial | None) -> Dim:
    if form is None:
        return UNKNOWN_SIDE
    return form.value({}) if form.is_constant else str(form).replace(" ", "")
