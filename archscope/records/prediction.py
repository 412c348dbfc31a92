"""What a step is predicted to take on a device that need not be here."""

from __future__ import annotations

from dataclasses import dataclass

from archscope.records.network import InputSpec


@dataclass(frozen=True, slots=True)
class LayerPrediction:
    """Predicted seconds of one module call in one pass.

    Args:
        name: dotted path of the module.
        kind: class name.
        call: 0 for its first call.
        phase: `forward`, `backward` or `update`.
        compute, memory, launch: seconds of arithmetic, of moving bytes, of starting kernels.
    """

    name: str
    kind: str
    call: int
    phase: str
    compute: float
    memory: float
    launch: float

    @property
    def seconds(self) -> float:
        return self.compute + self.memory + self.launch


@dataclass(frozen=True)
class Prediction:
    """Predicted time of one step of one network on one device.

    Args:
        device: its name.
        mode, dtype, layout, compiled: how the network runs.
        layers: by module call and pass, in order.
        low, high: the 80 % interval of the seconds a step.
        fitted_on: measurements behind the coefficients.
    """

    model: str
    input: InputSpec
    device: str
    mode: str
    dtype: str
    layout: str
    compiled: bool
    layers: tuple[LayerPrediction, ...]
    low: float
    high: float
    fitted_on: str
    keywords: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Seconds a step."""
        return sum(layer.seconds for layer in self.layers)

    @property
    def samples_per_second(self) -> float:
        batch = self.input.batch
        return batch / self.seconds if isinstance(batch, int) else float("nan")
