"""A whole step as one CUDA graph."""

from __future__ import annotations

import warnings

import torch

from archscope.measure.clock import Stage
from archscope.measure.step import Step


def captured(step: Step) -> Stage:
    """Replay of the step as one CUDA graph: what it takes without launching.

    Raises:
        RuntimeError: the step synchronises or allocates in a way that cannot be captured.
    """
    optimizer = getattr(step, "optimizer", None)
    if optimizer is not None:
        _count_on_device(optimizer, step.device)
    here = torch.cuda.current_stream(step.device)
    side = torch.cuda.Stream(step.device)  # type: ignore[no-untyped-call]
    graph = torch.cuda.CUDAGraph()
    side.wait_stream(here)
    # The outer context brings the caller's stream back where ending the capture fails: PyTorch's
    # own does not.
    try:
        with torch.cuda.stream(side):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="This instance was constructed with cap")
                for _ in range(3):
                    step()
            with torch.cuda.graph(graph, stream=side):
                step()
    except RuntimeError:
        # Half a step leaves gradients that were recorded but never computed.
        step.eager.zero_grad(set_to_none=True)
        raise
    here.wait_stream(side)
    return graph.replay


def _count_on_device(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Let Adam keep its step count where a graph can raise it; only graphs need that."""
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
            for parameter in group["params"]:
                state = optimizer.state[parameter]
                if "step" in state:
                    state["step"] = state["step"].to(device)
