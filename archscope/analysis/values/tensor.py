"""What a tensor says of itself while a count runs: it is on the user's device, and has values.

PyTorch answers these questions in C++, below anything that a mode or a subclass sees, and a mode
for them would change how networks go that ask `has_torch_function`.
So the answers are set on `torch.Tensor` for the time of a run; a thread that does not count, and
the kernels of PyTorch itself, are answered as ever.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.utils.dlpack
from torch import Tensor, nn
from torch.nested._internal.nested_tensor import NestedTensor
from torch.utils import _device

from archscope.analysis.values import dispatch_keys, makers, old_types, printing, storage
from archscope.analysis.values.contents import ADDRESS, PLAIN, Contents, is_meta
from archscope.analysis.values.known import (
    contents_of,
    forever,
    lend,
    make_on_meta,
    was_made_on_meta,
)
from archscope.analysis.values.old_types import OldType
from archscope.analysis.values.reader import Reader, running
from archscope.process import patched, patched_here

_Base: Any = torch._C.TensorBase
_unobserved: Any = torch._C._DisableTorchDispatch
"""Lets operators pass the run's mode by."""


def _reader(tensor: Tensor, kinds: tuple[type[Tensor], ...] = PLAIN) -> Reader | None:
    """The run of this thread that a tensor on meta belongs to."""
    return running() if type(tensor) in kinds and is_meta(tensor) else None


_PLACED = (*PLAIN, NestedTensor)
"""Whose device is asked: a jagged tensor is where its rows are."""


def _place(tensor: Tensor) -> torch.device:
    run = _reader(tensor, _PLACED)
    if run is None or was_made_on_meta(tensor) or sys._getframe(1).f_code is _MAKING_NESTED:
        return _Base.device.__get__(tensor)  # type: ignore[no-any-return]
    return run.users_device


_MAKING_NESTED = NestedTensor.__new__.__code__
"""Makes a jagged tensor where its rows are; autograd asks the driver of a GPU for it there."""


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


def _address(asked: str) -> Callable[[Tensor], int]:
    base = vars(_Base)[asked]

    def data_ptr(tensor: Tensor) -> int:
        """An address of a tensor's values, which whoever has it may read and write.

        PyTorch's own layers only compare them.
        """
        run = _reader(tensor)
        if run is None:
            return int(base(tensor))
        if _called_by_torch() or was_made_on_meta(tensor):
            return ADDRESS(tensor) + int(tensor.storage_offset()) * tensor.itemsize
        real, contents = _lent(run, tensor)
        contents.borrowers.append(forever)
        return int(base(real))

    return data_ptr


_TORCH = str(Path(torch.__file__).parent)


def _called_by_torch() -> bool:
    """Whether code of PyTorch's called the function that asks."""
    return sys._getframe(2).f_code.co_filename.startswith(_TORCH)


def _lent(run: Reader, tensor: Tensor) -> tuple[Tensor, Contents]:
    """The values in memory, for others than tensors to read and to write.

    Raises:
        ValueNeeded: they are not known.
    """
    with _unobserved(), torch.no_grad():
        run.read(tensor)
        return lend(tensor)


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
        own = dtype.original if isinstance(dtype, OldType) else dtype
        return _Base.type(tensor, own, *args, **kwargs)
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
    real, contents = _lent(run, tensor)
    with _unobserved():
        array = _Base.numpy(real)
    contents.borrowers.append(weakref.ref(array))
    return array


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
        if contents_of(tensor) is None and (text := printing.without_values(tensor)) is not None:
            return text
        with _unobserved():
            trains, tensor = tensor.requires_grad, run.read(tensor).clone()
        tensor.requires_grad_(trains)
    return str(_own_repr(tensor, tensor_contents=tensor_contents))


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
    real, contents = _lent(run, tensor)
    contents.borrowers.append(forever)
    with _unobserved():
        return _own_dlpack(real, **options)


