"""Count torchvision's networks and a sample of timm's; write reports/data/coverage.json.

Usage: python benchmarks/coverage.py

Without timm its part is left out.
"""

from __future__ import annotations

import json
import warnings
from importlib import util
from pathlib import Path
from typing import Any

import torch
import torchvision

import archscope
from archscope.files import replace_file
from reports.data import COVERAGE

DATA = Path(__file__).parent.parent / "reports" / "data" / COVERAGE
STEP = 8
"""The sample of timm is one of every so many names."""


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
    warnings.simplefilter("ignore")  # of the libraries, while they build their networks
    networks = [counted(name) for name in sorted(torchvision.models.list_models())]
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    found: dict[str, Any] = {"versions": versions, "networks": networks}
    if util.find_spec("timm") is not None:
        import timm

        versions["timm"] = timm.__version__
        found["timm_step"] = STEP
        found["timm"] = [counted(f"timm:{name}") for name in timm.list_models()[::STEP]]
    replace_file(DATA, (json.dumps(found, indent=1) + "\n").encode())
    for part in ("networks", "timm"):
        failed = [network["model"] for network in found.get(part, ()) if network["failure"]]
        print(f"{part}: {len(found.get(part, ()))}, failed: {', '.join(failed) or 'none'}")


if __name__ == "__main__":
    main()
