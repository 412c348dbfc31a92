"""What a count changes in this process, and how all of it is put back, whatever ends the count.

PyTorch has functions, modes, flags and random generators that belong to the process, not to a
network. A count replaces some and its network may change others.
One thread at a time does so, no other thread notices, and Ctrl-C waits while something is put back.
"""

from __future__ import annotations

import functools
import gc
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import CodeType, FrameType
from typing import Any, TypeVar

_LOCK = threading.RLock()

_MISSING = object()

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGVTALRM")
    if hasattr(signal, name)
)

Finaliser = TypeVar("Finaliser", bound=Callable[..., Any])

Flag = tuple[Callable[[], Any], Callable[[Any], None]]
"""How something of the process is asked, and how it is set."""

_watched: list[Flag] = []

_finalisers: set[CodeType] = set()

OWN_FRAMES = 500
"""Calls between a network's own, besides those that stand between a module and its caller."""

PATIENCE = 3
"""The signal that is delivered wherever the count is: something holds the earlier ones back."""


class _Count:
    """The count that runs: whether one does, its patches, and the signals that it got."""

    def __init__(self) -> None:
        self.runs = False
        self.changes: list[tuple[Any, str, Any]] = []
        self.signals: _Signals | None = None


_present = _Count()


class _Signals:
    """Signals whose handlers may raise: delivered inside `interruptible`, else afterwards.

    Args:
        handlers: by the number of the signal.
    """

    def __init__(self, handlers: dict[int, Any]) -> None:
        self.handlers = handlers
        self.open = False
        self.waiting: list[int] = []
        self.raised: BaseException | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        raises = self.open and (frame is None or frame.f_code not in _finalisers)
        if raises or len(self.waiting) + 1 >= PATIENCE:
            before, self.open = self.open, False  # should the handler raise
            try:
                self.handlers[number](number, frame)
            except BaseException as error:
                self.raised = error
                raise
            self.open = before
        else:
            self.waiting.append(number)

    def deliver(self) -> None:
        """Call the handlers of what came meanwhile."""
        while self.waiting:
            number = self.waiting.pop(0)
            self.handlers[number](number, sys._getframe())


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let this thread alone change PyTorch inside, and leave all as it was.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed where it had to wait.
    """
    with _LOCK:
        if _present.runs:
            yield
            return
        with _signals_waiting():
            before = _Snapshot()
            try:
                _present.runs = True
                try:
                    sys.setrecursionlimit(2 * before.recursion + OWN_FRAMES)
                    with _no_inference_mode():
                        yield
                finally:
                    before.put_back()
            finally:
                if not before.is_back:  # something ended the first time half-way
                    before.put_back()
                _present.runs = False


@contextmanager
def interruptible() -> Iterator[None]:
    """Deliver Ctrl-C at once inside, where code that is not ours runs."""
    signals = _present.signals
    if signals is None or not _is_main():
        yield
        return
    try:
        signals.open = True
        signals.deliver()
        yield
    finally:
        signals.open = False


@contextmanager
def patched(patches: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """Replace attributes, and put the originals back whatever happens inside.

    Args:
        patches: owner, name and value of each. Other threads see them, see `patched_here`.
    """
    with undisturbed():
        start = len(_present.changes)
        try:
            for owner, name, value in patches:
                _present.changes.append((owner, name, vars(owner).get(name, _MISSING)))
                setattr(owner, name, value)
            yield
        finally:
            _undo(start)


@contextmanager
def patched_here(patches: Sequence[tuple[Any, str, Callable[..., Any]]]) -> Iterator[None]:
    """Replace functions in this thread alone; as `patched`.

    Whoever binds one of them meanwhile, as a module does that is imported, has the original
    afterwards.
    """
    running = {threading.get_ident()}

    def either(original: Callable[..., Any], replacement: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def chosen(*args: Any, **kwargs: Any) -> Any:
            function = replacement if threading.get_ident() in running else original
            return function(*args, **kwargs)

        return chosen

    try:
        with patched([(o, name, either(getattr(o, name), new)) for o, name, new in patches]):
            yield
    finally:
        running.clear()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector out: thousands of new modules would wake it for nothing.

    It takes more than half of the time of a build otherwise.
    """
    with undisturbed():
        enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()


def watch(ask: Callable[[], Any], set_to: Callable[[Any], None]) -> None:
    """Put back something else after each count.

    Args:
        ask: what it is.
        set_to: makes it what it was.
    """
    _watched.append((ask, set_to))


def finaliser(function: Finaliser) -> Finaliser:
    """Mark a function that Python calls when an object goes: what is raised in there is lost."""
    code: Any = function
    _finalisers.add(code.__code__)
    return function


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _signals_waiting() -> Iterator[None]:
    if not _is_main():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    signals = _Signals(handlers)
    installed = list(handlers.items())
    try:
        for number in handlers:
            signal.signal(number, signals.receive)
        _present.signals = signals
        yield
    except Exception as error:
        if signals.raised is not None:  # and PyTorch or the network made another error of it
            raise signals.raised from error
        raise
    finally:
        try:
            _present.signals = None
            _install(installed)
        finally:
            _install(installed)
    signals.deliver()


