"""What a step is predicted to take on a device that need not be here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from archscope.records.network import InputSpec

Bound = Literal["compute", "memory", "launches"]

Pass = Literal["forward", "input gradient", "weight gradient", "backward", "update"]

VENDORS = ("NVIDIA ", "AMD ", "GeForce ", "Instinct ", "Tesla ")
DTYPES = {"amp": "AMP"}
LAYOUTS = {"nhwc": "channels last"}


class PredictedTime(NamedTuple):
    """A predicted step where many networks stand side by side.

    Args:
        place: device and setting, such as `RTX 4090, AMP`.
        seconds: of a step.
        low, high: the 80 % interval.
        bound: whether operators without a formula make it a lower bound.
    """

    place: str
    seconds: float
    low: float
    high: float
    bound: bool = False


@dataclass(frozen=True, slots=True)
class LayerPrediction:
    """Predicted seconds of one module call in one pass, its children's apart.

    Args:
        name: dotted path of the module; empty for the network itself.
        kind: class name.
        call: 0 for its first call.
        phase: `forward`, `input gradient` and `weight gradient` of products, `backward` of all
            else, or `update` of the weights.
        seconds: of its kernels.
        compute, memory: of arithmetic and of moving bytes, each alone; they overlap.
        launch: of starting kernels.
        launches: kernels.
        flops: floating-point operations.
        bytes_moved: read and written.
    """

    name: str
    kind: str
    call: int
    phase: Pass
    seconds: float
    compute: float
    memory: float
    launch: float
    launches: float
    flops: float
    bytes_moved: float

    @property
    def direction(self) -> Literal["forward", "backward", "update"]:
        """The pass with all gradients together."""
        return self.phase if self.phase in ("forward", "update") else "backward"

    @property
    def bound(self) -> Bound:
        """What takes the most of its time."""
        if self.launch >= max(self.compute, self.memory):
            return "launches"
        return "compute" if self.compute >= self.memory else "memory"


@dataclass(frozen=True)
class Prediction:
    """Predicted time of one step of one network on one device.

    Args:
        device: its name.
        mode, dtype, layout, compiled: how the network runs.
        seconds: of a step.
        low, high: the 80 % interval of `seconds`.
        layers: by module call and pass, in order.
        host_seconds: in which the host starts all kernels; the step is no shorter.
        fitted_on: the measurements behind it.
        measured_device: whether this device is among those measured.
        unknown: operators without a formula or a kind of work; they make it a lower bound.
        constant_seconds: that every step takes besides its kernels.
        unknown_seconds: of moving the bytes of the unknown operators, the least that they take.
    """

    model: str
    input: InputSpec
    device: str
    mode: str
    dtype: str
    layout: str
    compiled: bool
    seconds: float
    low: float
    high: float
    layers: tuple[LayerPrediction, ...]
    host_seconds: float
    fitted_on: str
    measured_device: bool
    unknown: tuple[str, ...] = ()
    keywords: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    constant_seconds: float = 0.0
    unknown_seconds: float = 0.0

    @property
    def kernel_seconds(self) -> float:
        """All kernels, one after the other."""
        return sum(layer.seconds for layer in self.layers)

    @property
    def launch_bound(self) -> bool:
        """Whether the host needs longer to start the kernels than the GPU to run them."""
        return self.host_seconds > self.kernel_seconds

    @property
    def short_device(self) -> str:
        """Its name without the vendor and the line: `RTX 4090`."""
        name = self.device
        for word in VENDORS:
            name = name.replace(word, "")
        return name

    @property
    def how(self) -> str:
        """How the network runs: `training, AMP, channels last`."""
        parts = (
            "training" if self.mode == "training" else "",
            "compiled" if self.compiled else "",
            DTYPES.get(self.dtype, self.dtype),
            LAYOUTS.get(self.layout, ""),
        )
        return ", ".join(filter(None, parts))

    @property
    def time(self) -> PredictedTime:
        """Its time where many networks stand side by side."""
        place = f"{self.short_device}, {self.how}"
        return PredictedTime(place, self.seconds, self.low, self.high, bool(self.unknown))

    @property
    def samples_per_second(self) -> float:
        """Samples of the batch a second."""
        batch = self.input.batch
        if not isinstance(batch, int):
            raise TypeError("a predicted input has a numeric batch")
        return batch / self.seconds
