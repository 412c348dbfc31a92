"""archscope tells what a PyTorch network costs, and why."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from archscope._version import __version__ as __version__

if TYPE_CHECKING:
    from archscope.analysis.ops import Tally
    from archscope.analysis.rules import register_formula
    from archscope.api import (
        Result,
        Summary,
        compare,
        explain,
        formula,
        generate,
        memory,
        predict,
        profile,
        summary,
    )
    from archscope.errors import ArchscopeError
    from archscope.measure.sampling import StoppingRule
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings
    from archscope.records import Analysis, Cost, Factor, Layer, Product, Profile

_HOMES = {
    "summary": "archscope.api",
    "compare": "archscope.api",
    "explain": "archscope.api",
    "formula": "archscope.api",
    "generate": "archscope.api",
    "memory": "archscope.api",
    "predict": "archscope.api",
    "profile": "archscope.api",
    "Result": "archscope.api",
    "Summary": "archscope.api",
    "register_formula": "archscope.analysis.rules",
    "Tally": "archscope.analysis.ops",
    "ArchscopeError": "archscope.errors",
    "Analysis": "archscope.records",
    "Cost": "archscope.records",
    "Factor": "archscope.records",
    "Layer": "archscope.records",
    "Product": "archscope.records",
    "Profile": "archscope.records",
    "Plan": "archscope.measure.session",
    "Settings": "archscope.measure.step",
    "StoppingRule": "archscope.measure.sampling",
}
"""Where each public name lives; a module is imported when its name is first asked for."""

__all__ = [
    "Analysis", "ArchscopeError", "Cost", "Factor", "Layer", "Plan", "Product", "Profile", "Result",
    "Settings", "StoppingRule", "Summary", "Tally", "compare", "explain", "formula", "generate",
    "memory", "predict", "profile", "register_formula", "summary",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'archscope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
