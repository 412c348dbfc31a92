"""The processes of a cluster that was started here, ended with the run that started it.

Ray's agents look for their parent every few seconds, and one that is still starting does not.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE_SECONDS = 1.0
"""For what ends of its own accord once it was asked to."""

MOST_SECONDS = 10.0
"""For the system to end what was killed, and to hand its children on."""

ADOPT = 36
"""`PR_SET_CHILD_SUBREAPER` of Linux: orphans below this process become its children."""


class OwnCluster:
    """Ends what is left of the processes that Ray starts from now on, where there is a `/proc`."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0)
        self._others = set(_children())
        atexit.register(self.end)  # registered before Ray's own, it runs after that

    def end(self) -> None:
        """End every process that is left."""
        atexit.unregister(self.end)
        now = time.monotonic()
        asked, longest = now + PATIENCE_SECONDS, now + MOST_SECONDS
        while (left := set(_children()) - self._others) and time.monotonic() < longest:
            if time.monotonic() > asked:
                for process in left:
                    with contextlib.suppress(OSError):
                        os.kill(process, signal.SIGKILL)
                        os.waitpid(process, 0)
            time.sleep(0.05)


def _children() -> Iterator[int]:
    """Ray's processes among the children of this one; one that ended has no name any more."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"ray" in (place / "cmdline").read_bytes():
                yield int(place.name)
