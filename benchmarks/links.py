"""Fit two numbers for each collective of each system: `python benchmarks/links.py TABLE FOLDER`.

TABLE is `collectives.csv` and FOLDER the `systems` of the measurements that
ai-dynamo/aiconfigurator publishes under Apache-2.0; the result is
`archscope/collectives/links.json`.
Message sizes of even powers of two are fitted, those of odd ones judge the fit.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

DEVICES = {
    "a100_sxm": ["a100-sxm-80gb", "a100-sxm-40gb"],
    "b200_sxm": ["b200"],
    "gb200": ["gb200"],
    "h100_sxm": ["h100-sxm"],
    "h200_sxm": ["h200-sxm"],
    "l40s": ["l40s"],
    "rtx_pro_6000_server": ["rtxpro6000-server"],
}
"""Systems with a data sheet in archscope, and its key."""

KINDS = ("all_gather", "all_reduce", "reduce_scatter")
OUTPUT = Path(__file__).parents[1] / "archscope" / "collectives" / "links.json"
BYTES = {"half": 2, "int8": 1}


def read(path: str) -> pd.DataFrame:
    """The table with bytes, seconds and what each GPU sends."""
    table = pd.read_csv(path)
    table = table[(table.library == "NCCL") & table.op.isin(KINDS)].copy()
    size = table.message_elements * table.dtype.map(BYTES)
    share = (table.num_gpus - 1) / table.num_gpus
    table["seconds"] = table.latency_ms / 1e3
    table["sent"] = size * share * np.where(table.op == "all_reduce", 2, 1)
    table["fitted"] = np.log2(size).round().astype(int) % 2 == 0
    return table


def fit(rows: pd.DataFrame) -> tuple[float, float]:
    """Latency and bandwidth of the least mean absolute logarithm of predicted over measured."""
    sent, seconds = rows.sent.to_numpy(), rows.seconds.to_numpy()
    latency, rate, width = 1.5e-5, 1e11, 4.0
    for _ in range(12):
        latencies = latency * np.exp(np.linspace(-width, width, 41))
        rates = rate * np.exp(np.linspace(-width, width, 41))
        predicted = latencies[:, None, None] + sent / rates[None, :, None]
        misses = np.abs(np.log(predicted / seconds)).mean(axis=2)
        best = np.unravel_index(misses.argmin(), misses.shape)
        latency, rate, width = latencies[best[0]], rates[best[1]], width / 2
    return float(latency), float(rate)


def described(folder: Path, system: str) -> dict[str, float]:
    """GPUs of a node, and the links between nodes, from a system's description."""
    text = (folder / f"{system}.yaml").read_text()
    numbers = dict(re.findall(r"^  (\w+): ([\d.]+)", text, re.MULTILINE))
    return {
        "gpus_per_node": int(numbers["num_gpus_per_node"]),
        "node_bytes_per_second": float(numbers["inter_node_bw"]),
        "hop_seconds": float(numbers["p2p_latency"]),
    }


def main(path: str, folder: str) -> None:
    table = read(path)
    systems = []
    for system, devices in DEVICES.items():
        rows = table[table.system == system]
        lines: dict[str, dict[str, list[float]]] = {}
        errors = []
        for (kind, gpus), group in rows.groupby(["op", "num_gpus"]):
            latency, rate = fit(group[group.fitted])
            held = group[~group.fitted]
            errors.append(np.abs((latency + held.sent / rate) / held.seconds - 1))
            lines.setdefault(str(kind), {})[str(gpus)] = [float(f"{latency:.3g}"),
                                                          float(f"{rate:.3g}")]  # fmt: skip
        missed = pd.concat(errors)
        name = rows.device.dropna().iloc[0]
        systems.append(
            {
                "key": system,
                "name": name,
                "devices": devices,
                "lines": lines,
                "median_error": round(float(missed.median()), 3),
                "most_error": round(float(missed.quantile(0.9)), 3),
                "measurements": int(rows.fitted.sum()),
                **described(Path(folder), system),
                "source": "NCCL measurements of ai-dynamo/aiconfigurator (Apache-2.0)",
            }
        )
        print(system, f"median {missed.median():.1%}, 90 % within {missed.quantile(0.9):.1%}")
    OUTPUT.write_text(json.dumps(systems, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
