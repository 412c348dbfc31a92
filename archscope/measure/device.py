"""The device: its name, what decides its speed just now, and how fast it can be."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from archscope.errors import ArchscopeError
from archscope.measure.clock import Stage, StreamClock, WallClock, synchronizer
from archscope.parameters import parameter
from archscope.records import Environment
from archscope.records.measured import COPY
from archscope.saved import cache

DATA_SHEET: dict[str, dict[str, float]] = {
    # Dense rates of NVIDIA's data sheets, without sparsity.
    "H200": {"fp32": 67e12, "tf32": 494.5e12, "fp16": 989e12, "bf16": 989e12, COPY: 4.8e12},
    "H100": {"fp32": 67e12, "tf32": 494.5e12, "fp16": 989e12, "bf16": 989e12, COPY: 3.35e12},
    "A100": {"fp32": 19.5e12, "tf32": 156e12, "fp16": 312e12, "bf16": 312e12, COPY: 1.555e12},
    "V100": {"fp32": 15.7e12, "fp16": 125e12, COPY: 0.9e12},
    "T4": {"fp32": 8.1e12, "fp16": 65e12, COPY: 0.32e12},
}


FALLBACK = "data sheet"
"""How peaks are called that were not measured."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """How fast a device can be.

    Args:
        rates: flop/s by dtype (`fp32`, `tf32`, `fp16`, `bf16`) and bytes/s under `copy`.
        date: the day of measuring, `2026-11-22`; empty for those of a data sheet.
    """

    rates: Mapping[str, float]
    date: str = ""

    def __str__(self) -> str:
        return f"measured {self.date}" if self.date else FALLBACK


def find(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ArchscopeError: PyTorch knows no such device, or this machine has none.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        remedy = "use cpu, cuda, cuda:1 or mps"
        raise ArchscopeError(
            parameter("device", name or repr(name)), "unknown device", remedy
        ) from None
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= available:
        raise ArchscopeError(
            parameter("device", name),
            f"this machine has {available or 'no'} {device.type} device{'s' * (available > 1)}",
            f"use {parameter('device', 'cpu')}",
        )
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def best() -> str:
    """`cuda` where there is one, else `mps`, else `cpu`."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def model_name(device: torch.device) -> str:
    """What the device calls itself: `NVIDIA H200`, `Intel(R) Xeon(R) …`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def environment(device: torch.device) -> Environment:
    """Facts that decide a time and can be read without measuring."""
    facts = {
        "device name": model_name(device),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "system": platform.platform(),
        "threads": str(torch.get_num_threads()),
        "affinity": f"{usable_cores()} of {os.cpu_count()} cores",
        "load": _load(),
    }
    if device.type == "cuda":
        facts |= {
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "cudnn.benchmark": str(torch.backends.cudnn.benchmark),
            "matrix products": _tf32(torch.backends.cuda.matmul),
            "convolutions": _tf32(torch.backends.cudnn.conv),  # type: ignore[attr-defined]
            **_nvidia_smi(
                device,
                {"driver": "driver_version", "device UUID": "uuid", "power limit": "power.limit"},
            ),
        }
    return Environment(str(device), tuple(facts.items()))


def _tf32(backend: object) -> str:
    return "TF32" if getattr(backend, "fp32_precision", "") == "tf32" else "no TF32"


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int) -> None:
    """Refuse more threads of one operator than there are cores to run them.

    Raises:
        ArchscopeError: naming the limit.
    """
    cores = usable_cores()
    if threads > cores:
        problem = f"this process may use {cores} core{'s' * (cores > 1)}"
        raise ArchscopeError(parameter("threads", threads), problem, f"use at most {cores}")


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def state(device: torch.device) -> dict[str, str]:
    """Clocks, temperature and power at this moment; empty where they cannot be read."""
    return _nvidia_smi(
        device,
        {
            "SM clock": "clocks.sm",
            "memory clock": "clocks.mem",
            "temperature": "temperature.gpu",
            "power": "power.draw",
        },
    )


def _nvidia_smi(device: torch.device, queries: Mapping[str, str]) -> dict[str, str]:
    if device.type != "cuda" or shutil.which("nvidia-smi") is None:
        return {}
    identity = str(getattr(torch.cuda.get_device_properties(device), "uuid", device.index))
    if "-" in identity and not identity.startswith(("GPU-", "MIG-")):
        identity = f"GPU-{identity}"
    fields = ",".join(queries.values())
    command = ["nvidia-smi", f"--id={identity}", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = done.stdout.strip().split(",")
    return {key: value.strip() for key, value in zip(queries, values, strict=False)}


def peaks(device: torch.device, store: cache.Store | None) -> Peaks:
    """Measured once for all that decides them, and saved.

    Where measuring fails (no memory for large matrices), data-sheet values, labelled so.

    Args:
        device: whose.
        store: where they are saved; `None` measures again and saves nothing.
    """
    found = None if store is None else _saved_peaks(store, device)
    if found is not None:
        return found
    try:
        rates = measure_peaks(device)
    except RuntimeError:
        name = model_name(device)
        sheet = next((rates for part, rates in DATA_SHEET.items() if part in name), {})
        return Peaks(sheet)
    return _keep(store, device, Peaks(rates, time.strftime("%Y-%m-%d")))


def raised(known: Mapping[str, float], device: torch.device, store: cache.Store | None) -> Peaks:
    """Measured once more, and the larger of each saved: no device is faster than its roof.

    Raises:
        RuntimeError: no memory for large matrices.
    """
    rates = {name: max(rate, known.get(name, 0.0)) for name, rate in measure_peaks(device).items()}
    return _keep(store, device, Peaks(rates, time.strftime("%Y-%m-%d")))


def measure_peaks(device: torch.device) -> dict[str, float]:
    """Fastest of several square matrix products a dtype, of more than one size, and of copies.

    The largest product is not always the fastest: on a host its blocks may not suit the caches.
    There a convolution counts too: its library is another one, and on some processors twice as
    fast. A copy reads and writes, so it moves twice its size.
    """
    cuda = device.type == "cuda"
    sides, copied = ((4096, 8192), 1 << 30) if cuda else ((512, 1024, 2048), 256 << 20)
    dtypes = {"fp32": torch.float32}
    if cuda:
        dtypes |= {"tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    rates = {
        name: max(product_rate(device, name, dtype, side) for side in sides)
        for name, dtype in dtypes.items()
    }
    if not cuda:
        rates["fp32"] = max(rates["fp32"], convolution_rate(device))
    source = torch.randint(0, 100, (copied,), dtype=torch.int8, device=device)
    target = torch.empty_like(source)
    rates[COPY] = 2 * copied / fastest(lambda: target.copy_(source), device)
    return rates


def product_rate(device: torch.device, name: str, dtype: torch.dtype, side: int) -> float:
    """Flop/s of a square matrix product, rounded to TF32 where `name` says so."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32" if name == "tf32" else "ieee"
        return 2 * side**3 / fastest(lambda: torch.mm(left, right, out=out), device)
    finally:
        matmul.fp32_precision = before


