"""What decides an answer besides sources: how Python was started, and what libraries read of it."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import metadata
from pathlib import Path

PREFIXES = (
    "PYTHON",
    "TORCH",
    "PYTORCH",
    "ATEN",
    "TIMM",
    "CUDA",
    "HF_",
    "TRANSFORMERS",
    "DIFFUSERS",
)
"""Environment variables that Python, PyTorch and libraries of networks read."""

PLACES = ("TORCHINDUCTOR_CACHE_DIR",)
"""Variables that say where compiled code is saved; importing torchvision sets one."""

HOOKS = ("sitecustomize", "usercustomize")
"""Modules that Python runs at its start, whatever it was started for."""


def environment() -> str:
    """The interpreter's flags, the variables that it and the libraries read, and its own hooks.

    `-O` takes assertions out, warnings may be errors, and a timm network is built of other layers
    under `TIMM_FUSED_ATTN=0`.
    """
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if name[0].islower()}
    flags = {name: value for name, value in flags.items() if isinstance(value, int)}
    read = [key for key in sorted(os.environ) if key.startswith(PREFIXES) and key not in PLACES]
    variables = {key: os.environ[key] for key in read}
    hooks = [_hook(name) for name in HOOKS]
    return repr((sys.version, sorted(flags.items()), sys.warnoptions, variables, hooks))


def machine() -> str:
    """What decides how sums are rounded, which a network's file may compute its sizes from."""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    threads = {key: value for key, value in os.environ.items() if key.startswith(("OMP_", "MKL_"))}
    return repr((name, sorted(threads.items())))


def _hook(name: str) -> str:
    """A hook's content, empty where there is none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return ""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return str(file)


def installed() -> str:
    """Hash of every installed package with its version.

    Transformers builds other layers where some packages are there.
    """
    found = sorted(f"{item.name} {item.version}" for item in metadata.distributions())
    return hashlib.sha256("\n".join(found).encode()).hexdigest()
