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

GPU = Device | Calibrated
"""A data sheet, alone or with factors of the device's own."""

Measured = str | PathLike[str] | Profile
"""A profile that was measured on a GPU, or the file of one or of a trace."""


def gpus(
    names: Sequence[str],
    *,
    peak: float | None = None,
    bandwidth: float | None = None,
    dtype: str = "amp",
    calibrate: Sequence[Measured] = (),
    networks: Sequence[Target] = (),
    given: str = "device",
) -> list[GPU]:
    """The GPUs that the user named.

    Args:
        names: of devices, and paths of device files.
        peak: operations a second of one more, in `dtype`.
        bandwidth: bytes a second of its memory.
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
        for name, rate in (("peak", peak), ("bandwidth", bandwidth)):
            if not rate > 0:
                raise ArchscopeError(parameter(name, rate), "is not above 0", "give a rate")
        found.append(from_rates(peak, bandwidth, dtype))
    if not found:
        remedy = f"name a GPU such as {parameter(given, 'rtx4090')}"
        raise ArchscopeError(parameter(given), "is needed", remedy)
    return [_corrected(found, calibrate, networks, given)] if calibrate else found


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
