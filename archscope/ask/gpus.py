"""The GPUs of a prediction: by name, by file or by rates, corrected by the user's measurements."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from archscope.ask.predict import read_device
from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.latency.calibration import Calibrated
from archscope.latency.devices import Device, find_device, from_rates
from archscope.parameters import parameter
from archscope.records import Profile
from archscope.units import parse_rate

GPU = Device | Calibrated
"""A data sheet, alone or with factors of the device's own."""

Measured = str | PathLike[str] | Profile
"""A profile that was measured on a GPU, or the file of one or of a trace."""


def gpus(
    names: Sequence[str],
    *,
    peak: float | str | None = None,
    bandwidth: float | str | None = None,
    dtype: str = "amp",
    calibrate: Sequence[Measured] = (),
    networks: Sequence[Target] = (),
    given: str = "device",
) -> list[GPU]:
    """The GPUs that the user named.

    Args:
        names: of devices, and paths of device files.
        peak: operations a second of one more, in `dtype`: `989e12` or `"989T"`.
        bandwidth: bytes a second of its memory: `4.8e12` or `"4.8T"`.
        dtype: the precision that the peak is of.
        calibrate: profiles measured on the one GPU that is named, which is corrected by them, or
            traces.
        networks: those that the traces may be of.
        given: the parameter that held the names.

    Raises:
        ArchscopeError: no GPU, an unknown one, one rate without the other, or profiles that do not
            go with what is named.
    """
    found: list[GPU] = [
        read_device(name) if name.endswith(".json") else find_device(name, given) for name in names
    ]
    if (peak is None) != (bandwidth is None):
        missing = "bandwidth" if bandwidth is None else "peak"
        raise ArchscopeError(parameter(missing), "is needed with the other rate", "give both")
    if peak is not None and bandwidth is not None:
        rates = _rate("peak", peak), _rate("bandwidth", bandwidth)
        found.append(from_rates(*rates, dtype))
    if not found:
        remedy = f"name a GPU such as {parameter(given, 'rtx4090')}"
        raise ArchscopeError(parameter(given), "is needed", remedy)
    return [_corrected(found, calibrate, networks, given)] if calibrate else found


RATES = {"peak": (1e9, 1e18), "bandwidth": (1e8, 1e16)}
"""A second's operations and bytes of memory that a GPU may have: far from those of any real one."""


def _rate(name: str, given: float | str) -> float:
    """A rate of a GPU.

    Raises:
        ArchscopeError: it is not a number, or none that a GPU reaches, as 989 for 989e12.
    """
    rate = parse_rate(given, parameter(name)) if isinstance(given, str) else given
    low, high = RATES[name]
    if low <= rate <= high:
        return rate
    unit = {"peak": "flop/s", "bandwidth": "bytes/s"}[name]
    usual = {"peak": "989e12", "bandwidth": "4.8e12"}[name]
    tera = f"{rate:g}e12" if 0.01 <= rate < 1e4 else usual
    problem = "is not above 0" if not rate > 0 else f"is the rate of no GPU in {unit}"
    raise ArchscopeError(parameter(name, given), problem, f"write {parameter(name, tera)}")


def _corrected(
    found: Sequence[GPU], runs: Sequence[Measured], networks: Sequence[Target], given: str
) -> Calibrated:
    """The one GPU that is named, with the factors that profiles of it give."""
    from archscope.ask.calibrate import calibrate, profiles_of

    if len(found) != 1 or not isinstance(found[0], Device):
        raise ArchscopeError(
            parameter("calibrate"),
            "corrects one GPU by name",
            f"name it alone with {parameter(given)}",
        )
    return calibrate(profiles_of(runs, networks), found[0], by_kind=False)
