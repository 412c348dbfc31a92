"""Whose call runs: what `nn.Module.__call__` calls is wrapped for the time of a run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from archscope.analysis import dispatch, forwards
from archscope.analysis.calls import Call, CallLog
from archscope.analysis.nested import shapes_of
from archscope.analysis.own_autocast import own_autocast
from archscope.analysis.processes import watched
from archscope.analysis.repeats import Repeats
from archscope.analysis.threads import followed
from archscope.analysis.values.needed import NoValueError
from archscope.analysis.values.tensor import on_the_users_device
from archscope.process import patched, patched_here

Error = TypeVar("Error", bound=BaseException)


@contextmanager
def observed(log: CallLog, repeats: Repeats | None = None) -> Iterator[None]:
    """Tell `log` when each module call of this thread begins and ends.

    Args:
        log: takes down the calls.
        repeats: knows the blocks that need not be run again; without it every call runs.

    Raises:
        NoValueError: a value is needed that is not known.
        BaseException: whatever else is raised inside.
            The `archscope_call` of either names the innermost call that it came from,
            `archscope_activations` the bytes of activations in memory by then, and
            `archscope_trains` whether gradients were recorded.
    """
    original: Any = nn.Module._call_impl

    def observed_call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != log.thread:
            log.out_of_sight = log.names.get(id(module), log.out_of_sight)
            return original(module, *args, **kwargs)
        return logged(module, original, args, kwargs)

    def logged(module: nn.Module, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        call = log.enter(module, shapes_of(args if not kwargs else (args, kwargs)))
        try:
            if repeats is None or log.repeating or not module._modules:
                result = function(module, *args, **kwargs)
            else:
                result = repeats.run(call, function, args, kwargs)
            call.output_shapes = shapes_of(result)
            return result
        except BaseException:
            log.failed_in = log.failed_in or call
            log.trains = torch.is_grad_enabled()  # at last that of the outermost call
            raise
        finally:
            log.leave(call)

    patches = [(nn.Module, "_call_impl", observed_call), *forwards.watching(log, logged)]
    try:
        name = type(log.network).__name__
        with (
            patched(patches), on_the_users_device(), own_autocast(), followed(log), watched(name),
        ):  # fmt: skip
            yield
            log.require_sight()
    except BaseException as error:
        if log.value_needed_in is None:
            _marked(error, log, log.failed_in)
            raise
        raise _no_value(log, log.value_needed_in) from error
    if log.value_needed_in is not None:  # whatever the network made of the signal
        raise _no_value(log, log.value_needed_in)


def _no_value(log: CallLog, call: Call) -> NoValueError:
    error = NoValueError("the value of a tensor of which only the shape is known")
    return _marked(error, log, call)


def _marked(error: Error, log: CallLog, call: Call | None) -> Error:
    """Note in an error whose call it ended, and what the run had in memory by then."""
    made = [one.activation_bytes for one in log.calls]
    noted: Any = error
    noted.archscope_call = call
    noted.archscope_why_values = log.why_values
    noted.archscope_trains = log.trains
    noted.archscope_activations = sum(made) if log.trains else max(made, default=0)
    return error


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what `torch.compile` would compile as it is written."""
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled; its import takes seconds
        yield
    else:
        with torch.compiler.set_stance("force_eager"):
            yield


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Keep `nn.MultiheadAttention` from its fused operator, which hides its products."""
    fused = torch.backends.mha.get_fastpath_enabled

    def enabled() -> bool:
        asking = sys._getframe(2)
        if asking.f_code is _ENCODES and fused() and _leaves_padding_out(asking.f_locals):
            dispatch.run.branches[PADDED] = None
        return False

    with patched_here([(torch.backends.mha, "get_fastpath_enabled", enabled)]):
        yield


_ENCODES = nn.TransformerEncoder.forward.__code__

PADDED = (
    "Padded steps are counted like the others; without gradients nn.TransformerEncoder skips them"
)


def _leaves_padding_out(asked: Mapping[str, Any]) -> bool:
    """Whether an encoder would go on with a nested tensor, from what its `forward` knows."""
    encoder = asked["self"]
    if asked["src_key_padding_mask"] is None or asked["mask"] is not None:
        return False
    nests = getattr(encoder, "use_nested_tensor", False) and not encoder.layers[0].training
    return bool(nests) and asked["src"].dim() == 3 and not torch.is_grad_enabled()
