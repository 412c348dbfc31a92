"""A TOML file of limits → Budgets; every mistake is one line that names file, key and remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from archscope.errors import ArchscopeError
from archscope.files import read_text
from archscope.quantities import LIMITED, PREDICTED_LATENCY
from archscope.table import Unit
from archscope.units import parse_bytes, parse_count, parse_seconds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


READERS: Mapping[Unit, Callable[[str, str], float]] = {
    "exact": parse_count,
    "macs": parse_count,
    "bytes": parse_bytes,
    "seconds": parse_seconds,
}
EXAMPLES = {
    "params": "25.6M", "macs": "4.2G", "activations": "100MiB", "memory": "3GiB", "latency": "20ms",
    "predicted_latency": "5ms",
}  # fmt: skip
"""How each limit is written."""

WITH_UNIT: frozenset[Unit] = frozenset({"bytes", "seconds"})
"""Limits in these need a unit: a bare 20 may be meant in milliseconds as well as in seconds."""

COUNTED = tuple(option for option, quantity in LIMITED.items() if quantity.read is not None)
"""What each layer has, and a saved record holds."""


@dataclass(frozen=True)
class Limits:
    """Limits on a network, or on its layers whose name matches a glob.

    Args:
        pattern: empty for the whole network.
        most: largest admissible value by quantity.
        growth: largest admissible share by which a quantity may exceed that of the baseline.
    """

    pattern: str
    most: Mapping[str, float]
    growth: Mapping[str, float]


@dataclass(frozen=True)
class Budget:
    """One network and its limits.

    Args:
        model: a name, `file.py:Class`, or a saved record.
        baseline: the saved record that growth is measured against.
        input, batch, keywords: as for `analyse`.
        device: where latency is measured.
        gpu: where it is predicted, such as `rtx4090` or `a100:training:nhwc`.
        limits: of the network, then of its layers.
        file: the file that says so, for messages.
    """

    model: str
    limits: tuple[Limits, ...]
    baseline: str | None = None
    input: str | None = None
    batch: int | None = None
    keywords: tuple[tuple[str, Any], ...] = ()
    device: str = "cpu"
    gpu: str = ""
    file: str = "budget"


_LIMIT_KEYS = (*(f"max_{quantity}" for quantity in LIMITED), "max_growth")
_LAYER_KEYS = ("match", *(f"max_{quantity}" for quantity in COUNTED), "max_growth")
_BUDGET_KEYS = (
    "model",
    "baseline",
    "input",
    "batch",
    "set",
    "device",
    "gpu",
    "layers",
    *_LIMIT_KEYS,
)


def load(path: str) -> tuple[Budget, ...]:
    """Read a file of budgets; paths in it start from its own folder.

    Raises:
        ArchscopeError: it cannot be read, is not valid TOML, or says something unknown.
    """
    try:
        data = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # a whole number may be too long for Python
        raise ArchscopeError(path, f"is not valid TOML ({error})", "correct that line") from None
    return _Reader(path).budgets(data)


@dataclass(frozen=True)
class _Reader:
    """Reads one file; knows its name for the messages."""

    path: str

    def budgets(self, data: Mapping[str, Any]) -> tuple[Budget, ...]:
        self.known(data, ("budget",), "")
        found = data.get("budget")
        if not found:
            raise self.wrong("budget", "is missing", 'begin with [[budget]] and model = "resnet50"')
        tables = self.tables(found, "budget")
        return tuple(self.budget(table, f"budget {n}") for n, table in enumerate(tables, 1))

    def budget(self, table: Mapping[str, Any], place: str) -> Budget:
        self.known(table, _BUDGET_KEYS, place)
        model = self.text(table, "model", place)
        if model is None:
            raise self.wrong(f"{place}, model", "is missing", 'name one: model = "resnet50"')
        baseline = self.text(table, "baseline", place)
        batch = table.get("batch")
        if batch is not None and (type(batch) is not int or batch < 1):
            raise self.wrong(f"{place}, batch", f"{batch!r} is not a batch size", "write batch = 8")
        keywords = table.get("set", {})
        if not isinstance(keywords, Mapping):
            raise self.wrong(f"{place}, set", "is not a table", "write set = { num_classes = 10 }")
        layers = self.tables(table.get("layers", []), f"{place}, layers")
        limits = [self.limits(table, "", place, tuple(LIMITED), baseline)]
        limits += [
            self.layer_limits(entry, place, n, baseline) for n, entry in enumerate(layers, 1)
        ]
        if not any(limit.most or limit.growth for limit in limits):
            raise self.wrong(place, "limits nothing", 'add one such as max_macs = "4.2G"')
        return Budget(
            model=self.located(model),
            limits=tuple(limits),
            baseline=None if baseline is None else self.located(baseline),
            input=self.text(table, "input", place),
            batch=batch,
            keywords=tuple(
                (key, tuple(value) if isinstance(value, list) else value)
                for key, value in keywords.items()
            ),
            device=self.text(table, "device", place) or "cpu",
            gpu=self.gpu(table, limits[0], place),
            file=self.path,
        )

    def gpu(self, table: Mapping[str, Any], limits: Limits, place: str) -> str:
        """Where latency is predicted: needed with its limit, and without it unused."""
        found = self.text(table, "gpu", place) or ""
        limited = PREDICTED_LATENCY.option in limits.most
        if limited and not found:
            key = f"{place}, max_{PREDICTED_LATENCY.option}"
            raise self.wrong(key, "names no GPU", 'add gpu = "rtx4090" to it')
        if found and not limited:
            remedy = f'add max_{PREDICTED_LATENCY.option} = "5ms", or leave it out'
            raise self.wrong(f"{place}, gpu", "decides nothing here", remedy)
        return found

    def layer_limits(
        self, table: Mapping[str, Any], place: str, number: int, baseline: str | None
    ) -> Limits:
        place = f"{place}, layers {number}"
        self.known(table, _LAYER_KEYS, place)
        pattern = self.text(table, "match", place)
        if not pattern:
            raise self.wrong(f"{place}, match", "is missing", 'write match = "layer3.*"')
        return self.limits(table, pattern, place, COUNTED, baseline)

    def limits(
        self, table: Mapping[str, Any], pattern: str, place: str,
        quantities: tuple[str, ...], baseline: str | None,
    ) -> Limits:  # fmt: skip
        most = {
            quantity: self.limit(table[f"max_{quantity}"], quantity, place)
            for quantity in quantities
            if f"max_{quantity}" in table
        }
        growth = self.growth(table.get("max_growth"), place)
        if growth and baseline is None:
            raise self.wrong(
                f"{place}, max_growth", "has no baseline", 'add baseline = "saved.json" to it'
            )
        return Limits(pattern, most, growth)

    def limit(self, value: Any, quantity: str, place: str) -> float:
        unit, example = LIMITED[quantity].unit, EXAMPLES[quantity]
        key = f"{self.path}: {place}, max_{quantity}"
        number = type(value) in (int, float) and value >= 0
        if number and unit not in WITH_UNIT:
            return float(value)
        if not (number or isinstance(value, str)):
            raise ArchscopeError(key, f"{value!r} is not a quantity", f'write it like "{example}"')
        if unit in WITH_UNIT and (number or value.strip()[-1:].isdigit()):
            raise ArchscopeError(key, f"{value!r} has no unit", f'write it like "{example}"')
        return READERS[unit](value, key)

    def growth(self, value: Any, place: str) -> dict[str, float]:
        """One share for everything that a record holds, or a table of them."""
        key = f"{place}, max_growth"
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            return dict.fromkeys(COUNTED, self.share(value, key))
        self.known(value, COUNTED, key)
        return {
            quantity: self.share(value[quantity], key) for quantity in COUNTED if quantity in value
        }

    def share(self, value: Any, key: str) -> float:
        text = str(value).strip()
        try:
            return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            raise self.wrong(key, f"{value!r} is not a share", 'write it like "2%"') from None

    def known(self, table: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
        for key in table:
            if key not in keys:
                near = get_close_matches(key, keys, n=1)
                start = 'write [[budget]], and in it model = "resnet18" and limits'
                otherwise = f"use {', '.join(keys)}" if place else start
                remedy = f"did you mean {near[0]}?" if near else otherwise
                raise self.wrong(f"{place}, {key}".removeprefix(", "), "unknown key", remedy)

    def tables(self, value: Any, key: str) -> list[Mapping[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            name = key.rpartition(" ")[2]
            raise self.wrong(key, "is not a list of tables", f"write [[{name}]] above it")
        return value

    def text(self, table: Mapping[str, Any], key: str, place: str) -> str | None:
        value = table.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(f"{place}, {key}", f"{value!r} is not text", "put it in quotes")
        return value

    def located(self, name: str) -> str:
        """A path as seen from the file's own folder; any other name as it is."""
        if name.endswith((".json", ".py")) or ".py:" in name:
            return str(Path(self.path).parent / name)
        return name

    def wrong(self, key: str, problem: str, remedy: str) -> ArchscopeError:
        return ArchscopeError(f"{self.path}: {key}", problem, remedy)
