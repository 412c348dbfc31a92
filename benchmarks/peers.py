"""archscope against its peers over all torchvision classification networks, in one run.

`python benchmarks/peers.py` takes some minutes; name networks to try a few.
Every tool builds the network itself and counts it; the tools take turns on each network, so that a
slow moment of the machine hits them all, and each has the best of `--times`.
Peak memory is what one count adds to a process that has imported everything, in a process of its
own for each network (Linux only).
A tool that is not installed is left out: `python -m pip install '.[peers]'` brings them.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib.util
import io
import logging
import multiprocessing
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torchvision

import archscope
from archscope.resolve import vision

COUNTS_OTHERS = ("vit_", "swin_", "maxvit_")
"""Networks whose published operations leave products of attention out."""


def build(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """The network as torchvision builds it, and one sample of its size."""
    side = vision.default_input(name, {}).tensors[0].shape[-1]
    device = torch.get_default_device()
    keywords = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, **keywords).eval()
    return model, torch.zeros(1, 3, int(side), int(side), device=device)


def by_archscope(name: str) -> int:
    return archscope.summary(name).total.macs


def by_flop_counter(name: str) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model, x = build(name)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops() // 2


def by_fvcore(name: str) -> int:
    from fvcore.nn import FlopCountAnalysis

    logging.getLogger("fvcore").setLevel(logging.ERROR)
    model, x = build(name)
    analysis = FlopCountAnalysis(model, x).unsupported_ops_warnings(False)
    counts = analysis.uncalled_modules_warnings(False).by_operator()
    return int(sum(counts[key] for key in ("conv", "linear", "matmul", "bmm", "einsum")))


def by_torchinfo(name: str) -> int:
    from torchinfo import summary

    model, x = build(name)
    return int(summary(model, input_data=x, verbose=0).total_mult_adds)


def by_ptflops(name: str) -> int:
    from ptflops import get_model_complexity_info

    model, x = build(name)
    macs, _ = get_model_complexity_info(
        model, tuple(x.shape[1:]), as_strings=False, print_per_layer_stat=False
    )
    return int(macs)


def by_thop(name: str) -> int:
    from thop import profile

    model, x = build(name)
    macs, _ = profile(model, inputs=(x,), verbose=False)
    return int(macs)


def by_calflops(name: str) -> int:
    from calflops import calculate_flops

    model, x = build(name)
    _, macs, _ = calculate_flops(model, args=[x], print_results=False, output_as_string=False)
    return int(macs)


def by_torchprofile(name: str) -> int:
    from torchprofile import profile_macs

    model, x = build(name)
    return int(profile_macs(model, x))


TOOLS: dict[str, tuple[str, Callable[[str], int]]] = {
    "archscope": ("archscope", by_archscope),
    "torch.utils.flop_counter": ("torch", by_flop_counter),
    "fvcore": ("fvcore", by_fvcore),
    "torchinfo": ("torchinfo", by_torchinfo),
    "ptflops": ("ptflops", by_ptflops),
    "thop": ("thop", by_thop),
    "calflops": ("calflops", by_calflops),
    "torchprofile": ("torchprofile", by_torchprofile),
}


@dataclass
class Record:
    """What one tool did: seconds and peak bytes of each network that it managed, and its faults."""

    peak_bytes: dict[str, int]
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    exact: int = 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the peers' prints and warnings away."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def tried(count: Callable[[str], int], name: str, times: int) -> tuple[float, int] | None:
    """The shortest time and the count, `None` where the tool fails."""
    best, macs = float("inf"), 0
    for _ in range(times):
        begin = time.perf_counter()
        try:
            with quiet():
                macs = count(name)
        except Exception:
            return None
        best = min(best, time.perf_counter() - begin)
    return best, macs


def peaks(count: Callable[[str], int], names: list[str]) -> dict[str, int]:
    """Peak bytes of each network that a tool manages.

    Taken before anything is timed: freed memory that a process keeps would hide what a fork needs.
    """
    if sys.platform != "linux":
        return {}
    ctypes.CDLL(None).malloc_trim(0)
    found = {name: peak_bytes(count, name) for name in names}
    return {name: added for name, added in found.items() if added is not None}


def peak_bytes(count: Callable[[str], int], name: str) -> int | None:
    """Resident memory that one count adds at its peak, in a forked process; `None` if it fails."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def measure() -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        before = resident("VmRSS")
        managed = tried(count, name, times=1) is not None
        sender.send(resident("VmHWM") - before if managed else None)

    child = context.Process(target=measure)
    child.start()
    sender.close()
    try:
        added: int | None = receiver.recv()
    finally:
        child.join()
    return added


