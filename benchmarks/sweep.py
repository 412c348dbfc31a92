"""Sweeps: on two cores, of 1,000 points, and of groups beside importing torch.

Run it on an idle machine: `python benchmarks/sweep.py`.
Each figure is the best of several whole processes, alternated, so that a slow moment of the machine
hits both sides.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
CLASSES = ",".join(map(str, range(1, 1001)))
LOOP = """
import torch, torchvision
from torch.utils.flop_counter import FlopCounterMode
torch.set_num_threads(1)
for classes in range(1, 1001):
    with torch.device("meta"):
        network, x = torchvision.models.resnet18(num_classes=classes), torch.zeros(1, 3, 224, 224)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    print(classes, counter.get_total_flops() // 2)
"""
"""What one would write without archscope."""

RATES = ",".join(map(str, range(4, 104)))
ARCHSCOPE = (sys.executable, "-m", "archscope", "--no-cache")


def seconds(command: tuple[str, ...]) -> float:
    """Wall-clock time of a process from start to end."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def best(commands: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """The shortest time of each command."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(seconds(command))
    return {name: min(times) for name, times in taken.items()}


def main() -> None:
    """Print the times, and the ratios beside those wanted."""
    with tempfile.TemporaryDirectory() as folder:
        journal = str(Path(folder) / "journal.jsonl")
        classes = (
            *ARCHSCOPE, "sweep", "resnet18", f"num_classes={CLASSES}", "--journal", journal
        )  # fmt: skip
        sweep = (*ARCHSCOPE, "sweep", "densenet", f"growth_rate={RATES}", "--journal", journal)
        times = best(
            {
                "forward, 1 job": (*sweep, "--jobs", "1"),
                "forward, 2 jobs": (*sweep, "--jobs", "2"),
                "with backward, 1 job": (*sweep, "--backward", "--jobs", "1"),
                "with backward, 2 jobs": (*sweep, "--backward", "--jobs", "2"),
                "import torch, torchvision": (sys.executable, "-c", "import torch, torchvision"),
                "sweep-groups": (*ARCHSCOPE, "sweep-groups", "1,2,4,8,16,32"),
                "1,000 points, 1 job": (*classes, "--jobs", "1"),
                "1,000 points, 2 jobs": (*classes, "--jobs", "2"),
                "1,000 points, a loop": (sys.executable, "-c", LOOP),
            }
        )
    for name, taken in times.items():
        print(f"{name:28}{taken:7.2f} s")
    for what in ("forward", "with backward"):
        speedup = times[f"{what}, 1 job"] / times[f"{what}, 2 jobs"]
        print(f"100 points {what} on two cores: {speedup:.2f}× as fast (wanted: at least 1.6×)")
    loop = times["1,000 points, a loop"]
    for jobs in ("1 job", "2 jobs"):
        ratio = times[f"1,000 points, {jobs}"] / loop
        print(f"1,000 points of resnet18, {jobs}: {ratio:.2f}× a loop over the meta flop counter")
    ratio = times["sweep-groups"] / times["import torch, torchvision"]
    print(f"three views of six group counts: {ratio:.2f}× the import (wanted: at most 3×)")


if __name__ == "__main__":
    main()