def _install(handlers: list[tuple[int, Any]]) -> None:
    """Set every handler, also where one of them raises on the way."""
    try:
        while handlers:
            signal.signal(*handlers[-1])
            handlers.pop()
    finally:
        if handlers:
            _install(handlers)


def _undo(start: int) -> None:
    """Take back the patches from a place on, the latest first."""
    while len(_present.changes) > start:
        owner, name, value = _present.changes[-1]
        if value is _MISSING:
            with suppress(AttributeError):
                delattr(owner, name)
        else:
            setattr(owner, name, value)
        _present.changes.pop()


@contextmanager
def _no_inference_mode() -> Iterator[None]:
    """Count under `torch.inference_mode` as under `torch.no_grad`: a copy may be trained."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


class _Snapshot:
    """The state of the process that code of a network can change."""

    def __init__(self) -> None:
        self.is_back = False
        self.recursion = sys.getrecursionlimit()
        self.watched = [(ask(), set_to) for ask, set_to in _watched]
        self.collector = gc.isenabled()
        self.python = random.getstate()
        numpy = sys.modules.get("numpy.random")
        self.numpy = None if numpy is None else numpy.get_state()
        self.torch = _Torch() if "torch" in sys.modules else None

    def put_back(self) -> None:
        _undo(0)
        sys.setrecursionlimit(self.recursion)
        for before, set_to in self.watched:
            set_to(before)
        if self.torch is not None:
            self.torch.put_back()
        if random.getstate() != self.python:
            random.setstate(self.python)
        if self.numpy is not None:
            _put_back_numpy(self.numpy)
        if gc.isenabled() != self.collector:
            (gc.enable if self.collector else gc.disable)()
        self.is_back = True


def _put_back_numpy(before: Any) -> None:
    numpy: Any = sys.modules["numpy.random"]
    now = numpy.get_state()
    if now[0] != before[0] or now[2:] != before[2:] or (now[1] != before[1]).any():
        numpy.set_state(before)


class _Torch:
    """PyTorch's modes, flags and generator on the CPU."""

    def __init__(self) -> None:
        import torch

        self.generator = torch.get_rng_state()
        self.function_modes = _function_modes()
        self.dispatch_modes = torch._C._len_torch_dispatch_stack()
        self.device = _default_device()
        self.flags = [(ask(), set_to) for ask, set_to in _flags()]

    def put_back(self) -> None:
        import torch
        from torch.utils._python_dispatch import _pop_mode

        while torch._C._len_torch_dispatch_stack() > self.dispatch_modes:
            _pop_mode()
        modes = _function_modes()
        if len(modes) != len(self.function_modes) or any(
            now is not before for now, before in zip(modes, self.function_modes, strict=True)
        ):
            for _ in modes:
                torch._C._pop_torch_function_stack()
            for mode in self.function_modes:
                torch._C._push_on_torch_function_stack(mode)
        _set_default_device(self.device)
        for (before, set_to), (ask, _) in zip(self.flags, _flags(), strict=True):
            if ask() != before:
                set_to(before)
        if not torch.equal(torch.get_rng_state(), self.generator):
            torch.set_rng_state(self.generator)


def _function_modes() -> list[Any]:
    import torch

    length = torch._C._len_torch_function_stack()
    return [torch._C._get_function_stack_at(place) for place in range(length)]


def _default_device() -> tuple[Any, Any]:
    """Of `with torch.device(…)`, and of `torch.set_default_device`."""
    import torch
    from torch.utils import _device

    return _device.CURRENT_DEVICE, getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _set_default_device(device: tuple[Any, Any]) -> None:
    import torch
    from torch.utils import _device

    _device.CURRENT_DEVICE = device[0]
    if getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None) is not device[1]:
        torch._GLOBAL_DEVICE_CONTEXT.device_context = device[1]


def _autocast_depth() -> int:
    """How many autocast blocks are open, which PyTorch tells only while it changes it."""
    import torch

    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    return depth


def _set_autocast_depth(depth: int) -> None:
    """Close blocks that were left open; casts of weights that they cached would outlive them."""
    import torch

    for _ in range(_autocast_depth() - depth):
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()


@functools.cache
def _flags() -> tuple[Flag, ...]:
    """How each flag of PyTorch is asked and set."""
    import torch

    per_device = [
        (functools.partial(ask, device), functools.partial(set_to, device))
        for device in ("cpu", "cuda")
        for ask, set_to in (
            (torch.is_autocast_enabled, torch.set_autocast_enabled),
            (torch.get_autocast_dtype, torch.set_autocast_dtype),
        )
    ]
    return (
        (torch.is_grad_enabled, torch._C._set_grad_enabled),
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
        (_autocast_depth, _set_autocast_depth),
        (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
        (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (torch.get_num_threads, torch.set_num_threads),
        (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
        *per_device,
    )  # fmt: skip
