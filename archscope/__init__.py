"""archscope tells what a PyTorch network costs, and why.

Every command has a function of the same name: `summary`, `compare`, `explain`, `formula`, `graph`,
`receptive_field`, `diff`, `verify`, `models`, `load`, `memory`, `generate`, `signal`, `profile`,
`predict`, `devices`, `trace`, `distribute`, `sweep`, `merge`, `sweep_groups`, `check`, `cache` and
`recorder`.
All but the last return an `Answer`, which prints as tables and holds the record behind them.

Import every name from `archscope` itself. The modules inside, which Python's `help` lists for every
package, are private: they move without notice.

Example:
    >>> import archscope
    >>> archscope.summary("lenet").total.params
    61706
"""

from __future__ import annotations

from archscope._version import __version__ as __version__

TYPE_CHECKING = False  # that of `typing`, whose import delays the answer to Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from archscope.analysis.ops import Tally
    from archscope.analysis.rules import register_formula
    from archscope.api.answer import Answer, Checks, Predicted, Summary
    from archscope.api.comparing import compare, diff, verify
    from archscope.api.counting import load, models, summary
    from archscope.api.distributing import distribute
    from archscope.api.explaining import explain, formula, graph, receptive_field
    from archscope.api.fitted import Fitted
    from archscope.api.machine import cache, recorder
    from archscope.api.merging import merge
    from archscope.api.predicting import devices, predict
    from archscope.api.sweeping import check, sweep, sweep_groups
    from archscope.api.timing import profile, trace
    from archscope.api.training import generate, memory, signal
    from archscope.errors import ArchscopeError
    from archscope.measure.sampling import StoppingRule
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings
    from archscope.records import Analysis, Cost, Factor, Layer, Product, Profile

_NAMES = {
    "archscope.analysis.ops": ("Tally",),
    "archscope.analysis.rules": ("register_formula",),
    "archscope.api.answer": ("Answer", "Checks", "Predicted", "Summary"),
    "archscope.api.comparing": ("compare", "diff", "verify"),
    "archscope.api.counting": ("load", "models", "summary"),
    "archscope.api.distributing": ("distribute",),
    "archscope.api.explaining": ("explain", "formula", "graph", "receptive_field"),
    "archscope.api.merging": ("merge",),
    "archscope.api.sweeping": ("check", "sweep", "sweep_groups"),
    "archscope.api.fitted": ("Fitted",),
    "archscope.api.machine": ("cache", "recorder"),
    "archscope.api.predicting": ("devices", "predict"),
    "archscope.api.timing": ("profile", "trace"),
    "archscope.api.training": ("generate", "memory", "signal"),
    "archscope.errors": ("ArchscopeError",),
    "archscope.measure.sampling": ("StoppingRule",),
    "archscope.measure.session": ("Plan",),
    "archscope.measure.step": ("Settings",),
    "archscope.records": ("Analysis", "Cost", "Factor", "Layer", "Product", "Profile"),
}  # fmt: skip
"""The public names by module; a module is imported when one of its names is first asked for."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Analysis", "Answer", "ArchscopeError", "Checks", "Cost", "Factor", "Fitted", "Layer", "Plan",
    "Predicted", "Product", "Profile", "Settings", "StoppingRule", "Summary", "Tally", "cache",
    "check", "compare", "devices", "diff", "distribute", "explain", "formula", "generate", "graph",
    "load", "memory", "merge", "models", "predict", "profile", "receptive_field", "recorder",
    "register_formula", "signal", "summary", "sweep", "sweep_groups", "trace", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        from archscope.api.spelling import FUNCTIONS_HERE

        problem = f"module 'archscope' has no attribute {name!r}"
        place = FUNCTIONS_HERE.get(name)
        raise AttributeError(f"{problem}; write {place}" if place else problem)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
