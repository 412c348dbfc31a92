"""A network and a device → Prediction: one run on meta, and the arithmetic of its kernels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from archscope.errors import ArchscopeError
from archscope.files import read_text
from archscope.latency.calibration import Calibrated, from_json
from archscope.latency.coefficients import fitted
from archscope.latency.devices import Device, find_device
from archscope.latency.doubts import doubts, interval_of, require_rate
from archscope.latency.fusion import image_order, likely_order
from archscope.latency.kernel import Kernel
from archscope.latency.kernels import kernels, unknown_operators
from archscope.latency.model import Seconds, kernel_seconds, step_seconds
from archscope.latency.place import Place
from archscope.latency.rates import Rates, on_one_host
from archscope.latency.setting import Setting
from archscope.parameters import parameter
from archscope.patterns import matching, unmatched
from archscope.process import collector_paused
from archscope.records import Execution, InputSpec, LayerName, LayerPrediction, Pass, Prediction

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis.replica import StandIn
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target


def predict(target: Target, device: str | Device | Calibrated, setting: Setting) -> Prediction:
    """Predict the time of one step.

    Args:
        target: the network with its call.
        device: a name or a device file, a data sheet, or a device with factors of its own.
        setting: how the network runs.

    Raises:
        ArchscopeError: the network cannot be found or run, or the device is unknown.
    """
    (prediction,) = predictions([target], [device], setting)
    return prediction


def predictions(
    targets: Sequence[Target], devices: Sequence[str | Device | Calibrated], setting: Setting,
    own_hosts: bool = False,
) -> list[Prediction]:  # fmt: skip
    """Predict every network on every device; each network runs once.

    Args:
        targets: the networks with their calls.
        devices: as for `predict`.
        setting: how the networks run.
        own_hosts: whether each device has the host that it was measured on, not all one.

    Raises:
        ArchscopeError: as `predict`.
    """
    given = [rates_of(device, setting) for device in devices]
    if not own_hosts:
        given = on_one_host(given)
    with collector_paused():
        return [found for target in targets for found in _on_each(target, given)]


def _on_each(target: Target, given: Sequence[Rates]) -> Iterator[Prediction]:
    called = target.called()
    runs: dict[bool, Run] = {}
    for rates in given:
        fused = rates.fused_attention
        if fused not in runs:
            runs[fused] = executed(*called, rates.setting, fused)
        yield predicted(runs[fused], rates)


def predicted_at(target: Target, places: Sequence[Place]) -> tuple[Prediction, ...]:
    """Predict one network at several places, each with its own setting.

    Raises:
        ArchscopeError: as `predict`.
    """
    return tuple(predict(target, place.device, place.setting) for place in places)


def rates_of(device: str | Device | Calibrated, setting: Setting) -> Rates:
    """The efficiencies that hold for a device in a setting.

    Raises:
        ArchscopeError: no device of that name, a file that is no device's, or a dtype that the
            device has no rate for.
    """
    if isinstance(device, str):
        device = read_device(device) if device.endswith(".json") else find_device(device)
    require_rate(device.device if isinstance(device, Calibrated) else device, setting.dtype)
    if isinstance(device, Calibrated):
        return Rates(device.device, setting, device.within(fitted()))
    return Rates(device, setting, fitted())


def read_device(path: str) -> Calibrated:
    """A device file, as `archscope predict --fit` writes it.

    Raises:
        ArchscopeError: it cannot be read, or is no device file.
    """
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ArchscopeError(path, "is not a JSON file", "name a device file") from error
    return from_json(data, path)


class TimedKernel(NamedTuple):
    """A kernel with its layer and its time."""

    layer: LayerName
    kernel: Kernel
    seconds: Seconds


class Explained(NamedTuple):
    """What the arithmetic of some layers is written from.

    Args:
        prediction: of the network.
        kernels: of these layers.
        rates: with which they are timed.
    """

    prediction: Prediction
    kernels: list[TimedKernel]
    rates: Rates


def explained(
    targets: Sequence[Target], devices: Sequence[str | Device | Calibrated], setting: Setting,
    patterns: Sequence[str],
) -> Explained:  # fmt: skip
    """The kernels of some layers of one network on one device, with their times.

    Raises:
        ArchscopeError: several networks or devices, a pattern that chooses no layer, and as
            `predict`.
    """
    if len(targets) != 1 or len(devices) != 1:
        raise ArchscopeError(parameter("explain"), "takes one network and one GPU", "name one each")
    rates = rates_of(devices[0], setting)
    run = executed(*targets[0].called(), setting, rates.fused_attention)
    layers = run.execution.layers
    for pattern in patterns:
        if not any(matching(pattern, layer.name, layer.kind) for layer in layers):
            names = [layer.name for layer in layers]
            raise unmatched(parameter("explain", pattern), pattern, run.model, names)
    chosen = [
        TimedKernel(layers[kernel.layer], kernel, seconds)
        for kernel, seconds in _timed(run, rates)
        if any(
            matching(pattern, layers[kernel.layer].name, layers[kernel.layer].kind)
            for pattern in patterns
        )
    ]
    return Explained(predicted(run, rates), chosen, rates)


def _timed(run: Run, rates: Rates) -> list[tuple[Kernel, Seconds]]:
    setting = rates.setting
    launched = list(kernels(run.execution, setting.dtype, setting.compiled))
    return [(kernel, kernel_seconds(kernel, rates)) for kernel in launched]


@dataclass(frozen=True)
class Run:
    """A network that ran once, ready to be timed on any device.

    Args:
        execution: its operators.
    """

    model: str
    input: InputSpec
    execution: Execution
    keywords: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def executed(subject: Subject, call: NetworkCall, setting: Setting, fused_attention: bool) -> Run:
    """Run a network once in a setting and take down its operators.

    A compiled network runs in the order of images that its compiler chooses: first in the likely
    one, and again where its convolutions turn out to weigh otherwise.
    """
    likely = setting
    if setting.compiled and setting.layout == "nchw":
        likely = replace(setting, layout=likely_order(_kernels(subject)))
    execution, notes = _execution(subject, call, likely, fused_attention)
    if setting.compiled and setting.layout == "nchw":
        order = image_order(execution.runs)
        if order != likely.layout:
            execution, notes = _execution(
                subject, call, replace(setting, layout=order), fused_attention
            )
    return Run(
        subject.name, call.spec, execution, subject.keywords, subject.versions,
        (*subject.notes, *notes),
    )  # fmt: skip


def _kernels(subject: Subject) -> list[tuple[tuple[int, ...], bool]]:
    """The shapes of the convolutions' kernels, and whether each is grouped."""
    from torch.nn import Conv2d

    from archscope.analysis.borrow import members

    return [
        (tuple(module.weight.shape), module.groups != 1)
        for module in members(subject.module).values()
        if type(module) is Conv2d
    ]


