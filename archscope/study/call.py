"""What a network is called with: specifications and tensors → arguments of `forward`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archscope.analysis.borrow import members
from archscope.analysis.trace import tensors
from archscope.errors import ArchscopeError
from archscope.records import Dim, InputSpec, TensorSpec

if TYPE_CHECKING:
    from archscope.study.subject import Subject

MOST_BYTES = 2**63 - 1

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class NetworkCall:
    """Arguments of one call, made for the device that it runs on.

    Args:
        spec: what is passed.
        on_meta: makes the arguments without storage.
        with_values: makes them with values: the user's own, or random ones.
    """

    spec: InputSpec
    on_meta: Callable[[], Arguments]
    with_values: Callable[[], Arguments]


def network_call(subject: Subject, input: Any, batch: Dim | None) -> NetworkCall:
    """Read what the user gave as input, or take the network's default.

    Raises:
        ArchscopeError: no input is known, it is malformed, or holds a sparse or nested tensor.
    """
    if input is None or isinstance(input, (str, InputSpec)):
        return _from_spec(_specification(subject, input, batch), subject.module)
    if batch is not None:
        raise ArchscopeError("--batch", "goes with a specification", "batch the tensors yourself")
    return _from_tensors(input)


def _specification(subject: Subject, input: str | InputSpec | None, batch: Dim | None) -> InputSpec:
    from archscope.resolve import parse_input

    default = subject.default_input
    if isinstance(input, InputSpec):
        spec = input
    elif input is not None:
        spec = parse_input(input, 1 if batch is None else batch)
        if default is not None and len(spec.tensors) == len(default.tensors):
            spec = _like_default(spec, default)
    elif default is None:
        raise ArchscopeError(
            "--input",
            f"is needed: {subject.name} has no default",
            "give one like 3x224x224",
            "--input 3x224x224",
        )
    else:
        spec = default
    return spec if batch is None else with_batch(spec, batch)


def _like_default(spec: InputSpec, default: InputSpec) -> InputSpec:
    """Take names and the calling form from the default where the user left them out."""
    tensors = tuple(
        replace(given, name=given.name or known.name)
        for given, known in zip(spec.tensors, default.tensors, strict=True)
    )
    return InputSpec(tensors, default.layout)


def with_batch(spec: InputSpec, batch: Dim) -> InputSpec:
    """The same input with another batch size.

    Raises:
        ArchscopeError: it is neither a whole number from 1 nor a symbol, or so large that PyTorch
            cannot number the bytes of a tensor.
    """
    from archscope.resolve import parse_batch

    size = parse_batch(batch)
    tensors = tuple(
        replace(tensor, shape=(size, *tensor.shape[1:])) if tensor.batched else tensor
        for tensor in spec.tensors
    )
    largest = max((_bytes(tensor) for tensor in tensors), default=0)
    if largest > MOST_BYTES and isinstance(size, int) and largest // size <= MOST_BYTES:
        raise ArchscopeError(
            f"--batch {size}",
            "makes an input of more bytes than PyTorch can number (2⁶³)",
            "give a smaller one",
        )
    return InputSpec(tensors, spec.layout)


def _bytes(tensor: TensorSpec) -> int:
    """Of a tensor whose symbols are 1."""
    sides = (side for side in tensor.shape if isinstance(side, int))
    return prod(sides) * int(getattr(torch, tensor.dtype).itemsize)


def _from_spec(spec: InputSpec, module: nn.Module) -> NetworkCall:
    width = floating_dtype(module)

    def arguments(make: Callable[[tuple[int, ...], torch.dtype], Tensor]) -> Arguments:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for tensor in spec.tensors:
            dtype = getattr(torch, tensor.dtype)
            dtype = width if dtype is torch.float32 else dtype
            made = make(_numbers(tensor), dtype)
            value: Any = list(made) if spec.layout == "images" else made
            if tensor.name:
                named[tensor.name] = value
            else:
                positional.append(value)
        return tuple(positional), named

    return NetworkCall(
        spec,
        lambda: arguments(lambda shape, dtype: torch.empty(shape, dtype=dtype, device="meta")),
        lambda: arguments(_random),
    )


def floating_dtype(module: nn.Module) -> torch.dtype:
    """The dtype of the network's parameters: what an unqualified input comes in."""
    floating = (p.dtype for p in module.parameters() if p.dtype.is_floating_point)
    return next(floating, torch.float32)


def _numbers(tensor: TensorSpec) -> tuple[int, ...]:
    symbols = [side for side in tensor.shape if isinstance(side, str)]
    if symbols:
        raise ArchscopeError(
            f"--input {symbols[0]}", "is a symbol where a number is needed", "give a number"
        )
    return tuple(int(side) for side in tensor.shape)


