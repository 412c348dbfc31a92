"""Where an axis has its ticks, and what they say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

from archscope import units
from archscope.table import Unit

TICKS = 6
"""As many as a figure of a column's width carries without crowding."""

_TRAILING_ZEROS = re.compile(r"(\.\d*?)0+(?!\d)")


def linear_ticks(low: float, high: float, unit: Unit) -> list[float]:
    """Round positions within [low, high]: 1, 2, 2.5 or 5 times a power of ten, or of 1024 bytes."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    step = _step(span / (TICKS - 1), unit, max(abs(low), abs(high)))
    slack = 1e-9 * span  # a limit that misses its own tick by rounding still shows it
    first = math.ceil((low - slack) / step)
    last = math.floor((high + slack) / step)
    return [index * step for index in range(first, last + 1)]


def _step(smallest: float, unit: Unit, largest: float) -> float:
    """The smallest round step that is no smaller than asked."""
    if unit == "bytes" and smallest >= 1:
        base = 1024.0 ** math.floor(math.log(smallest, 1024))
        factors: tuple[float, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1024)
        if largest >= 1024 * base:  # 500 MiB steps would lead past 1 GiB to 1.46 GiB
            factors = tuple(2.0**power for power in range(11))
    else:
        base = 10.0 ** math.floor(math.log10(smallest))
        factors = (1, 2, 2.5, 5, 10)
    step = next(base * factor for factor in factors if base * factor >= smallest * (1 - 1e-9))
    return max(1.0, math.ceil(step)) if unit == "exact" else step


def log_ticks(low: float, high: float, unit: Unit) -> list[float]:
    """Powers of ten (of two for bytes) within [low, high], with 2 and 5 between when few."""
    if not 0 < low < high:
        return [low]
    if unit == "bytes":
        return _thinned([2.0**power for power in _powers(low, high, 2)])
    decades = [10.0**power for power in _powers(low, high, 10)]
    if len(decades) >= 3:
        return _thinned(decades)
    fine = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factor in (1, 2, 5)
    ]
    inside = [value for value in fine if low <= value <= high]
    return inside if len(inside) >= 2 else linear_ticks(low, high, unit)


def _powers(low: float, high: float, base: int) -> range:
    first = math.ceil(math.log(low, base) - 1e-9)
    return range(first, math.floor(math.log(high, base) + 1e-9) + 1)


def _thinned(values: list[float]) -> list[float]:
    return values[:: math.ceil(len(values) / (TICKS + 1))] if values else values


def tick_texts(values: Sequence[float], unit: Unit) -> list[str]:
    """Write tick values with their unit and only as many digits as keep them apart."""
    texts: list[str] = []
    for digits in range(3, 9):
        texts = [_tick_text(value, unit, digits) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def _tick_text(value: float, unit: Unit, digits: int) -> str:
    writers = {
        "count": partial(units.si, digits=digits),
        "macs": partial(units.si, digits=digits),
        "bytes": partial(units.binary_bytes, digits=digits),
        "seconds": partial(units.seconds, digits=digits),
        "percent": partial(units.percent, digits=digits - 2),
        "bar": partial(units.percent, digits=digits - 2),
        "ratio": partial(units.ratio, digits=digits),
    }
    if value == 0:
        return "0"
    if unit in ("flops_per_second", "bytes_per_second"):
        return _rate(value, "FLOP/s" if unit == "flops_per_second" else "B/s", digits)
    text = writers[unit](value) if unit in writers else f"{value:.{digits + 1}g}"
    text = f"−{text[1:]}" if text.startswith("-") else text
    return _TRAILING_ZEROS.sub(lambda match: match[1].rstrip("."), text)


def _rate(value: float, suffix: str, digits: int) -> str:
    number, _, prefix = units.si(value, digits).partition(" ")
    return f"{_TRAILING_ZEROS.sub(lambda match: match[1].rstrip('.'), number)} {prefix}{suffix}"
