"""Whatever the user names → Profile: measured on a real device, with its count beside it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from archscope import interruption
from archscope.ask.count import analyse
from archscope.ask.network.allowance import require_memory
from archscope.ask.network.call import network_call, with_batch
from archscope.ask.network.failure import one_sample, one_sample_failure
from archscope.ask.network.subject import Subject
from archscope.ask.profile.predicted import predicted_bytes
from archscope.ask.profile.roofline import arithmetic, exceeds_roof, network_dtype
from archscope.ask.target import Target
from archscope.errors import ArchscopeError
from archscope.measure import device as devices
from archscope.measure import memory, session
from archscope.measure.failure import OutOfMemoryError, failures
from archscope.measure.roofs import raised
from archscope.measure.session import Plan, Progress, silent
from archscope.measure.step import STEPS, Step, configured
from archscope.parameters import in_words, parameter
from archscope.records import Analysis, InputSpec, Profile
from archscope.records.measured import INTERRUPTED
from archscope.units import binary_bytes

DEFAULT_BATCH = 8
"""Samples of a measured batch, unless another is asked for."""


def profile(
    target: Target,
    plan: Plan,
    *,
    progress: Progress = silent,
) -> Profile:
    """Measure one network on one device.

    Args:
        target: the network with its call; its batch is 8 when `None` and the input has a batch
            dimension.
        plan: device, settings, precision, and what to measure.
        progress: called with what is being measured.

    Raises:
        ArchscopeError: no such network or device, or the network fails.
        OutOfMemoryError: the batch does not fit.
    """
    subject, spec = subject_of(target)
    try:
        found = session.run(subject.name, built(subject), spec, plan, progress, subject.keywords)
    except ArchscopeError as error:
        if error.__cause__ is not None and one_sample(spec, error.__cause__):
            raise one_sample_failure(subject.name, "a layer") from error
        raise
    return completed(target, spec, plan, found, progress)


def completed(
    target: Target, spec: InputSpec, plan: Plan, found: Profile, progress: Progress
) -> Profile:
    """Add to what was measured its count, the predicted memory, and roofs that hold it.

    Args:
        target: the network with its call.
        spec: what it was called with.
        plan: what was measured; without details nothing is added.
        found: what was measured.
        progress: called with what is being found.
    """
    if not plan.details:
        return found
    progress("count of its operators", 1.0)
    try:
        analysis = _count(target, spec, plan)
    except KeyboardInterrupt:
        return replace(found, notes=(*found.notes, INTERRUPTED))
    except ArchscopeError as error:
        note = f"Its operators could not be counted: {error.problem}."
        return replace(found, notes=(*found.notes, note))
    progress("prediction of its memory", 1.0)
    measured_at = replace(target, input=spec, batch=None)
    predicted = predicted_bytes(measured_at, plan, network_dtype(found))
    found = replace(found, analysis=analysis, predicted_bytes=predicted)
    return _below_roofs(found, plan, progress)


def _below_roofs(found: Profile, plan: Plan, progress: Progress) -> Profile:
    """Measure the roofs once more where a layer was faster than they allow."""
    keys = arithmetic(found)
    fallback = found.environment.fact("roofs") == devices.FALLBACK
    if keys is None or fallback or not exceeds_roof(found):
        return found
    progress("roofs of the device again", 0.0)
    device = devices.find(plan.settings.device)
    try:
        with configured(plan.settings, device):
            peaks = raised(found.peaks, device, keys.others, plan.roofs)
    except RuntimeError:
        return found
    except KeyboardInterrupt:
        return replace(found, notes=(*found.notes, INTERRUPTED))
    facts = {**dict(found.environment.facts), "roofs": str(peaks)}
    environment = replace(found.environment, facts=tuple(facts.items()))
    return replace(found, peaks=peaks.rates, environment=environment)


def sweep(
    target: Target,
    plan: Plan,
    batches: Iterable[int] | None = None,
    *,
    progress: Progress = silent,
) -> tuple[Profile, ...]:
    """Measure at several batch sizes, up to the first that does not fit; at one when `None`.

    The batch that failed is named in the notes of the largest that ran; an interruption ends the
    sweep and keeps what was measured.

    Raises:
        OutOfMemoryError: already the smallest batch does not fit.
    """
    found: list[Profile] = []
    for batch in [target.batch] if batches is None else sorted(set(batches)):
        try:
            measured = profile(replace(target, batch=batch), plan, progress=progress)
        except OutOfMemoryError as error:
            if not found:
                raise
            largest = found[-1]
            note = f"{in_words(error.argument)} {error.problem}; the largest that ran is "
            note += f"{largest.input.batch}."
            found[-1] = replace(largest, notes=(*largest.notes, note))
            break
        found.append(measured)
        if measured.interrupted:
            break
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LargestBatch:
    """The largest batch that runs, 0 for none.

    Args:
        peak_bytes: what the confirming process took.
        bound_bytes: what it was allowed to take.
        available_bytes: what there was.
    """

    batch: int
    peak_bytes: int
    bound_bytes: int
    available_bytes: int


def largest_batch(
    target: Target,
    plan: Plan,
    *,
    available_bytes: int | None = None,
    progress: Progress = silent,
) -> LargestBatch:
    """Find the largest batch of the plan's first mode by prediction, confirmed by a real run.

    Args:
        target: as for `profile`; the confirming process builds it again, so a name is best.
        plan: device, settings and mode.
        available_bytes: pretend that there is this much memory.
        progress: called with what is being tried.

    Raises:
        ArchscopeError: no such device, the network fails, or nobody knows how much memory is free.
    """
    subject, spec = subject_of(replace(target, batch=1))
    device = devices.find(plan.settings.device)
    available = available_bytes or memory.available_bytes(device)
    bound = memory.bound_bytes(device, available)
    progress(f"the largest batch within {binary_bytes(bound)}", 0.0)
    # Address space is reserved before it is used: a process that stays within the bound may
    # ask for somewhat more.
    limit = (bound + available) // 2
    again = replace(target, found=None)
    attempts = _Attempts(again, subject.name, built(subject), spec, plan, limit, progress)
    batch, peak = memory.largest_batch(attempts.predicted, attempts.confirmed, bound)
    return LargestBatch(batch, peak, bound, available)


@dataclass
class _Attempts:
    """Runs of one network at one batch after another.

    Args:
        target: what a process of its own builds.
        name: the network's, for messages.
        module: what is run in this process.
        spec: its input, at any batch.
        limit: bytes beyond which a process of its own gets no more.
    """

    target: Target
    name: str
    module: Any
    spec: InputSpec
    plan: Plan
    limit: int
    progress: Progress
    tried: int = 0

    def predicted(self, batch: int) -> int | None:
        """Bytes of tensors at the peak of a step, run in this process."""
        self._tell(f"memory at batch {batch}")
        spec, device = with_batch(self.spec, batch), devices.find(self.plan.settings.device)
        try:
            with (
                configured(self.plan.settings, device),
                failures(self.name, self.plan.modes[0], spec, device),
            ):
                found = memory.peak_bytes(_step(self.plan, self.module, spec))
        except OutOfMemoryError:
            return None
        return max(size for kind, size in found.items() if kind.endswith(" allocated"))

    def confirmed(self, batch: int) -> int | None:
        """Bytes that a process of its own takes for two steps."""
        self._tell(f"batch {batch} in a process of its own")
        memory.release(devices.find(self.plan.settings.device))
        spec = with_batch(self.spec, batch)
        return _trial(self.target, self.plan, spec, self.limit)

    def _tell(self, what: str) -> None:
        self.progress(what, self.tried / USUAL_TRIES)
        self.tried = min(self.tried + 1, USUAL_TRIES)


USUAL_TRIES = 4
"""Two small batches, one on the way to the prediction, and the confirmation."""

NO_MEMORY = 3
"""Exit code of a trial that ran out of memory."""


def _trial(target: Target, plan: Plan, spec: InputSpec, limit: int) -> int | None:
    """Bytes that two steps take in a process of their own, `None` where memory runs out.

    A process that the system ends ran out of memory too.
    """
    context = multiprocessing.get_context("spawn")
    answer, send = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(target, plan, spec, limit, send))
    try:
        with interruption.starting_processes():
            process.start()
        send.close()
        process.join()
    finally:
        if process.pid is not None:
            process.kill()
    code = process.exitcode or 0
    if code > 0 and code != NO_MEMORY:
        problem = f"fails at batch {spec.batch} in a process of its own (its error is above)"
        raise ArchscopeError(target.name, problem, f"measure it with {parameter('batch')} instead")
    return answer.recv() if code == 0 else None


def _try(target: Target, plan: Plan, spec: InputSpec, limit: int, answer: Connection) -> None:
    """Send the bytes that two steps take; exits with `NO_MEMORY` when memory runs out."""
    device = devices.find(plan.settings.device)
    module = built(target.subject())
    if device.type == "cpu":
        memory.forbid_growth(limit)
    taken = memory.growth(device)
    try:
        with configured(plan.settings, device):
            step = _step(plan, module, spec)
            step()
            step()
    except Exception as error:
        if memory.is_out_of_memory(error):
            raise SystemExit(NO_MEMORY) from None
        raise
    answer.send(taken())


def _step(plan: Plan, module: Any, spec: InputSpec) -> Step:
    kind = STEPS[plan.modes[0]]
    return kind(module, spec, plan.settings, devices.find(plan.settings.device))


def subject_of(target: Target) -> tuple[Subject, InputSpec]:
    """The network, and its input in numbers.

    Raises:
        ArchscopeError: no such network, a dimension is left free (`H`), or a batch is asked for
            and no input has one.
    """
    subject = target.subject()
    spec = network_call(subject, target.input, None).spec
    if any(tensor.batched for tensor in spec.tensors):
        spec = with_batch(spec, DEFAULT_BATCH if target.batch is None else target.batch)
    elif target.batch is not None:
        raise ArchscopeError(parameter("batch"), "no input has a batch dimension", "leave it out")
    if not all(isinstance(side, int) for tensor in spec.tensors for side in tensor.shape):
        raise ArchscopeError(str(spec), "a measured input needs numbers", "give every side")
    return subject, spec


def built(subject: Subject) -> Any:
    if subject.rebuild is None:
        raise ArchscopeError(subject.name, "has no weights", "give it with storage, or by name")
    require_memory(subject, (), "measuring it on this machine")
    return subject.rebuild()


def _count(target: Target, spec: InputSpec, plan: Plan) -> Analysis:
    training = plan.modes[0] == "training"
    measured_at = replace(target, input=spec, batch=None)
    return analyse(measured_at, backward=training, train=training)