def resident(line: str) -> int:
    """One of the memory figures that Linux keeps of this process, in bytes."""
    text = Path("/proc/self/status").read_text()
    found = next(row for row in text.splitlines() if row.startswith(line))
    return int(found.split()[1]) * 1024


def compared(
    names: list[str], tools: dict[str, Callable[[str], int]], times: int
) -> dict[str, Record]:
    """Each tool on each network, in turns; the count by hooks on convolutions and linear layers
    that torchvision published is the reference where it counts nothing else.
    """
    records = {tool: Record(peaks(count, names)) for tool, count in tools.items()}
    for name in names:
        reference = published_macs(name)
        for tool, count in tools.items():
            result = tried(count, name, times)
            gc.collect()  # some tools leave their networks in cycles
            if result is None:
                records[tool].failed.append(name)
                continue
            records[tool].seconds[name], macs = result
            records[tool].exact += abs(macs / 1e9 - reference) < 0.00051 if reference else 0
    return records


def published_macs(name: str) -> float | None:
    """GMAC as torchvision publishes them, `None` where they leave attention out."""
    if name.startswith(COUNTS_OTHERS):
        return None
    size = vision.default_input(name, {}).tensors[0].shape[-1]
    for entry in torchvision.models.get_model_weights(name):
        crop = entry.transforms().crop_size[0]
        if crop == size:
            return float(entry.meta["_ops"])
    return None


def report(records: dict[str, Record], names: list[str]) -> None:
    """One line a tool: its time over archscope's on the networks that it manages."""
    ours = records["archscope"].seconds
    known = sum(published_macs(name) is not None for name in names)
    print(
        f"{'tool':26}{'managed':>9}{'exact':>9}{'seconds':>10}{'archscope, same networks':>27}"
        f"{'peak MiB, median':>18}{'largest':>9}"
    )
    for tool, record in records.items():
        total = sum(record.seconds.values())
        same = sum(ours[name] for name in record.seconds)
        print(
            f"{tool:26}{len(record.seconds):6}/{len(names)}{record.exact:6}/{known}{total:10.2f}"
            f"{same / total if total else 0:26.3f}×"
            f"{middle(record.peak_bytes) / 2**20:18.0f}"
            f"{max(record.peak_bytes.values(), default=0) / 2**20:9.0f}"
        )
    meta = sum(records["torch.utils.flop_counter"].seconds.values())
    if meta:
        ratio = sum(ours.values()) / meta
        print(
            f"archscope on all {len(ours)} networks takes {ratio:.2f}× what flop_counter on meta "
            f"takes for the {len(records['torch.utils.flop_counter'].seconds)} that it manages"
        )


def middle(values: dict[str, int]) -> float:
    return statistics.median(values.values()) if values else 0.0


def main() -> None:
    """Print versions and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks; all by default")
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--times", type=int, default=2, help="of each, the best one counts")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    names = chosen.names or torchvision.models.list_models(module=torchvision.models)
    tools: dict[str, Any] = {
        tool: count
        for tool, (package, count) in TOOLS.items()
        if tool in chosen.tools and importlib.util.find_spec(package)
    }
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"torch {torch.__version__}, torchvision {torchvision.__version__}")  # fmt: skip
    for count in tools.values():
        tried(count, "resnet18", times=1)  # imports
    report(compared(names, tools, chosen.times), names)


if __name__ == "__main__":
    main()
