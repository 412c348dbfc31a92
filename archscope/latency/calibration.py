"""Measurements of a device → factors of its efficiencies: the fewer there are, the closer to 1.

Every layer that was timed, and every whole step, is an observation: the logarithm of its measured
over its predicted seconds. What is found are logarithms of factors, by least squares with a normal
prior around 0 (ridge regression; Hoerl and Kennard 1970), in a few Gauss-Newton steps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, log
from typing import Any

from archscope.archive import decoded
from archscope.errors import ArchscopeError
from archscope.latency.coefficients import ANY, Efficiency, Fitted, Measured
from archscope.latency.devices import Device
from archscope.latency.kernel import Kernel
from archscope.latency.model import kernel_seconds
from archscope.latency.rates import GENERATIONS, Rates
from archscope.latency.setting import MODES, Setting

DEVICE_SPREAD = 0.4
"""Standard deviation of the logarithm of a device's factor that holds for all kinds of work."""

KIND_SPREAD = 0.2
"""Likewise of a factor of one kind of work."""

NOISE = 0.1
"""Likewise of one layer's measured over its predicted seconds, when all factors are right."""

TAG = "archscope device"
"""Field that marks a device file, with its version."""

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
        factors: by kind of work, `*` for all: what its own measurements change.
        tables: what it had before them, of its own or of the nearest device, in every mode.
        rows: how many of its own measurements there were.
    """

    device: Device
    factors: Mapping[str, Efficiency]
    tables: tuple[Measured, ...]
    rows: int

    def within(self, given: Fitted) -> Fitted:
        """The same coefficients with this device among those measured."""
        others = tuple(row for row in given.measured if row.device != self.device.key)
        devices = {**given.devices, self.device.key: self.factors}
        return replace(given, devices=devices, measured=(*others, *self.tables))

    def to_json(self) -> dict[str, Any]:
        """As a device file holds it."""
        return {
            TAG: 1,
            "device": asdict(self.device),
            "factors": {kind: list(factor) for kind, factor in self.factors.items()},
            "tables": [asdict(table) for table in self.tables],
            "rows": self.rows,
        }

    def text(self) -> str:
        """A device file."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False)


def from_json(data: Any, path: str) -> Calibrated:
    """Read a device file.

    Raises:
        ArchscopeError: it is none, or says what no device can do.
    """
    remedy = "fit one to profiles of the device with archscope predict"
    try:
        given = {key: value for key, value in data.items() if key != TAG}
        found = decoded(Calibrated, given)
    except (AttributeError, TypeError, ValueError) as error:
        raise ArchscopeError(path, f"is not a device file ({error})", remedy) from error
    problem = next(_flaws(found), None)
    if problem:
        raise ArchscopeError(path, f"is a damaged device file ({problem})", remedy)
    return found


MOST_FACTOR = 10**6
"""Above every factor, and its reciprocal below."""


def _flaws(found: Calibrated) -> Iterator[str]:
    """What no device can be, besides what the types of its numbers say."""
    device = found.device
    rates = {**device.peak_flops_per_second, "bandwidth": device.bandwidth_bytes_per_second}
    sizes = {
        "compute_units": device.compute_units, "watts": device.watts, "l2_bytes": device.l2_bytes,
    }  # fmt: skip
    if "float32" not in rates:
        yield "no rate in float32"
    if not device.name:
        yield "it has no name"
    if device.architecture not in GENERATIONS.get(
        device.vendor or "nvidia", (device.architecture,)
    ):
        yield "its architecture is unknown"
    for name, value in {**rates, **sizes}.items():
        if value <= 0:
            yield f"{name} is {value}"
    kinds = [found.factors, *(table.kinds for table in found.tables)]
    factors = [value for kind in kinds for pair in kind.values() for value in pair]
    factors += [value for table in found.tables for value in (table.low, table.high)]
    if not all(1 / MOST_FACTOR < value < MOST_FACTOR for value in factors):
        yield "a factor is out of range"
    for table in found.tables:
        if not table.low <= table.high or max(table.launch, table.host) > MOST_FACTOR:
            yield "an interval or a factor is out of range"
        if not _PYTORCH.match(table.software):
            yield f"software is {table.software!r:.40}"


_PYTORCH = re.compile(r"(?!.*torch )|(?:(?!torch ).)*torch \d+(\.\d+)*(,|$)", re.DOTALL)
"""Software with a version of PyTorch that can be read, or with none."""


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
    tables = _tables(device, observations, given, source)
    before = Calibrated(device, {}, tables, len(observations))
    names = [ANY]
    if by_kind:
        names += sorted(
            {rates[o.setting].name(k.kind, k.order) for o in observations for k in o.kernels}
        )

    def found(logs: Sequence[float]) -> Calibrated:
        pairs = zip(names, zip(logs[::2], logs[1::2], strict=True), strict=True)
        factors = {name: Efficiency(exp(one), exp(other)) for name, (one, other) in pairs}
        return replace(before, factors=factors)

    def residuals(logs: Sequence[float]) -> list[float]:
        changed = found(logs).within(given)
        now = {setting: Rates(device, setting, changed) for setting in rates}
        return [
            log(o.seconds / sum(kernel_seconds(k, now[o.setting]).total for k in o.kernels))
            for o in observations
        ]

    spreads = [DEVICE_SPREAD] * 2 + [KIND_SPREAD] * (2 * len(names) - 2)
    weights = [o.weight / NOISE for o in observations]
    return found(_ridge(residuals, weights, spreads))


def _tables(
    device: Device, observations: Sequence[Observation], given: Fitted, source: str
) -> tuple[Measured, ...]:
    """What is known of a device before its own measurements, in every mode."""
    low, high = given.calibrated
    dtype = observations[0].setting.dtype
    found = []
    for mode in MODES:
        for compiled in (False, True):
            setting = Setting(mode, dtype, compiled=compiled)
            known = Rates(device, setting, given).as_own()
            found.append(
                replace(
                    known, mode=mode, dtype=dtype, compiled=compiled, rows=len(observations),
                    software=source, source=source, low=low, high=high,
                )
            )  # fmt: skip
    return tuple(found)


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