def convolution_rate(device: torch.device) -> float:
    """Flop/s of a 3×3 convolution of 256 channels on 28×28 positions, four images.

    Channels last, where PyTorch runs none of the algorithms that multiply less.
    """
    batch, channels, side, kernel = 4, 256, 28, 3
    x = torch.randn(batch, channels, side, side, device=device)
    weight = torch.randn(channels, channels, kernel, kernel, device=device)
    x, weight = (part.to(memory_format=torch.channels_last) for part in (x, weight))
    operations = 2 * batch * side**2 * channels**2 * kernel**2
    with torch.inference_mode():
        run = partial(torch.nn.functional.conv2d, x, weight, padding=kernel // 2)
        return operations / fastest(run, device)


def fastest(run: Stage, device: torch.device) -> float:
    """Seconds of the shortest of at least five repetitions that fill a fifth of a second.

    On CUDA between events: waiting for the device costs a caller some 15 µs, which is 3 % of
    copying a gibibyte on the fastest of them.
    """
    clock: WallClock | StreamClock = WallClock([run], synchronizer(device))
    if device.type == "cuda":
        clock = StreamClock([run], device)
    clock.laps(1)
    taken: list[float] = []
    while len(taken) < 5 or (sum(taken) < 0.2 and len(taken) < 100):
        taken += [seconds for (seconds,) in clock.laps(5)]
    return min(taken)


def _key(device: torch.device) -> str:
    """All that decides the roofs, this file's text included: it says how they are measured."""
    parts = [
        hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        device.type,
        model_name(device),
        f"torch {torch.__version__}",
    ]
    if device.type == "cuda":
        parts.append(_nvidia_smi(device, {"driver": "driver_version"}).get("driver", ""))
    else:
        parts.append(f"{torch.get_num_threads()} threads, {usable_cores()} cores")
    return " | ".join(parts)


def _saved_peaks(store: cache.Store, device: torch.device) -> Peaks | None:
    text = store.get(_key(device))
    if text is None:
        return None
    found = json.loads(text)
    return Peaks(found["rates"], found["date"])


def _keep(store: cache.Store | None, device: torch.device, found: Peaks) -> Peaks:
    if store is not None:
        store.put(_key(device), json.dumps({"rates": dict(found.rates), "date": found.date}))
    return found
