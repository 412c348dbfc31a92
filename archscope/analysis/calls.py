"""The log of module calls: who was called by whom, with what, and the work credited to each."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archscope.analysis.borrow import members
from archscope.analysis.formulas.sparse import stored_bytes
from archscope.analysis.quantized import logical_elements, packed
from archscope.analysis.values.needed import NEEDS_VALUES
from archscope.records import FREE, IDLE, Cost, Layer, Product, Setting, Shape, Work
from archscope.records.network import nearest_around

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of one call."""

EXTRA_SETTINGS = ("transposed", "embed_dim", "num_heads", "num_embeddings", "embedding_dim")
"""Constructor facts that PyTorch's modules do not list in `__constants__`."""


class Running:
    """Work while it adds up."""

    __slots__ = ("bytes_read", "bytes_written", "elementwise", "operators", "products")

    def __init__(self) -> None:
        self.products: list[Product] = []
        self.elementwise = 0
        self.bytes_read = 0
        self.bytes_written = 0
        self.operators = 0

    def frozen(self) -> Work:
        if not self.operators:
            return IDLE
        return Work(
            Cost(tuple(self.products)) if self.products else FREE,
            self.elementwise,
            self.bytes_read,
            self.bytes_written,
            self.operators,
        )


class Call:
    """One call of one module; the work of a repetition is credited to the call it repeats."""

    __slots__ = (
        "activation_bytes", "backward", "children", "depth", "forward", "index", "input_shapes",
        "module", "name", "output_shapes", "repeated",
    )  # fmt: skip

    def __init__(
        self, module: nn.Module, name: str, index: int, depth: int, input_shapes: tuple[Shape, ...]
    ) -> None:
        self.repeated: Call | None = None  # not itself: the log would wait for the collector
        self.module = module
        self.name = name
        self.index = index
        self.depth = depth
        self.children = 0
        self.input_shapes = input_shapes
        self.output_shapes: tuple[Shape, ...] = ()
        self.forward = Running()
        self.backward = Running()
        self.activation_bytes = 0

    @property
    def credited(self) -> Call:
        """The call whose work this one's is: itself, unless it repeats another."""
        return self.repeated or self

    def copy_work(self, earlier: Call) -> None:
        """Take the forward pass of an equal call for its own."""
        self.children = earlier.children
        self.output_shapes = earlier.output_shapes
        self.forward = earlier.forward
        self.activation_bytes = earlier.activation_bytes


class CallLog:
    """Every module call in execution order.

    Args:
        network: the module whose names are used.
        sequence_number: autograd's next number in this thread; a node made between two readings
            carries a number between them.

    Once `repeating` is set, calls are not listed: they run a checkpointed block a second time.
    `thread` is the one whose calls are listed, which `turns` passes on once there are several;
    `out_of_sight` names a module that ran in another thread, `graph_elsewhere` says whether
    autograd recorded there, `ended` that nothing is the run's any more, `value_needed_in` the call
    that asked for the value of a tensor of which only the shape is known, `trains` whether a run
    that failed recorded gradients.
    """

    def __init__(self, network: nn.Module, sequence_number: Callable[[], int]) -> None:
        self.network = network
        self.sequence_number = sequence_number
        self.members = members(network)
        self.names = {id(module): name for name, module in self.members.items()}
        self.calls: list[Call] = []
        self.first_calls: dict[int, Call] = {}
        self.times_called: defaultdict[int, int] = defaultdict(int)
        outside = Call(network, "", 0, -1, ())
        self.stack = [outside]
        self.last_owner = outside
        self.failed_in: Call | None = None
        self.repeating = False
        self.trains = False
        self.thread = get_ident()
        self.turns: Any = None  # `Turns`, which are those of a log
        self.out_of_sight: str | None = None
        self.graph_elsewhere = False
        self.ended = False
        self.value_needed_in: Call | None = None
        self.why_values = NEEDS_VALUES
        self._switch_numbers: list[int] = []
        self._switch_owners: list[Call] = []

    @property
    def current(self) -> Call:
        return self.stack[-1]

    def require_sight(self, of_graph: bool = False) -> None:
        """Refuse a run of which other threads had a part that cannot be credited.

        Args:
            of_graph: whether a backward pass is to follow.

        Raises:
            TypeError: a module ran there, or autograd recorded what is to be differentiated.
        """
        if self.out_of_sight is not None:
            raise TypeError(
                f"{self.out_of_sight} runs in a thread that waits for others, which cannot be "
                f"observed"
            )
        if of_graph and self.graph_elsewhere:
            raise TypeError("autograd records in threads that it starts, which cannot be observed")

    def enter(self, module: nn.Module, input_shapes: tuple[Shape, ...]) -> Call:
        parent = self.stack[-1]
        key = id(module)
        name = self.names.get(key)
        if name is None:
            prefix = f"{parent.name}." if parent.name else ""
            name = self.names[key] = f"{prefix}<{type(module).__name__}>"
        call = Call(module, name, self.times_called[key], parent.depth + 1, input_shapes)
        if self.repeating:
            call.repeated = self.first_calls.get(key)
        else:
            self.times_called[key] += 1
            self.first_calls.setdefault(key, call)
            parent.children += 1
            self.calls.append(call)
        self.stack.append(call)
        self._switch(call)
        return call

    def leave(self, call: Call) -> None:
        if self.out_of_sight is not None and call not in self.stack:
            return
        while self.stack[-1] is not call:
            self.stack.pop()
        self.stack.pop()
        self._switch(self.stack[-1])

    def repeat(self, earlier: Call, module: nn.Module, depth: int) -> None:
        """List a call of `module` that goes as an earlier call of an equal module, without it."""
        key = id(module)
        call = Call(module, self.names[key], self.times_called[key], depth, earlier.input_shapes)
        call.copy_work(earlier)
        self.times_called[key] += 1
        self.first_calls.setdefault(key, call)
        self.calls.append(call)

    def _switch(self, owner: Call) -> None:
        self._switch_numbers.append(self.sequence_number())
        self._switch_owners.append(owner)

    def made_node(self, number: int) -> Call:
        """The call that ran when autograd made the node of this sequence number."""
        position = bisect_right(self._switch_numbers, number) - 1
        return self._switch_owners[position].credited if position >= 0 else self.stack[0]


