"""Files that torch.profiler wrote → Trace, in memory bounded by the events that are needed.

The format is Chrome's ("Trace Event Format", Google, 2016): times are in microseconds, with three
decimals since PyTorch 2.2, whatever `displayTimeUnit` says.
They are read as text and become whole nanoseconds, as a float holds no ns since 1970.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from io import BufferedReader
from math import prod
from typing import IO, Any, cast

from archscope.errors import ArchscopeError, first_line
from archscope.files import opened
from archscope.traces.events import MODULE, Event, Kernel, Kind, Launch, Link, Shapes, Trace
from archscope.traces.members import CHUNK, EVENTS, DamagedError, Text, members
from archscope.traces.nesting import nest
from archscope.traces.settings import Settings, settings

HOST: dict[str, Kind] = {
    "cpu_op": "operator",
    "operator": "operator",  # until PyTorch 1.10
    "user_annotation": "annotation",
    "python_function": "module",
}
"""Host events by category in lower case."""

DEVICE = {
    "kernel": False, "memcpy": True, "memset": True, "gpu_memcpy": True, "gpu_memset": True,
}  # fmt: skip
"""Categories of what the device did, and whether it is a copy or fill."""

RUNTIME = re.compile(r"(.*_)?(runtime|driver)")
LAUNCHING = re.compile("Launch|Mem(cpy|set)|Graph")
"""Calls of the driver's that give the device something to do; the others wait, ask and record."""

BEHIND = "behind the end"
"""Fact of a file that goes on behind the end of its JSON."""

Progress = Callable[[float], None]
"""Called with the share of the file that was read."""


def read(path: str, progress: Progress = lambda share: None) -> Trace:
    """Read one file, `.json` or `.json.gz`, and find out what runs inside what.

    Args:
        path: of the file, or of a pipe such as `/dev/stdin`, which is read once.
        progress: called now and then.

    Raises:
        ArchscopeError: it cannot be read, is cut off, or is no trace.

    Examples:
        >>> read("resnet50.pt.trace.json.gz").facts["device name"]
        'Tesla V100-DGXS-32GB'
    """
    reader = _Reader()
    text: Text | None = None
    try:
        with opened(path) as raw, _unpacked(raw) as stream:
            text = Text(stream, _moved(raw, progress))
            for key, value in members(text):
                reader.take(key, value)
            if text.peek():
                reader.facts[BEHIND] = "ignored"
    except OSError as error:
        reason = error.strerror or "is not a gzip file"
        raise ArchscopeError(path, f"cannot be read ({reason})", "check the path") from None
    except EOFError:
        raise _cut_off(path) from None
    except (zlib.error, DamagedError) as error:
        raise ArchscopeError(path, f"is damaged ({error})", "copy or export it again") from None
    except (ValueError, RecursionError):
        if text is not None and text.ended_early:
            raise _cut_off(path) from None
        raise ArchscopeError(
            path, "is not JSON", "give a trace that torch.profiler wrote"
        ) from None
    return reader.finished(path)


def is_trace(path: str) -> bool:
    """Whether a file begins as those of torch.profiler do; not where it cannot be read."""
    try:
        with opened(path) as raw, _unpacked(raw) as stream:
            head = stream.read(CHUNK).lstrip()
    except (OSError, EOFError, zlib.error):
        return False
    events = head.startswith(b"[") and head[1:].lstrip().startswith(b"{")
    return events or b'"traceEvents"' in head or b'"deviceProperties"' in head


def _unpacked(raw: BufferedReader) -> IO[bytes]:
    """The content of a file or pipe that may be packed, whatever its name."""
    is_packed = raw.peek(2)[:2] == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(raw)) if is_packed else raw


def _moved(raw: BufferedReader, progress: Progress) -> Callable[[], None]:
    """Say how much of a file was read; nobody knows that of a pipe."""
    size = os.fstat(raw.fileno()).st_size
    return (lambda: progress(raw.tell() / size)) if raw.seekable() and size else lambda: None


def _cut_off(path: str) -> ArchscopeError:
    return ArchscopeError(path, "is cut off", "copy or export it again")


def nanoseconds(microseconds: int | str) -> int:
    """Whole nanoseconds of a time as the file has it: a whole number, or text with a point.

    Raises:
        ValueError: it does not fit 64 bits, as clocks do.

    Examples:
        >>> nanoseconds("1712195495501688.456")
        1712195495501688456
    """
    if type(microseconds) is int:
        return _bounded(microseconds * 1000)
    whole, _, decimals = str(microseconds).partition(".")
    if len(decimals) <= 3 and decimals.isdecimal() and whole.isdecimal():
        return _bounded(int(whole) * 1000 + int(decimals.ljust(3, "0")))
    try:
        return _bounded(round(Decimal(microseconds) * 1000))
    except InvalidOperation:
        raise ValueError("a time is not a number") from None


def _bounded(time: int) -> int:
    if not -(2**63) <= time < 2**63:
        raise ValueError("a time is out of range")
    return time


