"""A network, a prompt and a number of tokens → Generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from archscope.ask.generation import mixture
from archscope.ask.generation.caches import Held
from archscope.ask.generation.steps import SHORT, Steps
from archscope.ask.generation.times import time_on
from archscope.ask.network.subject import Subject
from archscope.ask.predict import rates_of
from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.latency.calibration import Calibrated
from archscope.latency.devices import Device
from archscope.latency.setting import Setting
from archscope.parameters import parameter
from archscope.records import InputSpec, Layer, TensorSpec, totals
from archscope.records.generation import CacheLayer, Experts, Generation, Piece, StepCost


def generation(
    target: Target,
    prompt: int,
    tokens: int,
    *,
    batch: int = 1,
    devices: Sequence[str | Device | Calibrated] = (),
) -> Generation:
    """Count what it costs to generate text, and read the cache that the network returns.

    Args:
        target: the network; its `forward` must return a cache that it takes again.
        prompt: tokens of each prompt, from 3.
        tokens: to generate in each sequence.
        batch: sequences.
        devices: GPUs to predict the time on.

    Raises:
        ArchscopeError: the network cannot be found or run, or keeps no cache; an unknown device.
    """
    _require("prompt", prompt, SHORT + 1)
    _require("tokens", tokens, 1)
    _require("batch", batch, 1)
    subject = target.subject()
    parameters = list(subject.module.parameters())
    dtype = _dtype(parameters)
    places = [rates_of(device, Setting(dtype=dtype.split(",")[0])) for device in devices]
    steps = Steps(subject, _input(subject), batch, prompt)
    try:
        layers = steps.prefill()
    except ArchscopeError as error:
        raise _of_prompt(error, prompt) from error
    read = batch * (prompt if steps.start == prompt else prompt + 1)
    experts = mixture.experts(subject.module, layers, read)
    prefill = _cost(steps, layers, experts, steps.start, 0, read)
    last = steps.start + tokens - 1
    cache = _cache(steps, last)
    pieces, step = _pieces(steps, experts, cache, last)
    found = Generation(
        model=subject.name,
        input=steps.input(steps.start),
        batch=batch,
        prompt=prompt,
        tokens=tokens,
        dtype=dtype,
        params=sum(p.numel() for p in parameters),
        weight_bytes=sum(p.nbytes for p in parameters),
        prefill=prefill,
        pieces=pieces,
        cache=cache,
        prefill_form=_prefill_form(steps, prefill.macs),
        experts=experts,
        table_params=mixture.table_params(subject.module, layers),
        prefill_macs=mixture.macs(layers, experts),
        step_macs=mixture.macs(step, experts) if step else None,
        textbook_cache_bytes=_textbook(subject, batch * last),
        keywords=subject.keywords,
        versions=subject.versions,
        notes=(*subject.notes, *steps.said, *_notes(subject, steps, cache)),
    )
    return replace(found, times=tuple(time_on(place, found, steps) for place in places))


def _require(name: str, value: int, least: int) -> None:
    if not isinstance(value, int):
        raise ArchscopeError(parameter(name, value), "is not a number of tokens", "give an integer")
    if value < least:
        raise ArchscopeError(parameter(name, value), "is too few", f"give {least} or more")


def _of_prompt(error: ArchscopeError, prompt: int) -> ArchscopeError:
    """The user gave no input but the length of the prompt, which the network may not take."""
    if not error.argument.startswith(parameter("input").rstrip("⟧")):
        return error
    fewer = f"check that the network takes so many tokens, or give another {parameter('prompt')}"
    return ArchscopeError(parameter("prompt", prompt), error.problem, fewer)


def _input(subject: Subject) -> InputSpec:
    """The network's default input; of one without, tokens for its first argument."""
    default = subject.default_input
    return InputSpec((TensorSpec((1, 1), "int64"),)) if default is None else default


def _cost(
    steps: Steps,
    layers: Sequence[Layer],
    experts: Sequence[Experts],
    context: int,
    cache_bytes: int,
    tokens: int,
) -> StepCost:
    counted = totals(layers)
    touched = mixture.touched(steps.subject.module, layers, experts, tokens)
    return StepCost(
        context, counted.macs, counted.elementwise, counted.bytes_moved, touched, cache_bytes
    )


# The cache


