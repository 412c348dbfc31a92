"""Which tensors are alive while a network runs: a step on meta, followed storage by storage.

The network's own Python code and PyTorch's own autograd engine run, so every tensor is freed where
it would be freed on a device: when a local name goes out of scope, when a node of the graph has
been passed, when a gradient has been used.
A storage counts once however many views share it.
Of what a device adds, the rounding of its allocator is known; workspaces of its libraries,
fragmentation and its context are not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from archscope.analysis import dispatch, images, trace
from archscope.analysis.autocast import Autocast
from archscope.analysis.calls import Call, CallLog
from archscope.analysis.counting import counting
from archscope.analysis.cpu_functions import CpuFunctions
from archscope.analysis.eager_attention import EagerAttention
from archscope.analysis.formulas import sparse
from archscope.analysis.gpu_functions import GpuFunctions, transparent_functions
from archscope.analysis.nested import tensors
from archscope.analysis.observed import observed, unfused_attention
from archscope.analysis.observer import Observer
from archscope.analysis.operator import Operator
from archscope.analysis.optimizers import Optimizer
from archscope.process import finaliser, interruptible
from archscope.records import LiveBytes, SavedBytes

KINDS = (
    "parameters", "buffers", "optimizer", "input", "gradients", "activations", "temporary",
    "rounding",
)  # fmt: skip
"""The kinds of `LiveBytes`, in the order in which a figure stacks them."""


GRANULES = {"cuda": 512, "cpu": 1}
"""Bytes that the allocator of a device rounds every tensor up to a multiple of
(c10/cuda/CUDACachingAllocator.cpp, `kMinBlockSize`)."""


CONTEXT_BYTES = 2**30
"""Allowed for what the driver reserves, a GPU's context and the code of its libraries: a gibibyte.

PyTorch reports 25,447,170,048 bytes of an RTX 3090's 24 GiB, 0.3 GiB less than there are, before
a context exists.
"""

WORKSPACE_PARTS = 12
"""One part in so many of the tensors is allowed for workspaces of convolutions and products, in
either layout, and for what the allocator cannot use between blocks.