def layers(log: CallLog, backward: bool) -> tuple[Layer, ...]:
    """Freeze a log: each call with its parameters, then the modules that never ran.

    Args:
        log: after the run, while the network's stand-ins are still in place.
        backward: whether a backward pass was run.
    """
    census = _Census(log)
    facts: dict[int, tuple[Work, tuple[tuple[str, Setting], ...]]] = {}
    rows = []
    for call in log.calls:
        known = facts.get(id(call.forward))  # a repeated block's calls share their work
        if known is None:
            known = facts[id(call.forward)] = call.forward.frozen(), settings(call.module)
        rows.append(_layer(call, census, *known, backward=backward))
    return (*rows, *census.never_called())


def _layer(
    call: Call,
    census: _Census,
    forward: Work,
    settings: tuple[tuple[str, Setting], ...],
    *,
    backward: bool,
) -> Layer:
    params, trainable, shared, buffers, stored = census.take(call.module)
    return Layer(
        name=call.name,
        kind=type(call.module).__name__,
        call=call.index,
        depth=call.depth,
        children=call.children,
        input_shapes=call.input_shapes,
        output_shapes=call.output_shapes,
        params=params,
        trainable_params=trainable,
        shared_params=shared,
        buffers=buffers,
        forward=forward,
        backward=call.backward.frozen() if backward else None,
        activation_bytes=call.activation_bytes,
        param_bytes=stored,
        settings=settings,
    )


_PARAMETER_HOLDERS = (nn.ParameterList, nn.ParameterDict)


def _is_lazy(tensor: Tensor) -> bool:
    """`is_lazy` without asking it about the commonest kinds, which are not."""
    return type(tensor) not in (nn.Parameter, Tensor) and is_lazy(tensor)


class _Census:
    """Counts each parameter and buffer once, for the layer that uses it first."""

    def __init__(self, log: CallLog) -> None:
        self.log = log
        self.counted: set[int] = set()

    def take(self, module: nn.Module) -> tuple[int, int, int, int, int]:
        """Parameters, trainable ones, those counted before, buffers, and bytes of parameters."""
        params = trainable = shared = buffers = stored = 0
        counted = self.counted
        for part in self._own_parts(module):
            for parameter in part._parameters.values():
                if parameter is None or _is_lazy(parameter):
                    continue
                elements = logical_elements(part, parameter)
                if id(parameter) in counted:
                    shared += elements
                    continue
                counted.add(id(parameter))
                params += elements
                stored += stored_bytes(parameter)
                if parameter.requires_grad:
                    trainable += elements
            for buffer in part._buffers.values():
                if buffer is not None and id(buffer) not in counted and not _is_lazy(buffer):
                    counted.add(id(buffer))
                    elements = logical_elements(part, buffer)
                    params += elements
                    stored += stored_bytes(buffer) if elements else 0
                    buffers += 0 if elements else buffer.numel()
            for key, elements, size in packed(part):
                if key not in counted:
                    counted.add(key)
                    params += elements
                    stored += size
        return params, trainable, shared, buffers, stored

    def _own_parts(self, module: nn.Module) -> Iterable[nn.Module]:
        """The module, and the holders of parameters that it uses without calling them.

        `nn.MultiheadAttention` never calls its `out_proj`, and a `ParameterList` cannot be called.
        """
        if not module._modules:
            return (module,)
        kinds = nn.Module if isinstance(module, nn.MultiheadAttention) else _PARAMETER_HOLDERS
        called = self.log.first_calls
        return (
            module,
            *(c for c in module._modules.values() if isinstance(c, kinds) and id(c) not in called),
        )

    def never_called(self) -> Iterable[Layer]:
        """A row for each module whose parameters or buffers no call has used."""
        depths = {call.name: call.depth for call in self.log.first_calls.values()}
        for name, module in self.log.members.items():
            if id(module) in self.log.first_calls:
                continue
            params, trainable, _, buffers, stored = self.take(module)
            if params or buffers:
                around = nearest_around(name, depths)
                depths[name] = 0 if around is None else around + 1
                yield Layer(
                    name=name,
                    kind=type(module).__name__,
                    depth=depths[name],
                    called=False,
                    params=params,
                    trainable_params=trainable,
                    buffers=buffers,
                    param_bytes=stored,
                    settings=settings(module),
                )


_SCALARS = (bool, int, float, str)
_SIDES = frozenset({int})


def settings(module: nn.Module) -> tuple[tuple[str, Setting], ...]:
    """Constructor facts of a standard module: `kernel_size`, `stride`, `groups`, `ceil_mode`, …."""
    found: dict[str, Setting] = {}
    attributes: dict[str, Any] = module.__dict__
    keys = getattr(module, "__constants__", ())
    if not attributes.keys().isdisjoint(EXTRA_SETTINGS):
        keys = (*keys, *EXTRA_SETTINGS)
    for key in keys:
        value: Any = attributes.get(key)
        if type(value) in _SCALARS:
            found[key] = value
        elif type(value) in (tuple, list) and _SIDES.issuperset(map(type, value)):
            found[key] = tuple(value)
    found.pop("bias", None)
    if "bias" in module._parameters:
        found["bias"] = module._parameters["bias"] is not None
    return tuple(found.items())
