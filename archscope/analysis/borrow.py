"""What a run works on: a copy of the network and of its arguments, with stand-ins for tensors."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archscope.analysis.formulas.sparse import is_sparse
from archscope.analysis.replica import Replica, StandIn, replica
from archscope.analysis.replica.arrays import share_with_tensors
from archscope.analysis.values import draws
from archscope.analysis.values.contents import PLAIN, Contents
from archscope.analysis.values.draws import SEED
from archscope.analysis.values.known import know, sweep
from archscope.errors import ArchscopeError
from archscope.process import code_state_kept, undisturbed

META = torch.device("meta")


def weightless(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same kind, shape, strides and dtype: no storage.

    What integers and booleans hold stays known, where they hold anything; of a sparse tensor a copy
    is made, as what it stores decides what its products cost.
    """
    kind = type(tensor)
    known_by_shape = tensor.dtype.is_floating_point or (tensor.is_meta and not tensor.is_quantized)
    if kind in PLAIN and known_by_shape and tensor.layout is torch.strided:
        twin = torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META
        )  # `empty_like` would import sympy
        if kind is nn.Parameter:
            return nn.Parameter(twin, tensor.requires_grad)
        return twin.requires_grad_() if tensor.requires_grad else twin
    twin = _twin(tensor)
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized)
    plain = type(tensor) in PLAIN and tensor.layout is torch.strided and not tensor.is_meta
    if whole and plain:
        know(twin, Contents(tensor.detach().cpu().untyped_storage()))
    return twin


def _twin(tensor: torch.Tensor) -> torch.Tensor:
    if is_lazy(tensor):
        return _lazy_twin(tensor, META)
    kind, trainable = type(tensor), tensor.requires_grad
    if is_sparse(tensor):
        own = tensor.detach().clone()
        return (
            nn.Parameter(own, trainable) if kind is nn.Parameter else own.requires_grad_(trainable)
        )
    twin = _empty_twin(tensor)
    if kind is nn.Parameter:
        return nn.Parameter(twin, trainable)
    if kind is not torch.Tensor and _is_plain(tensor):
        twin = twin.as_subclass(kind)
    elif isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, trainable)
    return twin.requires_grad_(trainable)


