"""Copies of objects that stand for something outside of Python's memory: locks, streams, pools."""

from __future__ import annotations

import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from archscope.analysis.replica.arrays import copy_array
from archscope.analysis.replica.graph import Copier, Replica
from archscope.analysis.replica.objects import fill_attributes


def copy_generator(copies: Replica, value: torch.Generator) -> Any:
    twin = torch.Generator(value.device)
    twin.set_state(value.get_state())
    return copies.add(value, twin)


def _new_lock(copies: Replica, value: Any) -> Any:
    return copies.add(value, threading.Lock())


def _new_reentrant_lock(copies: Replica, value: Any) -> Any:
    return copies.add(value, threading.RLock())


def _copy_thread_local(copies: Replica, value: Any) -> Any:
    twin = threading.local.__new__(type(value))
    copies.add(value, twin)
    twin.__dict__.update({key: copies.twin(item) for key, item in vars(value).items()})
    return twin


def _copy_stream(copies: Replica, value: io.IOBase) -> Any:
    """The streams of the process are nobody's own; text in memory is copied."""
    if value in (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__):
        return value
    if not isinstance(value, (io.StringIO, io.BytesIO)):
        raise copies.refusal(value, "an open file")
    twin = type(value)()
    twin.__setstate__(value.__getstate__())  # type: ignore[union-attr]
    return copies.add(value, twin)


def _copy_thread(copies: Replica, value: threading.Thread) -> Any:
    """A thread that runs would go on with the originals of what the copy gives it."""
    if value.is_alive():
        raise copies.refusal(value, "a running thread")
    return value


def _copy_condition(copies: Replica, value: threading.Condition) -> Any:
    """A thread that waits for the original, as for a queue, would never notice the copy."""
    if vars(value)["_waiters"]:
        raise copies.refusal(value, "a thread waits for it")
    return copies.add(value, object.__new__(type(value)), fill_attributes)


def _share(copies: Replica, value: Any) -> Any:
    """A pool of threads runs whatever it is given."""
    return value


def copier_of(kind: type) -> Copier | None:
    """How objects of a kind are copied, where they are such handles."""
    if issubclass(kind, io.IOBase):
        return _copy_stream
    if issubclass(kind, threading.local):
        return _copy_thread_local
    if issubclass(kind, threading.Thread):
        return _copy_thread
    if issubclass(kind, threading.Condition):
        return _copy_condition
    pools: Any = sys.modules.get("multiprocessing.pool")
    if issubclass(kind, ThreadPoolExecutor) or (pools and issubclass(kind, pools.ThreadPool)):
        return _share
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        return copy_array
    if numpy is not None and issubclass(kind, (numpy.generic, numpy.dtype, numpy.ufunc)):
        return lambda copies, value: value
    return None


COPIERS: dict[type, Copier] = {
    type(threading.Lock()): _new_lock,
    type(threading.RLock()): _new_reentrant_lock,
}
