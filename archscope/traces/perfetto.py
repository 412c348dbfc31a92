"""A trace → a timeline of modules beside the kernels, which ui.perfetto.dev opens.

The format is Chrome's ("Trace Event Format", Google, 2016): a process groups tracks, a thread is
one, and times are in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archscope.traces.attribution import Attribution
from archscope.traces.events import Call, Event, Kernel
from archscope.traces.join import Credit
from archscope.traces.rows import UNATTRIBUTED

Json = dict[str, Any]
DEVICE = 1
"""Process of the kernels; those of modules follow."""

UNKNOWN = Call(UNATTRIBUTED, "", in_network=False)


def timeline(found: Attribution, model: str) -> Json:
    """A track per module and per stream; times count from the first kernel.

    Modules are grouped by the network's direct children. A module's slice lasts while nothing but
    its own work of one phase begins on the device.

    Args:
        found: a trace with its owners.
        model: name of the network.
    """
    credits = sorted((c for c in found.credits if c.operator), key=lambda credit: credit.start)
    origin = credits[0].start if credits else 0
    tracks = _Tracks(model)
    events: list[Json] = []
    for credit in credits:
        source = credit.source
        where = (DEVICE, tracks.stream(source))
        end = credit.start + credit.nanoseconds if source is None else source.end
        name = "" if source is None else source.name
        call = credit.call or UNKNOWN
        args: Json = {"module": call.name, "class": call.kind, "phase": credit.phase}
        if credit.launched_by is not None and credit.launched_by is not source:
            args["operator"] = credit.launched_by.name
        events.append(_slice(name, where, credit.start - origin, end - credit.start, args))
    for call, phase, start, end in _runs(credits):
        where = tracks.module(call)
        about: Json = {"class": call.kind, "call": call.index}
        events.append(_slice(phase or "other", where, start - origin, end - start, about))
    return {"displayTimeUnit": "ns", "traceEvents": [*tracks.names(), *events]}


def _slice(name: str, where: tuple[int, int], start: int, length: int, args: Json) -> Json:
    process, thread = where
    return {
        "ph": "X", "name": name, "pid": process, "tid": thread,
        "ts": start / 1000, "dur": length / 1000, "args": args,
    }  # fmt: skip


Run = tuple[Call, str, int, int]
"""A call, a phase, and when its work began and ended."""


def _runs(credits: list[Credit]) -> Iterator[Run]:
    """Neighbours of one call and phase as one; those of a module never overlap."""
    done: dict[str, int] = {}
    runs: list[Run] = []
    for credit in credits:
        call, phase = credit.call or UNKNOWN, credit.phase
        end = credit.start + credit.nanoseconds if credit.source is None else credit.source.end
        if runs and (runs[-1][0].key, runs[-1][1]) == (call.key, phase):
            runs[-1] = call, phase, runs[-1][2], max(end, runs[-1][3])
        else:
            runs.append((call, phase, credit.start, end))
    for call, phase, start, end in runs:
        begin = max(start, done.get(call.name, start))
        if end > begin:
            done[call.name] = end
            yield call, phase, begin, end


class _Tracks:
    """Numbers the processes and threads, and names them."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._streams: dict[tuple[object, int], int] = {}
        self._done: dict[tuple[object, int], int] = {}
        self._groups: dict[str, int] = {}
        self._modules: dict[tuple[int, str], int] = {}

    def stream(self, source: Event | Kernel | None) -> int:
        """The track of an operator or kernel; slices of a track may hold one another, no more."""
        if not isinstance(source, Kernel):
            thread = 0 if source is None else source.thread
            return self._streams.setdefault((thread, 0), len(self._streams) + 1)
        lane = 0
        while self._done.get((source.stream, lane), source.start) > source.start:
            lane += 1
        key = source.stream, lane
        self._done[key] = source.end
        return self._streams.setdefault(key, len(self._streams) + 1)

    def module(self, call: Call) -> tuple[int, int]:
        group = f"{self._model}: {call.name.partition('.')[0]}" if call.name else self._model
        group = group if call.in_network else "outside the network"
        process = self._groups.setdefault(group, DEVICE + 1 + len(self._groups))
        track = process, call.name or self._model
        return process, self._modules.setdefault(track, len(self._modules) + 1)

    def names(self) -> Iterator[Json]:
        """The events that name and order them."""
        yield _named("process", DEVICE, 0, "kernels")
        for (key, lane), thread in self._streams.items():
            device = f"GPU {key[0]}, stream {key[1]}" if isinstance(key, tuple) else f"thread {key}"
            yield _named("thread", DEVICE, thread, f"{device} ({lane + 1})" if lane else device)
        for group, process in self._groups.items():
            yield _named("process", process, 0, group)
            yield {"ph": "M", "name": "process_sort_index", "pid": process, "tid": 0,
                   "args": {"sort_index": process}}  # fmt: skip
        for (process, module), thread in self._modules.items():
            yield _named("thread", process, thread, module)
            yield {"ph": "M", "name": "thread_sort_index", "pid": process, "tid": thread,
                   "args": {"sort_index": thread}}  # fmt: skip


def _named(kind: str, process: int, thread: int, name: str) -> Json:
    return {
        "ph": "M", "name": f"{kind}_name", "pid": process, "tid": thread, "args": {"name": name}
    }  # fmt: skip
