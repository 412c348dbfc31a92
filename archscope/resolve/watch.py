"""Whether a user's code reads, while it builds a network, what differs from run to run.

Random numbers and memory that nobody wrote are harmless as weights, and decide a count where their
values are read: `int(dropout(x).sum())`, a width taken from an initial weight.
So the tensors that hold such values are followed from operator to operator, whichever function
made them.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archscope.process import patched_here

_EMPTY = ("empty", "new_empty", "resize", "set_")
"""Beginnings of the names of operators that hand out memory as it is."""

_FILLING = ("zero_", "fill_", "copy_")
"""What overwrites every element of its first argument."""

_READING = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Operators whose result outside of tensors, or whose shape, is a value."""


class _Process:
    """What the user's code of this process did."""

    uncertain: ClassVar[set[str]] = set()
    """The user's files and packages that read such values."""
    running = ""
    """The one whose code runs, or ran last."""
    chance: ClassVar[dict[int, weakref.ref[torch.UntypedStorage]]] = {}
    """By its address, each storage whose values differ from run to run."""
    read: ClassVar[set[int]] = set()
    """Storages whose memory was handed out, to be read at any time."""


def is_certain(place: str = "") -> bool:
    """Whether all that the networks of this process depend on is in their sources.

    Args:
        place: ask of the networks of this file or package alone.
    """
    return place not in _Process.uncertain if place else not _Process.uncertain


def _doubt() -> None:
    _Process.uncertain.add(_Process.running)


@contextlib.contextmanager
def watching(place: str) -> Iterator[None]:
    """Follow the tensors of the code that runs inside.

    Args:
        place: the user's file or package that it is of.
    """
    _Process.running = place
    patches = [(Tensor, name, _noting(name)) for name in _BELOW]
    with patched_here(patches), _Follower():  # type: ignore[no-untyped-call]
        yield


def settle() -> None:
    """Notice what a finished network still holds: its forward pass may read it."""
    if any(held() is not None for held in _Process.chance.values()):
        _doubt()
    forget()


def forget() -> None:
    """Follow no tensor further that there is: a network with weights was made from a fixed seed."""
    _Process.chance.clear()
    _Process.read.clear()


class _Facts:
    """What is known of an operator, looked up once.

    Args:
        overload: the operator.
    """

    __slots__ = ("fills", "makes_chance", "reads", "written")

    def __init__(self, overload: Any) -> None:
        name: str = overload.overloadpacket.__name__
        drawn = torch.Tag.nondeterministic_seeded in overload.tags
        self.makes_chance = drawn or name.startswith(_EMPTY)
        self.reads = any(tag in overload.tags for tag in _READING)
        self.fills = name in _FILLING
        self.written = [
            (place, argument.name)
            for place, argument in enumerate(overload._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]


_facts = functools.cache(_Facts)


class _Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator below autograd."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.is_meta:
            return result
        facts = _facts(func)
        given = list(_tensors((args, kwargs)))
        chance = facts.makes_chance or any(_address(x) in _Process.chance for x in given)
        if chance and facts.reads:
            _doubt()
        made = list(_tensors(result))
        if facts.fills and given and _covers(given[0]):
            chance = any(_address(x) in _Process.chance for x in given[1:])
        elif not chance:
            before = {_address(x) for x in given}
            made = [x for x in made if _address(x) not in before]
        for place, name in facts.written:
            made += _tensors(args[place] if place < len(args) else kwargs.get(name))
        for tensor in made:
            _mark(tensor, chance)
        return result


def _mark(tensor: Tensor, chance: bool) -> None:
    """Say whether the values of a tensor differ from run to run."""
    address = _address(tensor)
    if not chance:
        _Process.chance.pop(address, None)
        return
    if address in _Process.read:
        _doubt()
    _Process.chance[address] = weakref.ref(torch._C.TensorBase.untyped_storage(tensor))


def _address(tensor: Tensor) -> int:
    address: int = torch._C._storage_address(tensor)  # type: ignore[attr-defined]
    return address


def _covers(tensor: Tensor) -> bool:
    """Whether a tensor is all of its storage."""
    return tensor.is_contiguous() and tensor.numel() * tensor.itemsize == _nbytes(tensor)


def _nbytes(tensor: Tensor) -> int:
    return int(torch._C.TensorBase.untyped_storage(tensor).nbytes())


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors with memory in a value."""
    if isinstance(value, Tensor):
        if value.layout is torch.strided and not value.is_meta:
            yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


_BELOW = ("tolist", "numpy", "__dlpack__", "__repr__", "untyped_storage", "data_ptr")
"""Methods of tensors that no operator shows."""

_ADDRESSES = ("data_ptr",)
"""Of these, what differs from run to run whatever the tensor holds."""


def _noting(name: str) -> Callable[..., Any]:
    """A method that notes whose memory it reads."""
    method = getattr(Tensor, name)

    def noted(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        for own in _tensors(tensor):
            if name in _ADDRESSES or _address(own) in _Process.chance:
                _doubt()
            _Process.read.add(_address(own))
        return method(tensor, *args, **kwargs)

    return noted
