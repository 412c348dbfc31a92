"""A fit → the coefficients that archscope reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from arithmetic import (
    CACHE_SHARE,
    DEPTH,
    HOST,
    HOST_OVERLAP,
    IDLE,
    LAUNCH,
    MISALIGNED,
    OVERLAP,
    SERIAL,
    TRANSFORMS,
)
from arrays import Table
from fit import USUAL_MEMORY, Fit
from packed import Group, group, usual_step

SMALLEST = 0.004
"""A factor closer to 1 is left out."""

LICENCES = {
    "tv": "ryujaehun/pytorch-gpu-benchmark, one GPU, batch 12 (MIT)",
    "dle": "NVIDIA/DeepLearningExamples, image classification (BSD-3)",
    "neusightconv": "sitar-lab/NeuSight, single 3×3 convolutions (MIT)",
    "neusightlinear": "sitar-lab/NeuSight, single linear layers (MIT)",
    "neusightelementwise": "sitar-lab/NeuSight, single elementwise operators (MIT)",
    "perop": "sitar-lab/NeuSight, operators of transformers (MIT)",
    "deepbenchfloat": "baidu-research/DeepBench, training (Apache-2.0)",
    "deepbenchhalf": "baidu-research/DeepBench, training, mixed precision (Apache-2.0)",
    "aiconfigurator": "ai-dynamo/aiconfigurator, bfloat16 matrix products (Apache-2.0)",
}

SQUARES = "convolution_3"
"""Kinds for which there is Winograd's algorithm."""

Interval = tuple[float, float]


def coefficients(
    fit: Fit,
    tables: Sequence[Table],
    intervals: Mapping[Group, Interval],
    unmeasured: Interval,
    unmeasured_layers: Interval,
    calibrated: Interval,
) -> dict[str, Any]:
    """All of a fit, as `coefficients.json` holds it.

    Args:
        fit: of all parameters.
        tables: that were fitted.
        intervals: measured over predicted seconds on families held out, by group.
        unmeasured: likewise on devices held out.
        unmeasured_layers: likewise of single layers there.
        calibrated: likewise, with one network measured there.
    """
    log = fit.logs
    kinds, last, plain, half, depth, idle = {}, {}, {}, {}, {}, {}
    for place, name in enumerate(fit.plain_kinds):
        own = fit.kinds.index(name) if name in fit.kinds else None
        order = [float(log[f"order_{what}"][own]) if own is not None else 0.0 for what in _WHAT]
        usual = float(fit.usual[fit.of_kind == place][0])
        kinds[name] = [
            _short(exp(usual + float(log["kind_compute"][place]) + order[0])),
            _short(USUAL_MEMORY * exp(float(log["kind_memory"][place]) + order[1])),
        ]
        depth[name] = _short(DEPTH * exp(float(log["depth"][place])))
        idle[name] = _short(IDLE * exp(float(log["idle"][place])))
        if f"{name} nhwc" in fit.kinds:
            at = fit.kinds.index(f"{name} nhwc")
            pairs = zip(_WHAT, order, strict=True)
            last[name] = [_short(exp(float(log[f"order_{what}"][at]) - of)) for what, of in pairs]
        plain[name] = [
            _short(exp(float(log["plain_compute"][place] + log["plain"][0]))),
            _short(exp(float(log["plain_memory"][place]))),
        ]
        half[name] = [_short(exp(float(log[f"half_{what}"][place]))) for what in _WHAT]
    devices = {}
    for place, key in enumerate(fit.devices):
        devices[key] = {"*": _every(fit, "whole", place), **_factors(fit, "device", place)}
    measured = []
    for place, name in enumerate(fit.groups):
        of_group = [table for table in tables if group(table) == name]
        low, high = intervals.get(name, unmeasured)
        measured.append(_measured(fit, place, of_group, low, high))
    measured.sort(key=_order)
    return {
        "shape": _shape(fit, depth, idle),
        "kinds": kinds, "last": last, "plain": plain, "half": half,
        "devices": devices, "measured": measured,
        "unmeasured": [round(end, 3) for end in unmeasured],
        "unmeasured_layers": [round(end, 3) for end in unmeasured_layers],
        "calibrated": [round(end, 3) for end in calibrated],
    }  # fmt: skip


