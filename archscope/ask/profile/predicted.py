"""What was predicted of a measured step's memory, under the names that its Profile measures by."""

from __future__ import annotations

from archscope.ask.memory.prediction import predict
from archscope.ask.memory.setting import WEIGHTS, Setting
from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.measure.session import Plan
from archscope.records import MemoryPrediction

PHASES = {"forward": "forward", "backward": "backward", "update": "optimizer"}
"""Stage of a measured training step by the phase of a predicted one."""


def predicted_bytes(target: Target, plan: Plan, dtype: str) -> dict[str, int]:
    """Predict the first mode of a plan, tensor by tensor.

    Empty where nothing is predicted: under autocast, through torch.compile, in another dtype than
    floating ones, or where the network cannot be followed.

    Args:
        target: the network, with the input measured at.
        plan: settings and modes.
        dtype: of the weights when they were measured.
    """
    settings = plan.settings
    if settings.amp or settings.compile is not None or dtype not in WEIGHTS:
        return {}
    updated = settings.optimizer != "none"
    setting = Setting(
        plan.modes[0],
        settings.optimizer if updated else "sgd",
        dtype,
        device="cpu" if settings.device == "cpu" else "cuda",
    )
    try:
        found = predict(target, setting)
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
        kinds[key] = max(kinds.get(key, 0), moment.allocated)
    return kinds
