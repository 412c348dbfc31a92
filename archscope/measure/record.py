"""Record a trace that `archscope trace` can read by layer. Needs PyTorch alone (1.9 or later).

    from record import record

    with record(network, "trace.json.gz") as step:
        for images, labels in loader:
            train(network, images, labels)
            step()          # at the end of each step

A few steps run untouched, and are timed; then a range is opened around every module call, and a few
steps are profiled. The rest of the loop runs untouched again. What recording costs is printed.

    archscope trace trace.json.gz --model resnet50
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, record_function

CALL = "archscope-call|"

# Private but three times cheaper than record_function, which adds 50 µs to every module call.
open_range = getattr(torch._C._profiler, "_RecordFunctionFast", record_function)


class Ranges:
    """Hooks that open a profiler range around every call of every module.

    Args:
        modules: by the name that the range gets.
        mark: what a module's range begins with.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], mark: Callable[[nn.Module], str] = lambda _: CALL
    ) -> None:
        # A module registered under two names is one module: its first name stands.
        self._names: dict[nn.Module, str] = {}
        for name, module in modules.items():
            self._names.setdefault(module, f"{mark(module)}{name}|{type(module).__name__}")
        self._open = _OpenRanges()
        self._handles: list[Any] = []

    def __enter__(self) -> Ranges:
        for module, name in self._names.items():
            # DataParallel's replicas share the hooks of a module, but are none of the modules.
            begin = functools.partial(self._enter, name)
            try:
                # First in, last out, so that the user's own hooks lie inside the range.
                enter = module.register_forward_pre_hook(begin, prepend=True)
                leave = module.register_forward_hook(self._exit, always_call=True)
            except TypeError:  # before PyTorch 2.0
                enter = module.register_forward_pre_hook(begin)
                leave = module.register_forward_hook(self._exit)
            self._handles += [enter, leave]
        return self

    def __deepcopy__(self, _: object) -> Ranges:
        return self  # a network that is copied meanwhile opens the same ranges

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _enter(self, name: str, *_: object) -> None:
        opened = open_range(name)
        self._open.ranges.append(opened)
        opened.__enter__()

    def _exit(self, *_: object) -> None:
        # Called also when forward raises, so the call at hand is always the one opened last.
        self._open.ranges.pop().__exit__(None, None, None)


class _OpenRanges(threading.local):
    """The ranges that are open on this thread."""

    def __init__(self) -> None:
        self.ranges: list[Any] = []


@contextmanager
def record(
    network: nn.Module, path: str = "trace.json.gz", steps: int = 5, before: int = 5
) -> Iterator[Callable[[], None]]:
    """Record a few steps of the loop inside, and save them as a trace.

    Args:
        network: whose modules become layers; of a wrapper (DistributedDataParallel) what it wraps.
        path: of the trace; with several ranks each writes its own, such as `trace.rank1.json.gz`.
        steps: how many to record, after one that warms the profiler up.
        before: how many to run untouched first, which a step's own time is taken from; the very
            first one, which compiles and searches, is not counted among them. 0 records from the
            start.

    Yields:
        a function to call at the end of each step.
    """
    recording = _Recording(network, path, steps, before)
    try:
        yield recording.step
    finally:
        recording.stop()


class _Recording:
    def __init__(self, network: nn.Module, path: str, steps: int, before: int) -> None:
        whole = getattr(network, "module", network)
        compiled = getattr(whole, "_orig_mod", None)
        # Hooks inside a compiled network would break its graph.
        modules = dict(whole.named_modules()) if compiled is None else {"": whole}
        self._ranges = Ranges(modules)
        self._path = path
        self._steps, self._before = steps, before
        self._seconds: list[float] = []
        self._facts: dict[str, Any] = {}
        self._profiler: Any = None
        self._ended = False
        if not self._untouched:
            self._start()
        self._began = time.perf_counter()

    def step(self) -> None:
        """Note that a step has ended."""
        if self._ended:
            return
        if len(self._seconds) <= self._before or self._profiler is not None:
            _synchronize()
        self._seconds.append(time.perf_counter() - self._began)
        if self._profiler is not None:
            if self._recorded == self._steps:
                self.stop()
            else:
                self._profiler.step()
        elif len(self._seconds) == self._untouched:
            self._start()
        self._began = time.perf_counter()

    @property
    def _untouched(self) -> int:
        """Steps that run before the profiler."""
        return self._before + 1 if self._before else 0

    @property
    def _recorded(self) -> int:
        """Steps that were recorded as a whole; one warms the profiler up."""
        return max(0, len(self._seconds) - self._untouched - 1)

    def _start(self) -> None:
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._ranges.__enter__()
        schedule = torch.profiler.schedule(wait=0, warmup=1, active=self._steps, repeat=1)
        self._profiler = torch.profiler.profile(
            activities=activities,
            schedule=schedule,
            record_shapes=True,
            on_trace_ready=lambda profiler: self._save(profiler),
        )
        self._profiler.__enter__()

    def stop(self) -> None:
        """Save what was recorded, and leave the network as it was."""
        if self._ended:
            return
        self._ended = True
        if self._profiler is not None:
            self._ranges.__exit__()
            if self._recorded:
                self._note()
                self._profiler.step()
            self._profiler.__exit__(None, None, None)
        if not self._recorded:
            print(f"{_of_rank(self._path)} was not written: {self._reason()}", file=sys.stderr)

    def _reason(self) -> str:
        ran = len(self._seconds)
        if ran == 0:
            return "no step ended; call what record yields at the end of each"
        wanted = f"the loop ended after {ran} of the {self._untouched + 2} steps that it takes"
        if ran == 1:
            return f"{wanted}; run two or more"
        steps = min(self._steps, max(1, (ran - 1) // 2))
        return f"{wanted}; give record(..., before={max(0, ran - 2 - steps)}, steps={steps})"

    def _note(self) -> None:
        """Write the cost of recording into the trace, while it is still open."""
        alone = self._seconds[1 : self._untouched]  # the first step searches and compiles
        recorded = self._seconds[self._untouched + 1 :]
        self._facts = {"torch": torch.__version__}
        if alone and recorded:
            self._facts["step seconds"] = statistics.median(alone)
            self._facts["recorded step seconds"] = statistics.median(recorded)
        if hasattr(self._profiler, "add_metadata_json"):
            self._profiler.add_metadata_json("archscope", json.dumps(self._facts))

    def _save(self, profiler: Any) -> None:
        if self._recorded:
            path = _of_rank(self._path)
            profiler.export_chrome_trace(path)
            steps = "1 step" if self._recorded == 1 else f"{self._recorded} steps"
            print(f"{path}: {steps}{_cost(self._facts)}", file=sys.stderr)


def _cost(facts: Mapping[str, Any]) -> str:
    if "step seconds" not in facts:
        return ""
    alone, recorded = facts["step seconds"], facts["recorded step seconds"]
    more = 100 * (recorded / alone - 1)
    cost = f"{more:+.0f} %" if more > 0 else "it costs less than steps vary"
    return f" of {1e3 * recorded:.1f} ms; {1e3 * alone:.1f} ms without recording ({cost})"


def _of_rank(path: str) -> str:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return path
    if distributed.get_world_size() == 1:
        return path
    name, _, suffix = path.partition(".json")
    return f"{name}.rank{distributed.get_rank()}.json{suffix}"


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
