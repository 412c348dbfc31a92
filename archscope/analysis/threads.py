"""Threads that a network starts in its `forward`: what they compute belongs to the run.

PyTorch's modes belong to one thread. A function that the thread of a run hands to another takes
the run's mode along; operators of several threads are taken down one at a time.
"""

from __future__ import annotations

import _thread
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archscope.analysis import dispatch, waits
from archscope.analysis.nested import tensors
from archscope.analysis.turns import Turns
from archscope.analysis.values.needed import NoValueError, ValueNeeded
from archscope.analysis.values.reader import running
from archscope.process import joined, patched, patched_here

if TYPE_CHECKING:
    from archscope.analysis.calls import CallLog
    from archscope.analysis.observer import Observer


class _Elsewhere(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The mode of a run in a thread that its network started.

    Args:
        observer: the mode of the run.
    """

    def __init__(self, observer: Observer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.observer = observer

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    @property
    def users_device(self) -> torch.device:
        return self.observer.users_device

    def read(self, tensor: Tensor) -> Tensor:
        with _caught():
            return self.observer.read(tensor)

    def need_value(self) -> NoReturn:
        with _caught():
            self.observer.need_value()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        log = self.observer.log
        if log.ended:
            return func(*args, **(kwargs or {}))
        if log.thread != threading.get_ident() and torch.is_grad_enabled():
            if any(t.requires_grad for t in tensors((args, kwargs))):
                log.graph_elsewhere = True
        elif log.turns is not None:
            log.turns.operators += 1
        with _caught():
            return self.observer.__torch_dispatch__(func, types, args, kwargs)


@contextmanager
def _caught() -> Iterator[None]:
    """Raise an error that the loops of worker threads catch, which wait for ever otherwise.

    The run knows by then that it needs values, whatever becomes of the error.
    """
    try:
        yield
    except ValueNeeded as signal:
        raise NoValueError("a value of which only the shape is known") from signal


class _Starts:
    """Every way in which a thread of a run starts another, taking the run along.

    Args:
        log: of the run.
    """

    def __init__(self, log: CallLog) -> None:
        self.log = log
        self.hook = threading.excepthook
        self.submitting = False
        """While a pool starts a thread, which outlives the function that it is given."""
        self.waits = ExitStack()

    def answers(self) -> list[tuple[Any, str, Callable[..., Any]]]:
        """Patches of what starts a thread or hands a function to one."""
        return [
            (ThreadPoolExecutor, "submit", self.submit),
            (threading.Thread, "start", self.start),
            (_thread, "start_new_thread", self.start_new),
            *_of_pools(self.log),
        ]

    def submit(self, pool: ThreadPoolExecutor, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """`ThreadPoolExecutor.submit`."""
        self.submitting = True
        ended = threading.Event()
        self.watch_waits()
        try:
            future = _submit(pool, _taking_along(function, ended), *args, **kwargs)
        finally:
            self.submitting = False
        _give(self.log, ended.wait)
        return future

    def start(self, thread: threading.Thread) -> None:
        """`threading.Thread.start`."""
        if self.submitting or _serves_a_pool(thread):
            return _start(thread)
        self.watch_waits()
        own: Any = thread
        ended = threading.Event()
        own.run = _taking_along(thread.run, ended)
        _start(thread)
        return _give(self.log, ended.wait)

    def start_new(self, function: Any, *args: Any) -> int:
        """`_thread.start_new_thread`."""
        self.watch_waits()
        ended = threading.Event()
        along = _taking_along(function, ended)

        def run(*given: Any, **named: Any) -> None:
            with suppress(NoValueError):
                along(*given, **named)

        number = _start_new(run, *args)
        _give(self.log, ended.wait)
        return number

    def silent(self, arguments: Any) -> Any:
        """`threading.excepthook`: the run goes on with values, so nothing has failed."""
        return None if arguments.exc_type is NoValueError else self.hook(arguments)

    def watch_waits(self) -> None:
        """From when there are several threads on, which few networks have."""
        if self.log.turns is None:
            self.waits.enter_context(patched_here(waits.answers(self.log)))


@contextmanager
def followed(log: CallLog) -> Iterator[None]:
    """Let functions that this thread hands to others inside belong to its run."""
    starts = _Starts(log)
    here = starts.answers()
    if threading.active_count() > 1:
        here += waits.answers(log)
    with patched([(threading, "excepthook", starts.silent)]), patched_here(here), starts.waits:
        try:
            yield
        finally:
            log.ended = True


def _serves_a_pool(thread: Any) -> bool:
    """Whether a thread is one of a `ThreadPool`, whose functions are followed one by one."""
    return getattr(thread._target, "__module__", None) == "multiprocessing.pool"


def _of_pools(log: CallLog) -> list[tuple[Any, str, Any]]:
    """The same for `multiprocessing.pool.ThreadPool`, where that is imported."""
    pools: Any = sys.modules.get("multiprocessing.pool")
    if pools is None:
        return []

    def taking(original: Callable[..., Any], waits_for_all: bool) -> Callable[..., Any]:
        def submitted(pool: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(pool, pools.ThreadPool):
                return original(pool, function, *args, **kwargs)
            ended = threading.Event() if waits_for_all else None
            result = original(pool, _taking_along(function, ended), *args, **kwargs)
            if waits_for_all:
                _give(log, lambda seconds: result.wait(seconds) or result.ready())
            return result

        return submitted

    methods = {"apply_async": True, "_map_async": True, "imap": False, "imap_unordered": False}
    return [
        (pools.Pool, name, taking(vars(pools.Pool)[name], waits_for_all))
        for name, waits_for_all in methods.items()
    ]


_submit = ThreadPoolExecutor.submit
_start = threading.Thread.start
_start_new = _thread.start_new_thread


def _give(log: CallLog, finished: Callable[[float], bool]) -> None:
    """Let a thread that was started have the turn, where it has come to take it."""
    if log.turns is not None:
        log.turns.give(finished)


def _taking_along(
    function: Callable[..., Any], ended: threading.Event | None
) -> Callable[..., Any]:
    """A function that runs in another thread as a part of this thread's run.

    Args:
        function: what is handed to it.
        ended: set once it has run; `None` where nobody waits for it.
    """
    observer: Any = running()
    if observer is None:
        return function
    if isinstance(observer, _Elsewhere):
        observer = observer.observer
    observer.lock = observer.lock or threading.RLock()
    turns: Turns = observer.log.turns or Turns(observer.log)
    observer.log.turns = turns
    known = dict(vars(dispatch.run))

    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        if observer.log.ended or running() is not None:
            return function(*args, **kwargs)
        try:
            with (
                joined(),
                _counting_as(known),
                turns.taken(patient=ended is not None),
                _Elsewhere(observer),
            ):
                return function(*args, **kwargs)
        finally:
            if ended is not None:
                ended.set()

    return inside


@contextmanager
def _counting_as(known: dict[str, Any]) -> Iterator[None]:
    """Answer PyTorch's operators as in the thread that knows this; see `counting`."""
    before = dict(vars(dispatch.run))
    excluded = torch._C._dispatch_tls_is_dispatch_key_excluded(dispatch.KEY)
    vars(dispatch.run).update(known)
    counts = dispatch.run.attention_kernels is not None
    try:
        if not counts:
            yield
            return
        torch._C._dispatch_tls_set_dispatch_key_excluded(dispatch.KEY, False)
        with torch._C._IncludeDispatchKeyGuard(dispatch.KEY):
            yield
    finally:
        torch._C._dispatch_tls_set_dispatch_key_excluded(dispatch.KEY, excluded)
        vars(dispatch.run).clear()
        vars(dispatch.run).update(before)
