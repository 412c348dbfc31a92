"""Numbers as people read them, and back: `4.09 G`, `3.1 ms`, `97.5 MiB`, `"4.2G"`."""

from __future__ import annotations

import re
from math import floor, log10

from archscope.errors import ArchscopeError

SI_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
BINARY_PREFIXES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def si(number: float, digits: int = 3) -> str:
    """Write a count with an SI prefix and `digits` significant digits: 4089184256 → `4.09 G`.

    Integers below 1000 stay as they are.
    """
    return _scaled(number, 1000, SI_PREFIXES, digits)


def binary_bytes(number: float, digits: int = 3) -> str:
    """Write a number of bytes with a binary prefix: 102228128 → `97.5 MiB`."""
    return _scaled(number, 1024, BINARY_PREFIXES, digits)


def _scaled(number: float, base: int, prefixes: tuple[str, ...], digits: int) -> str:
    sign, size = ("-" if number < 0 else ""), abs(number)
    power = 0
    while power < len(prefixes) - 1 and float(_plain(size / base**power, digits)) >= base:
        power += 1
    if power == 0 and float(size).is_integer():
        text = str(int(size))
    else:
        text = _plain(size / base**power, digits)
    return f"{sign}{text} {prefixes[power]}".rstrip()


def _significant(number: float, digits: int) -> float:
    """Round to `digits` significant digits, so that 999.96 steps up to the next prefix."""
    return float(f"{number:.{digits}g}")


def _plain(number: float, digits: int) -> str:
    """Fixed-point text with `digits` significant digits and no exponent."""
    rounded = _significant(number, digits)
    exponent = floor(log10(abs(rounded))) if rounded else 0
    return f"{number:.{max(0, digits - 1 - exponent)}f}"


def seconds(number: float, digits: int = 3) -> str:
    """Write a duration in the unit that keeps it between 1 and 1000: 0.0031 → `3.10 ms`."""
    for scale, unit in TIME_UNITS:
        if abs(number) >= scale or unit == "ns":
            return f"{_plain(number / scale, digits)} {unit}"
    raise AssertionError("unreachable: the last unit takes any number")


def duration(seconds: float) -> str:
    """Write what a clock shows: `45 s`, `2 min 5 s`, `1 h 10 min`."""
    full = round(seconds)
    if full < 60:
        return f"{full} s"
    if full < 3600:
        return f"{full // 60} min {full % 60} s" if full % 60 else f"{full // 60} min"
    hours, minutes = divmod(round(full / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def percent(fraction: float, digits: int = 1) -> str:
    """Write a share: 0.979 → `97.9 %`; what rounds to nothing has no sign."""
    rounded = round(100 * fraction, digits) or 0.0
    return f"{rounded:.{digits}f} %"


def signed(text: str) -> str:
    """Write a change with its sign, from its number as text: `25.1 MiB` → `+25.1 MiB`.

    What is nothing, or rounds to it, has no sign.
    """
    size = text.removeprefix("-")
    if not any(digit in size for digit in "123456789∞"):
        return size
    return f"{'−' if text.startswith('-') else '+'}{size}"


def plural(number: int, noun: str) -> str:
    """Write a number of things: `1 group`, `1,024 groups`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def ratio(number: float, digits: int = 3) -> str:
    """Write a quotient: 0.9793 → `0.979×`, 1714.656 → `1,715×`.

    From 10 on it has four significant digits, or all before the point; 0.00023, which would round
    to nothing, is `0.00023×`.
    """
    if abs(number) >= 10:
        return f"{number:,.{max(0, digits + 1 - len(str(round(abs(number)))))}f}×"
    rounded = f"{number:.{digits}f}"
    return f"{rounded if number == 0 or float(rounded) else _plain(number, 2)}×"


def rate(number: float) -> str:
    """Write a rate with three digits, or with all before the point: `4.37`, `10,938`."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ%]*)\s*\Z")
_DECIMAL = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_BYTES = {
    "": 1, "B": 1,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def parse_count(text: str, argument: str) -> int:
    """Read `4.2G`, `25M`, `1e9` or `4200` as a whole number.

    Raises:
        ArchscopeError: naming `argument`, when the text is no such number.
    """
    return round(_parse(text, _DECIMAL, argument, "4.2G or 25M"))


def parse_bytes(text: str, argument: str) -> int:
    """Read `24GiB`, `512 MB` or `2000000` as a number of bytes.

    Raises:
        ArchscopeError: naming `argument`; of a number below 1 MiB without a unit too, since `4`
            is rarely meant as 4 bytes.
    """
    size = round(_parse(text, _BYTES, argument, "24GiB or 512MB"))
    if size < 2**20 and not text.strip()[-1].isalpha():
        number = text.strip()
        raise ArchscopeError(argument, f"{text!r} has no unit", f"write {number}GiB or {number}B")
    return size


def parse_rate(text: str, argument: str) -> float:
    """Read `989e12`, `989T`, `989 TFLOP/s` or `4.8TB/s` as an amount a second."""
    return _parse(_PER_SECOND.sub("", text), _DECIMAL, argument, "989e12, 989T or 4.8TB/s")


_PER_SECOND = re.compile(r"(?:flops?/s|flops|b/s)\s*\Z", re.IGNORECASE)


def parse_seconds(text: str, argument: str) -> float:
    """Read `3.1ms` or `2s` as seconds."""
    return _parse(text, _SECONDS, argument, "3.1ms or 2s")


def _parse(
    text: str, scales: dict[str, int] | dict[str, int | float] | dict[str, float],
    argument: str, example: str,
) -> float:  # fmt: skip
    match = _QUANTITY.match(text)
    if match is None or match[2] not in scales:
        raise ArchscopeError(argument, f"{text!r} is not a quantity", f"write it like {example}")
    return float(match[1]) * scales[match[2]]
