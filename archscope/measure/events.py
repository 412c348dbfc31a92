"""Raw events of a profiler session → Trace, as files have it (`archscope.traces`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch._C._autograd import DeviceType

from archscope.traces.events import OWN, Event, Kernel, Launch, Trace
from archscope.traces.nesting import nest
from archscope.traces.settings import settings

_RUNTIME = ("cuda", "cu", "hip")

_NO_WORK = frozenset({
    # CUPTI's own work (Kineto's overheadKindString). It is nested in no operator, may run on any
    # thread, and is reported on the one that ended the session, where it would cut ranges in two.
    "Activity Buffer Request", "Buffer Flush", "Command Buffer Full", "Driver Compiler",
    "Instrumentation", "Lazy Function Loading", "Resource", "Runtime Triggered Module Loading",
    "UVM Activity Init", "Unknown",
    # Waiting, which a device reports beside its kernels when asked to.
    "Context Sync", "Event Sync", "Stream Sync", "Stream Wait Event", "Unknown Sync",
    # Calls of a driver newer than the profiler; their ids are the driver's, no operator's.
    "<unknown>", "INVALID", "unknown",
})  # fmt: skip
"""Records that are neither an operator nor a kernel, by the names Kineto gives them."""


def read(raw_events: Iterable[Any]) -> Trace:
    """Sort raw Kineto events (`prof.profiler.kineto_results.events()`) by where they happened."""
    trace = Trace()
    for raw in raw_events:
        name = raw.name()
        if name in _NO_WORK:
            continue
        if raw.device_type() != DeviceType.CPU:
            # Ranges cast a shadow on the device's time line that would count its kernels again.
            if not (raw.is_user_annotation() or name.startswith((*OWN, "Optimizer."))):
                trace.device.append(_kernel(raw))
        elif "::" not in name and name.startswith(_RUNTIME) and raw.sequence_nr() < 0:
            # The runtime's call may call the driver's under the same id: the first is enough.
            launch = Launch(
                name, raw.start_ns(), raw.start_thread_id(), raw.linked_correlation_id()
            )
            trace.launches.setdefault(raw.correlation_id(), launch)
        elif not _is_elsewhere(raw):
            trace.host.append(_event(raw))
    trace.sort()
    nest(trace)
    return trace


def _is_elsewhere(raw: Any) -> bool:
    """Whether a host event is nested in no other: a note, or what began on another thread."""
    if raw.name().startswith(("[", "profiler::")) or raw.is_async():
        return True
    return bool(raw.start_thread_id() != raw.end_thread_id())


def _event(raw: Any) -> Event:
    start = raw.start_ns()
    return Event(
        raw.name(),
        start,
        start + raw.duration_ns(),
        "annotation" if raw.is_user_annotation() else "operator",
        raw.start_thread_id(),
        raw.sequence_nr(),
        raw.fwd_thread_id(),
        raw.correlation_id(),
        tuple(tuple(shape) for shape in raw.shapes()),
        tuple(raw.dtypes()),
        settings(raw.name(), raw.concrete_inputs()) if raw.shapes() else (),
    )


def _kernel(raw: Any) -> Kernel:
    start = raw.start_ns()
    return Kernel(
        raw.name(),
        start,
        start + raw.duration_ns(),
        raw.correlation_id(),
        raw.linked_correlation_id(),
        raw.name().startswith(("Memcpy", "Memset")),
        (raw.device_index(), raw.device_resource_id()),
    )
