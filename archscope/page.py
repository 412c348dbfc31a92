"""What a page explores: networks as trees of parts with their amounts, beside one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archscope.diagram import Diagram

Pass = Literal["", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class Amount:
    """What the width of a part can mean.

    Args:
        key: name in the data, `snake_case`; equal for the passes of one quantity.
        title: for people.
        unit: how values read: a unit of `archscope.table`.
        phase: `forward` or `backward` where the quantity has passes, else empty.
    """

    key: str
    title: str
    unit: str
    phase: Pass = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One module call, or a container's own work beside its children.

    Args:
        label: last component of the name, for the tree.
        name: dotted path in the network, with the call where there are several.
        kind: class name.
        family: what kind of layer it is, which decides its colour.
        parent: index of the part around it, -1 for the network itself.
        stage: output stride, `head`, or where else it belongs.
        input, output: shapes as text.
        facts: settings for the card, such as (`kernel_size`, `3×3`).
        steps: its arithmetic, label and text of each line.
        values: own work, one a page's `Amount`; the sum over a subtree is what a part costs.
    """

    label: str
    name: str
    kind: str
    family: str
    parent: int
    stage: str
    input: str
    output: str
    facts: tuple[tuple[str, str], ...]
    steps: tuple[tuple[str, str], ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """One kind of bytes over the moments of a step."""

    title: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LiveMemory:
    """What is alive in memory over one step.

    Args:
        title: what was predicted.
        areas: stacked, each with one value a moment.
        phases: name and first moment of each, in order.
        layers: name of the layer whose operator ran, one a moment.
        note: what the areas leave out.
    """

    title: str
    areas: tuple[Area, ...]
    phases: tuple[tuple[str, int], ...]
    layers: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """One pass of one layer under the roofs.

    Args:
        name: of its part.
        phase: `forward` or `backward`.
        operations_per_byte: in that pass.
        rate: operations per second.
        seconds: time taken.
        bound: what holds it back.
    """

    name: str
    phase: str
    operations_per_byte: float
    rate: float
    seconds: float
    bound: str


@dataclass(frozen=True, slots=True)
class Roofline:
    """Layers under what the device can do at most.

    Args:
        title: of which network, on which device.
        dots: one a layer and pass.
        roofs: name and operations per second of each arithmetic in use.
        bytes_per_second: to and from memory.
        notes: what the drawing does not say of itself.
    """

    title: str
    dots: tuple[Dot, ...]
    roofs: tuple[tuple[str, float], ...]
    bytes_per_second: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a page.

    Args:
        label: unlike every other one's.
        input: what it is called with.
        parts: a parent before its children, in execution order.
        memory: live bytes over a step, where it was predicted.
        roofline: where it was measured on a device whose roofs are known.
        diagram: its modules and the tensors between them, where they could be followed.
    """

    label: str
    input: str
    parts: tuple[Part, ...]
    memory: LiveMemory | None = None
    roofline: Roofline | None = None
    diagram: Diagram | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that one page shows.

    Args:
        title: names the networks.
        answer: one sentence, first on the page.
        amounts: what widths and columns can mean, the first one to begin with.
        networks: at least one; the others are compared with the first.
        notes: sentences that a reader of the numbers must know.
    """

    title: str
    answer: str
    amounts: tuple[Amount, ...]
    networks: tuple[Network, ...]
    notes: tuple[str, ...] = ()
