"""What a tensor says of itself while a count runs: it is on the user's device, and has values.

PyTorch answers these questions in C++, below anything that a mode or a subclass sees, and a mode
for them would change how networks go that ask `has_torch_function`.
So the answers are set on `torch.Tensor` for the time of a run; a thread that does not count, and
the kernels of PyTorch itself, are answered as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from archscope.analysis.values.contents import (
    ADDRESS,
    PLAIN,
    is_meta,
    make_on_meta,
    was_made_on_meta,
)
from archscope.process import patched

_Base: Any = torch._C.TensorBase
_unobserved: Any = torch._C._DisableTorchDispatch
"""Lets operators pass the run's mode by."""


class Reader(Protocol):
    """The mode of a run, of which a tensor's value can be asked."""

    users_device: torch.device

    def read(self, tensor: Tensor) -> Tensor:
        """The tensor with its values, never to be written to."""


def _reader(tensor: Tensor) -> Reader | None:
    """The run of this thread that a tensor belongs to; `None` inside of PyTorch's own kernels."""
    for place in range(torch._C._len_torch_dispatch_stack()):
        mode: Any = torch._C._get_dispatch_stack_at(place)
        if getattr(mode, "users_device", None) is not None and type(tensor) in PLAIN:
            return mode if is_meta(tensor) else None
    return None


def _device(tensor: Tensor) -> torch.device:
    run = _reader(tensor)
    if run is None or was_made_on_meta(tensor):
        return _Base.device.__get__(tensor)  # type: ignore[no-any-return]
    return run.users_device


def _is_on(kind: str) -> Callable[[Tensor], bool]:
    base: Callable[[Tensor], bool] = vars(_Base)[f"is_{kind}"].__get__

    def asked(tensor: Tensor) -> bool:
        run = _reader(tensor)
        if run is None or was_made_on_meta(tensor):
            return base(tensor)
        return run.users_device.type == kind

    return asked


def _get_device(tensor: Tensor) -> int:
    run = _reader(tensor)
    if run is None:
        return int(_Base.get_device(tensor))
    device = run.users_device
    return int(device.index or 0) if device.type == "cuda" else -1


def _data_ptr(tensor: Tensor) -> int:
    """An address that two tensors share if they share memory."""
    if _reader(tensor) is None:
        return int(_Base.data_ptr(tensor))
    return ADDRESS(tensor) + int(tensor.storage_offset()) * tensor.itemsize


def _to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A move to where a tensor is leaves it as it is."""
    run = _reader(tensor)
    if run is not None:
        places = [value for value in (*args[:1], kwargs.get("device")) if _names_a_device(value)]
        if places and torch.device(places[0]).type == run.users_device.type:
            args = args[1:] if args and _names_a_device(args[0]) else args
            kwargs.pop("device", None)
            args = tuple(value for value in args if not isinstance(value, bool))
            kwargs.pop("non_blocking", None)
            if not args and not any(kwargs.values()):
                return tensor
        elif places and torch.device(places[0]).type == "meta":
            return make_on_meta(torch.empty_like(tensor))
    return _Base.to(tensor, *args, **kwargs)  # type: ignore[no-any-return]


def _names_a_device(value: Any) -> bool:
    return isinstance(value, (str, torch.device)) or type(value) is int


def _moves_to(kind: str) -> Callable[..., Tensor]:
    base = vars(_Base)[kind]

    def moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        run = _reader(tensor)
        if run is not None and (kind == "cpu" or run.users_device.type == kind):
            return tensor
        result: Tensor = base(tensor, *args, **kwargs)
        return result

    return moved


def _numpy(tensor: Tensor, *, force: bool = False) -> Any:
    run = _reader(tensor)
    if run is None:
        return _Base.numpy(tensor, force=force)
    if tensor.requires_grad and not force:
        return torch.zeros(0, requires_grad=True).numpy()  # raises as a tensor in memory does
    with _unobserved():
        return run.read(tensor).clone().numpy()


def _tolist(tensor: Tensor) -> Any:
    run = _reader(tensor)
    if run is None:
        return _Base.tolist(tensor)
    with _unobserved():
        return run.read(tensor).tolist()


def _repr(tensor: Tensor, *, tensor_contents: Any = None) -> str:
    """The values in a text decide the way of a network that looks for one in it."""
    run = _reader(tensor)
    if run is None or was_made_on_meta(tensor):
        return _own_repr(tensor, tensor_contents=tensor_contents)
    with _unobserved():
        value = run.read(tensor).clone()
    return _own_repr(value.requires_grad_(tensor.requires_grad), tensor_contents=tensor_contents)


def _dlpack(tensor: Tensor, **options: Any) -> Any:
    run = _reader(tensor)
    if run is None:
        return _own_dlpack(tensor, **options)
    with _unobserved():
        return _own_dlpack(run.read(tensor).clone(), **options)


_own_dlpack: Any = Tensor.__dlpack__
_own_repr: Any = Tensor.__repr__

_ANSWERS: dict[str, Any] = {
    "device": property(_device),
    **{f"is_{kind}": property(_is_on(kind)) for kind in ("cpu", "cuda", "meta")},
    "get_device": _get_device,
    "data_ptr": _data_ptr,
    "to": _to,
    "cpu": _moves_to("cpu"),
    "cuda": _moves_to("cuda"),
    "numpy": _numpy,
    "tolist": _tolist,
    "__dlpack__": _dlpack,
    "__repr__": _repr,
}
for _name, _answer in _ANSWERS.items():
    if not isinstance(_answer, property):
        _answer.__name__ = _name  # by which a mode of PyTorch's knows it


@contextmanager
def on_the_users_device() -> Iterator[None]:
    """Let tensors of a run answer as on the user's device."""
    with patched([(Tensor, name, answer) for name, answer in _ANSWERS.items()]):
        yield
