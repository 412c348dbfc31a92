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
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archscope.analysis import dispatch
from archscope.analysis.nested import tensors
from archscope.analysis.values.needed import NoValueError, ValueNeeded
from archscope.analysis.values.tensor import running
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
        if self.observer.log.ended:
            return func(*args, **(kwargs or {}))
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors((args, kwargs))):
            self.observer.log.graph_elsewhere = True
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


@contextmanager
def followed(log: CallLog) -> Iterator[None]:
    """Let functions that this thread hands to others inside belong to its run."""
    submitting = False

    def submit(pool: ThreadPoolExecutor, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        nonlocal submitting
        submitting = True  # its threads outlive the function
        try:
            return _submit(pool, _taking_along(function), *args, **kwargs)
        finally:
            submitting = False

    def start(thread: threading.Thread) -> None:
        if not submitting:
            own: Any = thread
            own.run = _taking_along(thread.run)
        _start(thread)

    def start_new(function: Any, *args: Any) -> int:
        along = _taking_along(function)

        def run(*given: Any, **named: Any) -> None:
            with suppress(NoValueError):
                along(*given, **named)

        return _start_new(run, *args)

    def silent(arguments: Any) -> Any:
        """The run goes on with values: nothing has failed."""
        return None if arguments.exc_type is NoValueError else hook(arguments)

    hook = threading.excepthook
    here: list[tuple[Any, str, Callable[..., Any]]] = [
        (ThreadPoolExecutor, "submit", submit),
        (threading.Thread, "start", start),
        (_thread, "start_new_thread", start_new),
    ]
    here += _of_pools()
    with patched([(threading, "excepthook", silent)]), patched_here(here):
        try:
            yield
        finally:
            log.ended = True


def _of_pools() -> list[tuple[Any, str, Callable[..., Any]]]:
    """The same for `multiprocessing.pool.ThreadPool`, where that is imported."""
    pools: Any = sys.modules.get("multiprocessing.pool")
    if pools is None:
        return []

    def taking(original: Callable[..., Any]) -> Callable[..., Any]:
        def submitted(pool: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            here = isinstance(pool, pools.ThreadPool)
            return original(pool, _taking_along(function) if here else function, *args, **kwargs)

        return submitted

    methods = ("apply_async", "_map_async", "imap", "imap_unordered")
    return [(pools.Pool, name, taking(vars(pools.Pool)[name])) for name in methods]


_submit = ThreadPoolExecutor.submit
_start = threading.Thread.start
_start_new = _thread.start_new_thread


def _taking_along(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs in another thread as a part of this thread's run."""
    observer: Any = running()
    if observer is None:
        return function
    if isinstance(observer, _Elsewhere):
        observer = observer.observer
    observer.lock = observer.lock or threading.RLock()
    known = dict(vars(dispatch.run))

    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        if observer.log.ended or running() is not None:
            return function(*args, **kwargs)
        with joined(), _counting_as(known), _Elsewhere(observer):
            return function(*args, **kwargs)

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
