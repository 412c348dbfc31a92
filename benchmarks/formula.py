"""What a closed form costs: seconds beside import and plain count, and memory above the import.

    python benchmarks/formula.py [NETWORK ...]

For each network, in a process of its own: seconds of importing torch and torchvision, building
the network and counting it once; seconds of the same with the formula in place of the count; their
ratio; and the most that the process grew above its size after the imports.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from archscope.ask.target import network_target

LIMITS = {"resnet50": 2.0, "densenet121": 5.0}
NETWORKS = (*LIMITS, "vgg16", "inception_v3", "swin_t", "vit_b_16")
KIB = 1024
MEGABYTE = 10**6


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def measure(name: str) -> str:
    """One row of the table."""
    start = time.perf_counter()
    import torchvision  # noqa: F401

    imported = time.perf_counter()
    before = peak_bytes()
    from archscope.ask.network.call import network_call
    from archscope.ask.network.subject import find
    from archscope.ask.symbols.formula import formula
    from archscope.ask.symbols.trial import Trial

    building = time.perf_counter()
    subject = find(name, {})
    spec = network_call(subject, None, None).spec
    Trial(subject, subject.module, spec).layers({})
    counted = time.perf_counter()
    found = formula(network_target(network_target(name)))
    done = time.perf_counter()
    shared = imported - start
    plain = shared + counted - building
    symbolic = shared + done - counted
    limit = f"{LIMITS[name]:.1f}x" if name in LIMITS else ""
    return (
        f"{name:14} {plain:8.2f} {symbolic:8.2f} {symbolic / plain:6.2f}x {limit:>6} "
        f"{(peak_bytes() - before) / MEGABYTE:7.1f}  {found.reduced(found.macs)}"
    )


def main(names: list[str]) -> None:
    """Print the table, one process a network."""
    if names[:1] == ["--one"]:
        print(measure(names[1]))
        return
    print(
        f"{'network':14} {'count, s':>8} {'form, s':>8} {'ratio':>7} {'limit':>6} {'MB':>7}  MACs"
    )
    for name in names or NETWORKS:
        subprocess.run([sys.executable, __file__, "--one", name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
