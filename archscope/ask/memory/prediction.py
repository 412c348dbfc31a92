"""A network and a setting → the memory of one step, predicted without a device."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from archscope.ask.memory.setting import OWN, TRAINING, Setting
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import MemoryPrediction
from archscope.wording import attention_notes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from archscope.analysis.calls import Arguments
    from archscope.analysis.memory import Step
    from archscope.analysis.replica import StandIn
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target


def predict(
    target: Target,
    setting: Setting = TRAINING,
) -> MemoryPrediction:
    """Predict the memory of one step of training or inference.

    Args:
        target: the network with its call.
        setting: of the step.

    Raises:
        ArchscopeError: the network cannot be found, built, or run on this input.
    """
    from archscope.saved import answers

    return answers.record(
        "memory",
        target.model,
        {**asdict(setting), **target.question},
        lambda: predicted(*target.called(), setting),
    )


def predicted(subject: Subject, call: NetworkCall, setting: Setting) -> MemoryPrediction:
    """Predict the step of a network that was found; see `predict`."""
    from archscope.ask.network.call import floating_dtype

    own = str(floating_dtype(subject.module)).removeprefix("torch.")
    if setting.dtype == OWN and setting.master_weights:
        setting = replace(setting, dtype=own)
    step, notes = _followed(subject, call, setting)
    training = setting.mode == "training"
    return MemoryPrediction(
        model=subject.name,
        input=call.spec,
        mode=setting.mode,
        dtype=own if setting.dtype == OWN else setting.dtype,
        timeline=step.timeline,
        saved=step.saved,
        optimizer=setting.optimizer if training else "",
        master_weights=setting.master_weights and training,
        device=setting.device,
        measures=setting.measures,
        recomputed_macs=_recomputed_macs(subject, call, setting) if training else 0,
        keywords=subject.keywords,
        versions=subject.versions,
        notes=(*subject.notes, *notes, *attention_notes(step.attention_kernels)),
    )


def _followed(
    subject: Subject, call: NetworkCall, setting: Setting
) -> tuple[Step, tuple[str, ...]]:
    """Follow one step on meta; on the CPU where values decide the way."""
    import torch

    from archscope.analysis import borrow, images, memory
    from archscope.analysis.dispatch import asking_about
    from archscope.ask.memory import sharding
    from archscope.ask.network.call import floating_dtype
    from archscope.ask.network.failure import training_of
    from archscope.ask.network.runs import executed
    from archscope.measure.step import Loss

    dtype, own = setting.weights, floating_dtype(subject.module)
    last = setting.layout == "nhwc"

    def lend(module: nn.Module, arguments: Arguments, stand_in: StandIn) -> Any:
        if last and stand_in is borrow.weightless:
            stand_in = images.channels_last
        if dtype is None:
            return borrow.copied(module, arguments, stand_in)
        # An input of another dtype than the weights is the network's own affair.
        return borrow.copied(module, arguments, lambda tensor: _cast(stand_in(tensor), dtype, own))

    def run(network: nn.Module, arguments: Arguments, on_meta: bool) -> Step:
        args, kwargs = arguments
        if last:
            args = tuple(map(images.images_last, args))
        borrow.set_training(network, setting.mode == "training")
        torch.manual_seed(0)
        if setting.mode == "inference":
            step = memory.inference(network, args, kwargs, setting.manner)
        else:
            _prepare(network, setting)
            step = memory.training_step(
                network, args, kwargs, Loss(), setting.optimiser, setting.manner
            )
        if not setting.zero:
            return step
        gathered = sharding.blocks(network)
        shared = sharding.shared_out(
            step.timeline, setting.zero, setting.gpus, gathered, setting.manner
        )
        return replace(step, timeline=shared)

    alone = f"predict a forward pass alone with {parameter('inference', True)}"
    with training_of(subject.name, alone), asking_about(setting.device):
        step, _, notes = executed(subject, call, run, lend)
    return step, notes


def _prepare(network: nn.Module, setting: Setting) -> None:
    """Freeze, adapt and checkpoint a borrowed network as the setting says.

    Raises:
        ArchscopeError: a pattern matches nothing.
    """
    from archscope.analysis.lora import adapt
    from archscope.analysis.recomputation import outermost, recompute
    from archscope.ask.network.runs import freeze

    if setting.lora and not adapt(network, setting.lora, setting.lora_on):
        raise ArchscopeError(
            parameter("lora_on", setting.lora_on),
            "matches no linear layer",
            "list its layers with archscope summary",
        )
    freeze(network, setting.train_only)
    if setting.checkpoint is not None:
        names = outermost(network, setting.checkpoint)
        if not names:
            raise ArchscopeError(
                parameter("checkpoint", setting.checkpoint),
                "matches no module",
                "list its layers with archscope summary",
            )
        recompute(network, names)


def _recomputed_macs(subject: Subject, call: NetworkCall, setting: Setting) -> int:
    """Forward multiply-accumulates of the modules that run a second time."""
    from archscope.analysis.recomputation import outermost
    from archscope.ask.network.runs import count

    if setting.checkpoint is None:
        return 0
    names = outermost(subject.module, setting.checkpoint)
    (layers, _), _, _ = count(subject, call)
    return sum(
        layer.macs
        for layer in layers
        if any(layer.name == name or layer.name.startswith(f"{name}.") for name in names)
    )


def _cast(tensor: Tensor, dtype: torch.dtype, own: torch.dtype) -> Tensor:
    """A floating tensor in another dtype, where it is a parameter or has the parameters' dtype."""
    from torch import nn
    from torch.nn.parameter import is_lazy

    if tensor.dtype is dtype or not tensor.is_floating_point() or is_lazy(tensor):
        return tensor
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(tensor.detach().to(dtype), tensor.requires_grad)
    if tensor.dtype is not own:
        return tensor
    return tensor.detach().to(dtype).requires_grad_(tensor.requires_grad)