class _Reader:
    """Takes the members of a file and keeps what is needed of them."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.facts: dict[str, str] = {}
        self.is_trace = False
        self._threads: dict[tuple[str, str], int] = {}
        self._names: dict[str, str] = {}
        self._shapes: dict[Shapes, Shapes] = {}
        self._types: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._settings: dict[Settings, Settings] = {}
        self._streams: dict[tuple[int, int], tuple[int, int]] = {}
        self._ends: dict[str, dict[Any, tuple[int, int]]] = {"s": {}, "f": {}}

    def take(self, key: str, value: Any) -> None:
        if key != EVENTS:
            self.facts.update(_facts(key, value))
            return
        self.is_trace = True
        if not isinstance(value, dict):
            return
        try:
            self._event(value)
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise DamagedError(f"an event has no such value: {first_line(error)}") from None

    def _event(self, value: dict[str, Any]) -> None:
        phase = value.get("ph")
        if phase == "X" and "ts" in value:
            category = str(value.get("cat", "")).lower()
            if category in HOST:
                self._host_event(value, HOST[category])
            elif category in DEVICE:
                self._kernel(value, DEVICE[category])
            elif RUNTIME.fullmatch(category) and LAUNCHING.search(self._name(value)):
                self._launch(value)
        elif phase in self._ends and value.get("cat") == "fwdbwd":
            end = self._thread(value), nanoseconds(value["ts"])
            self._ends[phase][value.get("id")] = end

    def _thread(self, value: Mapping[str, Any]) -> int:
        key = str(value.get("pid")), str(value.get("tid"))
        return self._threads.setdefault(key, len(self._threads) + 1)

    def _name(self, value: Mapping[str, Any]) -> str:
        name = value.get("name") or ""
        if not isinstance(name, str):
            raise TypeError("a name is text")
        return self._names.setdefault(name, name)

    def _host_event(self, value: Mapping[str, Any], kind: Kind) -> None:
        name = self._name(value)
        if kind == "module" and not name.startswith(MODULE):
            return
        args = _arguments(value)
        start, length = _times(value)
        event = Event(name, start, start + length, kind, self._thread(value))
        event.external = _external(args)
        event.sequence = _number(args.get("Sequence number", -1), -1)
        event.forward_thread = _number(args.get("Fwd thread id", 0))
        dims = args.get("Input Dims", args.get("Input dims"))
        if dims:
            shapes = _shapes(dims)
            event.shapes = self._shapes.setdefault(shapes, shapes)
        if inputs := args.get("Concrete Inputs"):
            values = settings(name, inputs)
            event.settings = self._settings.setdefault(values, values)
        if types := args.get("Input type"):
            texts = tuple(each for each in types if isinstance(each, str))
            event.types = self._types.setdefault(texts, texts)
        self.trace.host.append(event)

    def _launch(self, value: Mapping[str, Any]) -> None:
        args = _arguments(value)
        launch = Launch(self._name(value), _times(value)[0], self._thread(value), _external(args))
        # The runtime's call may call the driver's under the same id: the first is enough.
        self.trace.launches.setdefault(_number(args.get("correlation", 0)), launch)

    def _kernel(self, value: Mapping[str, Any], is_copy: bool) -> None:
        args = _arguments(value)
        start, length = _times(value)
        kernel = Kernel(self._name(value), start, start + length, is_copy=is_copy)
        kernel.external, kernel.correlation = _external(args), _number(args.get("correlation", 0))
        stream = _number(args.get("device", 0)), _number(args.get("stream", 0))
        kernel.stream = self._streams.setdefault(stream, stream)
        kernel.blocks, kernel.block = _product(args.get("grid")), _product(args.get("block"))
        self.trace.device.append(kernel)

    def finished(self, path: str) -> Trace:
        """The trace of all that was taken.

        Raises:
            ArchscopeError: it holds no events of a profiler.
        """
        trace = self.trace
        if not self.is_trace or not (trace.host or trace.device):
            problem = "holds no operators or kernels of torch.profiler"
            raise ArchscopeError(path, problem, "export it with profile.export_chrome_trace")
        begins, ends = self._ends["s"], self._ends["f"]
        trace.links = [Link(begins[key], ends[key]) for key in begins.keys() & ends.keys()]
        trace.facts = self.facts
        trace.rounding = 1000  # of files with whole microseconds, or that a float went through
        trace.sort()
        nest(trace)
        return trace


def _times(value: Mapping[str, Any]) -> tuple[int, int]:
    """Start and length in nanoseconds."""
    length = nanoseconds(value.get("dur") or 0)
    if length < 0:
        raise ValueError("a length is negative")
    return nanoseconds(value["ts"]), length


def _arguments(value: Mapping[str, Any]) -> Mapping[str, Any]:
    args = value.get("args") or {}
    if not isinstance(args, dict):
        raise TypeError("arguments have names")
    return args


def _external(args: Mapping[str, Any]) -> int:
    return _number(args.get("External id", args.get("external id", 0)))


def _number(value: Any, otherwise: int = 0) -> int:
    """Ids are numbers, or text that spells one."""
    if type(value) is int:
        return value
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise


def _product(sides: Any) -> int:
    return prod(map(_number, sides)) if isinstance(sides, list) else 0


def _shapes(dims: Any) -> Shapes:
    """One shape an input; those of a list of tensors follow one another."""
    found: list[tuple[int, ...]] = []
    for shape in dims if isinstance(dims, list) else ():
        if isinstance(shape, list) and shape and isinstance(shape[0], list):
            found += [tuple(inner) for inner in shape]
        elif isinstance(shape, list):
            found.append(tuple(shape))
    return tuple(found)


def _facts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if key == "deviceProperties" and isinstance(value, list) and value:
        first = value[0] if isinstance(value[0], dict) else {}
        for fact, name in (
            ("device name", "name"),
            ("memory bytes", "totalGlobalMem"),
            ("multiprocessors", "numSms"),
        ):
            if name in first:
                yield fact, str(first[name])
        yield "devices", str(len(value))
    elif key == "distributedInfo" and isinstance(value, dict):
        for fact, name in (("rank", "rank"), ("ranks", "world_size"), ("backend", "backend")):
            if name in value:
                yield fact, str(value[name])
    elif key == "archscope" and isinstance(value, dict):
        yield from ((fact, str(number)) for fact, number in value.items())
    elif key in ("baseTimeNanoseconds", "record_shapes", "with_stack", "trace_id"):
        yield key, str(value)
