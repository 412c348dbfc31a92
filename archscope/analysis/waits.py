"""What the thread of a run waits for, and to whom it hands its tensors, without starting a thread.

A thread that was there before the run is none of its own: what it computes is out of sight, and it
must never be given tensors of which only the shape is known.
"""

from __future__ import annotations

import queue
import sys
import threading
from types import FrameType
from typing import Any

from archscope.analysis.calls import CallLog
from archscope.analysis.nested import tensors
from archscope.analysis.values.needed import ValueNeeded
from archscope.process import is_joined

SECONDS = 0.1
"""How often who waits without a limit looks whether the run goes on with values."""


def answers(log: CallLog) -> list[tuple[type, str, Any]]:
    """Patches of what threads wait for, for those of a run.

    Args:
        log: of the run.
    """
    first = threading.get_ident()

    def wait(condition: threading.Condition, timeout: float | None = None) -> bool:
        if timeout is not None:
            return _wait(condition, timeout)
        return until_notified(condition, log)

    def put(place: queue.Queue[Any], item: Any, *args: Any, **kwargs: Any) -> None:
        if (callable(item) or _holds_work(item)) and _is_read_elsewhere(place, first):
            raise TypeError(
                "it hands work to a thread that was started before the call, which cannot be "
                "observed"
            )
        _put(place, item, *args, **kwargs)

    return [(threading.Condition, "wait", wait), (queue.Queue, "put", put)]


def until_notified(condition: threading.Condition, log: CallLog) -> bool:
    """Wait, but no longer for a thread that has asked for a value, and may have ended there.

    Returns:
        true, as `Condition.wait` does.

    Raises:
        ValueNeeded: a thread has.
    """
    while not _wait(condition, SECONDS):
        if log.value_needed_in is not None:
            raise ValueNeeded
    return True


_wait, _put = threading.Condition.wait, queue.Queue.put


def _holds_work(item: Any) -> bool:
    parts = item if isinstance(item, (tuple, list)) else ()
    return any(map(callable, parts)) or any(True for _ in tensors(item))


def _is_read_elsewhere(place: queue.Queue[Any], first: int) -> bool:
    """Whether a thread that is none of the run's takes items out of a queue.

    Args:
        place: the queue.
        first: the thread that the run began in.
    """
    frame: FrameType | None
    for thread, frame in sys._current_frames().items():
        if thread == first or is_joined(thread):
            continue
        while frame is not None:
            if frame.f_code is queue.Queue.get.__code__ and frame.f_locals["self"] is place:
                return True
            frame = frame.f_back
    return False
