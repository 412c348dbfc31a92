"""What the formulas of parallel training promise, beside what PyTorch issues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from archscope.records import ClosedForm, Collective


def of_ddp(
    issued: Sequence[Collective], trainable_bytes: int, buffer_bytes: int
) -> tuple[ClosedForm, ...]:
    """Every gradient is all-reduced once (Li et al. 2020, section 3.2), every buffer broadcast."""
    reduces = Sum("all_reduce", "backward", "gradients")
    maps = Sum("all_reduce", "backward", "agreement").of(issued)
    return (
        _form(
            reduces, "bytes of the trainable parameters", trainable_bytes,
            reduces.of(issued) + maps, [(UNUSED_MAP, maps)],
        ),
        _form(BROADCASTS, "bytes of the buffers", buffer_bytes, BROADCASTS.of(issued)),
    )  # fmt: skip


UNUSED_MAP = (
    "with find_unused_parameters=True a map of the parameters that were used is reduced, too"
)
REST = "not explained by these"


class Sum(NamedTuple):
    """Which collectives of a step a formula is of.

    Args:
        kind: of collective.
        phase: of the step.
        content: what they carry.
    """

    kind: str
    phase: str
    content: str

    def of(self, issued: Sequence[Collective]) -> int:
        """Their bytes."""
        return sum(
            row.size_bytes for row in issued if (row.kind, row.phase, row.content) == tuple(self)
        )


BROADCASTS = Sum("broadcast", "forward", "buffers")


def _form(
    what: Sum,
    formula: str,
    expected: int,
    issued: int,
    reasons: Sequence[tuple[str, int]] = (),
) -> ClosedForm:
    """A closed form with the reasons that count, and what they leave unexplained."""
    rest = issued - expected - sum(size for _, size in reasons)
    counting = tuple((why, size) for why, size in (*reasons, (REST, rest)) if size)
    return ClosedForm(what.kind, what.phase, formula, expected, issued, counting, what.content)


@dataclass(frozen=True)
class Sharded:
    """A parameter whose first side is shared out.

    Args:
        name: dotted path.
        shape: of the full parameter.
        itemsize: bytes of an element when it is gathered.
        reduced: bytes of an element of its gradient when that is reduced.
        trained: whether it gets a gradient.
    """

    name: str
    shape: tuple[int, ...]
    itemsize: int
    reduced: int
    trained: bool

    def bytes(self, gradient: bool = False) -> int:
        """Of the full parameter, or of its gradient."""
        return prod(self.shape) * (self.reduced if gradient else self.itemsize)

    def rows(self, gpus: int) -> int:
        """First side, rounded up to a multiple of the GPUs."""
        return -(-self.shape[0] // gpus) * gpus

    def padded(self, gpus: int, gradient: bool = False) -> int:
        """Bytes with that many rows."""
        size = self.reduced if gradient else self.itemsize
        return self.rows(gpus) * prod(self.shape[1:]) * size


@dataclass(frozen=True)
class Unit:
    """Parameters that `fully_shard` gathers together.

    Args:
        name: dotted path of its module, empty for the network.
        parameters: each once.
    """

    name: str
    parameters: tuple[Sharded, ...]

    def bytes(self, trained: bool = False) -> int:
        """Of its parameters, or of the gradients of the trained ones."""
        return sum(p.bytes(trained) for p in self.parameters if p.trained or not trained)

    def padded(self, gpus: int, trained: bool = False) -> int:
        """The same with the first side of every parameter rounded up to a multiple of the GPUs."""
        return sum(p.padded(gpus, trained) for p in self.parameters if p.trained or not trained)


ROOT = (
    "the root's own parameters stay gathered after the forward pass, since the backward pass "
    "begins with them"
)
STAGE_2 = "with reshard_after_forward=False no block drops its parameters (as ZeRO stage 2)"
IDLE = "modules that never run gather nothing: {names}"


def _padding(units: Sequence[Unit], gpus: int) -> str:
    """Why shards are larger than parameters, with the parameter that makes the most of it."""
    every = [parameter for unit in units for parameter in unit.parameters]
    most = max(every, key=lambda p: p.padded(gpus) - p.bytes(), default=None)
    example = f", {most.name} from {most.shape[0]:,} to {most.rows(gpus):,}" if most else ""
    return (
        f"each GPU gets equally many rows of a parameter, so those that {gpus:,} GPUs cannot share "
        f"evenly are padded{example} above all"
    )


def of_fsdp(
    issued: Sequence[Collective], units: Sequence[Unit], gpus: int, reshard_after_forward: bool
) -> tuple[ClosedForm, ...]:
    """ZeRO stage 3 gathers every parameter twice and scatters every gradient once.

    Rajbhandari et al. 2020, section 7.2.2.

    Args:
        issued: the collectives of a step.
        units: what is gathered together; the root is the one without a name.
        gpus: in the group.
        reshard_after_forward: as for `fully_shard`.
    """
    idle = _idle(issued, units)
    found = []
    for what in (
        Sum("all_gather", "forward", "parameters"),
        Sum("all_gather", "backward", "parameters"),
        Sum("reduce_scatter", "backward", "gradients"),
    ):
        trained = what.content == "gradients"
        expected = sum(unit.bytes(trained) for unit in units)
        padding = sum(unit.padded(gpus, trained) for unit in units) - expected
        reasons = [(_padding(units, gpus), padding)]
        names = ", ".join(unit.name or "the network itself" for unit in idle)
        reasons.append((IDLE.format(names=names), -_padded(idle, gpus, trained)))
        if (what.phase, trained) == ("backward", False):
            stay = [u for u in units if u not in idle and (not reshard_after_forward or not u.name)]
            why = ROOT if reshard_after_forward else STAGE_2
            reasons.append((why, -_padded(stay, gpus, trained)))
        formula = f"bytes of the {'trained parameters' if trained else 'parameters'}, once"
        found.append(_form(what, formula, expected, what.of(issued), reasons))
    return tuple(found)


@dataclass(frozen=True)
class Moved:
    """What a division of the sequence promises to move.

    Args:
        gathered: bytes of what enters the divided modules, by the module that gathers it.
        rows: bytes of the outputs that are scattered, by row-parallel layer.
        entered: bytes of what the first blocks are given, by block.
        left: bytes of what the last blocks return, by block.
        normalising: bytes of the trained parameters that every GPU uses on its own tokens.
    """

    gathered: Mapping[str, int]
    rows: Mapping[str, int]
    entered: Mapping[str, int]
    left: Mapping[str, int]
    normalising: int


SEPARATE = (
    "PyTorch all-reduces the gradient of the input of every column-parallel layer separately, "
    "{columns} times; the formula has one for layers that share their input, {rows} in all."
    "{blocks} PrepareModuleInput merges them on a module whose input goes nowhere else"
)
AGAIN = "checkpointed layers run their forward pass again"
UNWANTED = "nothing that is trained comes before {names}, so no gradient of its input is needed"


def of_replicas(
    issued: Sequence[Collective], units: Sequence[Unit], sharing: int
) -> tuple[ClosedForm, ...]:
    """Hybrid sharding all-reduces each GPU's shard of the gradients among the replicas.

    Zhao et al. 2023, section 3.2.2.

    Args:
        issued: the collectives of a step.
        units: what is gathered together.
        sharing: GPUs that share one replica.
    """
    whole = sum(unit.bytes(True) for unit in units)
    padded = sum(unit.padded(sharing, True) for unit in units)
    idle = _idle(issued, units)
    names = ", ".join(unit.name or "the network itself" for unit in idle)
    formula = f"1/{sharing} of the gradients' bytes, what one GPU has of them"
    expected = whole // sharing
    reasons = [
        (_padding(units, sharing), padded // sharing - expected),
        (IDLE.format(names=names), -_padded(idle, sharing, True) // sharing),
    ]
    reduces = Sum("all_reduce", "backward", "gradients")
    return (_form(reduces, formula, expected, reduces.of(issued), reasons),)


def _idle(issued: Sequence[Collective], units: Sequence[Unit]) -> list[Unit]:
    """Modules whose parameters were never gathered."""
    ran = {row.layer for row in issued if row.content == "parameters"}
    return [unit for unit in units if unit.name not in ran and unit.parameters]


@dataclass(frozen=True)
class Divided:
    """Bytes of the full tensors around divided layers, by layer.

    Args:
        columns: what enters column-parallel linear layers.
        rows: what leaves row-parallel linear layers.
        embedded: what leaves embeddings whose rows are divided.
        gathered: what leaves column-parallel layers whose output is gathered.
    """

    columns: dict[str, int]
    rows: dict[str, int]
    embedded: dict[str, int]
    gathered: dict[str, int]


INDICES = "indices have no gradient, so {names} reduces none"


def of_tp(issued: Sequence[Collective], moved: Divided, blocks: int) -> tuple[ClosedForm, ...]:
    """Layers in pairs, columns then rows, all-reduce once in each pass.

    Shoeybi et al. 2019, section 3: the outputs of the row-parallel layers forward (g), and as much
    backward (f), the gradient of the input that the column-parallel layers share.

    Args:
        issued: the collectives of a step.
        moved: bytes of what enters and leaves the layers.
        blocks: how often the network repeats its pairs, to say how many a block has.
    """
    columns, rows = moved.columns, moved.rows
    embedded = sum(moved.embedded.values())
    expected = sum(rows.values()) + embedded
    outputs = Sum("all_reduce", "forward", "activations")
    inputs = Sum("all_reduce", "backward", "gradients of activations")
    again = Sum("all_reduce", "backward", "activations").of(issued)
    reduced = {row.layer for row in issued if row.content == "gradients of activations"}
    unwanted = [name for name in columns if name not in reduced]
    times, least = len(columns) - len(unwanted) + len(rows), 2 * len(rows)
    a_block = (
        f" That is {times // blocks} all-reduces a block instead of {least // blocks}."
        if blocks and not times % blocks and not least % blocks
        else ""
    )
    reasons = [
        (
            SEPARATE.format(columns=len(columns), rows=len(rows), blocks=a_block),
            sum(columns.values()) - sum(rows.values()),
        ),
        (INDICES.format(names=" and ".join(moved.embedded)), -embedded),
        (AGAIN, again),
        (UNWANTED.format(names=" and ".join(unwanted)), -sum(columns[name] for name in unwanted)),
    ]
    formula = "bytes of the outputs of row-parallel layers"
    backward = inputs.of(issued) + again
    gathers = Sum("all_gather", "forward", "activations")
    whole = sum(moved.gathered.values())
    forms = (
        _form(outputs, formula, expected, outputs.of(issued)),
        _form(inputs, "as much as forward", expected, backward, reasons),
    )
    gathered = _form(gathers, "bytes of the outputs that are gathered", whole, gathers.of(issued))
    return (*forms, gathered) if moved.gathered else forms


SEPARATELY = (
    "PyTorch gathers what enters a divided module once, and what enters column-parallel layers "
    "outside of one for each, {gathers} times for {rows} row-parallel layers"
)
LEFT = "what the last block returns is gathered for the layers behind it"
ENTERED = "every GPU has all of what enters the first block, and gathers its gradient"


def of_sequence(
    issued: Sequence[Collective], moved: Moved, *, alone: bool
) -> tuple[ClosedForm, ...]:
    """Where tokens are divided between layers, an all-reduce is a scatter and a gather.

    Korthikanti et al. 2022, section 4.2.2: what enters a pair of layers is gathered and what leaves
    it scattered, and the gradients the other way round.

    Args:
        issued: the collectives of a step.
        moved: what the styles promise.
        alone: whether nothing reads the gradients of normalisation in the step, as data parallelism
            does.
    """
    expected = sum(moved.rows.values())
    counts = SEPARATELY.format(gathers=len(moved.gathered), rows=len(moved.rows))
    separately = counts, sum(moved.gathered.values()) - expected
    served = {(row.kind, row.layer) for row in issued if row.phase == "backward"}
    outputs = "bytes of the outputs of row-parallel layers"

    def form(kind: str, phase: str, formula: str, *reasons: tuple[str, int]) -> ClosedForm:
        if phase == "forward":
            what, again = Sum(kind, phase, "activations"), 0
        else:
            what = Sum(kind, phase, "gradients of activations")
            again = Sum(kind, phase, "activations").of(issued)
        every = [*reasons, (AGAIN, again)]
        return _form(what, formula, expected, what.of(issued) + again, every)

    def unwanted(kind: str, sizes: Mapping[str, int]) -> tuple[str, int]:
        names = [name for name in sizes if (kind, name) not in served]
        return UNWANTED.format(names=" and ".join(names)), -sum(sizes[name] for name in names)

    normalising = Sum("all_reduce", "backward", "gradients of normalisation")
    words = "bytes of the normalisation between divided layers"
    summed = 0 if alone else moved.normalising
    return (
        _form(normalising, words, summed, normalising.of(issued)),
        form(
            "all_gather", "forward", outputs, separately, (LEFT, sum(moved.left.values())),
        ),
        form("reduce_scatter", "forward", outputs),
        form(
            "reduce_scatter", "backward", "as much as it gathers forward", separately,
            unwanted("reduce_scatter", moved.gathered),
        ),
        form(
            "all_gather", "backward", "as much as it scatters forward",
            (ENTERED, sum(moved.entered.values())), unwanted("all_gather", moved.entered),
        ),
    )  # fmt: skip


def _padded(units: Sequence[Unit], gpus: int, trained: bool) -> int:
    return sum(unit.padded(gpus, trained) for unit in units)
