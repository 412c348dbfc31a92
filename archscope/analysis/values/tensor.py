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
from torch.nested._internal.nested_tensor import NestedTensor
from torch.utils import _device

from archscope.analysis.values.contents import (
    ADDRESS,
    PLAIN,
    is_meta,
    make_on_meta,
    was_made_on_meta,
)
from archscope.process import patched, patched_here

_Base: Any = torch._C.TensorBase
_unobserved: Any = torch._C._DisableTorchDispatch
"""Lets operators pass the run's mode by."""


class Reader(Protocol):
    """The mode of a run, of which a tensor's value can be asked."""

    @property
    def users_device(self) -> torch.device:
        """Where the user's tensors are."""

    def read(self, tensor: Tensor) -> Tensor:
        """The tensor with its values, never to be written to."""


def _reader(tensor: Tensor, kinds: tuple[type[Tensor], ...] = PLAIN) -> Reader | None:
    """The run of this thread that a tensor belongs to; `None` inside of PyTorch's own kernels."""
    for place in range(torch._C._len_torch_dispatch_stack()):
        mode: Any = torch._C._get_dispatch_stack_at(place)
        if getattr(mode, "users_device", None) is not None and type(tensor) in kinds:
            return mode if is_meta(tensor) else None
    return None


_PLACED = (*PLAIN, NestedTensor)
"""Whose device is asked: a jagged tensor is where its rows are."""


def _place(tensor: Tensor) -> torch.device:
    run = _reader(tensor, _PLACED)
    if run is None or was_made_on_meta(tensor):
        return _Base.device.__get__(tensor)  # type: ignore[no-any-return]
    return run.users_device


def _is_on(kind: str) -> Callable[[Tensor], bool]:
    base: Callable[[Tensor], bool] = vars(_Base)[f"is_{kind}"].__get__

    def asked(tensor: Tensor) -> bool:
        run = _reader(tensor, _PLACED)
        if run is None or was_made_on_meta(tensor):
            return base(tensor)
        return run.users_device.type == kind

    return asked


def _get_device(tensor: Tensor) -> int:
    run = _reader(tensor, _PLACED)
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
    run = _reader(tensor, _PLACED)
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


def _type(tensor: Tensor, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The name of a tensor's type, or a move to one as `to` does."""
    run = _reader(tensor)
    if run is None or was_made_on_meta(tensor):
        return _Base.type(tensor, dtype, *args, **kwargs)
    if dtype is None:
        with _unobserved():
            name: str = torch.empty(0, dtype=tensor.dtype).type()
        return name if run.users_device.type == "cpu" else name.replace(".", ".cuda.")
    if not isinstance(dtype, torch.dtype):  # torch.FloatTensor, or its name
        name = dtype if isinstance(dtype, str) else f"{dtype.__module__}.{dtype.__name__}"
        dtype = getattr(torch, name.rpartition(".")[2]).dtype
    return _Base.to(tensor, dtype)


def _names_a_device(value: Any) -> bool:
    return isinstance(value, (str, torch.device)) or type(value) is int


def _moves_to(kind: str) -> Callable[..., Tensor]:
    base = vars(_Base)[kind]

    def moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        run = _reader(tensor, _PLACED)
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
    if run is not None and not was_made_on_meta(tensor):
        with _unobserved():
            trains, tensor = tensor.requires_grad, run.read(tensor).clone()
        tensor.requires_grad_(trains)
    text: str = _own_repr(tensor, tensor_contents=tensor_contents)
    return text


def _deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy made by operators, which keep what is known; PyTorch's own asks the storage."""
    if _reader(tensor) is None or not tensor.is_leaf:
        return _own_deepcopy(tensor, memo)  # type: ignore[no-any-return]
    if id(tensor) not in memo:
        memo[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    return memo[id(tensor)]  # type: ignore[no-any-return]


def _dlpack(tensor: Tensor, **options: Any) -> Any:
    run = _reader(tensor)
    if run is None:
        return _own_dlpack(tensor, **options)
    with _unobserved():
        return _own_dlpack(run.read(tensor).clone(), **options)


_own_dlpack: Any = Tensor.__dlpack__
_own_repr: Any = Tensor.__repr__
_own_deepcopy: Any = Tensor.__deepcopy__

_ANSWERS: dict[str, Any] = {
    "device": property(_place),
    **{f"is_{kind}": property(_is_on(kind)) for kind in ("cpu", "cuda", "meta")},
    "get_device": _get_device,
    "data_ptr": _data_ptr,
    "to": _to,
    "type": _type,
    "cpu": _moves_to("cpu"),
    "cuda": _moves_to("cuda"),
    "numpy": _numpy,
    "tolist": _tolist,
    "__dlpack__": _dlpack,
    "__repr__": _repr,
    "__deepcopy__": _deepcopy,
}
for _name, _answer in _ANSWERS.items():
    if not isinstance(_answer, property):
        _answer.__name__ = _name  # by which a mode of PyTorch's knows it


def _from_numbers(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Of numbers PyTorch makes a tensor on meta out of the mode's sight."""

    def made(*args: Any, **kwargs: Any) -> Tensor:
        tensor = make(*args, **kwargs)
        asked = kwargs.get("device") or _surrounding_device()
        if torch.device(asked).type != "meta" or (args and isinstance(args[0], Tensor)):
            return tensor
        return make_on_meta(tensor)

    return made


def _surrounding_device() -> torch.device:
    """Of `with torch.device(…)`: `torch.get_default_device` makes a tensor to find it."""
    for place in reversed(range(torch._C._len_torch_function_stack())):
        mode = torch._C._get_function_stack_at(place)
        if isinstance(mode, _device.DeviceContext):
            return torch.device(mode.device)
    return torch.device("cpu")


@contextmanager
def on_the_users_device() -> Iterator[None]:
    """Let tensors of a run answer as on the user's device."""
    _device._device_constructors()  # a list that PyTorch makes once, of what it finds
    here = [(torch, name, _from_numbers(getattr(torch, name))) for name in ("tensor", "as_tensor")]
    with patched([(Tensor, name, answer) for name, answer in _ANSWERS.items()]), patched_here(here):
        yield
