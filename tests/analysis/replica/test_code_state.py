"""What the code of a network holds outside of objects: after a count it is what it was."""

from __future__ import annotations

import functools
import random
import sys
import threading
import time
import types
import weakref
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


class Proxy:
    """Fails whoever asks it anything, as the proxy of a closed database does."""

    def refuse(self, *args: Any) -> Any:
        raise RuntimeError("closed")

    __class__ = __dict__ = property(refuse)
    __getattr__ = __eq__ = __hash__ = __len__ = __bool__ = refuse


class Armed:
    """A key that raises once it is armed."""

    armed = False

    def __hash__(self) -> int:
        if Armed.armed:
            raise RuntimeError("armed")
        return 1

    __eq__ = object.__eq__


PROXY = Proxy()
SYSTEM = random.SystemRandom()
ODD: dict[Any, Any] = {}
ROWS: dict[Any, Any] = {}
HUGE: list[Any] = []
LARGE: dict[int, Any] = {}
WEAK: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
OWN = threading.local()
STEP = 0


def counted(forward: Any) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            forward(x)
            return x + 1

    archscope.summary(Net(), (torch.ones(2, 8),))


def test_objects_are_not_asked_anything() -> None:
    counted(lambda x: (PROXY, SYSTEM))


def test_a_variable_of_a_function_around_the_network_is_put_back() -> None:
    latest = None

    def forward(x: Tensor) -> None:
        nonlocal latest
        latest = x

    counted(forward)
    assert latest is None


def test_a_key_that_raises_keeps_nothing_else_from_being_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ROWS.clear()
    first, second = Armed(), Armed()
    ODD.update({first: 1, second: 2})

    def forward(x: Tensor) -> None:
        ROWS["before"] = x
        del ODD[first]
        ODD[Armed()] = x
        ROWS["after"] = x
        monkeypatch.setattr(Armed, "armed", True)

    counted(forward)
    monkeypatch.setattr(Armed, "armed", False)
    assert ROWS == {}
    assert second in ODD


def test_what_another_thread_sets_meanwhile_stays() -> None:
    global STEP
    STEP = 0
    meanwhile, done = threading.Event(), threading.Event()

    def train() -> None:
        global STEP
        meanwhile.wait(10)
        STEP = 5
        done.set()

    trainer = threading.Thread(target=train)
    trainer.start()

    def forward(x: Tensor) -> Tensor:
        meanwhile.set()
        while not done.is_set():
            time.sleep(0.001)
        return x * STEP

    counted(forward)
    trainer.join()
    assert STEP == 5


def test_what_a_table_held_is_not_added_again() -> None:
    """Another thread may read it meanwhile, and would not find what is there."""
    hashed: list[str] = []

    class Key:
        def __hash__(self) -> int:
            hashed.append("again")
            return 1

    old = Key()
    ROWS.clear()
    ROWS[old] = 1
    counted(lambda x: ROWS.update(new=x))
    assert list(ROWS) == [old]
    assert hashed == ["again"]


def test_large_tables_lose_what_was_added_and_are_not_copied() -> None:
    HUGE.clear()
    LARGE.clear()
    HUGE.extend(range(20_000))
    LARGE.update(enumerate(range(20_000)))

    def forward(x: Tensor) -> None:
        HUGE.append(x)
        LARGE[-1] = x

    counted(forward)
    assert HUGE == list(LARGE) == list(range(20_000))


def test_weak_tables_and_those_of_a_thread_are_put_back() -> None:
    key = Referred()
    WEAK[key] = 1

    def forward(x: Tensor) -> None:
        WEAK[key] = OWN.x = x

    counted(forward)
    assert WEAK[key] == 1
    assert not hasattr(OWN, "x")


class Referred:
    """An object that something may refer to weakly."""


@functools.cache
def twice(count: int) -> Tensor:
    return torch.full((count,), 2.0)


@functools.lru_cache
def word(count: int) -> str:
    return "a" * count


def test_caches_keep_what_a_count_did_not_add() -> None:
    users, users_word = twice(3), word(3)

    def forward(x: Tensor) -> None:
        with pytest.raises(RuntimeError):
            twice(-1)  # no result, but a miss
        twice(8)
        word(8)

    counted(forward)
    assert twice(3) is users
    assert not twice(8).is_meta
    assert word(3) is users_word
    assert word.cache_info().hits == 1