def _execution(
    subject: Subject, call: NetworkCall, setting: Setting, fused_attention: bool
) -> tuple[Execution, tuple[str, ...]]:
    import torch

    from archscope.analysis import borrow, execution, images
    from archscope.ask.network.runs import Lend
    from archscope.ask.network.runs import executed as run_on_meta

    training = setting.mode == "training"
    last = setting.layout == "nhwc"

    def copied(module: nn.Module, arguments: Any, stand_in: StandIn) -> Any:
        on_meta = stand_in is borrow.weightless
        made = images.channels_last if last and on_meta else stand_in
        return borrow.copied(module, arguments, made)

    def run(network: nn.Module, arguments: Any, on_meta: bool) -> Execution:
        borrow.set_training(network, training)
        torch.default_generator.manual_seed(0)
        args, kwargs = arguments
        if last:
            args = tuple(map(images.images_last, args))
        return execution.run(
            network, args, kwargs, backward=training, on_meta=on_meta, fused=fused_attention
        )

    lend: Lend = copied
    if subject.private and not training:
        lend = images.owned_last if last else borrow.owned
    ran, _, notes = run_on_meta(subject, call, run, lend)
    return ran, notes


def predicted(run: Run, rates: Rates) -> Prediction:
    """The time of a run on a device.

    Raises:
        ArchscopeError: it starts no kernel, so there is nothing to time.
    """
    setting, device = rates.setting, rates.device
    timed = _timed(run, rates)
    if not timed:
        raise ArchscopeError(
            run.model, "starts no kernel, so a GPU takes no time for it", "leave it out"
        )
    if len({kernel.operator for kernel, _ in timed}) == 1:
        rates = rates.alone(timed[0][0].kind)
        timed = _timed(run, rates)
    seconds, _ = step_seconds(timed, rates)
    low, high = interval_of(timed, rates)
    unknown = unknown_operators(run.execution)
    return Prediction(
        model=run.model,
        input=run.input,
        device=device.name,
        mode=setting.mode,
        dtype=setting.dtype,
        layout=setting.layout,
        compiled=setting.compiled,
        seconds=seconds,
        low=seconds * low,
        high=seconds * high,
        layers=_layers(run.execution, timed),
        host_seconds=rates.host_seconds * sum(kernel.launches for kernel, _ in timed),
        fitted_on=rates.source,
        measured_device=rates.measured,
        unknown=tuple(sorted(unknown)),
        keywords=run.keywords,
        versions=run.versions,
        notes=(*run.notes, *doubts(run.execution, timed, rates, seconds)),
        constant_seconds=rates.step_seconds,
        unknown_seconds=sum(found.total for kernel, found in timed if kernel.operator in unknown),
    )


def _layers(
    execution: Execution, timed: Iterable[tuple[Kernel, Seconds]]
) -> tuple[LayerPrediction, ...]:
    """The sums of the kernels of every module call and pass."""
    sums: dict[tuple[int, Pass], list[float]] = {}
    for kernel, seconds in timed:
        row = sums.setdefault((kernel.layer, _pass(kernel)), [0.0] * 7)
        for place, amount in enumerate(
            (
                seconds.total,
                seconds.compute,
                seconds.memory,
                seconds.launch,
                kernel.launches,
                kernel.flops,
                kernel.bytes_moved,
            )
        ):
            row[place] += amount
    return tuple(
        LayerPrediction(*execution.layers[layer], phase, *row)
        for (layer, phase), row in sums.items()
    )


def _pass(kernel: Kernel) -> Pass:
    """The pass of a kernel, the two gradients of a product apart."""
    if kernel.phase == "update":
        return "update"
    if kernel.kind.endswith("_input_gradient"):
        return "input gradient"
    if kernel.kind.endswith(("_weight_gradient", "bias_gradient")):
        return "weight gradient"
    return "forward" if kernel.phase == "forward" else "backward"
