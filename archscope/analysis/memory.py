"""Which tensors are alive while a network runs: a step on meta, followed storage by storage.

The network's own Python code and PyTorch's own autograd engine run, so every tensor is freed where
it would be freed on a device: when a local name goes out of scope, when a node of the graph has
been passed, when a gradient has been used.
A storage counts once however many views share it.
What a device adds is not seen: workspaces of its libraries, rounding and fragmentation of its
allocator, its context.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from archscope.analysis import trace
from archscope.analysis.calls import Call, CallLog
from archscope.analysis.counting import counting
from archscope.analysis.formulas import sparse
from archscope.records import LiveBytes, SavedBytes

KINDS = (
    "parameters", "buffers", "optimizer", "input", "gradients", "activations", "temporary",
)  # fmt: skip
"""The kinds of `LiveBytes`, in the order in which a figure stacks them."""


@dataclass(frozen=True, slots=True)
class OptimizerBytes:
    """Bytes of an optimiser for each trainable element.

    Args:
        state: kept from step to step.
        update: made and dropped while the weights are updated.
    """

    state: int
    update: int


def optimizer_bytes(name: str, element: int, master_weights: bool) -> OptimizerBytes:
    """What PyTorch's own optimisers keep, in their default (`foreach`) form.

    Momentum keeps one value an element, Adam and AdamW two (Kingma and Ba 2015, algorithm 1), in
    the dtype of the weights that they update; the update of Adam holds the square root of the
    second moment once more.
    With master weights (Micikevicius et al. 2018, section 3.1) the optimiser also keeps the
    weights in float32, works in float32, and casts the gradients for the update.

    Args:
        name: `sgd`, `momentum`, `adam` or `adamw`.
        element: bytes of one element of the network's weights.
        master_weights: whether the optimiser updates float32 copies.
    """
    moments = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2}[name]
    roots = 1 if moments == 2 else 0
    if master_weights:
        return OptimizerBytes(4 * (1 + moments), 4 * (1 + roots))
    return OptimizerBytes(element * moments, element * roots)


class _Storage(weakref.ref):  # type: ignore[type-arg]
    """A weak reference to a storage that knows its size and what it is for."""

    __slots__ = ("key", "kind", "saved_by", "size")

    key: int
    kind: str
    size: int
    saved_by: Call | None


class _Follower(trace.Observer):  # type: ignore[no-untyped-call]
    """Sees every operator, and knows at any time which of their storages are alive."""

    def __init__(self, log: CallLog, on_meta: bool) -> None:
        super().__init__(log, on_meta)
        self.phase = "forward"
        self.alive: dict[int, _Storage] = {}
        self.live = dict.fromkeys(KINDS, 0)
        self.timeline: list[LiveBytes] = []

    def _observe(
        self, operator: trace.Operator, args: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        if not operator.is_view and self._allocated(result):
            self.note()

    def _allocated(self, result: Any) -> bool:
        """Follow what an operator returned; whether any of it is new."""
        if isinstance(result, Tensor):
            return self.follow(result, "temporary")
        if isinstance(result, (list, tuple)):
            new = [self.follow(x, "temporary") for x in result if isinstance(x, Tensor)]
            return any(new)
        return False

    def follow(self, tensor: Tensor, kind: str) -> bool:
        """Count a tensor's storage until it is freed; `False` where it counts already."""
        if sparse.is_sparse(tensor):
            new = [self.follow(part, kind) for part in sparse.components(tensor)]
            return any(new)
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = storage.nbytes()
        if key in self.alive or size == 0:
            return False
        entry = _Storage(storage, self._freed)
        entry.key, entry.kind, entry.size, entry.saved_by = key, kind, size, None
        self.alive[key] = entry
        self.live[kind] += size
        return True

    def _freed(self, entry: _Storage) -> None:
        self.live[entry.kind] -= entry.size
        del self.alive[entry.key]

    def becomes(self, tensor: Tensor, kind: str) -> _Storage | None:
        """Move a storage from temporary to the kind that it turned out to be."""
        if sparse.is_sparse(tensor):
            parts = [self.becomes(part, kind) for part in sparse.components(tensor)]
            return next((entry for entry in parts if entry is not None), None)
        entry = self.alive.get(tensor.untyped_storage()._cdata)
        if entry is None or entry.kind != "temporary":
            return None
        self.live[entry.kind] -= entry.size
        self.live[kind] += entry.size
        entry.kind = kind
        return entry

    def saves(self, tensor: Tensor) -> Tensor:
        """Note that autograd keeps a tensor; called by it for each one, while a module runs."""
        if not self.in_backward:
            self.follow(tensor, "temporary")
            entry = self.becomes(tensor, "activations")
            if entry is not None:
                entry.saved_by = self.log.current
        return tensor

    def gradient(self, parameter: Tensor) -> None:
        """Note that the gradient of a parameter is complete."""
        if parameter.grad is not None:
            self.becomes(parameter.grad, "gradients")

    def note(self, extra: int = 0) -> None:
        """Add the present moment to the timeline, with temporary bytes that no operator made."""
        layer = "" if self.phase == "update" else self._name(self._owner()[0])
        live = self.live
        self.timeline.append(
            LiveBytes(
                self.phase,
                layer,
                live["parameters"],
                live["buffers"],
                live["optimizer"],
                live["input"],
                live["gradients"],
                live["activations"],
                live["temporary"] + extra,
            )
        )

    def saved(self) -> tuple[SavedBytes, ...]:
        """What is kept at this moment, by the call that saved it first."""
        by_call: dict[Call, int] = {}
        for entry in self.alive.values():
            if entry.saved_by is not None:
                by_call[entry.saved_by] = by_call.get(entry.saved_by, 0) + entry.size
        order = {id(call): place for place, call in enumerate(self.log.calls)}
        rows = sorted(by_call.items(), key=lambda item: order.get(id(item[0]), len(order)))
        return tuple(
            SavedBytes(self._name(call), type(call.module).__name__, call.index, size)
            for call, size in rows
        )

    def _name(self, call: Call) -> str:
        """The module's path; the loss runs outside of the network."""
        outside = call.depth < 0 or (call.depth == 0 and call.module is not self.log.network)
        return "loss" if outside else call.name


