"""What it costs to generate text: the prompt at once, then one token after another."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from math import lcm

from archscope.records.network import InputSpec


@dataclass(frozen=True, slots=True)
class StepCost:
    """One call of the network.

    Args:
        context: tokens that the (decoder's) cache holds after it, in each sequence.
        macs: multiply-accumulates.
        elementwise: operations of normalisation, activation and adds.
        bytes_moved: distinct inputs and outputs of each operator.
        weight_bytes: weights that it touches; of experts and tables, what is expected.
        cache_bytes: of the cache that it is given, which it reads.
    """

    context: int
    macs: int
    elementwise: int
    bytes_moved: int
    weight_bytes: int
    cache_bytes: int

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def least_bytes(self) -> int:
        """What must be read whatever is fused: weights and cache."""
        return self.weight_bytes + self.cache_bytes

    @property
    def flops_per_byte_read(self) -> float:
        """Flops per byte of weights and cache."""
        return self.flops / self.least_bytes if self.least_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Steps whose costs grow by the same amount from one to the next.

    Args:
        first, last: the cost of the first and the last of them.
    """

    first: StepCost
    last: StepCost

    @property
    def steps(self) -> int:
        return self.last.context - self.first.context + 1

    @property
    def macs_slope(self) -> int:
        """Multiply-accumulates that one more token of context adds."""
        if self.steps == 1:
            return 0
        return (self.last.macs - self.first.macs) // (self.steps - 1)

    @property
    def macs_at_zero(self) -> int:
        """Where the straight line through them starts."""
        return self.first.macs - self.macs_slope * self.first.context

    def total(self, quantity: str) -> int:
        """The sum of one quantity over the steps, an arithmetic series."""
        both = int(getattr(self.first, quantity)) + int(getattr(self.last, quantity))
        return both * self.steps // 2


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """What one layer keeps from step to step, for the whole batch.

    Args:
        name: its place in the cache.
        kind: class of what holds it.
        shapes: of its tensors after the prompt.
        fixed_bytes: what does not grow: convolution and recurrent states, keys of an encoder.
        token_bytes: what each token adds; where tokens are compressed, until it is.
        window: tokens after which nothing is added; `None` without such an end.
        prompt_bytes: after the prompt.
        final_bytes: after the last step.
        every: tokens that become one entry when there are so many; 0 where none do. What is fixed
            is there from the first entry on.
        entry_bytes: of such an entry.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    fixed_bytes: int
    token_bytes: int
    window: int | None
    prompt_bytes: int
    final_bytes: int
    every: int = 0
    entry_bytes: int = 0

    def bytes_at(self, context: int) -> int:
        """After this many tokens."""
        if self.every:
            entries, waiting = divmod(context, self.every)
            opened = self.fixed_bytes if entries else 0
            return opened + self.entry_bytes * entries + self.token_bytes * waiting
        held = context if self.window is None else min(context, self.window)
        return self.fixed_bytes + self.token_bytes * held


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of one layer, a few of which each token is routed to.

    Args:
        name: path of the module that holds them.
        count: how many there are.
        per_token: to how many a token is routed.
        params: of one expert.
        bytes: of one expert.
    """

    name: str
    count: int
    per_token: int
    params: int
    bytes: int

    def distinct(self, tokens: int) -> float:
        """Expected number of different experts that so many tokens meet.

        Each expert is missed by one token with probability 1 − k/E, where routing is uniform and
        independent: E·(1 − (1 − k/E)ⁿ).
        """
        return self.count * (1.0 - (1.0 - self.per_token / self.count) ** tokens)


@dataclass(frozen=True, slots=True)
class ExpertMacs:
    """Multiply-accumulates of one step by what a mixture does with them."""

    routed: int
    shared: int
    router: int
    others: int


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds of a call, or of all of them.

    Args:
        seconds: predicted.
        low, high: of the 80 % interval.
        least: that the peaks of the device allow: flops at its rate, or weights and cache at its
            bandwidth, whichever takes longer.
    """

    seconds: float
    low: float
    high: float
    least: float


@dataclass(frozen=True, slots=True)
class GenerationTime:
    """How long a generation takes on one device.

    Args:
        device: its name.
        dtype: of the weights and of the arithmetic.
        prefill: of the call that reads the prompt.
        first, last: of the first step and the last one; `None` for one token.
        total: of the prefill and every step.
        fitted_on: what the prediction was fitted on.
        notes: what makes it less sure.
    """

    device: str
    dtype: str
    prefill: Duration
    first: Duration | None
    last: Duration | None
    total: Duration
    fitted_on: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generation:
    """Prefill and decoding of one network.

    Args:
        model: the name it was asked for by.
        input: of the prefill.
        batch: sequences.
        prompt: tokens of each prompt.
        tokens: generated in each sequence; the prefill makes the first one.
        dtype: of the weights.
        params: of the network.
        weight_bytes: of all of them.
        prefill: the call that reads the prompt.
        pieces: the steps after it; empty for one token.
        cache: by layer.
        prefill_form: multiply-accumulates of the prefill as coefficients of 1, P and P²; empty
            where they are no polynomial in the prompt.
        experts: of mixtures, by layer.
        table_params: of embedding tables that multiply nothing: a token reads a row of each.
        prefill_macs, step_macs: by what they do, of a mixture.
        textbook_cache_bytes: 2·layers·KV heads·head width·tokens, where the configuration says
            these; after the last step.
        times: of each device that was asked about.
        keywords, versions, notes: as of an Analysis.
    """

    model: str
    input: InputSpec
    batch: int
    prompt: int
    tokens: int
    dtype: str
    params: int
    weight_bytes: int
    prefill: StepCost
    pieces: tuple[Piece, ...]
    cache: tuple[CacheLayer, ...]
    prefill_form: tuple[int, ...] = ()
    experts: tuple[Experts, ...] = ()
    table_params: int = 0
    prefill_macs: ExpertMacs | None = None
    step_macs: ExpertMacs | None = None
    textbook_cache_bytes: int | None = None
    times: tuple[GenerationTime, ...] = ()
    keywords: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Calls after the prefill."""
        return sum(piece.steps for piece in self.pieces)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the prefill and every step."""
        return self.total("macs")

    def total(self, quantity: str) -> int:
        """The sum of one quantity of `StepCost` over the prefill and every step."""
        own = int(getattr(self.prefill, quantity))
        return own + sum(piece.total(quantity) for piece in self.pieces)

    @property
    def cache_bytes(self) -> int:
        """After the last step."""
        return sum(layer.final_bytes for layer in self.cache)

    @property
    def prompt_cache_bytes(self) -> int:
        """After the prefill."""
        return sum(layer.prompt_bytes for layer in self.cache)

    @cached_property
    def active_params(self) -> int:
        """Parameters that one token uses: all but those of experts that it is not routed to."""
        idle = sum((e.count - e.per_token) * e.params for e in self.experts)
        return self.params - idle

    def cache_bytes_at(self, context: int) -> int:
        """The cache of this batch after so many tokens in each sequence."""
        return sum(layer.bytes_at(context) for layer in self.cache)

    def largest_batch(self, budget_bytes: int) -> int:
        """Sequences whose caches, after the last step, fit beside the weights; 0 where none."""
        each = self.cache_bytes // self.batch
        room = budget_bytes - self.weight_bytes
        return max(0, room // each) if each else 0

    def largest_context(self, budget_bytes: int) -> int | None:
        """Tokens in each sequence of this batch that fit beside the weights; `None` without end."""
        room = budget_bytes - self.weight_bytes
        if self.cache_bytes_at(0) > room:
            return 0
        if any(layer.every for layer in self.cache):
            return self._largest_compressed(room)
        ends = sorted(layer.window for layer in self.cache if layer.window is not None)
        here = 0
        for end in (*ends, None):
            slope = self.cache_bytes_at(here + 1) - self.cache_bytes_at(here)
            left = room - self.cache_bytes_at(here)
            if slope and (end is None or left < slope * (end - here)):
                return here + left // slope
            if end is not None:
                here = end
        return None

    def _largest_compressed(self, room: int) -> int:
        """Tokens before the first that does not fit, of a cache that is smaller after some."""
        period = lcm(*(layer.every for layer in self.cache if layer.every))

        def fits(count: int) -> bool:
            start = count * period
            return all(self.cache_bytes_at(start + more) <= room for more in range(period))

        above = 1
        while fits(above):
            above *= 2
        first = bisect_left(range(above), True, key=lambda count: not fits(count))
        lengths = range(first * period, (first + 1) * period)
        return next(n for n in lengths if self.cache_bytes_at(n) > room) - 1
