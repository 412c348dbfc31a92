"""Measurements of a device → factors of its efficiencies: the fewer there are, the closer to 1.

Every layer that was timed, and every whole step, is an observation: the logarithm of its measured
over its predicted seconds. What is found are logarithms of factors, by least squares with a normal
prior around 0 (ridge regression; Hoerl and Kennard 1970), in a few Gauss-Newton steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, log
from typing import Any

from archscope.errors import ArchscopeError
from archscope.latency.coefficients import ANY, Efficiency, Fitted, Measured, Rates
from archscope.latency.devices import Device
from archscope.latency.kernel import Kernel
from archscope.latency.model import kernel_seconds
from archscope.latency.setting import Setting

DEVICE_SPREAD = 0.4
"""Standard deviation of the logarithm of a device's factor that holds for all kinds of work."""

KIND_SPREAD = 0.2
"""Likewise of a factor of one kind of work."""

NOISE = 0.1
"""Likewise of one layer's measured over its predicted seconds, when all factors are right."""

STEPS = 6
"""Gauss-Newton steps; the logarithm of a time is nearly linear in those of the factors."""


@dataclass(frozen=True)
class Observation:
    """One measured time, and the kernels that took it.

    Args:
        kernels: with how often each ran.
        seconds: measured.
        weight: share of the step, so that long layers count more.
        setting: how the network ran.
    """

    kernels: tuple[Kernel, ...]
    seconds: float
    weight: float
    setting: Setting


@dataclass(frozen=True)
class Calibrated:
    """A device with factors of its own.

    Args:
        device: its data sheet.
        factors: by kind of work, `*` for all.
        table: what was measured.
    """

    device: Device
    factors: Mapping[str, Efficiency]
    table: Measured

    def within(self, given: Fitted) -> Fitted:
        """The same coefficients with this device among those measured."""
        others = tuple(row for row in given.measured if row.device != self.device.key)
        devices = {**given.devices, self.device.key: self.factors}
        return replace(given, devices=devices, measured=(*others, self.table))

    def to_json(self) -> dict[str, Any]:
        """As a device file holds it."""
        return {
            "archscope device": 1,
            "device": asdict(self.device),
            "factors": {kind: list(factor) for kind, factor in self.factors.items()},
            "table": asdict(self.table),
        }


def from_json(data: Any, path: str) -> Calibrated:
    """Read a device file.

    Raises:
        ArchscopeError: it is none.
    """
    try:
        device = {**data["device"], "aliases": tuple(data["device"]["aliases"])}
        table = {**data["table"], "kinds": {}, "layers": ()}
        factors = {kind: Efficiency(*pair) for kind, pair in data["factors"].items()}
        return Calibrated(Device(**device), factors, Measured(**table))
    except (KeyError, TypeError) as error:
        remedy = "make one with archscope predict --fit"
        raise ArchscopeError(path, f"is not a device file ({error})", remedy) from error


def calibrated(
    observations: Sequence[Observation],
    device: Device,
    given: Fitted,
    *,
    by_kind: bool,
    source: str,
) -> Calibrated:
    """Find the factors of a device.

    Args:
        observations: at least one.
        device: its data sheet.
        given: what was fitted on others, or on this one before.
        by_kind: whether each kind of work gets factors, too, which wants several networks.
        source: names the measurements.
    """
    rates = {o.setting: Rates(device, o.setting, given) for o in observations}
    names = [ANY]
    if by_kind:
        names += sorted({_name(kernel) for o in observations for kernel in o.kernels})
    own = given.devices.get(device.key, {})

    def factors(logs: Sequence[float]) -> dict[str, Efficiency]:
        found = dict(own)
        for place, name in enumerate(names):
            factor = Efficiency(exp(logs[2 * place]), exp(logs[2 * place + 1]))
            found[name] = found.get(name, Efficiency()).times(factor)
        return found

    def residuals(logs: Sequence[float]) -> list[float]:
        changed = replace(given, devices={**given.devices, device.key: factors(logs)})
        now = {setting: Rates(device, setting, changed) for setting in rates}
        return [
            log(o.seconds / sum(kernel_seconds(k, now[o.setting]).total for k in o.kernels))
            for o in observations
        ]

    spreads = [DEVICE_SPREAD] * 2 + [KIND_SPREAD] * (2 * len(names) - 2)
    weights = [o.weight / NOISE for o in observations]
    logs = _ridge(residuals, weights, spreads)
    first = observations[0].setting
    low, high = given.calibrated
    table = Measured(
        device.key, first.mode, first.dtype, first.compiled, "torch 2", len(observations), source,
        1.0, 1.0, 0.0, {}, low, high,
    )  # fmt: skip
    return Calibrated(device, factors(logs), table)


def _name(kernel: Kernel) -> str:
    return f"{kernel.kind} nhwc" if kernel.order == "nhwc" else kernel.kind


def _ridge(
    residuals: Callable[[Sequence[float]], list[float]],
    weights: Sequence[float],
    spreads: Sequence[float],
) -> list[float]:
    """Minimise the sum of squares of weighted residuals and of parameters over their spreads."""
    import numpy as np

    scale, prior = np.array(weights), 1 / np.array(spreads)
    logs = np.zeros(len(spreads))
    for _ in range(STEPS):
        now = np.array(residuals(list(logs)))
        slopes = np.empty((len(now), len(logs)))
        for place in range(len(logs)):
            moved = logs.copy()
            moved[place] += 0.01
            slopes[:, place] = (np.array(residuals(list(moved))) - now) / 0.01
        left = np.vstack([slopes * scale[:, None], np.diag(prior)])
        right = np.concatenate([-now * scale, -logs * prior])
        logs = logs + np.linalg.lstsq(left, right, rcond=None)[0]
    return [float(value) for value in logs]