_WHAT = ("compute", "memory")


def _shape(fit: Fit, depth: Mapping[str, float], idle: Mapping[str, float]) -> dict[str, Any]:
    log = fit.logs

    def of_squares(name: str, start: float) -> dict[str, float]:
        return {
            kind: _short(start * exp(float(log[name][place])))
            for place, kind in enumerate(fit.plain_kinds)
            if kind.startswith(SQUARES)
        }

    misaligned = {
        kind: _short(MISALIGNED * exp(float(log["misaligned"][place])))
        for place, kind in enumerate(fit.kinds)
        if abs(float(log["misaligned"][place])) > SMALLEST
    }
    return {
        "overlap": OVERLAP,
        "host_overlap": HOST_OVERLAP,
        "cache_gain": _short(1 + exp(float(log["cache_gain"][0]))),
        "cache_share": _short(CACHE_SHARE * exp(float(log["cache_share"][0]))),
        "serial_seconds": _short(SERIAL * exp(float(log["serial"][0]))),
        "launch_seconds": LAUNCH,
        "host_seconds": HOST,
        "winograd": of_squares("winograd", 1.0),
        "winograd_traffic": of_squares("winograd_traffic", TRANSFORMS),
        "misaligned": {"*": _short(MISALIGNED), **misaligned},
        "depth": depth,
        "idle": idle,
    }


def _measured(
    fit: Fit, place: int, tables: Sequence[Table], low: float, high: float
) -> dict[str, Any]:
    table = tables[0]
    step = usual_step(fit.groups[place]) * exp(float(fit.logs["step"][place]))
    timed = {kind for t in tables for kind in t.kinds if kind != "bias"} if table.layers else set()
    return {
        "device": table.device.key,
        "mode": table.mode,
        "dtype": table.dtype,
        "compiled": table.compiled,
        "software": table.software,
        "rows": sum(t.published for t in tables),
        "source": "; ".join(dict.fromkeys(map(_source, tables))),
        "launch": _short(exp(fit.launch(place))),
        "host": 0.0 if table.layers else _short(exp(fit.host(place))),
        "step_seconds": _short(step),
        "kinds": {"*": _every(fit, "software", place), **_factors(fit, "table", place)},
        "low": round(low, 3),
        "high": round(high, 3),
        "layers": sorted(timed),
    }


def _source(table: Table) -> str:
    known = LICENCES.get(table.name.partition("-")[0])
    return (
        known
        or f"huggingface/pytorch-image-models, results/benchmark-{table.name}.csv (Apache-2.0)"
    )


def _every(fit: Fit, name: str, place: int) -> list[float]:
    """The factors of all kinds of work."""
    return [_short(exp(float(fit.logs[f"{name}_{what}"][place]))) for what in _WHAT]


def _factors(fit: Fit, name: str, place: int) -> dict[str, list[float]]:
    found = {}
    for at, kind in enumerate(fit.kinds):
        pair = [exp(float(fit.logs[f"{name}_{what}"][place, at])) for what in _WHAT]
        if max(abs(factor - 1) for factor in pair) > SMALLEST:
            found[kind] = [_short(factor) for factor in pair]
    return found


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    version = re.search(r"torch ([\d.]+)", row["software"])
    numbers = [int(part) for part in version[1].split(".")] if version else []
    return bool(row["layers"]), row["device"], row["mode"], row["compiled"], numbers


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def written(data: Mapping[str, Any]) -> str:
    """As the file holds it: a pair of numbers, or a list of names, in one line."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    number = r"[-\d.e+]+"
    text = re.sub(rf"\[\s+({number}),\s+({number})\s+\]", r"[\1, \2]", text)
    names = re.compile(r'"layers": \[\s+([^\]]*?)\s+\]')
    return names.sub(lambda m: f'"layers": [{" ".join(m[1].split())}]', text) + "\n"