def _random(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Normal floats from a fixed seed; zeros for integers, which index every table."""
    if not (dtype.is_floating_point or dtype.is_complex):
        return torch.zeros(shape, dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator).to(dtype)


def _from_tensors(input: Any) -> NetworkCall:
    if isinstance(input, Mapping):
        positional: tuple[Any, ...] = ()
        named = dict(input)
    else:
        positional, named = (input if isinstance(input, tuple) else (input,)), {}
    for key, value in (*enumerate(positional, start=1), *named.items()):
        for tensor in tensors(value):
            _require_dense(f"input {key}", "", tensor)
    spec = InputSpec(
        tuple(
            [_spec(tensor, "") for value in positional for tensor in tensors(value)]
            + [_spec(tensor, key) for key, value in named.items() for tensor in tensors(value)]
        )
    )

    def arguments(twin: Callable[[Tensor], Tensor]) -> Arguments:
        return (
            tuple(_mapped(value, twin) for value in positional),
            {key: _mapped(value, twin) for key, value in named.items()},
        )

    return NetworkCall(spec, lambda: arguments(_weightless), lambda: arguments(_detached))


def _require_dense(argument: str, where: str, tensor: Tensor) -> None:
    """Refuse tensors whose products depend on more than their shape."""
    if tensor.is_nested:
        raise ArchscopeError(
            argument,
            f"{where}is a nested tensor, whose rows differ in length",
            "pad it, or count one length at a time",
        )
    if tensor.layout not in (torch.strided, torch._mkldnn):  # type: ignore[attr-defined]
        raise ArchscopeError(
            argument,
            f"{where}is sparse ({tensor.layout}), and its work depends on the values it holds",
            "make it dense with .to_dense() to count the products of a dense one",
        )


def _spec(tensor: Tensor, name: str) -> TensorSpec:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(tuple(tensor.shape), dtype, name, batched=tensor.dim() > 0)


def _mapped(value: Any, twin: Callable[[Tensor], Tensor]) -> Any:
    """The same nesting with every tensor replaced."""
    if isinstance(value, Tensor):
        return twin(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(item, twin) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(item, twin) for item in value)
    if isinstance(value, dict):
        return {key: _mapped(item, twin) for key, item in value.items()}
    return value


def _weightless(tensor: Tensor) -> Tensor:
    twin = torch.empty_like(tensor, device="meta")
    return twin.requires_grad_(tensor.requires_grad)


def _detached(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone().requires_grad_(tensor.requires_grad)


def require_countable(name: str, network: nn.Module) -> None:
    """Refuse networks whose operators or module calls cannot be seen.

    Raises:
        ArchscopeError: a part is a ScriptModule or a quantized module, holds a sparse tensor, or
            holds a module that it is itself a part of.
    """
    loop = _held_by_its_part(network)
    if loop is not None:
        raise ArchscopeError(
            name,
            f"{loop} is a module that holds it in turn, so PyTorch's own eval() never ends",
            "keep that one where PyTorch sees no part: in a list, self.parent = [parent]",
        )
    for path, part in members(network).items():
        where = f"{path} is" if path else "is"
        if isinstance(part, torch.jit.ScriptModule):
            raise ArchscopeError(
                name,
                f"{where} a ScriptModule, whose layers and operators run out of sight",
                "give the nn.Module that it was made from",
            )
        if _runs_on_integers(type(part)):
            raise ArchscopeError(
                name,
                f"{where} a quantized {type(part).__name__}, which runs on packed integers only",
                "count the network as it was before its conversion",
            )
        for key, tensor in (*part._parameters.items(), *part._buffers.items(), *vars(part).items()):
            if isinstance(tensor, Tensor) and not is_lazy(tensor):
                _require_dense(name, f"{path}.{key} ".lstrip("."), tensor)


def _held_by_its_part(network: nn.Module) -> str | None:
    """The name of a child that is also one of its own holders, `None` where there is none."""
    holders: set[int] = set()
    done: set[int] = set()
    pending: list[tuple[str, nn.Module, bool]] = [("", network, False)]
    while pending:
        name, module, left = pending.pop()
        key = id(module)
        if left:
            holders.remove(key)
            done.add(key)
        elif key in holders:
            return name
        elif key not in done:
            holders.add(key)
            pending.append((name, module, True))
            prefix = f"{name}." if name else ""
            pending += [
                (prefix + child, part, False)
                for child, part in module._modules.items()
                if part is not None
            ]
    return None


def _runs_on_integers(kind: type[nn.Module]) -> bool:
    """Whether a class is one of PyTorch's quantized modules; `FloatFunctional` is not."""
    home = kind.__module__
    return home.startswith("torch.") and ".quantized" in home and kind.__name__ != "FloatFunctional"


def unwrapped(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The network inside wrappers that cannot run on meta, and a note for each.

    `nn.DataParallel` and `DistributedDataParallel` split batches over devices, and a
    `torch.compile`d module would be compiled: both do the work of the module inside.
    """
    notes: list[str] = []
    while True:
        kind = type(module).__name__
        if kind == "OptimizedModule":
            module = module._orig_mod  # type: ignore[assignment]
        elif kind in ("DataParallel", "DistributedDataParallel"):
            module = module.module  # type: ignore[assignment]
        else:
            return module, tuple(notes)
        notes.append(f"Counted the {type(module).__name__} inside its {kind} wrapper.")
