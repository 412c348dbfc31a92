"""What was predicted of a measured step's memory, under the names that its Profile measures by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archscope.ask.memory import DTYPES, Setting, predict
from archscope.errors import ArchscopeError
from archscope.measure.session import Plan
from archscope.records import InputSpec, MemoryPrediction

PHASES = {"forward": "forward", "backward": "backward", "update": "optimizer"}
"""Stage of a measured training step by the phase of a predicted one."""


def predicted_bytes(
    model: Any, spec: InputSpec, plan: Plan, dtype: str, keywords: Mapping[str, Any]
) -> dict[str, int]:
    """Predict the first mode of a plan, tensor by tensor.

    Empty where nothing is predicted: under autocast, through torch.compile, in another dtype than
    floating ones, or where the network cannot be followed.

    Args:
        model: as for `measured.profile`.
        spec: the input measured at.
        plan: settings and modes.
        dtype: of the weights when they were measured.
        keywords: passed to the constructor.
    """
    settings = plan.settings
    if settings.amp or settings.compile is not None or dtype not in DTYPES:
        return {}
    updated = settings.optimizer != "none"
    setting = Setting(plan.modes[0], settings.optimizer if updated else "sgd", dtype)
    try:
        found = predict(model, setting, input=spec, keywords=keywords)
    except ArchscopeError:
        return {}
    kinds = _kinds(found)
    return {key: size for key, size in kinds.items() if updated or "optimizer" not in key}


def _kinds(found: MemoryPrediction) -> dict[str, int]:
    moments = found.timeline
    kinds = {
        "parameters": max(moment.parameters for moment in moments),
        "buffers": max(moment.buffers for moment in moments),
        "input": max(moment.input for moment in moments),
    }
    if found.mode == "training":
        kinds |= {
            "gradients": max(moment.gradients for moment in moments),
            "optimizer state": max(moment.optimizer for moment in moments),
            "activations": found.saved_bytes,
        }
    for moment in moments:
        stage = PHASES[moment.phase] if found.mode == "training" else "inference"
        key = f"{stage} allocated"
        kinds[key] = max(kinds.get(key, 0), moment.total)
    return kinds
