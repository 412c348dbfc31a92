"""Answers to operators on meta: the shape at once, and how the values come about where known.

An operator of which every operand is known makes known contents; one that mixes known and unknown
makes unknown ones, also in what it writes to.
Where the shape itself depends on values (`nonzero`, an index by a mask), they are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from archscope.analysis.formulas import sparse
from archscope.analysis.values import draws, known
from archscope.analysis.values.contents import (
    ADDRESS,
    PLAIN,
    Contents,
    Shape,
    Step,
    View,
    blank,
    is_meta,
)
from archscope.analysis.values.draws import FEW, Draws
from archscope.analysis.values.facts import Facts
from archscope.analysis.values.known import TABLE
from archscope.analysis.values.lookups import require_rows
from archscope.analysis.values.needed import ValueNeeded

aten = torch.ops.aten
META = torch.device("meta")


class _UnknownError(Exception):
    """An operand is known by shape alone."""


_EMPTY = {
    aten.empty.memory_format: aten.zeros.default,
    aten.empty_like.default: aten.zeros_like.default,
    aten.new_empty.default: aten.new_zeros.default,
}
"""Memory that nobody wrote may hold anything; here it holds zeros."""


class Answers:
    """Answers operators of one run."""

    def __init__(self) -> None:
        self.reads = 0
        self._facts: dict[Any, Facts] = {}
        self._draws = Draws()

    def of(self, overload: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What an operator returns that makes no view.

        Raises:
            ValueNeeded: it depends on values that are not known.
            Exception: whatever the kernel raises for operands that do not fit.
        """
        facts = self._facts.get(overload)
        if facts is None:
            facts = self._facts[overload] = Facts(overload)
        if overload is aten.lift_fresh.default:
            return known.make_on_meta(args[0]) if is_meta(args[0]) else _twin(args[0])
        if overload is aten.embedding.default:
            require_rows(args[0], args[1])
        if overload is aten._local_scalar_dense.default:
            return self.read(args[0]).item()
        if overload is aten.empty.memory_format and _is_for_indices(args[0], kwargs):
            return torch.zeros(args[0], dtype=kwargs["dtype"])
        if (facts.makes_on_a_device and _asks_for_meta(kwargs)) or _all_made_on_meta(args, kwargs):
            return _made_on_meta(overload(*args, **kwargs))
        try:
            step = self._step(facts, args, kwargs)
        except _UnknownError:
            return self._unknown(facts, args, kwargs)
        return self._known(facts, step, args, kwargs)

    def read(self, tensor: Tensor) -> Tensor:
        """A tensor with its values.

        Raises:
            ValueNeeded: they are not known.
        """
        self.reads += 1
        draws.require(known.chance_of(tensor))
        return known.value_of(tensor)

    def _step(self, facts: Facts, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Step:
        """How to compute what an operator makes.

        Raises:
            _UnknownError: an operand is not known.
        """
        first: Sequence[Any] = ()
        if facts.by_shape:
            first, args = (Shape(args[0]),), args[1:]
        elif facts.fills and type(args[0]) in PLAIN and _covers(args[0]):
            first, args = (blank(args[0]),), args[1:]
        options = {key: _operand(value) for key, value in kwargs.items()}
        if facts.takes_device:
            options.pop("pin_memory", None)
            if options.get("device") is not None:
                options["device"] = "cpu"
        function = _EMPTY.get(facts.overload, facts.overload)
        step = Step(function, [*first, *map(_operand, args)], options, None)
        if facts.draws:
            step.chance = max(step.chance, self._draws.now(options.get("generator")))
        return step

    def _known(
        self, facts: Facts, step: Step, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The result on meta, and how to compute it; computed at once where its shape needs it."""
        if facts.makes_sparse:
            return self._computed(step)
        options = dict(kwargs)
        if facts.takes_device:
            options["device"] = META
            options.pop("pin_memory", None)
        if "generator" in options:
            options["generator"] = None
        try:
            shapes, options, twins = _all_on_meta(args, options)
            result = facts.overload(*shapes, **options)
        except RuntimeError as error:
            if not is_of_meta(error):
                raise
            if facts.written:
                raise ValueNeeded from error
            return self._computed(step)
        if not isinstance(result, (Tensor, tuple, list)):
            return self._computed(step)
        many = facts.draws and sum(x.numel() for x in _tensors(result)) > FEW
        if many:
            step.seed, chance = self._draws.later(kwargs.get("generator"))
            if "generator" in step.kwargs:
                step.kwargs["generator"] = None
            step.chance = max(step.chance, chance)
        written = set()
        for place in facts.written:
            argument = args[place] if isinstance(place, int) else kwargs.get(place)
            if isinstance(argument, Tensor):
                known.know(argument, step.makes(argument, place, writes=True))
                written.add(id(argument))
        recorded = _recorded(step, result, twins, written)
        if facts.draws and not many:
            step.compute()
        return recorded

    def _computed(self, step: Step) -> Any:
        """What a step makes, as tensors on meta whose values are there."""
        self.reads += 1
        draws.require(step.chance)
        results: list[Any] = []

        def keep(*args: Any, **kwargs: Any) -> Any:
            results.append(function(*args, **kwargs))
            return results[0]

        function, step.function = step.function, keep
        step.compute()
        return _on_meta(results[0])

    def _unknown(self, facts: Facts, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The result by shape; what is written to is known no longer."""
        if facts.draws:
            self._draws.later(kwargs.get("generator"))
        options = dict(kwargs)
        if facts.takes_device and options.get("device") is not None:
            options["device"] = META
        if "generator" in options:
            options["generator"] = None
        shapes, options, twins = _all_on_meta(args, options)
        special = _BY_VALUE.get(facts.overload)
        if facts.makes_sparse:
            raise ValueNeeded
        if facts.multiplies_sparse and any(map(sparse.is_sparse, shapes)):
            return sparse.result_on_meta(facts.overload._schema.name, shapes)
        try:
            if special is not None:
                result = special(self, *shapes, **options)
            else:
                result = facts.overload(*shapes, **options)
        except RuntimeError as error:
            if is_of_meta(error):
                raise ValueNeeded from error
            raise
        for place in facts.written:
            argument = args[place] if isinstance(place, int) else kwargs.get(place)
            for tensor in _tensors(argument):
                known.forget(tensor)
        return _returned(result, twins)

    def index(self, x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
        """An index by masks, each as the places where it is true."""
        places: list[Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                places += map(_twin, self.read(index).nonzero(as_tuple=True))
            else:
                places.append(index)
        return aten.index.Tensor(x, places)  # type: ignore[no-any-return]

    def masked_select(self, x: Tensor, mask: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(x.shape, mask.shape)  # type: ignore[no-untyped-call]
        chosen = int(self.read(mask).expand(shape).sum())
        return x.new_empty(chosen)

    def pack(self, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        """A packed sequence: as many rows as the lengths add up to."""
        steps = x.shape[1 if batch_first else 0]
        real = self.read(lengths)
        rows = torch.empty((len(real), steps, 1) if batch_first else (steps, len(real), 1))
        packed, sizes = aten._pack_padded_sequence.default(rows, real, batch_first)
        return x.new_empty(len(packed), *x.shape[2:]), sizes


_BY_VALUE: dict[Any, Callable[..., Any]] = {
    aten.index.Tensor: Answers.index,
    aten.masked_select.default: Answers.masked_select,
    aten._pack_padded_sequence.default: Answers.pack,
}
"""Operators whose shape depends on the values of some operands, which may be known."""


def _asks_for_meta(options: Mapping[str, Any]) -> bool:
    """Whether the network's own code asks for a tensor on meta.

    It names a device without a layout; PyTorch's own, which takes both from an operand, names both.
    """
    device = options.get("device")
    return device is not None and device.type == "meta" and "layout" not in options


def _all_made_on_meta(operands: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether the network made all tensors among the operands on meta, and asks for no other."""
    if not TABLE or not operands or options.get("device") is not None:
        return False
    first = operands[0]
    if isinstance(first, (list, tuple)) and first and isinstance(first[0], Tensor):
        return all(map(known.was_made_on_meta, first))
    if not isinstance(first, Tensor) or not known.was_made_on_meta(first):
        return False
    tensors = (value for value in operands if isinstance(value, Tensor))
    return all(map(known.was_made_on_meta, tensors))


def _made_on_meta(result: Any) -> Any:
    for tensor in _tensors(result):
        known.make_on_meta(tensor)
    return result


MOST_INDICES = 2**16


def _is_for_indices(size: Sequence[int], options: Mapping[str, Any]) -> bool:
    """Whether memory for a few whole numbers is asked for, as C++ does that writes into it at once.

    Such memory is real, as it is where lengths of sequences are padded or packed.
    """
    dtype, device = options.get("dtype"), options.get("device")
    whole = dtype in (torch.int32, torch.int64)
    return whole and (device is None or device.type != "meta") and prod(size) <= MOST_INDICES


def _covers(tensor: Tensor) -> bool:
    """Whether a tensor is all of its storage."""
    if tensor.layout is not torch.strided:
        return False
    return tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes


def _operand(value: Any) -> Any:
    if isinstance(value, Tensor):
        if type(value) in PLAIN and value.layout is torch.strided:
            contents = known.contents_of(value)
            if contents is None:
                raise _UnknownError
            return View(value, contents)
        if type(value) not in PLAIN or is_meta(value):
            raise _UnknownError
    elif isinstance(value, (tuple, list)):
        return type(value)(map(_operand, value))
    elif isinstance(value, torch.UntypedStorage):
        raise _UnknownError
    return value


def is_known(value: Any) -> bool:
    """Whether the contents of a tensor on meta, or of all in a list, are known."""
    if type(value) in PLAIN:
        return value.layout is torch.strided and ADDRESS(value) in TABLE
    if isinstance(value, (tuple, list)):
        return bool(value) and all(map(is_known, value))
    return False


def _tensors(value: Any) -> Sequence[Tensor]:
    if isinstance(value, Tensor):
        return (value,)
    return [x for x in value if isinstance(x, Tensor)] if isinstance(value, (list, tuple)) else ()


def _all_on_meta(
    args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any], dict[int, Tensor]]:
    """The operands with a twin on meta for each that has memory; by the twin, the operand.

    Kernels that are given both kinds hand back memory that nobody wrote.
    """
    twins: dict[int, Tensor] = {}

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            if type(value) not in PLAIN or is_meta(value) or value.layout is not torch.strided:
                return value
            twin = torch.empty_strided(
                value.shape, value.stride(), dtype=value.dtype, device="meta"
            )
            twins[id(twin)] = value
            held.append(twin)
            return twin
        if isinstance(value, (tuple, list)):
            return type(value)(map(moved, value))
        return value

    held: list[Tensor] = []
    return [moved(arg) for arg in args], {k: moved(v) for k, v in kwargs.items()}, twins


def _returned(result: Any, twins: Mapping[int, Tensor]) -> Any:
    """The result with operands themselves in place of their twins."""
    if not twins:
        return result
    if isinstance(result, Tensor):
        return twins.get(id(result), result)
    if isinstance(result, (tuple, list)):
        return type(result)(_returned(item, twins) for item in result)
    return result


def _recorded(step: Step, result: Any, twins: Mapping[int, Tensor], written: set[int]) -> Any:
    """Say that the results hold what a step makes."""
    several = not isinstance(result, Tensor)
    for place, item in enumerate(result if several else (result,)):
        new = isinstance(item, Tensor) and id(item) not in written and id(item) not in twins
        if new and item.layout is torch.strided:
            made = step.makes(item, place if several else None, writes=False)
            known.know(item, made)
    return _returned(result, twins)


def _twin(real: Tensor) -> Tensor:
    """A tensor on meta whose contents are those of one in memory."""
    if real.layout is not torch.strided:
        return real
    if not known.owns_its_memory(real):
        return known.borrow(real)
    if not _covers(real):
        real = real.contiguous() if real.storage_offset() == 0 else real.clone().contiguous()
    if not _covers(real):
        real = real.clone(memory_format=torch.contiguous_format)
    twin = torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device="meta")
    known.know(twin, Contents(real.untyped_storage()))
    return twin


def _on_meta(result: Any) -> Any:
    if isinstance(result, Tensor):
        return _twin(result)
    if isinstance(result, (tuple, list)):
        return type(result)(map(_on_meta, result))
    return result


_SIGNS = (
    "meta tensor", "'meta'", '"meta"', "Meta", "data-dependent", "meta device", "device meta",
    "meta backend", "on meta", "no fake impl",
)  # fmt: skip


def is_of_meta(error: RuntimeError) -> bool:
    """Whether a kernel failed only because tensors on meta have no values.

    PyTorch raises NotImplementedError where an operator has no kernel for meta at all.
    """
    return isinstance(error, NotImplementedError) or any(sign in str(error) for sign in _SIGNS)
