"""Raw events of a profiler session → Trace, as files have it (`archscope.traces`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch._C._autograd import DeviceType

from archscope.traces.events import OWN, Event, Kind, Trace
from archscope.traces.nesting import nest

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
        kind = _kind(raw)
        if kind is None:
            continue
        start = raw.start_ns()
        event = Event(raw.name(), start, start + raw.duration_ns(), kind)
        if kind in ("operator", "annotation"):
            event.thread = raw.start_thread_id()
            event.external = raw.correlation_id()
            event.sequence, event.forward_thread = raw.sequence_nr(), raw.fwd_thread_id()
            event.shapes = tuple(tuple(shape) for shape in raw.shapes())
            event.types = tuple(raw.dtypes())
            trace.host.append(event)
            continue
        event.correlation, event.external = raw.correlation_id(), raw.linked_correlation_id()
        if kind == "runtime":
            event.thread = raw.start_thread_id()
            # The runtime's call may call the driver's under the same id: the first is enough.
            trace.launches.setdefault(event.correlation, event)
        else:
            event.stream = raw.device_index(), raw.device_resource_id()
            trace.device.append(event)
    trace.sort()
    nest(trace)
    return trace


def _kind(raw: Any) -> Kind | None:
    name = raw.name()
    if name in _NO_WORK:
        return None
    if raw.device_type() != DeviceType.CPU:
        # Ranges cast a shadow on the device's time line that would count its kernels again.
        shadow = raw.is_user_annotation() or name.startswith((*OWN, "Optimizer."))
        return None if shadow else "copy" if name.startswith("Mem") else "kernel"
    if name.startswith(("[", "profiler::")) or raw.is_async():
        return None
    if raw.start_thread_id() != raw.end_thread_id():
        return None
    if "::" not in name and name.startswith(_RUNTIME) and raw.sequence_nr() < 0:
        return "runtime"
    return "annotation" if raw.is_user_annotation() else "operator"
