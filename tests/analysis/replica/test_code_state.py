"""What the code of a network holds outside of objects: after a count it is what it was."""

from __future__ import annotations

import functools
import random
import sys
import types
from collections import Counter, OrderedDict, UserDict, deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import archscope

TABLE: dict[str, Any] = {}
ORDERED: OrderedDict[str, Any] = OrderedDict(a=1)
USERS: UserDict[str, Any] = UserDict()
LATEST: deque[Any] = deque(maxlen=2)
COUNTS: Counter[str] = Counter()
SPACE = types.SimpleNamespace(hidden=None)
LOG: list[Any] = []
NAMED: list[str] = []
ARRAY = np.zeros(2)
TOTAL = torch.zeros(8)
DRAWS = random.Random(3)
NORM = nn.BatchNorm1d(8)
SCALE = nn.Parameter(torch.ones(8))
CALLS = 0


class Slotted:
    __slots__ = ("hidden",)


SLOTTED = Slotted()


def cached(function: Any) -> Any:
    """A decorator that remembers in what it closes over, and on the function that it returns."""
    results: dict[int, Tensor] = {}

    @functools.wraps(function)
    def remembered(count: int) -> Tensor:
        remembered.calls = getattr(remembered, "calls", 0) + 1
        if count not in results:
            results[count] = function(count)
        return results[count]

    remembered.results = results
    return remembered


@cached
def twos(count: int) -> Tensor:
    return torch.full((count,), 2.0)


@functools.lru_cache
def ones(count: int) -> Tensor:
    return torch.ones(count)


def remember(x: Tensor) -> None:
    global CALLS
    CALLS += 1
    for table in (TABLE, ORDERED, USERS):
        table["x"] = x
    for line in (LATEST, LOG):
        line.append(x)
    NAMED.append(str(x.device))
    COUNTS["calls"] += 1
    SPACE.hidden = SLOTTED.hidden = x
    DRAWS.random()
    ARRAY[0] += 1
    TOTAL.add_(1)


class Remembers(nn.Module):
    calls = 0
    seen: list[Tensor] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor, asks: bool = False, last: dict[str, Any] = {}) -> Tensor:  # noqa: B006
        remember(x)
        Remembers.calls += 1
        self.seen.append(x)
        last["x"] = x
        y: Tensor = NORM(self.layer(x) * SCALE) * ones(8) * twos(8)
        return y + 1 if asks and y.sum() > 0 else y


def held() -> dict[str, str]:
    return {
        "tables": repr((TABLE, ORDERED, USERS, LATEST, LOG, COUNTS, SPACE)),
        "slots": repr(getattr(SLOTTED, "hidden", None)),
        "draws": repr(DRAWS.getstate()),
        "arrays": repr((ARRAY, TOTAL, NORM.running_mean, NORM.num_batches_tracked, SCALE.grad)),
        "caches": repr((ones.cache_info().currsize, twos.results, vars(twos).get("calls"))),
        "classes": repr((Remembers.calls, Remembers.seen, Remembers.forward.__defaults__, CALLS)),
    }


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("asks", [False, True], ids=["on meta", "on the CPU"])
def test_names_attributes_and_caches_are_as_before(asks: bool, backward: bool) -> None:
    before, x = held(), torch.randn(2, 8)
    network = Remembers()
    said = archscope.summary(network, (x, asks), backward=backward).total
    assert said.macs == 2 * 8 * 8
    assert held() == before
    network(x)  # as its tables hold no tensor without values


def test_what_a_forward_logs_in_words_stays() -> None:
    NAMED.clear()
    archscope.summary(Remembers(), (torch.randn(2, 8),))
    assert NAMED == ["cpu"]


def test_a_failed_count_leaves_no_tensor_either() -> None:
    class Fails(Remembers):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise ValueError("fails")

    before = held()
    with pytest.raises(archscope.ArchscopeError, match="fails"):
        archscope.summary(Fails(), (torch.randn(2, 8),))
    assert held() == before


def test_a_second_way_meets_no_tensor_of_the_first() -> None:
    """The run on the CPU, where a value decides, starts with the tables that the user has."""

    class First(nn.Module):
        ran = False

        def __init__(self) -> None:
            super().__init__()
            self.small = nn.Linear(8, 1, bias=False)
            self.big = nn.Linear(8, 100, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            layer = self.small if First.ran else self.big
            First.ran = True
            return layer(x) if x.sum() < 1e9 else x

    assert archscope.summary(First(), (torch.ones(2, 8),)).total.macs == 2 * 8 * 100
    assert not First.ran


def test_caches_of_an_installed_package_are_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    home = types.ModuleType("installed_package")
    home.__file__ = "/lib/site-packages/installed_package/__init__.py"
    monkeypatch.setitem(sys.modules, "installed_package", home)
    source = """
import functools, torch
@functools.lru_cache
def table(count):
    return torch.ones(count)
class Net(torch.nn.Module):
    def forward(self, x):
        return x * table(8)
"""
    exec(source, vars(home))
    network = home.Net()
    archscope.summary(network, (torch.ones(2, 8),))
    assert home.table.cache_info().currsize == 0
    assert network(torch.ones(2, 8)).sum() == 16


def test_what_is_resized_replaced_or_frozen_is_as_before() -> None:
    """Nothing of it may keep the rest, or the next count, from being put back."""
    resized, replaced, trained = torch.ones(4), torch.ones(4), torch.ones(4)
    array, frozen = np.ones(4), np.ones(4)

    class Net(Remembers):
        def forward(self, x: Tensor) -> Tensor:
            resized.resize_(7)
            replaced.data = torch.zeros(9)
            trained.requires_grad_(True)
            array.resize(9, refcheck=False)
            frozen[0] = 5
            frozen.setflags(write=False)
            return self.layer(x)

    for _ in range(2):
        assert archscope.summary(Net(), (torch.ones(2, 8),)).total.macs == 2 * 8 * 8
        for tensor in (resized, replaced, trained):
            assert torch.equal(tensor, torch.ones(4)) and not tensor.requires_grad
        for each in (array, frozen):
            assert each.tolist() == [1, 1, 1, 1] and each.flags.writeable


def test_what_cannot_be_put_back_keeps_nothing_else_from_it() -> None:
    """An array over frozen memory cannot be written to again."""
    first: list[Any] = []
    view = np.ones(4)[:]
    last: list[Any] = []

    class Net(Remembers):
        def forward(self, x: Tensor) -> Tensor:
            first.append(x)
            view.base.setflags(write=False)
            view.setflags(write=False)
            last.append(x)
            return self.layer(x)

    assert archscope.summary(Net(), (torch.ones(2, 8),)).total.macs == 2 * 8 * 8
    assert first == last == []
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.setflags(write=True)


def test_an_array_over_an_input_that_is_written_to_is_refused_and_put_back() -> None:
    array = np.ones((2, 8), dtype=np.float32)

    class Net(Remembers):
        def forward(self, x: Tensor) -> Tensor:
            array[0] = 5
            return self.layer(x)

    with pytest.raises(archscope.ArchscopeError, match="through a global array"):
        archscope.summary(Net(), (torch.from_numpy(array),))
    assert (array == 1).all()
    assert archscope.summary(Net(), (torch.ones(2, 8),)).total.macs == 2 * 8 * 8
