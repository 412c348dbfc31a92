"""Which sizes of an input can stay free: symbols, and the range over which a network takes them.

A network tells by running: sizes around a usual one are tried on meta, and the innermost module
that fails names what fixes the size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from archscope.ask.symbols.trial import Observation, Trial, TrialError, at
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import InputSpec, TensorSpec
from archscope.resolve.inputs import input_text

BATCH = "N"
USUAL_BATCH = 2
DISTANT_BATCH = 64
USUAL_SIDES = (224, 64, 32, 28, 128, 256, 299, 8, 3, 1)
DISTANCES = (1792, 896, 448, 224, 96, 64, 32)
"""Multiples of the strides in use, the largest first: slopes show best over a long way."""
SIDES_OF_STEPS = (32, *USUAL_SIDES)
DISTANCES_OF_STEPS = (96, 64, 32)
"""The same where a recurrent layer runs step by step, so that a long sequence takes long."""
UNITS = (2, 4, 7, 8, 14, 16, 28, 32, 56, 64, 112, 128, 224)
NEIGHBOURHOOD = 64
"""How far around the usual size of a network of fixed size the admissible sizes are sought."""
LEAST_RANGE = 5
"""Three sizes determine a quadratic form, and three more verify it."""
MOST_SYMBOLS = 4

_AXES = {1: ("L",), 2: (None, "L"), 3: (None, "H", "W"), 4: (None, "T", "H", "W")}
"""Symbols for the sides of an unbatched tensor by its rank; channels stay a number."""


@dataclass(frozen=True)
class Domain:
    """Where a symbol may vary.

    Args:
        symbol: its name.
        base: a usual value, or half of it below the end of a table.
        far: a distant value that the network takes as well.
        unit: every admissible value is a multiple of it.
    """

    symbol: str
    base: int
    far: int
    unit: int = 1


@dataclass(frozen=True)
class Fixed:
    """A size that the network fixes.

    Args:
        symbol: its name.
        low, high: the smallest and largest admissible value around the usual one.
        place: the module that fails at the next size.
        reason: what it says.
    """

    symbol: str
    low: int
    high: int
    place: str
    reason: str

    @property
    def sizes(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


Limits = Mapping[str, tuple[int, int | None]]
"""For each symbol, the smallest and largest size at which a form was seen to hold.

The largest is `None` where none was met.
"""


def check_symbols(spec: InputSpec) -> None:
    """Refuse symbols that clash.

    Raises:
        ArchscopeError: a side named like the batch, symbols that differ in case only, too many.
    """
    names = spec.symbols
    sides = {side for shape in spec.sample_shapes for side in shape}
    if isinstance(spec.batch, str) and spec.batch in sides:
        free = "B" if spec.batch != "B" else "N"
        raise ArchscopeError(
            parameter("input", spec),
            f"{spec.batch} is used for the batch and for a side",
            f"rename the side, or the batch: {parameter('batch', free)}",
        )
    for name in names:
        twin = next((n for n in names if n != name and n.lower() == name.lower()), None)
        if twin is not None:
            raise ArchscopeError(
                parameter("input", spec), f"{name} and {twin} clash", "use letters that differ"
            )
    if len(names) > MOST_SYMBOLS:
        raise ArchscopeError(
            parameter("input", spec),
            f"has {len(names)} symbols; at most {MOST_SYMBOLS} are possible",
            "give numbers for some sides",
        )


def freed(default: InputSpec) -> InputSpec:
    """A network's default input with the batch and the sides of images and sequences free."""
    return InputSpec(tuple(map(_freed_tensor, default.tensors)), default.layout)


def _freed_tensor(tensor: TensorSpec) -> TensorSpec:
    if not tensor.batched:
        return tensor
    sides = tensor.shape[1:]
    names = _AXES.get(len(sides), (None,) * len(sides))
    named = tuple(name or side for name, side in zip(names, sides, strict=True))
    return replace(tensor, shape=(BATCH, *named))


