"""Run networks that name a device themselves: whatever they ask for, one device is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from archscope.analysis.values.contents import is_meta

_MOVES = ("cpu", "cuda", "xpu", "mps")


class OneDevice(TorchFunctionMode):
    """Sends every tensor that is moved or made on a device to the CPU, or what passes for it.

    `x.cuda()`, `x.to("cuda:1")`, `module.to("cpu")` and `torch.zeros(3, device="cuda")` all work on
    a machine without that device. What is made on meta stays there.
    """

    device = torch.device("cpu")

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if args and isinstance(args[0], Tensor) and (name in _MOVES or name == "to"):
            return self._moved(args[0], () if name in _MOVES else args[1:], options)
        if _is_elsewhere(options.get("device")):
            options["device"] = self.device
        return func(*args, **options)

    def _moved(self, tensor: Tensor, args: Any, options: dict[str, Any]) -> Tensor:
        """A tensor that is there already, in another dtype where that is asked for."""
        if not is_meta(tensor):
            tensor = tensor.to(self.device)
        args = [arg for arg in args if not _is_elsewhere(arg)]
        if _is_elsewhere(options.get("device")):
            del options["device"]
        if not any(isinstance(arg, (torch.dtype, torch.device, str, Tensor)) for arg in args):
            args = []
        options.pop("non_blocking", None)
        return tensor.to(*args, **options) if args or options else tensor


def _is_elsewhere(value: Any) -> bool:
    return isinstance(value, (torch.device, str)) and torch.device(value).type != "meta"


def asks_for_a_device(error: BaseException) -> bool:
    """Whether a run on meta failed because the network moves tensors to a device of its own."""
    text = str(error)
    return any(sign in text for sign in ("Cannot copy out of meta", "CUDA", "NVIDIA", "cuda"))
