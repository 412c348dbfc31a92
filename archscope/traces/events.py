"""The events of a profiler session, whether read from a file or taken from the running session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from archscope.traces.settings import Settings

CALL = "archscope-call|"
"""Range around a module call: `archscope-call|layer1.0.conv1|Conv2d`."""
LOSS = "archscope-loss|"
"""Range around the loss, named like a module call."""
STAGE = "archscope-stage|"
"""Range around a stage of the step: `archscope-stage|backward`."""
STEP = "archscope-step|"
PROFILER_STEP = "ProfilerStep#"
COMPILED = "Torch-Compiled Region"
GRAPH = ("CompiledFunction", "## Call CompiledFxGraph", "CompiledFxGraph")
"""A compiled graph while it runs; its region holds what runs between graphs too."""
COMPILER = "torch.compile"
"""Kind of the row of a compiled region."""
NODE = "autograd::engine::evaluate_function: "
MODULE = "nn.Module: "

OWN = (CALL, LOSS, STAGE, STEP, PROFILER_STEP)
"""Ranges whose own time is Python's, not an operator's."""

Kind = Literal["operator", "annotation", "module"]
"""`module` is a call of Python's tracer."""

Shapes = tuple[tuple[int, ...], ...]


@dataclass(eq=False, slots=True)
class Call:
    """One call of one module, or another row of the step's table.

    Args:
        name, kind: dotted path and class name, or what the row is.
        index: 0 for the module's first call in its step.
        in_network: False for the loss, the optimiser and the like.
    """

    name: str
    kind: str
    index: int = 0
    in_network: bool = True

    @property
    def key(self) -> tuple[str, str, int, bool]:
        """What two calls of one row have in common."""
        return self.name, self.kind, self.index, self.in_network


OPTIMIZER = Call("[optimizer]", "after the backward pass", in_network=False)
CRITERION = Call("[loss]", "between network and backward pass", in_network=False)
COMMUNICATION = Call("[communication]", "collectives and their buckets", in_network=False)
COPIES = Call("[data copies]", "between host and device", in_network=False)
OUTSIDE = Call("[outside the network]", "before it, or after it in inference", in_network=False)
REPLAY = Call("[CUDA graph replay]", "kernels without operators", in_network=False)
EARLIER = Call("[launched before the trace]", "kernels without operators", in_network=False)

FOREIGN = Call("[another network]", "weights that no layer has", in_network=False)

ELSEWHERE = (OPTIMIZER, CRITERION, COMMUNICATION, COPIES, OUTSIDE, REPLAY, EARLIER)
"""Rows of work that is no layer's; what belongs to none of them should find its layer."""


@dataclass(eq=False, slots=True)
class Event:
    """One event of the host in nanoseconds.

    Args:
        thread: numbered in the order of appearance.
        sequence: autograd's number, -1 for none.
        forward_thread: above 0 for a node of the backward pass.
        external: the operator's id.
        shapes, types: of an operator's inputs, where they were recorded.
        settings: of a convolution or pooling, see `settings.py`.
        inner: time that nested events cover.
    """

    name: str
    start: int
    end: int
    kind: Kind = "operator"
    thread: int = 0
    sequence: int = -1
    forward_thread: int = 0
    external: int = 0
    shapes: Shapes = ()
    types: tuple[str, ...] = ()
    settings: Settings = ()
    inner: int = 0
    parent: Event | None = None
    owner: Call | None = None
    phase: str = ""

    @property
    def is_range(self) -> bool:
        """Whether its own time is Python's, not an operator's."""
        return self.kind == "module" or self.name.startswith(OWN)


@dataclass(eq=False, slots=True)
class Launch:
    """A call of the driver's that gave the device something to do.

    Args:
        external: id of the operator behind it, 0 for unknown.
    """

    name: str
    start: int
    thread: int
    external: int = 0


@dataclass(eq=False, slots=True)
class Kernel:
    """One thing that the device did, in nanoseconds.

    Args:
        correlation: of its launch.
        external: id of the operator behind it, 0 for unknown.
        is_copy: whether it copies or fills memory.
        stream: device and stream.
        blocks, block: how many blocks of how many threads, 0 for unknown.
    """

    name: str
    start: int
    end: int
    correlation: int = 0
    external: int = 0
    is_copy: bool = False
    stream: tuple[int, int] = (0, 0)
    blocks: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """From a forward operator to its node of the backward pass: thread and time of each."""

    forward: tuple[int, int]
    backward: tuple[int, int]


@dataclass(slots=True)
class Trace:
    """Events by where they happened, host events and kernels by time.

    Args:
        launches: by correlation id.
        links: between forward operators and backward nodes, where the file has them.
        facts: what the file says of itself and its devices.
        rounding: nanoseconds by which times may be off.
    """

    host: list[Event] = field(default_factory=list)
    launches: dict[int, Launch] = field(default_factory=dict)
    device: list[Kernel] = field(default_factory=list)
    links: Sequence[Link] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    rounding: int = 0

    def sort(self) -> None:
        """Put host events before those nested in them, and kernels in the order of starting."""
        self.host.sort(key=lambda event: (event.start, -event.end))
        self.device.sort(key=lambda event: event.start)
