"""What counting costs: beside a bare meta pass, with depth, in memory, and at the start.

`python benchmarks/speed.py`; every ratio is of two times taken in turns in one run.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchvision
from torch import nn

import archscope
from archscope.ask.network.call import NetworkCall, network_call
from archscope.ask.network.subject import Subject, find

ATTENTION = ("vit_", "swin_", "maxvit_")
SINGLE = ("resnet50", "densenet121", "vit_b_16", "resnext101_32x8d")
ROUNDS = 3
BEST_OF = 9
"""Rounds of the single networks, whose times are milliseconds."""


def seconds(work: Callable[[], object]) -> float:
    """Processor time, which other processes on the machine disturb less."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def bare_forward(subject: Subject, call: NetworkCall) -> float:
    args, kwargs = call.on_meta()
    with torch.no_grad():
        return seconds(lambda: subject.module(*args, **kwargs))


def bare_backward(subject: Subject, call: NetworkCall) -> float:
    args, kwargs = call.on_meta()
    out = subject.module(*args, **kwargs)
    taken = seconds(lambda: torch.autograd.backward(out, torch.empty_like(out)))
    subject.module.zero_grad()
    return taken


def ratios(name: str, rounds: int) -> tuple[float, float, float, float]:
    """Bare forward, counted forward, bare backward, counted backward, each the best of some.

    Counted is what a user calls: `archscope.summary(module, tensors)`.
    """
    subject = find(name, {})
    call = network_call(subject, None, None)
    tensors, _ = call.on_meta()
    times: list[list[float]] = [[], [], [], []]
    for _ in range(rounds):
        times[0].append(bare_forward(subject, call))
        times[1].append(seconds(lambda: archscope.summary(subject.module, tensors)))
        times[2].append(bare_backward(subject, call))
        times[3].append(seconds(lambda: archscope.summary(subject.module, tensors, backward=True)))
    best = [min(taken) for taken in times]
    return best[0], best[1], best[2], best[3] - best[1]


def beside_bare_passes() -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    taken = {name: ratios(name, BEST_OF if name in SINGLE else ROUNDS) for name in names}
    groups = {
        f"all {len(names)} networks": names,
        "attention networks": [name for name in names if name.startswith(ATTENTION)],
        **{name: [name] for name in SINGLE},
    }
    for label, chosen in groups.items():
        bare, counted, bare_back, counted_back = (
            sum(taken[name][part] for name in chosen) for part in range(4)
        )
        print(f"{label:24} forward {counted / bare:.2f}×, backward {counted_back / bare_back:.2f}×")


def with_depth() -> None:
    for depth in (10, 100, 1000, 5000):
        network = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(depth)))
        work = partial(archscope.summary, network, "8x8x8")
        taken = min(seconds(work) for _ in range(ROUNDS))
        print(f"{depth:6} layers {taken / depth * 1e6:8.0f} microseconds a layer")


def memory() -> None:
    """Peak resident memory that counting a network of 1.2 billion parameters adds."""
    archscope.summary("resnet18")
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = archscope.summary("torch.nn:Transformer", "src=10x2048,tgt=10x2048", d_model=2048,
                              nhead=16, dim_feedforward=8192, num_encoder_layers=10,
                              num_decoder_layers=10, batch_first=True).total  # fmt: skip
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{total.params / 1e9:.2f} billion parameters add {added:.0f} MiB")


def start() -> None:
    python = (sys.executable,)
    archscope_ = (*python, "-m", "archscope")
    pair = ("compare", "resnet50", "resnext50_32x4d")
    commands = {
        "import torch": (*python, "-c", "import torch"),
        "import torch, torchvision": (*python, "-c", "import torch, torchvision"),
        "archscope --help": (*archscope_, "--help"),
        "archscope summary lenet": (*archscope_, "--no-cache", "summary", "lenet"),
        "archscope compare, first": (*archscope_, "--no-cache", *pair),
        "archscope compare, again": (*archscope_, *pair),
    }
    subprocess.run(commands["archscope compare, again"], check=True, stdout=subprocess.DEVNULL)
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(ROUNDS):
        for name, command in commands.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            best[name] = min(best[name], time.perf_counter() - begin)
    for name, taken in best.items():
        floors = (best["import torch"], best["import torch, torchvision"])
        print(f"{name:26} {taken / floors[0]:.2f}× import torch, {taken / floors[1]:.2f}× with "
              f"torchvision")  # fmt: skip


def predictions() -> None:
    """A predicted step of ResNet-50 over its count of the same passes, in turns."""
    asked: dict[str, dict[str, Any]] = {
        "prediction": {},
        "prediction, channels last": {"layout": "nhwc"},
        "prediction, compiled": {"compiled": True},
        "prediction, training": {"mode": "training"},
    }
    counts = [partial(archscope.summary, "resnet50", batch=256, backward=b) for b in (False, True)]
    predict = partial(archscope.predict, "resnet50", device="rtx4090", batch=256)
    best = dict.fromkeys([*asked, "forward", "both"], float("inf"))
    for _ in range(BEST_OF):
        for name, setting in asked.items():
            best[name] = min(best[name], seconds(partial(predict, **setting)))
        for name, count in zip(("forward", "both"), counts, strict=True):
            best[name] = min(best[name], seconds(count))
    for name, setting in asked.items():
        counted = best["both" if setting.get("mode") else "forward"]
        print(f"{name:26} {best[name] / counted:.2f}× the count of resnet50")


def main() -> None:
    """Print every figure."""
    torch.set_num_threads(1)
    memory()
    start()
    with_depth()
    predictions()
    beside_bare_passes()


if __name__ == "__main__":
    main()
