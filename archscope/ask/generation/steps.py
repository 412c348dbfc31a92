"""One network called as generation calls it: with a prompt, then with one token and its cache."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from archscope.analysis import borrow
from archscope.analysis.calls import Arguments, CallLog
from archscope.analysis.counting import counting
from archscope.analysis.observed import observed, uncompiled, unfused_attention
from archscope.analysis.observer import Observer
from archscope.analysis.trace import on_trial
from archscope.ask.generation import caches
from archscope.ask.network.call import NetworkCall, network_call
from archscope.ask.network.runs import count, executed
from archscope.ask.network.subject import Subject
from archscope.errors import ArchscopeError
from archscope.process import interruptible
from archscope.records import InputSpec, Layer, TensorSpec

SHORT = 2
"""Tokens of the shortest prompt that is run, to see what a cache adds for each."""


class _Silent(Observer):  # type: ignore[no-untyped-call]
    """Answers operators as a count does, and takes nothing down."""

    def _observe(self, operator: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Leave the operator uncounted."""


@dataclass(frozen=True)
class Ran:
    """What a prefill leaves behind.

    Args:
        outputs: what the network returned.
        given: the keyword arguments that it had, a cache among them filled by now.
        states: tensors that its modules keep as plain attributes, and that this run made.
    """

    outputs: Any
    given: Mapping[str, Any]
    states: tuple[caches.Held, ...]


def _ran(network: nn.Module, arguments: Arguments, on_meta: bool) -> Ran:
    """Run a borrowed network as a count runs it."""
    args, kwargs = arguments
    borrow.set_training(network, False)
    before = caches.states(network)
    log = CallLog(network, torch._C._autograd._get_sequence_nr)
    with (
        unfused_attention(),
        counting(measure=on_trial(log, on_meta), place=lambda: log.current.name),
        uncompiled(),
        observed(log),
        torch.no_grad(),
        _Silent(log, on_meta),
        interruptible(),
    ):
        outputs = network(*args, **kwargs)
    known = {id(tensor) for held in before for tensor in held.tensors}
    new = (held for held in caches.states(network) if id(held.tensors[0]) not in known)
    return Ran(outputs, kwargs, tuple(new))


@dataclass(frozen=True)
class Prefilled:
    """What a step is given after a prefill.

    Args:
        argument: of `forward` that takes the cache.
        cache: as the prefill left it.
        more: what else a step needs.
        states: what the network's modules hold instead.
    """

    argument: str
    cache: Any
    more: dict[str, Any]
    states: tuple[caches.Held, ...]

    @property
    def held(self) -> list[caches.Held]:
        """The cache layer by layer."""
        return [*caches.layers(self.cache), *self.states]