def _reduce(own: Callable[[Tensor, int], Any]) -> Callable[[Tensor, int], Any]:
    def reduced(tensor: Tensor, protocol: int) -> Any:
        """What is pickled: the values; PyTorch's own reads the storage, which has none."""
        run = _reader(tensor)
        if run is None or was_made_on_meta(tensor):
            return own(tensor, protocol)
        with _unobserved():
            real = run.read(tensor).clone()
            if type(tensor) is nn.Parameter:
                real = nn.Parameter(real, tensor.requires_grad)
            else:
                real.requires_grad_(tensor.requires_grad)
        return own(real, protocol)

    return reduced


def _copy(tensor: Tensor) -> Tensor:
    """`copy.copy`: another tensor over the same memory, which PyTorch makes by way of pickling."""
    if _reader(tensor) is None:
        return _own_copy(tensor)
    twin = tensor.detach()
    if type(tensor) is nn.Parameter:
        return nn.Parameter(twin, tensor.requires_grad)
    return twin.requires_grad_(tensor.requires_grad)


def _own_copy(tensor: Tensor) -> Tensor:
    """As the module `copy` has it for objects without `__copy__`."""
    make, arguments, *_ = tensor.__reduce_ex__(4)  # type: ignore[no-untyped-call]
    made: Tensor = make(*arguments)
    return made


def _by_element(name: str) -> Callable[..., Tensor]:
    base = vars(_Base)[name]

    def applied(tensor: Tensor, *args: Any) -> Tensor:
        """A function of Python's of every element, which PyTorch leaves out on meta."""
        run = _reader(tensor)
        if run is not None:
            run.need_value()
        result: Tensor = base(tensor, *args)
        return result

    return applied


_own_dlpack: Any = Tensor.__dlpack__
_own_repr: Any = Tensor.__repr__
_own_deepcopy: Any = Tensor.__deepcopy__

_ANSWERS: dict[str, Any] = {
    "device": property(_place),
    **{f"is_{kind}": property(_is_on(kind)) for kind in ("cpu", "cuda", "meta")},
    "get_device": _get_device,
    **{name: _address(name) for name in ("data_ptr", "const_data_ptr")},
    "to": _to,
    "type": _type,
    "cpu": _moves_to("cpu"),
    "cuda": _moves_to("cuda"),
    "numpy": _numpy,
    "tolist": _tolist,
    "__dlpack__": _dlpack,
    "__repr__": _repr,
    "__deepcopy__": _deepcopy,
    "__copy__": _copy,
    "__reduce_ex__": _reduce(Tensor.__reduce_ex__),
    **{name: _by_element(name) for name in ("apply_", "map_", "map2_")},
}
for _name, _answer in _ANSWERS.items():
    if not isinstance(_answer, property):
        _answer.__name__ = _name  # by which a mode of PyTorch's knows it


CAPABILITY = (9, 0)
"""Of the GPU that tensors answer to be on where there is none, for networks that ask which kernels
it has, as mixtures of transformers do: an H100's."""


@contextmanager
def on_the_users_device() -> Iterator[None]:
    """Let tensors of a run answer as on the user's device."""
    _device._device_constructors()  # a list that PyTorch makes once, of what it finds
    here: list[tuple[Any, str, Any]] = [
        (torch._C, "_dispatch_keys", partial(dispatch_keys.of, _reader)),
    ]
    if not torch.cuda.is_available():
        here.append((torch.cuda, "get_device_capability", lambda *_, **__: CAPABILITY))
    here += makers.answers()
    here += printing.answers()
    here += [(owner, "to_dlpack", _dlpack) for owner in (torch, torch.utils.dlpack)]
    answers: list[tuple[Any, str, Any]] = [
        (Tensor, name, answer) for name, answer in _ANSWERS.items()
    ]
    answers.append((nn.Parameter, "__reduce_ex__", _reduce(nn.Parameter.__reduce_ex__)))
    answers += [*storage.answers(), *old_types.answers()]
    with patched(answers), patched_here(here):
        yield
