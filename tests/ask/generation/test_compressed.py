"""A cache that makes one entry of every so many tokens, as DeepSeek-V4's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import archscope

WIDTH, EVERY, WINDOW = 8, 4, 6
ROW = 4 * WIDTH
"""Bytes of what one token, or one entry, takes in a tensor."""


class Compressing:
    """The last `WINDOW − 1` tokens, entries of earlier ones, and what waits to become one."""

    compress_rate, sliding_window = EVERY, WINDOW

    def __init__(self) -> None:
        self.keys = self.values = torch.zeros(1, 0, WIDTH)
        self.waiting = {"kv": torch.zeros(1, 0, WIDTH), "gate": torch.zeros(1, 0, WIDTH)}
        self.entries = torch.zeros(1, 0, WIDTH)
        self.overlap: Tensor | None = None

    def update(self, new: Tensor) -> Tensor:
        seen = torch.cat([self.keys.to(new), new], 1)
        self.keys = self.values = seen[:, 1 - WINDOW :]
        for name, held in self.waiting.items():
            self.waiting[name] = torch.cat([held.to(new), new], 1)
        count = self.waiting["kv"].shape[1] // EVERY
        done = self.waiting["kv"][:, : count * EVERY]
        self.waiting = {name: held[:, count * EVERY :] for name, held in self.waiting.items()}
        if count:
            made = done.unflatten(1, (count, EVERY)).mean(2)
            self.entries = torch.cat([self.entries.to(new), made], 1)
            self.overlap = made[:, -1]
        return torch.cat([seen, self.entries.to(new)], 1)


class Network(nn.Module):
    """One layer of attention over such a cache."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, WIDTH)

    def forward(self, input_ids: Tensor, cache: list[Compressing] | None = None) -> dict:
        cache = cache or [Compressing()]
        x = self.embed(input_ids)
        seen = cache[0].update(x)
        return {"logits": (x @ seen.mT).softmax(-1) @ seen, "cache": cache}


def held(context: int) -> int:
    """Keys, which values share, and two buffers, the entries, and the last entry again."""
    entries, waiting = divmod(context, EVERY)
    return ROW * (min(context, WINDOW - 1) + 2 * waiting + entries + (1 if entries else 0))


@pytest.mark.parametrize(("prompt", "tokens"), [(3, 2), (9, 6), (12, 9)])
def test_its_bytes_are_exact_at_every_length(prompt, tokens):
    found = archscope.generate(Network(), prompt, tokens)
    assert found.record.prompt_cache_bytes == held(prompt)
    assert found.record.cache_bytes == held(prompt + tokens - 1)
    assert [found.record.cache_bytes_at(n) for n in range(40)] == [held(n) for n in range(40)]
    assert any("become one entry" in note for note in found.record.notes)
    assert f"{ROW:,}·⌊t/{EVERY}⌋" in str(found)


def test_the_largest_context_is_the_one_before_the_first_that_does_not_fit():
    record = archscope.generate(Network(), 9, 2).record
    for room in (0, ROW, held(7), held(8), held(22), held(23) - 1, held(100)):
        longest = record.largest_context(record.weight_bytes + room)
        assert all(held(n) <= room for n in range(longest + 1)) and held(longest + 1) > room


def test_a_network_that_asks_for_a_static_cache_is_answered_for_the_one_that_grows():
    network = Network()
    network.generation_config = type("Settings", (), {"cache_implementation": "static"})()
    notes = archscope.generate(network, 3, 1).record.notes
    assert sum("static cache" in note for note in notes) == 1
    assert not any("static" in n for n in archscope.generate(Network(), 3, 1).record.notes)
