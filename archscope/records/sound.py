"""What no record can be, whoever wrote its file: a negative count, a time that is no number.

Each check names the field and says what is wrong with it, in the words of a message.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from archscope.records.cost import Product
from archscope.records.distribution import ClosedForm, Collective
from archscope.records.generation import Experts, Generation, Piece
from archscope.records.measured import BatchSweep, LayerTime, Measurement, Profile
from archscope.records.memory import MemoryPrediction
from archscope.records.network import Analysis, Layer, TensorSpec, Totals
from archscope.records.signal import SignalPoint, SignalPropagation

MOST = 10**30
"""Above every count: the largest training runs take some 10²⁶ operations."""

MOST_DEPTH = 300
"""Calls inside each other; Python's own stack ends a network's forward pass before."""

MOST_SIDES = 64
"""Dimensions of a tensor, as many as PyTorch allows."""

Flaw = tuple[str, str]
"""The field of a record, and what is wrong with it."""


def flaw(record: object) -> Flaw | None:
    """The first thing that a record of one class cannot be, without the records inside it."""
    kind: Any = type(record)
    for name, least, finite in _numeric(kind):
        problem = _misfit(getattr(record, name), least, finite)
        if problem:
            return name, problem
    checks = _CHECKS.get(kind)
    return None if checks is None else next(checks(record), None)


_SIGNED = {(ClosedForm, "reasons"), (Layer, "settings"), (LayerTime, "seconds")}
_UNBOUNDED = {(Layer, "settings")}
"""Constructor facts of any sign: `Hardtanh` has an infinite one."""

_COUNTS = frozenset({
    "dilation", "embedding_dim", "groups", "hidden_size", "in_channels", "in_features",
    "kernel_size", "num_embeddings", "num_features", "num_groups", "num_heads", "num_layers",
    "out_channels", "out_features", "stride",
})  # fmt: skip
"""Those that are numbers of something."""


@cache
def _numeric(kind: type) -> tuple[tuple[str, float, bool], ...]:
    """The fields that hold numbers: name, least value, whether they are finite."""
    hints = typing.get_type_hints(kind)
    return tuple(
        (
            field.name,
            -MOST if (kind, field.name) in _SIGNED else 0,
            kind is not SignalPoint and (kind, field.name) not in _UNBOUNDED,
        )
        for field in fields(kind)
        if _holds_numbers(hints[field.name])
    )


def _holds_numbers(hint: Any) -> bool:
    if hint in (int, float):
        return True
    return any(map(_holds_numbers, typing.get_args(hint)))


def _misfit(value: object, least: float, finite: bool) -> str:
    """What is wrong with a number, or with one of those in a tuple or mapping."""
    if type(value) is int:
        if not least <= value <= MOST:
            return "is negative" if value < least else "is larger than any count"
    elif type(value) is float:
        if finite and not math.isfinite(value):
            return f"is {value}, which is not a number"
        if value < least:
            return "is negative"
    elif isinstance(value, (tuple, Mapping)):
        for item in value.values() if isinstance(value, Mapping) else value:
            problem = _misfit(item, least, finite)
            if problem:
                return problem
    return ""


# What the fields of one record say of each other


def _product(product: Product) -> Iterator[Flaw]:
    if product.value > MOST:
        yield "factors", "multiply to more than any count"


def _tensor(tensor: TensorSpec) -> Iterator[Flaw]:
    if len(tensor.shape) > MOST_SIDES:
        yield "shape", f"has more than {MOST_SIDES} sides"


def _collective(collective: Collective) -> Iterator[Flaw]:
    if collective.group < 1:
        yield "group", "has no GPU"


def _layer(layer: Layer) -> Iterator[Flaw]:
    if layer.trainable_params > layer.params:
        yield "trainable_params", "are more than its params"
    if any(len(shape) > MOST_SIDES for shape in (*layer.input_shapes, *layer.output_shapes)):
        yield "output_shapes", f"have more than {MOST_SIDES} sides"
    for name, value in layer.settings:
        if name in _COUNTS and _misfit(value, 0, finite=True):
            yield "settings", f"say that {name} {_misfit(value, 0, finite=True)}"


def _totals(total: Totals) -> Iterator[Flaw]:
    if total.trainable_params > total.params:
        yield "trainable_params", "are more than its params"


def _analysis(analysis: Analysis) -> Iterator[Flaw]:
    yield from _calls(analysis)
    coverage = analysis.coverage
    known = (coverage.counted, coverage.elementwise, coverage.unknown)
    ran = sum(sum(operators.values()) for operators in known)
    free = sum(coverage.free.values())
    passes = [w for layer in analysis.calls for w in (layer.forward, layer.backward) if w]
    operators = sum(work.operators for work in passes)
    if not ran <= operators <= ran + free:
        yield "coverage", f"lists {ran} operators, and the layers ran {operators}"
    if coverage.complete != (not coverage.unknown_layers):
        yield "coverage", "has unknown operators without their layers, or layers without them"
    macs = sum(work.macs for work in passes)
    if macs and not coverage.counted:
        yield "coverage", f"counts no operator, and the layers have {macs} multiply-accumulates"
    if not set(coverage.unknown_layers) <= {layer.name for layer in analysis.calls}:
        yield "coverage", "names a layer that the network does not have"


def _calls(analysis: Analysis) -> Iterator[Flaw]:
    """The tree of calls, which every table walks."""
    waiting: list[list[int]] = []  # of each open call its place and the children it still lacks
    for place, layer in enumerate(analysis.calls):
        depth = layer.depth if layer.called else max(layer.depth, layer.name.count("."))
        if not layer.called and depth <= MOST_DEPTH:
            continue  # a module that never ran is where its name says, and stands behind all calls
        if depth > min(len(waiting), MOST_DEPTH):
            yield f"calls[{place}].depth", f"is {depth}, deeper than any call around it"
            return
        for closed, missing in waiting[layer.depth :]:
            if missing:
                yield f"calls[{closed}].children", "are not those that follow it"
                return
        del waiting[layer.depth :]
        if waiting:
            waiting[-1][1] -= 1
        waiting.append([place, layer.children])
    for closed, missing in waiting:
        if missing:
            yield f"calls[{closed}].children", "are not those that follow it"
            return
    if len({(layer.name, layer.call) for layer in analysis.calls}) < len(analysis.calls):
        yield "calls", "lists the same call of a layer twice"


def _measurement(measured: Measurement) -> Iterator[Flaw]:
    if not measured.seconds:
        yield "seconds", "are missing"
    elif not min(measured.seconds) > 0:
        yield "seconds", "are not above 0"
    elif not measured.median_low <= measured.median * (1 + ROUNDED) + ROUNDED:
        yield "median_low", "is above the median"
    elif not measured.median_high >= measured.median * (1 - ROUNDED) - ROUNDED:
        yield "median_high", "is below the median"


ROUNDED = 2e-9
"""Seconds are written with nine decimals."""

SHARE = 1 + 1e-6
"""The largest share, which is a quotient of sums."""


FURTHEST = 2
"""Rows add up to the step; no way of measuring one brings them further from it than this."""


def _layer_time(row: LayerTime) -> Iterator[Flaw]:
    if row.in_network and any(seconds < 0 for seconds in row.seconds.values()):
        yield "seconds", "is negative"


def _profile(profile: Profile) -> Iterator[Flaw]:
    if any(share > SHARE for share in profile.attributed.values()):
        yield "attributed", "is a share above 1"
    if any(not peak > 0 for peak in profile.peaks.values()):
        yield "peaks", "is not above 0"
    rows = sum(row.total_seconds for row in profile.layers)
    longest = max((measured.median for measured in profile.phases.values()), default=math.inf)
    if rows > FURTHEST * longest:
        yield "layers", f"add up to {rows:g} s, and the longest phase is {longest:g} s"
    counted = profile.analysis
    if counted is not None and counted.model != profile.model:
        yield "analysis", f"is of {counted.model:.60}, and the times of {profile.model:.60}"
    if isinstance(profile.input.batch, str):
        yield "input", "was measured and has a symbol for its batch"


def _batch_sweep(sweep: BatchSweep) -> Iterator[Flaw]:
    if not sweep.profiles:
        yield "profiles", "are missing"
    if len({profile.model for profile in sweep.profiles}) > 1:
        yield "profiles", "are of several networks"


def _memory(prediction: MemoryPrediction) -> Iterator[Flaw]:
    if not prediction.timeline:
        yield "timeline", "is empty"
    elif prediction.saved_bytes > max(moment.activations for moment in prediction.timeline):
        yield "saved", "adds up to more than is ever alive in the timeline"


def _signal(propagation: SignalPropagation) -> Iterator[Flaw]:
    if not propagation.networks:
        yield "networks", "are missing"


def _piece(piece: Piece) -> Iterator[Flaw]:
    if piece.last.context < piece.first.context:
        yield "last", "comes before the first"


def _experts(experts: Experts) -> Iterator[Flaw]:
    if not 0 < experts.per_token <= experts.count:
        yield "per_token", f"is {experts.per_token} of {experts.count} experts"


def _generation(generation: Generation) -> Iterator[Flaw]:
    if not generation.batch:
        yield "batch", "is 0"
    if generation.active_params < 0:
        yield "experts", "have more parameters than the network"


_CHECKS: Mapping[type, Callable[[Any], Iterator[Flaw]]] = {
    Product: _product,
    TensorSpec: _tensor,
    Collective: _collective,
    Layer: _layer,
    Totals: _totals,
    Analysis: _analysis,
    Measurement: _measurement,
    LayerTime: _layer_time,
    Profile: _profile,
    BatchSweep: _batch_sweep,
    MemoryPrediction: _memory,
    SignalPropagation: _signal,
    Piece: _piece,
    Experts: _experts,
    Generation: _generation,
}
