"""What training and generating take: memory, signals, caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archscope.api.answer import Answer, remembering
from archscope.api.asked import asked
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.ask.target import network_targets
from archscope.dtypes import full_name
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    import torch

    from archscope.ask.network.subject import Source
    from archscope.ask.target import Input, Model
    from archscope.records import Generation, MemoryPrediction, SignalPropagation


@remembering
@allowing
@spelt
def memory(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    batch: int | None = None,
    inference: bool = False,
    optimizer: str = "sgd",
    dtype: str | torch.dtype = "own",
    master_weights: bool = False,
    train_only: str | None = None,
    form: str = "foreach",
    accumulate: int = 1,
    checkpoint: str | None = None,
    lora: int = 0,
    lora_on: str = "*",
    zero: int = 0,
    gpus: int = 1,
    device: str = "cuda",
    attention: str = "sdpa",
    layout: str = "nchw",
    fit: int | str | None = None,
    plan: int | str | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[MemoryPrediction]:
    """Predict what a step holds in memory, tensor by tensor, without running it.

    Args:
        network: as for `summary`.
        input: as for `summary`.
        batch: batch size of a specification, 1 by default.
        inference: a forward pass, which keeps nothing for a backward pass, in place of a step of
            training.
        optimizer: `"sgd"`, `"momentum"`, `"adam"`, `"adamw"`, `"adam8bit"` or `"adamw8bit"`.
        dtype: of parameters and activations: `"own"`, the network's, `"float32"`, `"bfloat16"` or
            `"float16"`; `"amp"` or `"amp-bfloat16"` for float32 parameters under autocast.
        master_weights: keep float32 weights beside those of `dtype`.
        train_only: pattern of the parameter or module names that stay trainable.
        form: of the update: `"foreach"`, `"fused"` or `"for-loop"`.
        accumulate: passes whose gradients one update adds up.
        checkpoint: pattern of modules that keep their input alone and compute the rest again.
        lora: rank of low-rank matrices that are trained in place of the weights.
        lora_on: pattern of the linear layers that get them.
        zero: stage of ZeRO, 1 to 3.
        gpus: among how many.
        device: `"cuda"` or `"cpu"`: whose kernels and allocator are meant.
        attention: `"sdpa"`: scaled dot-product attention takes the kernel that the device would
            choose; `"eager"`: it is written out, as before PyTorch 2.0 (fit old runs with it).
        layout: `"nchw"` or `"nhwc"`: images and kernels channels last.
        fit: bytes, or text such as `"24GiB"`: predict for the largest batch that fits.
        plan: bytes, or text: print the cheapest measures that make the step fit; the record is the
            prediction with them.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be run, or not one sample fits.

    Examples:
        >>> archscope.memory("lenet", optimizer="adam").record.peak.parameters  # 4 · 61,706
        246824
    """
    from archscope.ask.memory.fit import largest_batch
    from archscope.ask.memory.plan import plan_to_fit
    from archscope.ask.memory.prediction import predict
    from archscope.ask.memory.setting import Setting
    from archscope.study.memory import memory_report, plan_report
    from archscope.units import parse_bytes

    setting = Setting(
        "inference" if inference else "training", optimizer, full_name(dtype), master_weights,
        train_only, form, accumulate, checkpoint, lora, lora_on, zero, gpus, device, attention,
        layout,
    )  # fmt: skip
    chosen = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    if plan is not None:
        if fit is not None:
            raise ArchscopeError("plan", "takes the batch that fit looks for", "give one")
        available = plan if isinstance(plan, int) else parse_bytes(plan, "plan")
        tried = plan_to_fit(chosen, available, setting)
        return Answer(tried.together[-1].prediction, lambda: plan_report(tried))
    if fit is None:
        predicted = predict(chosen, setting)
        return Answer(predicted, lambda: memory_report(predicted))
    if batch is not None:
        raise ArchscopeError("batch", "is what fit looks for", "give one of the two")
    budget = fit if isinstance(fit, int) else parse_bytes(fit, "fit")
    largest = largest_batch(chosen, budget, setting)
    return Answer(largest, lambda: memory_report(largest, budget_bytes=budget))


@remembering
@allowing
@spelt
def generate(
    network: Model | None = None, /, prompt: int = 2048, tokens: int = 256, *, batch: int = 1,
    dtype: str | torch.dtype | None = None, on: str | None = None, fit: int | str | None = None,
    model: Source | None = None, allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Generation]:  # fmt: skip
    """Count the prefill and decoding of a language model.

    Args:
        network: as for `summary`; its `forward` returns a cache that it takes again.
        prompt: tokens of each prompt.
        tokens: to generate in each sequence.
        batch: sequences at a time.
        dtype: of weights and cache, `"bfloat16"` or `torch.bfloat16`, where the network is built in
            one, as those of `hf:` are; that of its configuration when `None`.
        on: GPUs to predict the time on: `"rtx4090"`, `"rtx4090,h100"`.
        fit: bytes, or text such as `"80GiB"`: the tables add the largest batch and context.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: settings of the configuration, or keywords of the constructor.

    Raises:
        ArchscopeError: the network cannot be run, or keeps no cache; an unknown GPU.

    Examples:
        >>> archscope.generate("hf:llama", 1024, 1, dtype="bfloat16").record.cache_bytes
        536870912
    """
    from archscope.ask.generation.run import generation
    from archscope.study.generation import generation_report
    from archscope.units import parse_bytes

    if dtype is not None:
        constructor_keywords["dtype"] = dtype
    budget = parse_bytes(fit, "fit") if isinstance(fit, str) else fit
    found = generation(
        asked(network, model, keywords=constructor_keywords),
        prompt,
        tokens,
        batch=batch,
        devices=[name.strip() for name in on.split(",")] if on else [],
    )
    return Answer(found, lambda: generation_report(found, budget_bytes=budget))


@remembering
@allowing
@spelt
def signal(
    *models: Model, input: Input | None = None, batch: int | None = None,
    layers: str | None = None, model: Source | None = None,
    allow_memory: int | str | None = None, **constructor_keywords: Any,
) -> Answer[SignalPropagation]:  # fmt: skip
    """Activation and gradient statistics by depth, at initialisation.

    One real forward and backward pass on the CPU, on standard normal input.

    Args:
        models: each as for `summary`.
        input: for all of them; each one's default when `None`.
        batch: batch size, 8 by default.
        layers: pattern of the layers to show, by name or kind.
        model: the network of the saved records, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to every constructor.

    Raises:
        ArchscopeError: no model, or one that cannot be run.

    Examples:
        >>> archscope.signal("lenet", batch=2).record.networks[0].model
        'lenet'
    """
    from archscope.ask.signal import signal as measured
    from archscope.study.signal import signal_report

    if not models:
        raise ArchscopeError("models", "nothing to measure", "name a network")
    found = measured(
        network_targets(
            models, input=input, batch=batch, keywords=constructor_keywords, beside=model
        )
    )
    return Answer(found, lambda: signal_report(found, layers))