def _cache(steps: Steps, last: int) -> tuple[CacheLayer, ...]:
    """Every layer of the cache, from prefills of two short lengths, its own and almost the last."""
    before = max(last - 1, steps.start) if steps.grows else SHORT
    held = [steps.held(n) for n in (SHORT, SHORT + 1, steps.start, before)]
    return tuple(
        _compressed(steps, place, last)
        if layers[0].every
        else _cache_layer(*layers, start=steps.start, before=before, last=last)
        for place, layers in enumerate(zip(*held, strict=True))
    )


def _compressed(steps: Steps, place: int, last: int) -> CacheLayer:
    """A layer of which every so many tokens become one entry, as in DeepSeek-V4.

    Args:
        steps: run at the lengths that show what an entry takes, and what waits to become one.
        place: of the layer in the cache.
        last: tokens after the last step.
    """
    own = steps.held(steps.start)[place]
    one, more, two = (
        steps.held(length)[place].bytes for length in (own.every, own.every + 1, 2 * own.every)
    )
    shapes = tuple(tuple(tensor.shape) for tensor in own.tensors)
    entry = two - one
    layer = CacheLayer(
        own.name, own.kind, shapes, one - entry, more - one, None, own.bytes, 0,
        own.every, entry,
    )  # fmt: skip
    if any(layer.bytes_at(n) != steps.held(n)[place].bytes for n in (steps.start, last)):
        raise _irregular(own, f"does not grow by entries of {own.every:,} tokens")
    return replace(layer, final_bytes=layer.bytes_at(last))


def _irregular(held: Held, how: str) -> ArchscopeError:
    return ArchscopeError(
        "cache",
        f"layer {held.name} ({held.kind}) {how}",
        "count single calls with archscope summary",
    )


def _cache_layer(
    short: Held, longer: Held, own: Held, end: Held, *, start: int, before: int, last: int
) -> CacheLayer:
    """One layer: what each token adds to it, and where that ends.

    Args:
        short: after `SHORT` tokens.
        longer: after one more.
        own: after the prompt.
        end: after `before` tokens.
        start: tokens of the decoder's prompt.
        before: close to `last`.
        last: tokens after the last step.
    """
    token = longer.bytes - short.bytes
    fixed = short.bytes - SHORT * token
    window = None
    if token and end.bytes < fixed + token * before:
        window = (end.bytes - fixed) // token
    elif token and end.window is not None:
        window = end.window - 1  # not reached here: the next query is itself the last that it sees
    shapes = tuple(tuple(tensor.shape) for tensor in own.tensors)
    layer = CacheLayer(own.name, own.kind, shapes, fixed, token, window, own.bytes, 0)
    if layer.bytes_at(start) != own.bytes or layer.bytes_at(before) != end.bytes:
        raise _irregular(own, "does not grow linearly up to a window")
    return replace(layer, final_bytes=layer.bytes_at(last))