With the context it is what the batches that ran on a GPU of 24 GiB leave over:
`docs/how-to/memory.md`.
"""


@dataclass(frozen=True)
class Manner:
    """How a step runs, besides its network and input.

    Args:
        device: whose kernels and allocator are meant, `cuda` or `cpu`.
        half: the forward pass and the loss run under autocast to this dtype.
        accumulates: it is a later one of the passes that one update is made of.
        eager_attention: attention is written out as two products and a softmax.
    """

    device: str = "cuda"
    half: torch.dtype | None = None
    accumulates: bool = False
    eager_attention: bool = False

    @property
    def granule(self) -> int:
        return GRANULES[self.device]

    def allowance(self, allocated: int) -> int:
        """Bytes to allow beside what the allocator holds; none on a CPU."""
        return CONTEXT_BYTES + allocated // WORKSPACE_PARTS if self.device == "cuda" else 0


class _Storage(weakref.ref):  # type: ignore[type-arg]
    """A weak reference to a storage that knows its size and what it is for."""

    __slots__ = ("key", "kind", "saved_by", "size")

    key: int
    kind: str
    size: int
    saved_by: Call | None


class _Follower(Observer):  # type: ignore[no-untyped-call]
    """Sees every operator, and knows at any time which of their storages are alive."""

    def __init__(self, log: CallLog, on_meta: bool, manner: Manner) -> None:
        super().__init__(log, on_meta)
        self.manner = manner
        self.granule = manner.granule
        self.phase = "forward"
        self.alive: dict[int, _Storage] = {}
        self.live = dict.fromkeys(KINDS, 0)
        self.timeline: list[LiveBytes] = []

    def _answer(self, func: Any, operator: Operator, args: Any, kwargs: Mapping[str, Any]) -> Any:
        result = super()._answer(func, operator, args, kwargs)
        return images.ordered(func, args, result) if self.on_meta else result

    def _observe(
        self, operator: Operator, args: Any, kwargs: Mapping[str, Any], result: Any
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
        self.live["rounding"] += -size % self.granule
        return True

    @finaliser
    def _freed(self, entry: _Storage) -> None:
        self.live[entry.kind] -= entry.size
        self.live["rounding"] -= -entry.size % self.granule
        del self.alive[entry.key]

    def optimizer(self, sizes: Iterable[int]) -> None:
        """Count what an optimiser keeps."""
        for size in sizes:
            self.live["optimizer"] += size
            self.live["rounding"] += -size % self.granule

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
        allowance = self.manner.allowance(sum(live.values()) + extra)
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
                live["rounding"],
                allowance,
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
    optimizer: Optimizer,
    manner: Manner,
) -> Step:
    """Follow forward pass, loss, backward pass and update of a borrowed module in training mode.

    The optimiser has run before, so its state is there from the start; gradients are not
    (`set_to_none`), unless they are accumulated.

    Args:
        module: its tensors are stand-ins (see `borrow`).
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        loss: makes a differentiable scalar of what the module returns.
        optimizer: what is kept and held beside the network.
        manner: how it runs.

    Raises:
        Exception: whatever the module or the loss raises.
    """
    follower = _follower(module, args, kwargs, manner)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    follower.optimizer(optimizer.state(trainable))
    with (
        _gradients_seen(follower, trainable),
        _watched(follower) as kernels,
        torch.enable_grad(),
        _functions(manner, follower.on_meta) as casts,
        interruptible(),
    ):
        with saved_tensors_hooks(follower.saves, _unchanged):
            value = loss(module(*args, **kwargs))
        if casts is not None:
            casts.weights.clear()  # autocast's context ends here
        follower.note()
        saved = follower.saved()
        follower.phase = "backward"
        follower.in_backward = follower.log.repeating = True
        # Checkpointed blocks run again in here, under the function modes: `value.backward()` would
        # leave these.
        torch.autograd.backward([value])
        del value
        follower.let_graph_go()
        follower.phase = "update"
        follower.note(optimizer.update(trainable))
    return Step(tuple(follower.timeline), saved, tuple(sorted(kernels)))


@contextmanager
def _gradients_seen(follower: _Follower, trainable: Iterable[nn.Parameter]) -> Iterator[None]:
    """Tell the follower of every complete gradient; those of a pass before are there already.

    PyTorch keeps a hook where the garbage collector does not look: a parameter that kept it would
    keep the follower, which knows the network.
    """
    hooks = []
    for parameter in trainable:
        if follower.manner.accumulates:
            parameter.grad = torch.empty_like(parameter)
            follower.follow(parameter.grad, "gradients")
        hooks.append(parameter.register_post_accumulate_grad_hook(follower.gradient))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for hook, parameter in zip(hooks, trainable, strict=True):
            hook.remove()
            parameter.grad = None


@contextmanager
def _functions(manner: Manner, on_meta: bool) -> Iterator[Autocast | None]:
    """Functions as the device computes them, also in blocks that run again in the backward pass."""
    kernels = GpuFunctions() if manner.device == "cuda" else CpuFunctions(on_meta)
    half = nullcontext() if manner.half is None else Autocast(manner.half)
    attention = EagerAttention() if manner.eager_attention else nullcontext()
    with transparent_functions(), kernels, half as casts, attention:
        yield casts


def inference(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    manner: Manner,
) -> Step:
    """Follow a forward pass of a borrowed module that keeps nothing for a backward pass.

    Args:
        module: its tensors are stand-ins (see `borrow`).
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        manner: how it runs.

    Raises:
        Exception: whatever the module raises.
    """
    follower = _follower(module, args, kwargs, manner)
    with (
        _watched(follower) as kernels,
        torch.set_grad_enabled(dispatch.run.gradients),
        _functions(manner, follower.on_meta),
        interruptible(),
    ):
        module(*args, **kwargs)
    return Step(tuple(follower.timeline), (), tuple(sorted(kernels)))


def _follower(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], manner: Manner
) -> _Follower:
    """A follower that knows the parameters, buffers and inputs, which are there before the step."""
    inputs = list(tensors((args, kwargs)))
    log = CallLog(module, torch._C._autograd._get_sequence_nr)
    on_meta = all(tensor.is_meta for tensor in (*module.parameters(), *inputs))
    follower = _Follower(log, on_meta, manner)
    for kind, owned in (
        ("parameters", module.parameters()),
        ("buffers", module.buffers()),
        ("input", inputs),
    ):
        for tensor in owned:
            follower.follow(tensor, kind)
    return follower


@contextmanager
def _watched(follower: _Follower) -> Iterator[set[str]]:
    """Every module call and operator inside reaches the follower; yields attention's kernels."""
    with (
        unfused_attention(),
        counting(follower.manner.device, trace.on_trial(follower.log, follower.on_meta)) as kernels,
        _reached(follower),
        observed(follower.log),
        follower,
    ):
        yield kernels


@contextmanager
def _reached(follower: _Follower) -> Iterator[None]:
    """Note in an error how many bytes of activations were in memory at once by then."""
    try:
        yield
    except BaseException as error:
        noted: Any = error
        held = (moment.activations + moment.temporary for moment in follower.timeline)
        noted.archscope_activations = max(held, default=0)
        raise


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor
