"""What the storage of a tensor says while a count runs: as `tensor.py`, one level below.

Its size and its identity are those that it has; whoever asks for more asks for values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import UntypedStorage

from archscope.analysis.values.known import ON_META, TABLE
from archscope.analysis.values.reader import Reader, running

_Base: Any = torch._C.StorageBase


_VALUES = (
    "__copy__", "__deepcopy__", "__getitem__", "__iter__", "__reduce__", "__repr__",
    "__setitem__", "__str__", "_get_filename", "_share_fd_cpu_", "_share_filename_cpu_",
    "_write_file", "bfloat16", "bool", "byte", "byteswap", "char", "clone", "complex_double",
    "complex_float", "copy_", "cpu", "data_ptr", "double", "fill_", "float", "half", "int",
    "long", "pin_memory", "share_memory_", "short", "to", "tolist", "type",
)  # fmt: skip
"""Methods that read or write values, or give others a way to."""


@cache
def answers() -> list[tuple[type, str, Any]]:
    """Patches of storages, which change nothing for those that do not belong to a run."""

    def run_of(storage: UntypedStorage) -> Reader | None:
        if _Base.device.__get__(storage).type != "meta":
            return None
        held = TABLE.get(storage._cdata)
        return None if held is not None and held.contents is ON_META else running()

    def place(storage: UntypedStorage) -> torch.device:
        run = run_of(storage)
        device: torch.device = _Base.device.__get__(storage)
        return device if run is None else run.users_device

    def needing_values(name: str) -> Callable[..., Any]:
        own = getattr(UntypedStorage, name)

        def asked(storage: UntypedStorage, *args: Any, **kwargs: Any) -> Any:
            run = run_of(storage)
            if run is not None:
                run.need_value()
            return own(storage, *args, **kwargs)

        return asked

    def is_shared(storage: UntypedStorage) -> bool:
        return run_of(storage) is None and bool(_own_is_shared(storage))

    return [
        (UntypedStorage, "device", property(place)),
        (UntypedStorage, "is_cuda", property(lambda storage: place(storage).type == "cuda")),
        (UntypedStorage, "is_shared", is_shared),
        *((UntypedStorage, name, needing_values(name)) for name in _VALUES),
    ]


_own_is_shared: Callable[[UntypedStorage], bool] = UntypedStorage.is_shared
