"""Kernels → operators: what the device was busy with, each kernel credited once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archscope.traces.events import (
    COMMUNICATION,
    COMPILER,
    COPIES,
    EARLIER,
    REPLAY,
    Call,
    Event,
    Kernel,
    Launch,
    Trace,
)
from archscope.traces.functions import in_python
from archscope.traces.nesting import Timeline, is_node
from archscope.traces.outside import COLLECTIVE
from archscope.traces.steps import Steps


@dataclass(frozen=True, slots=True)
class Credit:
    """Busy nanoseconds of one kernel, or on a device without kernel records of one operator.

    Args:
        step: in which it was launched.
        call: the module call or other row that it works for; `None` when unknown.
        phase: `forward`, `backward`, `accumulation`, `recompute`, `optimizer`.
        start: when it began.
        operator: False for the time between operators (Python, hooks), on the host.
        source: the kernel, or the operator.
        launched_by: the operator behind the kernel.
    """

    step: int
    call: Call | None
    phase: str
    nanoseconds: int
    start: int
    operator: bool = True
    source: Event | Kernel | None = None
    launched_by: Event | None = None


def credits(trace: Trace, steps: Steps) -> list[Credit]:
    """Credit every kernel once, or every operator's own time where there are no kernels.

    Args:
        trace: nested, with its owners.
        steps: what is in none of them is left out.
    """
    if trace.device:
        return _Kernels(trace, steps).credits()
    found = []
    threads = {step.thread for step in steps.steps}
    functions = in_python(trace.host)
    for event in trace.host:
        step = steps.at(event.start)
        if step is not None and event.thread in threads:
            own = event.end - event.start - event.inner
            is_python = event.is_range or event in functions or _is_range_of_others(event)
            operator = not is_python
            found.append(
                Credit(step, event.owner, event.phase, own, event.start, operator, event, event)
            )
    return found


def _is_range_of_others(event: Event) -> bool:
    """Whether it is a range of the user's or the compiler's, which has only Python of its own."""
    if event.owner is not None:
        return False
    return event.kind == "annotation" or ("::" not in event.name and not is_node(event))


class Launches:
    """Finds the operator that launched a kernel.

    Args:
        trace: nested.
    """

    def __init__(self, trace: Trace) -> None:
        self._launches = trace.launches
        self._timeline = Timeline(trace.host)
        self._operators: dict[int, Event] = {}
        for event in trace.host:
            if event.external > 0:
                # Overhead records inside an operator inherit its id: the first is the operator.
                self._operators.setdefault(event.external, event)
        if not self._ids_hold():
            self._operators = {}

    def _ids_hold(self) -> bool:
        """Whether ids name operators; in some files they repeat the correlation instead."""
        held = asked = 0
        for launch in self._launches.values():
            operator = self._operators.get(launch.external)
            if operator is not None and operator.thread == launch.thread:
                asked += 1
                held += operator.start <= launch.start <= operator.end
        return 2 * held >= asked

    def operator(self, kernel: Kernel) -> Event | None:
        """The innermost operator or range around the launch; `None` where nothing tells it."""
        if kernel.external > 0 and kernel.external in self._operators:
            return self._operators[kernel.external]
        launch = self._launches.get(kernel.correlation)
        if launch is None:
            return None
        if launch.external > 0 and launch.external in self._operators:
            return self._operators[launch.external]
        # A kernel launched by no operator (Triton) belongs where its launch is in time.
        return self._timeline.at(launch.thread, launch.start)


class _Kernels:
    """Finds the step, owner and phase of each kernel."""

    def __init__(self, trace: Trace, steps: Steps) -> None:
        self._trace = trace
        self._steps = steps
        self._launched_by = Launches(trace).operator
        self._first_launched = self._first_launches()

    def _first_launches(self) -> Mapping[tuple[int, int], int]:
        """When each stream began what was launched in the trace."""
        first: dict[tuple[int, int], int] = {}
        for kernel in self._trace.device:
            if kernel.correlation in self._trace.launches:
                first.setdefault(kernel.stream, kernel.start)
        return first

    def credits(self) -> list[Credit]:
        found = []
        for kernel in self._trace.device:
            launch = self._trace.launches.get(kernel.correlation)
            source = self._launched_by(kernel)
            when = launch or source or kernel
            step = self._steps.at(when.start)
            if step is not None:
                call, phase = self._owner(kernel, launch, source)
                length = kernel.end - kernel.start
                found.append(Credit(step, call, phase, length, kernel.start, True, kernel, source))
        return found

    def _owner(
        self, kernel: Kernel, launch: Launch | None, source: Event | None
    ) -> tuple[Call | None, str]:
        phase = source.phase if source is not None else ""
        if COLLECTIVE.search(kernel.name) and "nccl" in kernel.name.lower():
            return COMMUNICATION, phase
        if launch is not None and "GraphLaunch" in launch.name:
            owner = source.owner if source is not None else None
            is_compiled = owner is not None and owner.kind == COMPILER
            return owner if is_compiled else REPLAY, phase
        if source is not None:
            is_layers = source.owner is not None and source.owner.in_network
            if not is_layers and _crosses_to_the_host(kernel):
                return COPIES, phase
            return source.owner, phase
        if launch is None and kernel.start < self._first_launched.get(
            kernel.stream, kernel.start + 1
        ):
            return EARLIER, phase
        return (COPIES if _crosses_to_the_host(kernel) else None), phase


def _crosses_to_the_host(kernel: Kernel) -> bool:
    return kernel.is_copy and ("HtoD" in kernel.name or "DtoH" in kernel.name)


def busy(credits: Iterable[Credit]) -> dict[int, int]:
    """Nanoseconds in which each step kept the device busy, overlapping kernels counted once."""
    found: dict[int, int] = defaultdict(int)
    end = 0
    for credit in sorted(credits, key=lambda credit: credit.start):
        finish = credit.start + credit.nanoseconds
        if finish > end:
            found[credit.step] += finish - max(credit.start, end)
            end = finish
    return dict(found)
