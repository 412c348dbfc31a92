"""Count every network of torchvision and write reports/data/coverage.json.

Usage: python benchmarks/coverage.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torchvision

import archscope

DATA = Path(__file__).parent.parent / "reports" / "data" / "coverage.json"


def counted(name: str) -> dict[str, Any]:
    """What one network costs, or why it cannot be counted."""
    try:
        summary = archscope.summary(name)
    except archscope.ArchscopeError as error:
        return {"model": name, "macs": None, "params": None, "executed_on": None,
                "unknown": [], "failure": str(error)}  # fmt: skip
    return {
        "model": name,
        "macs": summary.total.macs,
        "params": summary.total.params,
        "executed_on": summary.analysis.executed_on,
        "unknown": list(summary.coverage.unknown),
        "failure": "",
    }


def main() -> None:
    """Count all of them; detectors run for real, which takes most of the time."""
    networks = [counted(name) for name in sorted(torchvision.models.list_models())]
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    DATA.write_text(json.dumps({"versions": versions, "networks": networks}, indent=1) + "\n")
    failed = sum(bool(network["failure"]) for network in networks)
    print(f"{len(networks)} networks, {failed} failed")


if __name__ == "__main__":
    main()
