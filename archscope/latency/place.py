"""Where a network is predicted: a device, and how it runs there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.latency.devices import find_device
from archscope.latency.precision import DTYPES
from archscope.latency.setting import LAYOUTS, MODES, Setting
from archscope.parameters import parameter

COMPILED = "compiled"


@dataclass(frozen=True)
class Place:
    """A device and a setting.

    Args:
        device: key of its data sheet, or a device file.
        setting: how networks run there.
    """

    device: str
    setting: Setting


def read_places(text: str, given: str = "predict") -> tuple[Place, ...]:
    """Read `rtx4090`, `rtx4090,h100` or `a100:training:nhwc`: after colons, how it runs.

    Args:
        text: of the places.
        given: the parameter that held it.

    Raises:
        ArchscopeError: an unknown device, or a word that is none of a setting.
    """
    return tuple(_place(part.strip(), parameter(given, text), given) for part in text.split(","))


def _place(text: str, named: str, given: str) -> Place:
    device, *words = text.split(":")
    setting = Setting()
    for word in words:
        if word in MODES:
            setting = replace(setting, mode=word)
        elif full_name(word) in DTYPES:
            setting = replace(setting, dtype=word)
        elif word in LAYOUTS:
            setting = replace(setting, layout=word)
        elif word == COMPILED:
            setting = replace(setting, compiled=True)
        else:
            known = ", ".join((*MODES, *DTYPES, *LAYOUTS, COMPILED))
            raise ArchscopeError(named, f"unknown {word!r}", f"use {known}")
    if not device.endswith(".json"):
        device = find_device(device, given).key
    return Place(device, setting)