@dataclass(frozen=True)
class Steps:
    """Prefill and decoding of a network for one batch.

    Args:
        subject: the network.
        spec: its default input: tokens, and what else it takes.
        batch: sequences.
        prompt: tokens of each prompt.
        said: notes of the prefills that were counted, for the reader.
    """

    subject: Subject
    spec: InputSpec
    batch: int
    prompt: int
    _seen: dict[int, Prefilled] = field(default_factory=dict, repr=False, compare=False)
    said: dict[str, None] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Of the network's `forward`."""
        return inspect.signature(self.subject.module.forward).parameters

    @cached_property
    def decoder(self) -> str:
        """The argument that takes the tokens to go on from."""
        whole = [t.name for t in self.spec.tensors if t.dtype == "int64" and len(t.shape) == 2]
        if "decoder_input_ids" in whole:
            return "decoder_input_ids"
        if not whole:
            raise ArchscopeError(
                self.subject.name, "takes no tokens", "generation needs a network of tokens"
            )
        return whole[0] or next(iter(self.parameters))

    @property
    def start(self) -> int:
        """Tokens that the decoder has read after the prefill: one where an encoder has the rest."""
        return 1 if self._encoder_reads_the_prompt else self.prompt

    @property
    def _encoder_reads_the_prompt(self) -> bool:
        return self.decoder == "decoder_input_ids" and any(
            t.name == "input_ids" for t in self.spec.tensors
        )

    def input(self, length: int) -> InputSpec:
        """What the prefill takes when the decoder reads this many tokens."""
        tensors = []
        for tensor in self.spec.tensors:
            shape = (self.batch, *tensor.shape[1:]) if tensor.batched else tensor.shape
            name = tensor.name or self.decoder
            if name == self.decoder:
                shape = (self.batch, length)
            elif tensor.dtype == "int64" and len(shape) == 2:
                shape = (self.batch, self.prompt if self._encoder_reads_the_prompt else length)
            tensors.append(replace(tensor, shape=shape, name=name))
        return InputSpec(tuple(tensors), self.spec.layout)

    @property
    def _options(self) -> dict[str, Any]:
        """What generation asks of `forward`: the cache, and the scores of the last token alone."""
        options: dict[str, Any] = {}
        takes_more = any(p.kind is p.VAR_KEYWORD for p in self.parameters.values())
        config = getattr(self.subject.module, "config", None)
        if getattr(config, "use_cache", False):  # an encoder may refuse to be asked again
            takes_more = False
        if "use_cache" in self.parameters or takes_more:
            options["use_cache"] = True
        if "logits_to_keep" in self.parameters:
            options["logits_to_keep"] = 1
        return options

    def _call(self, spec: InputSpec, more: Mapping[str, Any]) -> NetworkCall:
        """A call with tensors by name, and what else the network is given."""
        plain = network_call(self.subject, spec, None)

        def on_meta() -> Any:
            args, kwargs = plain.on_meta()
            return args, {**kwargs, **self._options, **more}

        def with_values() -> Any:
            if any(tensor.is_meta for tensor in caches.tensors(more)):
                raise ArchscopeError(
                    self.subject.name,
                    "decodes by the values of a cache that its prefill computes without any",
                    "count single calls with archscope summary",
                )
            args, kwargs = plain.with_values()
            return args, {**kwargs, **self._options, **more}

        return NetworkCall(spec, on_meta, with_values)

    def held(self, length: int) -> list[caches.Held]:
        """The cache after a prefill in which the decoder reads this many tokens."""
        return self.prefilled(length).held

    @cached_property
    def grows(self) -> bool:
        """Whether any layer of the cache holds more after another token."""
        short, longer = self.held(SHORT), self.held(SHORT + 1)
        return [layer.bytes for layer in short] != [layer.bytes for layer in longer]

    def prefilled(self, length: int) -> Prefilled:
        """Run a prefill, once a length."""
        if length not in self._seen:
            self._seen[length] = self._prefilled(length)
        return self._seen[length]

    def _prefilled(self, length: int) -> Prefilled:
        ran, _, _ = executed(self.subject, self._call(self.input(length), {}), _ran)
        cache = caches.find(ran.outputs, self.parameters)
        if cache is None:
            # A few networks fill the cache that they are given, and return none.
            empty = caches.empty(self.subject.module, self.parameters)
            ran, _, _ = executed(self.subject, self._call(self.input(length), empty), _ran)
            filled = ((name, ran.given[name]) for name in empty)
            cache = next((pair for pair in filled if caches.layers(pair[1])), None)
        if cache is None:
            raise ArchscopeError(
                self.subject.name,
                "returns no cache that its next call accepts",
                "generation needs a network with one, such as hf:llama",
            )
        more: dict[str, Any] = {}
        if "encoder_outputs" in self.parameters:
            hidden = getattr(ran.outputs, "encoder_last_hidden_state", None)
            if hidden is not None:
                more["encoder_outputs"] = caches.encoded(hidden)
        return Prefilled(*cache, more, ran.states)

    @property
    def prefill_call(self) -> NetworkCall:
        return self._call(self.input(self.start), {})

    def prefill(self) -> tuple[Layer, ...]:
        """Count the prefill."""
        counted, _, notes = count(self.subject, self.prefill_call)
        self.said.update(dict.fromkeys(notes))
        return counted[0]

    def prefill_of(self, length: int) -> tuple[Layer, ...]:
        """Count the prefill of a prompt of another length."""
        return replace(self, prompt=length, _seen={}).prefill()

    def _before(self, context: int) -> Prefilled:
        """What the call that makes the context this long is given; see `prefilled`."""
        return self.prefilled(context - 1 if self.grows else SHORT)

    def step_call(self, context: int) -> NetworkCall:
        """The call that makes the context this long."""
        before = self._before(context)
        spec = InputSpec((TensorSpec((self.batch, 1), "int64", self.decoder),))
        return self._call(spec, {**before.more, before.argument: before.cache})

    def step(self, context: int) -> tuple[tuple[Layer, ...], list[caches.Held]]:
        """Count that call, and read the cache given to it."""
        counted, _, _ = count(self.subject, self.step_call(context))
        return counted[0], self._before(context).held
