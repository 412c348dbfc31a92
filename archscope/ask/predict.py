"""A network and a device → Prediction: one run on meta, and the arithmetic of its kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archscope.latency.devices import Device, find_device
from archscope.latency.kernels import kernels
from archscope.latency.model import Coefficients, Setting, coefficients, totals
from archscope.records import Execution, LayerPrediction, Prediction

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis import borrow
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target


def predict(
    target: Target,
    device: str | Device,
    setting: Setting,
) -> Prediction:
    """Predict the time of one step.

    Args:
        target: the network with its call.
        device: a name, or a data sheet.
        setting: how the network runs.

    Raises:
        ArchscopeError: the network cannot be found or run, the device is unknown, or nothing was
            measured in this setting.
    """
    on = find_device(device) if isinstance(device, str) else device
    given = coefficients(on, setting)
    subject, call = target.called()
    execution, notes = execute(subject, call, setting)
    return _prediction(subject, call, execution, on, setting, given, notes)


def execute(
    subject: Subject, call: NetworkCall, setting: Setting
) -> tuple[Execution, tuple[str, ...]]:
    """Run a network once in a setting and take down its operators."""
    import torch

    from archscope.analysis import borrow, execution
    from archscope.ask.network.runs import executed

    training = setting.mode == "training"
    last = setting.layout == "nhwc"

    def run(module: nn.Module, arguments: Any, stand_in: borrow.StandIn) -> Execution:
        on_meta = stand_in is borrow.weightless
        made = execution.channels_last if last and on_meta else stand_in
        with borrow.borrowed(module, made) as network:
            network.train(training)
            args, kwargs = arguments
            if last:
                args = tuple(
                    value.contiguous(memory_format=torch.channels_last)
                    if isinstance(value, torch.Tensor) and value.dim() == 4
                    else value
                    for value in args
                )
            return execution.run(network, args, kwargs, backward=training, on_meta=on_meta)

    ran, _, notes = executed(subject, call, run)
    return ran, notes


def _prediction(
    subject: Subject,
    call: NetworkCall,
    execution: Execution,
    device: Device,
    setting: Setting,
    given: Coefficients,
    notes: tuple[str, ...],
) -> Prediction:
    sums: dict[tuple[int, str], list[float]] = {}
    for kernel, *parts in totals(kernels(execution, setting.dtype), device, given):
        row = sums.setdefault((kernel.layer, kernel.phase), [0.0, 0.0, 0.0])
        for place, part in enumerate(parts):
            row[place] += part
    layers = tuple(
        LayerPrediction(*execution.layers[layer], phase, *parts)
        for (layer, phase), parts in sums.items()
    )
    total = sum(layer.seconds for layer in layers)
    return Prediction(
        model=subject.name,
        input=call.spec,
        device=device.name,
        mode=setting.mode,
        dtype=setting.dtype,
        layout=setting.layout,
        compiled=setting.compiled,
        layers=layers,
        low=total * given.low,
        high=total * given.high,
        fitted_on=given.source,
        keywords=subject.keywords,
        notes=(*subject.notes, *notes),
    )