def usual_values(trial: Trial) -> dict[str, int]:
    """Numbers for all symbols at which the network runs: its default, else usual sizes.

    Raises:
        ArchscopeError: it runs at none of them.
    """
    spec = trial.spec
    known = _default_values(spec, trial.subject.default_input)
    batch = spec.batch if isinstance(spec.batch, str) else None
    failure: TrialError | None = None
    found: dict[str, int] | None = None
    sides = SIDES_OF_STEPS if trial.in_steps else USUAL_SIDES
    for batch_size in (USUAL_BATCH, 1) if batch else (1,):
        for guess in sides if len(known) < len(spec.symbols) - bool(batch) else (1,):
            values = {name: known.get(name, guess) for name in spec.symbols}
            if batch:
                values[batch] = batch_size
            try:
                trial.observe(values)
            except TrialError as error:
                failure = failure or error
                if error.on_values:
                    raise _needs_values(trial, error) from error
            else:
                if failure is None or _has_room(trial, values):
                    return values
                found = found or values
        if found is not None:
            return found
    assert failure is not None
    raise _not_taken(trial, failure) from failure


def _has_room(trial: Trial, values: Mapping[str, int]) -> bool:
    """Whether the sides may all be larger: a smaller guess may, below the end of a table."""
    batch = trial.spec.batch
    return trial.works(
        {name: size + (name != batch) * DISTANCES[-1] for name, size in values.items()}
    )


def _not_taken(trial: Trial, failure: TrialError) -> ArchscopeError:
    """No usual size suits the network; a lone word is more likely a slip than a symbol."""
    spec, default = trial.spec, trial.subject.default_input
    given = parameter("input", input_text(spec))
    sides = [name for name in spec.symbols if name != spec.batch]
    for (side,) in (shape for shape in spec.sample_shapes if len(shape) == 1):
        if isinstance(side, str) and len(side) > 1:
            usual = "3x224x224" if default is None else input_text(default)
            return ArchscopeError(
                given, f"{side} is not a shape", f"write it like {parameter('input', usual)}"
            )
    return ArchscopeError(
        given,
        f"{trial.subject.name} fails in {failure.place}: {failure.reason}",
        f"give numbers that it takes for {' and '.join(sides)}",
    )


def _needs_values(trial: Trial, error: TrialError) -> ArchscopeError:
    return ArchscopeError(
        trial.subject.name,
        f"cannot take symbols: {error.place} needs the values of tensors",
        "count it at one size with archscope summary",
    )


def _default_values(spec: InputSpec, default: InputSpec | None) -> dict[str, int]:
    """What the default input has where this one has symbols."""
    if default is None or len(default.tensors) != len(spec.tensors):
        return {}
    values: dict[str, int] = {}
    for tensor, usual in zip(spec.tensors, default.tensors, strict=True):
        if len(tensor.shape) == len(usual.shape):
            for side, number in zip(tensor.shape, usual.shape, strict=True):
                if isinstance(side, str) and isinstance(number, int):
                    values.setdefault(side, number)
    return values


def domain(trial: Trial, symbol: str, values: Mapping[str, int]) -> Domain | Fixed:
    """How far one symbol may vary while the others stand at `values`."""

    def works(value: int) -> bool:
        return trial.works({**values, symbol: value})

    base = values[symbol]
    batch = symbol == trial.spec.batch
    distances: Sequence[int] = (DISTANT_BATCH - base,) if batch else _distances(trial)
    distance = next((d for d in distances if works(base + d)), None)
    if distance is None:
        ended = None if batch else _below_an_end(symbol, base, base + distances[-1], works)
        return ended or _fixed(trial, symbol, values, works)
    if works(base + 1):
        return Domain(symbol, base, base + distance)
    for unit in UNITS:
        if base % unit == 0 and distance % unit == 0 and works(base + unit):
            return Domain(symbol, base, base + distance, unit)
    return _fixed(trial, symbol, values, works)