@dataclass(frozen=True, slots=True)
class Step:
    """What one step held: live bytes over time, what the backward pass needed, by which kernels."""

    timeline: tuple[LiveBytes, ...]
    saved: tuple[SavedBytes, ...] = ()
    attention_kernels: tuple[str, ...] = ()


def training_step(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    loss: Callable[[Any], Tensor],
    optimizer: OptimizerBytes,
) -> Step:
    """Follow forward pass, loss, backward pass and update of a borrowed module in training mode.

    The optimiser has run before, so its state is there from the start; gradients are not
    (`set_to_none`).

    Args:
        module: its tensors are stand-ins (see `borrow`).
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        loss: makes a differentiable scalar of what the module returns.
        optimizer: bytes for each trainable element.

    Raises:
        Exception: whatever the module or the loss raises.
    """
    follower = _follower(module, args, kwargs)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    elements = sum(parameter.numel() for parameter in trainable)
    follower.live["optimizer"] = elements * optimizer.state
    for parameter in trainable:
        parameter.register_post_accumulate_grad_hook(follower.gradient)  # type: ignore[no-untyped-call]
    with _watched(follower) as kernels, torch.enable_grad():
        with saved_tensors_hooks(follower.saves, _unchanged):
            value = loss(module(*args, **kwargs))
        follower.note()
        saved = follower.saved()
        follower.phase = "backward"
        follower.in_backward = follower.log.repeating = True
        value.backward()  # type: ignore[no-untyped-call]
        del value
        follower.phase = "update"
        follower.note(elements * optimizer.update)
    for parameter in trainable:
        parameter.grad = None
    return Step(tuple(follower.timeline), saved, tuple(sorted(kernels)))


def inference(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Step:
    """Follow a forward pass of a borrowed module that keeps nothing for a backward pass.

    Raises:
        Exception: whatever the module raises.
    """
    follower = _follower(module, args, kwargs)
    with _watched(follower) as kernels, torch.no_grad():
        module(*args, **kwargs)
    return Step(tuple(follower.timeline), (), tuple(sorted(kernels)))


def _follower(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Follower:
    """A follower that knows the parameters, buffers and inputs, which are there before the step."""
    inputs = list(trace.tensors((args, kwargs)))
    log = CallLog(module, torch._C._autograd._get_sequence_nr)
    follower = _Follower(log, all(tensor.is_meta for tensor in (*module.parameters(), *inputs)))
    for kind, tensors in (
        ("parameters", module.parameters()),
        ("buffers", module.buffers()),
        ("input", inputs),
    ):
        for tensor in tensors:
            follower.follow(tensor, kind)
    return follower


@contextmanager
def _watched(follower: _Follower) -> Iterator[set[str]]:
    """Every module call and operator inside reaches the follower; yields attention's kernels."""
    with (
        trace.unfused_attention(),
        counting() as kernels,
        trace.observed(follower.log),
        follower,
    ):
        yield kernels


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor
