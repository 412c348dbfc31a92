"""What predicting memory costs: seconds beside a plain count, and memory above the import.

    python benchmarks/memory.py [NETWORK ...]

For each network, in a process of its own: median seconds of predicting a training step and of
counting forward and backward on the same input, their ratio, and the most that the process grew
above its size after importing torch and torchvision.
Both run on a network that is built already.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

NETWORKS = ("resnet50", "densenet121", "efficientnet_b0", "vit_b_16", "vgg16", "densenet201")
REPEATS = 9
KIB = 1024


def seconds(work: Callable[[], object]) -> float:
    """Median over the repeats, after one for warming up."""
    work()
    samples = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def measure(name: str) -> str:
    """One row: prediction and count in milliseconds, their ratio, megabytes above import."""
    import torchvision  # noqa: F401

    from archscope.analysis import borrow, memory, trace
    from archscope.analysis.optimizers import Optimizer
    from archscope.ask.network.call import network_call
    from archscope.ask.network.subject import find
    from archscope.measure.step import Loss

    imported = peak_bytes()
    subject = find(name, {})
    call = network_call(subject, None, None)
    adam = Optimizer("adam")

    def predict() -> None:
        lent = borrow.copied(subject.module, call.on_meta(), borrow.weightless)
        with lent as (network, (args, kwargs)):
            memory.training_step(network.eval(), args, kwargs, Loss(), adam, memory.Manner())

    def count() -> None:
        lent = borrow.copied(subject.module, call.on_meta(), borrow.weightless)
        with lent as (network, (args, kwargs)):
            trace.run(network.eval(), args, kwargs, backward=True, on_meta=True)

    predicted, counted = seconds(predict), seconds(count)
    grown = (peak_bytes() - imported) / 1e6
    return (
        f"{name:18} {1e3 * predicted:9.1f} {1e3 * counted:9.1f} {predicted / counted:7.2f} "
        f"{grown:9.0f}"
    )


def main() -> None:
    """Print a row for each network named, each from a fresh process."""
    print(f"{'network':18} {'predict':>9} {'count':>9} {'ratio':>7} {'MB above':>9}")
    for name in sys.argv[1:] or NETWORKS:
        code = f"import runpy; print(runpy.run_path({__file__!r})['measure']({name!r}))"
        row = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        print(row.stdout.strip() or row.stderr.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