def _below_an_end(
    symbol: str, usual: int, beyond: int, works: Callable[[int], bool]
) -> Domain | None:
    """The smaller sizes that a network takes up to an end, as of a table of positions.

    Args:
        symbol: its name.
        usual: a size that works.
        beyond: one that does not.
        works: whether a size does.

    Returns:
        `None` where a half and a quarter do not work either, or all are too few for a form that
        fresh counts verify.
    """
    end = _last(works, usual, beyond)
    for base in (usual // 2, usual // 4, 2):
        if base > 1 and end - base >= LEAST_RANGE and works(base) and works(base + 1):
            return Domain(symbol, base, end)
    return None


def _distances(trial: Trial) -> tuple[int, ...]:
    return DISTANCES_OF_STEPS if trial.in_steps else DISTANCES


def _fixed(
    trial: Trial, symbol: str, values: Mapping[str, int], works: Callable[[int], bool]
) -> Fixed:
    """The admissible neighbourhood, and what the network says beyond it."""
    base = low = high = values[symbol]
    while high - base < NEIGHBOURHOOD and works(high + 1):
        high += 1
    while base - low < NEIGHBOURHOOD and low > 1 and works(low - 1):
        low -= 1
    try:
        trial.observe({**values, symbol: high + 1})
    except TrialError as error:
        return Fixed(symbol, low, high, error.place, error.reason)
    return Fixed(symbol, low, high, trial.subject.name, "cannot take a much larger size")


def limits(
    trial: Trial,
    domains: Sequence[Domain],
    usual: Mapping[str, int],
    equal: Callable[[Observation, Mapping[str, int]], bool],
) -> Limits:
    """Where a form that holds at the usual sizes equals the plain count.

    The smallest sizes hold together too: each is sought with the other symbols at their usual
    sizes, and with those before it at their smallest.

    Args:
        trial: counts.
        domains: of the symbols.
        usual: a size for each symbol.
        equal: whether the form has, at these sizes, the value that was counted there.
    """

    def holds(values: Mapping[str, int]) -> bool:
        return trial.works(values) and equal(trial.observe(values), values)

    found: dict[str, tuple[int, int | None]] = {}
    smallest = dict(usual)
    for domain in domains:
        low = _smallest(domain, (usual, smallest), holds)
        batch = domain.symbol == trial.spec.batch
        distance = _distances(trial)[0]
        found[domain.symbol] = low, None if batch else _largest(domain, distance, usual, holds)
        smallest[domain.symbol] = low
    return found


def _smallest(
    domain: Domain,
    others: Sequence[Mapping[str, int]],
    holds: Callable[[Mapping[str, int]], bool],
) -> int:
    """The smallest size of one symbol at which a form holds, whichever sizes the others have."""

    def at(steps: int) -> bool:
        return all(holds({**values, domain.symbol: steps * domain.unit}) for values in others)

    return (1 if at(1) else _last(at, domain.base // domain.unit, 1)) * domain.unit


def _largest(
    domain: Domain,
    distance: int,
    others: Mapping[str, int],
    holds: Callable[[Mapping[str, int]], bool],
) -> int | None:
    def at(steps: int) -> bool:
        return holds({**others, domain.symbol: steps * domain.unit})

    far = domain.far // domain.unit
    beyond = (domain.base + distance) // domain.unit
    if far == beyond or at(beyond):
        return None
    return _last(at, far, beyond) * domain.unit


def _last(holds: Callable[[int], bool], inside: int, outside: int) -> int:
    """Bisect for the last value that holds on the way from one that does to one that does not."""
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if holds(middle):
            inside = middle
        else:
            outside = middle
    return inside


def refusal(trial: Trial, all_fixed: Sequence[Fixed], values: Mapping[str, int]) -> ArchscopeError:
    """Why a symbol that the user asked for cannot stay free, and what to write instead."""
    subject, spec, fixed = trial.subject.name, trial.spec, all_fixed[0]
    numbers = {item.symbol: values[item.symbol] for item in all_fixed}
    remedy = f"give the number: {parameter('input', input_text(at(spec, numbers)))}"
    if fixed.symbol == spec.batch:
        return ArchscopeError(
            parameter("batch", fixed.symbol),
            f"{fixed.place} of {subject} fixes the batch at {fixed.sizes} ({fixed.reason})",
            f"give the number: {parameter('batch', values[fixed.symbol])}",
        )
    if any(t.batched and len(t.shape) > 3 and t.shape[1] == fixed.symbol for t in spec.tensors):
        problem = f"{fixed.symbol} is used for the channels, which {fixed.place} fixes"
        return ArchscopeError(parameter("input", spec), f"{problem} at {fixed.sizes}", remedy)
    tied = tied_sides(spec)
    if tied is not None and trial.of(tied).works(
        {s: values.get(s, values[fixed.symbol]) for s in tied.symbols}
        | {"S": values[fixed.symbol] + 32}
    ):
        return ArchscopeError(
            parameter("input", spec), f"{subject} takes only square inputs", "use one symbol: 3xSxS"
        )
    return ArchscopeError(
        parameter("input", spec),
        f"{subject} cannot take {fixed.symbol}: {fixed.place} fixes it; possible "
        f"{fixed.symbol}: {fixed.sizes} ({fixed.reason})",
        remedy,
    )


def tied_sides(spec: InputSpec) -> InputSpec | None:
    """One symbol S for height and width, `None` where the input has not both."""
    if not {"H", "W"} <= set(spec.symbols):
        return None
    return at(spec, {"H": "S", "W": "S"})
