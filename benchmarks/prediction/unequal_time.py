"""What `reports/equal-macs-unequal-time.md` is made from: published times and predictions.

`python benchmarks/prediction/unequal_time.py --work DIR` writes `reports/data/unequal-time.json`
from the public tables, the committed coefficients, and what `judge` left in `--work`.
Of the tables it takes the times of two networks, each with its source.
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judge import Held, named_faster
from tables import (
    BATCH_OF_TORCHVISION,
    DEVICES,
    SHARED,
    UNKNOWN,
    Measurement,
    measurements,
    torchvision_seconds,
    version,
)

import archscope
from archscope.ask.groups.family import Family
from archscope.ask.groups.sweep import swept
from archscope.ask.groups.times import predicted
from archscope.ask.predict import predictions
from archscope.ask.target import network_target
from archscope.latency.devices import devices
from archscope.latency.place import read_places
from archscope.latency.setting import Setting
from archscope.records import Prediction

DATA = Path(__file__).parents[2] / "reports" / "data" / "unequal-time.json"
NETWORKS = ("resnet50", "resnext50_32x4d")
GPUS = ("rtx3090", "rtx4090", "h100")
GROUPS = (1, 2, 4, 8, 32)
BATCH = 256
SETTING = Setting("inference", "amp", "nhwc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/prediction"))
    work = parser.parse_args().work
    found = {
        "published": list(published()),
        "predicted": list(of_kinds()),
        "groups": list(of_groups()),
        "pairs": of_pairs(pickle.loads((work / "held.pkl").read_bytes())),
    }
    DATA.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def published() -> Iterator[dict[str, Any]]:
    """Times a sample of the two networks in every table that holds both at one image size."""
    tables: dict[str, dict[tuple[str, int], Measurement]] = defaultdict(dict)
    for one in measurements():
        tables[one.table][one.network.partition(":")[2] or one.network, one.side] = one
    for table, rows in tables.items():
        first, second = (rows.get((name, 224)) for name in NETWORKS)
        if first is None or second is None:
            continue
        yield {
            "table": table,
            "device": devices()[first.device].name,
            "mode": first.setting.mode,
            "dtype": first.setting.dtype,
            "layout": first.setting.layout,
            "compiled": first.setting.compiled,
            "software": first.software,
            "seconds_a_sample": [_short(one.seconds / one.batch) for one in (first, second)],
            "batches": [first.batch, second.batch],
            "source": source(first),
        }
    yield from published_in_double()
    yield from published_on_cpus()


def published_in_double() -> Iterator[dict[str, Any]]:
    """Those in float64, which predictions know nothing of."""
    for (gpu, precision, mode), times in torchvision_seconds().items():
        if precision == "double" and all(name in times for name in NETWORKS):
            mode = "training" if mode == "train" else mode
            samples = [_short(times[name] / BATCH_OF_TORCHVISION) for name in NETWORKS]
            yield {
                "table": f"tv-{DEVICES[gpu]}-double-{mode}",
                "device": devices()[DEVICES[gpu]].name,
                "mode": mode,
                "dtype": "float64",
                "layout": "nchw",
                "compiled": False,
                "software": UNKNOWN,
                "seconds_a_sample": samples,
                "batches": [BATCH_OF_TORCHVISION] * len(NETWORKS),
                "source": "ryujaehun/pytorch-gpu-benchmark",
            }


CPUS = {"i9_10940x": "Intel Core i9-10940X", "i7_12700h": "Intel Core i7-12700H"}


def published_on_cpus() -> Iterator[dict[str, Any]]:
    """Those on CPUs: one image at a time, compiled."""
    for path in sorted((SHARED / "timm").glob("benchmark-*-cpu-*.csv")):
        _, _, _, _, torch, _, cpu, _ = path.stem.split("-")
        with path.open() as lines:
            steps = {
                row["model"]: float(row["infer_step_time"]) / 1e3
                for row in csv.DictReader(lines)
                if row["infer_img_size"] == "224" and row["infer_batch_size"] == "1"
            }
        yield {
            "table": path.stem.removeprefix("benchmark-"),
            "device": CPUS[cpu],
            "mode": "inference",
            "dtype": "float32",
            "layout": "nchw",
            "compiled": True,
            "software": f"torch {version(torch[2:])}",
            "seconds_a_sample": [_short(steps[name]) for name in NETWORKS],
            "batches": [1, 1],
            "source": f"huggingface/pytorch-image-models, results/{path.name}",
        }


def source(one: Measurement) -> str:
    """Whose table it is."""
    if one.table.startswith("tv-"):
        return "ryujaehun/pytorch-gpu-benchmark"
    return f"huggingface/pytorch-image-models, results/benchmark-{one.table}.csv"


def of_kinds() -> Iterator[dict[str, Any]]:
    """Predicted time of both networks by kind of layer, on each GPU."""
    targets = [network_target(name, batch=BATCH) for name in NETWORKS]
    for one in predictions(targets, GPUS, SETTING):
        yield {
            "network": one.model,
            "device": one.device,
            "seconds": _short(one.seconds),
            "low": _short(one.low),
            "high": _short(one.high),
            "by_kind": {kind: _short(seconds) for kind, seconds in _by_kind(one).items()},
        }


def _by_kind(prediction: Prediction) -> dict[str, float]:
    convolutions = {
        layer.name: layer for layer in archscope.summary(prediction.model).record.layers
    }
    sums: dict[str, float] = defaultdict(float)
    for layer in prediction.layers:
        counted = convolutions.get(layer.name)
        side = counted.setting("kernel_size") if counted is not None else None
        kind = layer.kind if side is None or layer.kind != "Conv2d" else f"{side[0]}×{side[1]} conv"
        sums[kind] += layer.seconds
    return dict(sums)


def of_groups() -> Iterator[dict[str, Any]]:
    """Predicted time of ResNet-50 with each group count, at equal MACs."""
    family = Family(network_target("resnet50", batch=BATCH), None)
    sweep = swept(family, GROUPS, ["macs"])
    times = predicted(family, sweep, read_places(",".join(f"{gpu}:nhwc" for gpu in GPUS)))
    for member in sweep.counted("macs"):
        for time in times[member.groups, member.width]:
            yield {
                "groups": member.groups,
                "width": member.width,
                "macs": member.analysis.total.macs // BATCH,
                "place": time.place,
                "seconds": _short(time.seconds),
            }


def of_pairs(held: list[Held]) -> list[dict[str, Any]]:
    """Pairs of networks of like MACs and unlike time, and how often each amount names the faster.

    Every network is predicted without its family.
    """
    found = []
    for one in held:
        if one.table.layers or one.table.name.startswith(("dle", "tv")):
            continue  # the same three networks at several batches, or too few networks
        amounts = (one.table.macs, one.table.bytes_moved, one.predicted)
        counts = [named_faster(one.table, amount) for amount in amounts]
        if counts[0][1]:
            right = dict(zip(("macs", "bytes", "prediction"), (c[0] for c in counts), strict=True))
            found.append({"table": one.table.name, "pairs": counts[0][1], **right})
    return found


def _short(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
