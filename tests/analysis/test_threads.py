"""What a network computes in threads of its own belongs to the count, or is refused."""

from __future__ import annotations

import _thread
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from tests.analysis.values.test_answers import DEAR, Ways, X, way


@pytest.fixture(scope="module")
def pools() -> Iterator[dict[str, Any]]:
    """Pools whose threads run before a count and after it."""
    with ThreadPoolExecutor(1) as executor, ThreadPool(1) as pool:
        yield {"executor": executor, "pool": pool}
        pool.close()
        pool.join()


def in_a_thread(function: Callable[[], Any], start: Callable[[Callable[[], None]], Any]) -> Any:
    found: list[Any] = []
    ended = threading.Event()

    def run() -> None:
        try:
            found.append(function())
        finally:
            ended.set()

    start(run)
    ended.wait()
    return found and found[0]


def in_a_pool(function: Callable[[], Any], pools: Any = None) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


PLACES: dict[str, Callable[[Callable[[], Any], Any], Any]] = {
    "thread": lambda f, _: in_a_thread(f, lambda run: threading.Thread(target=run).start()),
    "timer": lambda f, _: in_a_thread(f, lambda run: threading.Timer(0, run).start()),
    "bare thread": lambda f, _: in_a_thread(f, lambda run: _thread.start_new_thread(run, ())),
    "pool": in_a_pool,
    "earlier pool": lambda f, pools: pools["executor"].submit(f).result(),
    "other pool": lambda f, pools: pools["pool"].apply(f),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_value_asked_for_in_a_thread_is_that_of_a_real_run(
    place: str, pools: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    network = Ways(lambda self, x: PLACES[place](lambda: (x.sum() > 0).item(), pools))
    assert network(X).shape == (2, 1000)
    summary = archscope.summary(network, X)
    assert (way(summary), summary.analysis.executed_on) == (DEAR, "cpu")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("place", PLACES)
def test_operators_in_a_thread_are_counted_and_no_longer_than_the_run(
    place: str, pools: Any
) -> None:
    network = Ways(lambda self, x: PLACES[place](lambda: (x @ x.T).device.type == "cpu", pools))
    summary = archscope.summary(network, X)
    assert summary.total.macs == DEAR + 2 * 2 * 8
    assert summary.analysis.executed_on == "meta"
    assert pools["executor"].submit(torch._C._len_torch_dispatch_stack).result() == 0
    assert pools["pool"].apply(lambda: (torch.ones(2) @ torch.ones(2)).item()) == 2


def test_many_threads_at_once_lose_nothing() -> None:
    def says(self: Ways, x: Tensor) -> bool:
        threads = [threading.Thread(target=lambda: [x @ x.T for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            x @ x.T
        for thread in threads:
            thread.join()
        return True

    summary = archscope.summary(Ways(says), X)
    assert summary.total.macs == DEAR + 5 * 50 * 2 * 2 * 8


class Twice(nn.Module):
    """Returns what a function of itself and its input says."""

    def __init__(self, says: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)
        self.says = says

    def forward(self, x: Tensor) -> Tensor:
        return self.says(self, x)


LAYER_PLACES: dict[str, Callable[[Callable[[], Any], Any], Any]] = {
    **PLACES,
    "map of a pool": lambda f, pools: next(iter(pools["executor"].map(lambda _: f(), [0]))),
    "map of another pool": lambda f, pools: pools["pool"].map(lambda _: f(), [0])[0],
    "a thread's thread": lambda f, pools: in_a_pool(lambda: PLACES["thread"](f, pools)),
}


@pytest.mark.parametrize("place", LAYER_PLACES)
def test_layers_in_a_thread_are_counted_as_if_they_were_called(place: str, pools: Any) -> None:
    """A call is of 2·8·8 MACs; its backward pass has two products, of the first call one.

    The input of that needs no gradient.
    """

    def says(self: Twice, x: Tensor) -> Tensor:
        h = LAYER_PLACES[place](lambda: self.layer(x), pools)
        return LAYER_PLACES[place](lambda: self.layer(torch.tanh(h)), pools)

    summary = archscope.summary(Twice(says), X, backward=True)
    one = 2 * 8 * 8
    assert (summary.total.macs, summary.total.macs_backward) == (2 * one, 3 * one)
    rows = [layer for layer in summary.analysis.layers if layer.name == "layer"]
    work = [(r.forward.macs, r.backward.macs) for r in rows]
    assert work == [(one, one), (one, 2 * one)]
    assert summary.analysis.executed_on == "meta"


def test_a_thread_that_waits_for_others_is_refused_and_nothing_hangs() -> None:
    def produced(self: Ways, x: Tensor) -> bool:
        items: queue.Queue[Any] = queue.Queue(1)

        def produce() -> None:
            for _ in range(3):
                items.put(self.cheap(x))
            items.put(None)

        threading.Thread(target=produce).start()
        return len(list(iter(items.get, None))) == 3

    assert Ways(produced)(X).shape == (2, 1000)
    with pytest.raises(archscope.ArchscopeError, match="cheap runs in a thread that waits"):
        archscope.summary(Ways(produced), X)


def test_a_thread_may_start_one_that_waits_for_it() -> None:
    """As the manager of a process pool starts the one that feeds its queue."""

    def produced(self: Ways, x: Tensor) -> bool:
        items: queue.Queue[Any] = queue.Queue()

        def manage() -> None:
            feeder = threading.Thread(target=items.get)
            feeder.start()
            items.put(None)
            feeder.join()

        manager = threading.Thread(target=manage)
        manager.start()
        manager.join()
        return True

    cheap = archscope.summary(Ways(lambda self, x: True), X).total.macs
    assert archscope.summary(Ways(produced), X).total.macs == cheap


def test_work_for_a_thread_that_was_there_before_is_refused() -> None:
    """It would get tensors without values, end by asking for one, and never answer again."""
    asked: queue.Queue[Any] = queue.Queue()
    answered: queue.Queue[Any] = queue.Queue()

    def serve() -> None:
        for function in iter(asked.get, None):
            answered.put(function())

    QUEUES[:] = asked, answered
    thread = threading.Thread(target=serve)
    thread.start()
    try:

        def says(self: Ways, x: Tensor) -> bool:
            QUEUES[0].put(lambda: x.sum().item() > 0)
            return QUEUES[1].get()

        assert Ways(says)(X).shape == (2, 1000)
        with pytest.raises(archscope.ArchscopeError, match="thread that was started before"):
            archscope.summary(Ways(says), X)
        network = Ways(says)
        network.asked = asked
        with pytest.raises(archscope.ArchscopeError, match="a thread waits for it"):
            archscope.summary(network, X)
        assert Ways(says)(X).shape == (2, 1000)
    finally:
        asked.put(None)
        thread.join()


QUEUES: list[Any] = []
"""Where the code of a network finds them; what a closure holds is copied."""


def test_a_pool_is_used_as_it_is_and_a_running_thread_is_refused(pools: dict[str, Any]) -> None:
    network = Ways(lambda self, x: self.pool.submit(threading.get_ident).result() == self.ident)
    network.pool, network.ident = (
        pools["executor"],
        pools["executor"].submit(threading.get_ident).result(),
    )
    assert way(archscope.summary(network, X)) == DEAR
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    network.__dict__["pool"] = thread
    thread.start()
    try:
        with pytest.raises(archscope.ArchscopeError, match="a running thread"):
            archscope.summary(network, X)
    finally:
        ended.set()
        thread.join()