def _textbook(subject: Subject, tokens: int) -> int | None:
    """2·layers·KV heads·head width a token, as it is usually reckoned from a configuration."""
    config: Any = getattr(subject.module, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    heads = getattr(text, "num_attention_heads", None)
    kv_heads = getattr(text, "num_key_value_heads", None) or heads
    layers, width = getattr(text, "num_hidden_layers", None), getattr(text, "hidden_size", None)
    if not (
        isinstance(heads, int)
        and isinstance(kv_heads, int)
        and isinstance(layers, int)
        and isinstance(width, int)
    ):
        return None
    try:
        head = getattr(text, "head_dim", None) or width // heads
    except RuntimeError:  # of a network whose layers differ, as Gemma 4
        return None
    dtype = next(subject.module.parameters()).dtype
    return int(2 * layers * kv_heads * head * dtype.itemsize * tokens)


# The steps


def _pieces(
    steps: Steps, experts: Sequence[Experts], cache: Sequence[CacheLayer], last: int
) -> tuple[tuple[Piece, ...], tuple[Layer, ...]]:
    """Straight pieces of the steps' costs, and the layers of the first step."""
    first = steps.start + 1
    if first > last:
        return (), ()
    counted: dict[int, StepCost] = {}
    layers: list[tuple[Layer, ...]] = []

    def at(context: int) -> StepCost:
        if context not in counted:
            ran, held = steps.step(context)
            layers.append(ran)
            size = sum(layer.bytes for layer in held)
            counted[context] = _cost(steps, ran, experts, context, size, steps.batch)
        return counted[context]

    ends = {layer.window for layer in cache if layer.window is not None}
    bends = sorted(end + 1 for end in ends if first < end + 1 < last)
    places = [first, *bends, last]  # twice the same for one step
    compressed = any(layer.every for layer in cache)
    pieces: list[Piece] = []
    for start, end in pairwise(places):
        begin = start if not pieces else start + 1
        pieces += [Piece(at(begin), at(end))] if compressed else _straight(at, begin, end)
    return tuple(_joined(pieces)), layers[0]


def _straight(at: Callable[[int], StepCost], first: int, last: int) -> list[Piece]:
    """Pieces from `first` to `last` on which every cost grows evenly; halved until they do."""
    one, end = at(first), at(last)
    if last - first < 2:
        both = [Piece(one, one), Piece(end, end)] if last > first else [Piece(one, one)]
        return [Piece(one, end)] if last - first == 1 else both
    middle = (first + last) // 2
    if _even(one, end, at(middle)):
        return [Piece(one, end)]
    return [*_straight(at, first, middle), *_straight(at, middle + 1, last)]


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbours on one straight line as one piece."""
    found: list[Piece] = []
    for piece in pieces:
        joint = Piece(found[-1].first, piece.last) if found else piece
        ends = (found[-1].last, piece.first) if found else ()
        if found and all(_even(joint.first, joint.last, end) for end in ends):
            found[-1] = joint
        else:
            found.append(piece)
    return found


def _even(one: StepCost, end: StepCost, between: StepCost) -> bool:
    """Whether a step is on the straight line between two others, in every cost."""
    joint, own = end.context - one.context, between.context - one.context
    return all(
        (getattr(end, key) - getattr(one, key)) * own
        == (getattr(between, key) - getattr(one, key)) * joint
        for key in ("macs", "elementwise", "bytes_moved", "weight_bytes", "cache_bytes")
    )


def _prefill_form(steps: Steps, macs: int) -> tuple[int, ...]:
    """Coefficients of 1, P and P² where a quadratic gives the prefill's count; else none."""

    def at(length: int) -> int:
        return macs if length == steps.prompt else totals(steps.prefill_of(length)).macs

    low = SHORT + 1
    y0, y1, y2 = (at(low + offset) for offset in range(3))
    double = y2 - 2 * y1 + y0
    if double % 2:
        return ()
    square = double // 2
    linear = y1 - y0 - square * (2 * low + 1)
    constant = y0 - linear * low - square * low * low
    for check in (steps.prompt, steps.prompt // 2 + 1):
        if at(check) != constant + linear * check + square * check * check:
            return ()
    return constant, linear, square


# What a reader must know


def _dtype(parameters: Sequence[Any]) -> str:
    kinds = dict.fromkeys(str(p.dtype).removeprefix("torch.") for p in parameters)
    return ", ".join(kinds)


EVENLY = (
    "The cache shrinks each time that tokens become one entry: its bytes are exact at any length, "
    "while the steps between the first and the last are taken to cost evenly more."
)
DYNAMIC = (
    "The cache is the one that grows: a static cache, which the generation settings ask for, takes "
    "the bytes of its greatest length from the first token on."
)
XLNET = (
    "transformers' generate() gives XLNet an empty token more in every call, and the last two "
    "tokens again in each step: its cache holds one token more than this."
)


def _notes(subject: Subject, steps: Steps, cache: Sequence[CacheLayer]) -> list[str]:
    notes = []
    if "logits_to_keep" in steps.parameters:
        notes.append(
            "The prefill computes scores of the last token only, as transformers' generate() does."
        )
    if any(layer.every for layer in cache):
        notes.append(EVENLY)
    config: Any = getattr(subject.module, "config", None)
    if getattr(config, "model_type", "") == "xlnet":
        notes.append(XLNET)
    settings = getattr(subject.module, "generation_config", None)
    if "static" in str(getattr(settings, "cache_implementation", None)):
        notes.append(DYNAMIC)
    latent, rope = (getattr(config, key, None) for key in ("kv_lora_rank", "qk_rope_head_dim"))
    if isinstance(latent, int) and isinstance(rope, int):
        size = next(subject.module.parameters()).element_size() * steps.batch
        alone = {layer.token_bytes for layer in cache} == {(latent + rope) * size}
        caches = "the latent alone" if alone else "keys and values"
        notes.append(
            f"Multi-head latent attention: this code caches {caches}; the latent has "
            f"{latent} + {rope} values a token and layer."
        )
    return notes