def _lazy_twin(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    lazy: Any = type(tensor)  # its constructor's keywords are missing from torch's own stubs
    twin = lazy(requires_grad=tensor.requires_grad, device=device, dtype=tensor.dtype)
    return cast(torch.Tensor, twin)


def _empty_twin(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        dtype = torch.float32 if tensor.is_quantized else tensor.dtype
        return torch.empty(tensor.shape, dtype=dtype, device=META)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether a subclass is one storage with a name: it does not wrap other tensors."""
    return type(tensor).__torch_dispatch__ is torch.Tensor.__torch_dispatch__


def with_storage(tensor: torch.Tensor) -> torch.Tensor:
    """A parameter that shares its values, so that gradients land elsewhere; a copy of any other."""
    if is_lazy(tensor):
        return _lazy_twin(tensor, tensor.device)
    if isinstance(tensor, nn.Parameter) and not tensor.is_inference():
        return nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


@contextmanager
def copied(
    network: nn.Module, arguments: Any, stand_in: StandIn
) -> Iterator[tuple[nn.Module, Any]]:
    """Lend a copy of a network and its arguments in which every tensor is a stand-in.

    The originals are read and nothing else; the random state is restored afterwards.

    Args:
        network: any module; shared and nested modules are copied once.
        arguments: of its call; an object in both is one object in the copies too.
        stand_in: `weightless` or `with_storage`.

    Raises:
        ArchscopeError: as `owned`, or an object cannot be copied.
    """
    with undisturbed():
        sweep()
        with torch.no_grad():
            copies = replica(type(network).__name__, stand_in)
            twins = copies.of((network, arguments))
            share_with_tensors(copies)
        with code_state_kept(copies.code()) as state, _ends_alone(network):
            yield twins
            _require_own_memory(network, copies, state.written_arrays())


@contextmanager
def owned(network: nn.Module, arguments: Any, stand_in: StandIn) -> Iterator[tuple[nn.Module, Any]]:
    """Use a network that was built for this run alone; as `copied`, its arguments are copies.

    Raises:
        ArchscopeError: the network tried to end the program, or an argument cannot be copied.
    """
    with undisturbed():
        sweep()
        with torch.no_grad():
            copies = replica(type(network).__name__, stand_in)
            twins = copies.of(arguments)
            share_with_tensors(copies)
            for module in members(network).values():
                for name, buffer in module._buffers.items():
                    if buffer is not None and not buffer.is_meta:
                        module._buffers[name] = stand_in(buffer)
        code = [*copies.code(), *set(map(type, members(network).values()))]
        with code_state_kept(code) as state, _ends_alone(network):
            yield network, twins
            _require_own_memory(network, copies, state.written_arrays())


def _require_own_memory(network: nn.Module, copies: Replica, written: Sequence[Any]) -> None:
    """Refuse a run that wrote to what it was given by a way that its copies do not share.

    Raises:
        ArchscopeError: an array of its code is over the memory of a tensor that was copied.
    """
    places = [array.__array_interface__["data"][0] for array in written]
    for original, _ in copies.stand_ins() if places else ():
        if original.layout is torch.strided and original.device.type == "cpu":
            storage = original.untyped_storage()
            start, end = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
            if any(start <= place < end for place in places):
                raise ArchscopeError(
                    type(network).__name__,
                    "writes to the memory of a tensor that it is given through a global array of "
                    "NumPy's, so a count of a copy is not one of what runs",
                    "write to the tensor, or give a clone of it",
                )


def set_training(network: nn.Module, training: bool) -> None:
    """Put a network into training or evaluation mode; an exported one keeps the one it has."""
    parts = members(network).values()
    if all(type(part).train is nn.Module.train and "train" not in vars(part) for part in parts):
        for part in parts:  # as PyTorch's own, which calls itself for each and sets each
            if part.training is not training:
                part.training = training
        return
    with suppress(NotImplementedError):  # what torch.export raises: its network has one mode
        network.train(training)


def members(network: nn.Module) -> dict[str, nn.Module]:
    """Every module of a network once, under its first name, parents first.

    As `named_modules`, whose nested generators take time quadratic in the depth.
    """
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    pending = [("", network)]
    while pending:
        name, module = pending.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found[name] = module
        if not module._modules:
            continue
        prefix = f"{name}." if name else ""
        pending += [
            (prefix + key, child)
            for key, child in reversed(module._modules.items())
            if child is not None
        ]
    return found


@contextmanager
def _ends_alone(network: nn.Module) -> Iterator[None]:
    """Restore the random state, and keep the network from ending the program."""
    with _seeded():
        try:
            yield
        except SystemExit as leave:
            call = getattr(leave, "archscope_call", None)
            whose = f"the code of {call.name}" if call is not None and call.name else "its code"
            raise ArchscopeError(
                type(network).__name__,
                f"{whose} ends the program (SystemExit: {leave.code})",
                "remove the call of sys.exit",
            ) from leave


@contextmanager
def _seeded() -> Iterator[None]:
    """Draw from generators of one seed, so that two counts are the same, and put them back.

    What Python and NumPy draw are numbers at once, which may decide what runs.
    """
    python, own = random.getstate(), torch.get_rng_state()
    numpy: Any = sys.modules.get("numpy.random")
    arrays = None if numpy is None else numpy.get_state()
    try:
        random.seed(SEED)
        torch.default_generator.manual_seed(SEED)  # `torch.manual_seed` wakes every device
        if numpy is not None:
            numpy.seed(SEED)
        seeds = random.getstate(), None if numpy is None else numpy.get_state()[1:3]
        yield
        if random.getstate() != seeds[0]:
            draws.say_that_they_may_decide("Python's random module")
        if numpy is not None and not _is_same_state(numpy.get_state(), seeds[1]):
            draws.say_that_they_may_decide("numpy.random")
    finally:
        random.setstate(python)
        torch.set_rng_state(own)
        if numpy is not None:
            numpy.set_state(arrays)


def _is_same_state(now: Any, before: Any) -> bool:
    return bool(now[2] == before[1] and (now[1] == before[0]).all())
