"""The public tables of whole networks → measurements.

They stand in `../shared/latency` beside the checkout; its README says whose they are.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archscope.latency.setting import Setting

SHARED = Path(__file__).resolve().parents[3] / "shared" / "latency"

DEVICES = {
    "rtx3090": "rtx3090",
    "rtx4090": "rtx4090",
    "4090": "rtx4090",
    "GeForce GTX 1080 Ti": "gtx1080ti",
    "GeForce RTX 2080 Ti": "rtx2080ti",
    "TITAN RTX": "titanrtx",
    "TITAN Xp": "titanxp",
}
"""Keys of data sheets by the tables' names."""

DLE_NETWORKS = {
    "resnet50v1.5": "resnet50",
    "resnext101-32x4d": "resnext101_32x4d",
    "se-resnext101-32x4d": "seresnext101_32x4d",
}

TRAINING_BATCH = {"resnet50v1.5": 256}
"""Of NVIDIA's single-GPU training in mixed precision; 128 for all others."""


@dataclass(frozen=True)
class Measurement:
    """One network that was timed.

    Args:
        table: short name of its table.
        device: key of its data sheet.
        network: name that archscope builds it by.
        side: of its square images.
        seconds: of a step.
        parameters: in millions as published; 0 where they are not.
    """

    table: str
    device: str
    setting: Setting
    software: str
    network: str
    side: int
    batch: int
    seconds: float
    parameters: float = 0.0

    @property
    def family(self) -> str:
        """The part of the name before sizes: all ResNets are one family, all of EfficientNet."""
        plain = self.network.partition(":")[2] or self.network
        return re.sub(r"[0-9]+.*$", "", plain.partition("_")[0]) or plain


def measurements() -> Iterator[Measurement]:
    """All networks of all tables on GPUs."""
    yield from _timm()
    yield from _torchvision()
    yield from _examples()


def _timm() -> Iterator[Measurement]:
    """Networks that timm still has by the name: an old one stands for another's run."""
    import timm

    known = frozenset(timm.list_models())
    for path in sorted((SHARED / "timm").glob("benchmark-*.csv")):
        name = path.stem.removeprefix("benchmark-")
        words = name.split("-")
        if "cpu" in words:
            continue
        mode = "training" if words[0] == "train" else "inference"
        setting = Setting(mode, "amp", words[2], "dynamo" in words)
        torch, cuda = (word[2:] for word in words[3:5])
        software = f"torch {version(torch)}, CUDA {cuda[:2]}.{cuda[2:]}"
        device = next(DEVICES[word] for word in words if word in DEVICES)
        seen = set()
        with path.open() as lines:
            for row in csv.DictReader(lines):
                found = _timm_row(row, words[0], name, device, setting, software)
                if found is None or found.network.partition(":")[2] not in known:
                    continue
                if found not in seen:
                    seen.add(found)
                    yield found


def version(digits: str) -> str:
    """`110` is 1.10, `240` is 2.4.0."""
    return f"1.{digits[1:]}" if digits[0] == "1" else ".".join(digits)


def _timm_row(
    row: dict[str, str], mode: str, table: str, device: str, setting: Setting, software: str
) -> Measurement | None:
    try:
        side, batch = (int(float(row[f"{mode}_{key}"])) for key in ("img_size", "batch_size"))
        seconds = batch / float(row[f"{mode}_samples_per_sec"])
    except (KeyError, ValueError):
        return None  # a network that failed there
    network = f"timm:{row['model'].partition('.')[0]}"
    parameters = float(row["param_count"] or 0)
    return Measurement(table, device, setting, software, network, side, batch, seconds, parameters)


def torchvision_seconds() -> dict[tuple[str, str, str], dict[str, float]]:
    """The tables of ryujaehun/pytorch-gpu-benchmark: seconds of a step on one GPU.

    Returns:
        By GPU, precision and mode, then by network: the median over runs.
    """
    times: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    with (SHARED / "pytorch_gpu_benchmark" / "torchvision_batch12.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["n_gpus"] == "1":
                key = (row["gpu"], row["precision"], row["mode"])
                times[key][row["model"]].append(float(row["median_ms"]) / 1e3)
    return {
        key: {model: statistics.median(found) for model, found in sorted(rows.items())}
        for key, rows in sorted(times.items())
    }


def _torchvision() -> Iterator[Measurement]:
    for (gpu, precision, mode), rows in torchvision_seconds().items():
        if precision == "double":
            continue
        setting = Setting(
            "training" if mode == "train" else "inference",
            "float16" if precision == "half" else "float32",
        )
        device = DEVICES[gpu]
        for model, seconds in rows.items():
            yield Measurement(
                f"tv-{device}-{precision}-{mode}", device, setting, UNKNOWN, model, 224,
                BATCH_OF_TORCHVISION, seconds,
            )  # fmt: skip


BATCH_OF_TORCHVISION = 12
UNKNOWN = "torch 1, version not published"


def _examples() -> Iterator[Measurement]:
    """NVIDIA's own: training by images/s, inference by latency."""
    with (SHARED / "nvidia_dle" / "convnets_tables.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["network"] in DLE_NETWORKS:
                yield from _example(row)


def _example(row: dict[str, str]) -> Iterator[Measurement]:
    device = "a100-sxm-80gb" if "A100" in row["section"] else "v100-sxm"
    network = f"timm:{DLE_NETWORKS[row['network']]}"
    one_gpu = row["row_key"] == "GPUs" and row["row"] == "1"
    if one_gpu and row["column"].startswith("Throughput - "):
        dtype = {"TF32": "tf32", "FP32": "float32", "mixed precision": "amp"}[
            row["column"].partition(" - ")[2]
        ]
        batch = 128 if dtype == "float32" else TRAINING_BATCH.get(row["network"], 128)
        found = re.match(r"[\d.]+", row["value"])
        assert found is not None
        yield _of_example(device, "training", dtype, network, batch, batch / float(found[0]))
    if "Inference Latency" in row["section"] and row["column"] == "Latency Avg":
        if "T4" in row["section"]:
            device = "t4"
        dtype = next((d for d in ("TF32", "FP32") if d in row["section"]), "amp")
        dtype = {"TF32": "tf32", "FP32": "float32"}.get(dtype, dtype)
        seconds = float(row["value"].split()[0]) / 1e3
        yield _of_example(device, "inference", dtype, network, int(row["row"]), seconds)


def _of_example(
    device: str, mode: str, dtype: str, network: str, batch: int, seconds: float
) -> Measurement:
    setting = Setting(mode, dtype, "nhwc" if dtype == "amp" else "nchw")
    table = f"dle-{device}-{dtype}-{mode}"
    return Measurement(table, device, setting, UNKNOWN, network, 224, batch, seconds)
