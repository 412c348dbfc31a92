"""A network and a plan of parallel training → the collectives of a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from archscope.ask.distribute.held import held_memory
from archscope.ask.distribute.part import part_of
from archscope.ask.distribute.plan import PLANS, ParallelPlan
from archscope.ask.distribute.runs import RUNS
from archscope.ask.distribute.timing import connected, step_time
from archscope.errors import ArchscopeError, NetworkError, first_line
from archscope.parameters import parameter
from archscope.process import interruptible
from archscope.records import Distribution

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archscope.analysis.calls import Arguments
    from archscope.ask.distribute.found import Found
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target

Ran = TypeVar("Ran")


def distribute(target: Target, plan: ParallelPlan) -> Distribution:
    """Run one step of parallel training on fake tensors and a fake group, and take it down.

    PyTorch's own parallel classes run in this process as one GPU of the job; nothing is computed
    and nothing is sent. The batch is that of one GPU (of one group that divides layers).

    Args:
        target: the network with its call.
        plan: how it is divided.

    Raises:
        ArchscopeError: the network cannot be found or built, PyTorch cannot run it under this plan
            on fake tensors, or this process has a process group already.
    """
    from archscope.ask.network.call import floating_dtype

    if plan.on is not None:
        connected(plan.on)
    subject, call = target.called()
    module = subject.module
    found = _ran(subject, call, plan)
    dtype = str(floating_dtype(module)).removeprefix("torch.")
    part = part_of(subject, found.styles, plan.divided) if found.styles else subject
    return Distribution(
        model=subject.name,
        input=call.spec,
        plan=plan.kind,
        gpus=plan.gpus,
        parameter_bytes=sum(p.nbytes for p in module.parameters()),
        trainable_bytes=sum(p.nbytes for p in module.parameters() if p.requires_grad),
        buffer_bytes=sum(b.nbytes for b in module.buffers()),
        collectives=found.issued,
        closed_forms=found.closed_forms,
        dtype=dtype,
        computed_in="" if plan.dtype in (None, dtype) else plan.dtype,
        divided=plan.divided,
        sequence_parallel=plan.sequence,
        replicas=plan.replicas or 1,
        optimizer=plan.optimizer,
        memory=held_memory(subject, part, call, plan),
        time=step_time(part, call, plan, found.issued),
        keywords=subject.keywords,
        versions=subject.versions,
        notes=(*subject.notes, *found.notes),
    )


def _ran(subject: Subject, call: NetworkCall, plan: ParallelPlan) -> Found:
    from archscope.collectives.fake import fake_group

    _require_cpu(subject)
    with fake_group(plan.gpus):
        try:
            return RUNS[plan.kind](partial(_run, subject, call), plan)
        except NetworkError as error:
            raise _named(subject, error) from error
        except ArchscopeError:
            raise
        except Exception as error:
            raise _refusal(subject, call, plan, error) from error


def _require_cpu(subject: Subject) -> None:
    """Refuse layers that PyTorch runs on a GPU alone.

    Raises:
        ArchscopeError: naming the first of them.
    """
    from torch import nn

    from archscope.analysis.borrow import members

    for name, module in members(subject.module).items():
        if isinstance(module, nn.SyncBatchNorm):
            raise ArchscopeError(
                subject.name,
                f"{name} is a SyncBatchNorm, which PyTorch runs on a GPU alone",
                "ask about the network before convert_sync_batchnorm, which adds an all-gather "
                "and an all-reduce a layer",
            )


def _run(subject: Subject, call: NetworkCall, run: Callable[..., Ran]) -> Ran:
    """Lend a copy of fake tensors, the arguments of its call and a loss."""
    import torch

    from archscope.analysis import borrow
    from archscope.analysis.calls import CallLog
    from archscope.analysis.observed import observed, unfused_attention
    from archscope.ask.network.failure import without_torch_s_advice
    from archscope.collectives.fake import fake_tensors
    from archscope.measure.step import Loss

    with (
        without_torch_s_advice(),
        unfused_attention(),
        fake_tensors() as fake,
        borrow.copied(subject.module, call.original(on_meta=True), fake) as (network, arguments),
        torch.enable_grad(),
        observed(CallLog(network, torch._C._autograd._get_sequence_nr)),
        interruptible(),
    ):
        borrow.set_training(network, True)
        return run(network, arguments, Loss())


def _refusal(
    subject: Subject, call: NetworkCall, plan: ParallelPlan, error: Exception
) -> ArchscopeError:
    """Say whether the network fails by itself, or under the plan alone."""
    from archscope.ask.network.failure import failure, place_of
    from archscope.collectives.fake import needs_values

    def alone(network: nn.Module, arguments: Arguments, loss: Callable[[Any], Tensor]) -> None:
        args, kwargs = arguments
        loss(network(*args, **kwargs)).backward()  # type: ignore[no-untyped-call]

    try:
        _run(subject, call, alone)
    except NetworkError as known:
        return _named(subject, known)
    except ArchscopeError as known:
        return known
    except Exception as own:
        if needs_values(own):
            return ArchscopeError(
                subject.name,
                f"{place_of(own)} needs the values of tensors, which fake tensors do not have",
                "no plan of parallel training can be followed",
            )
        if _can_be_counted(subject, call):
            return ArchscopeError(
                subject.name,
                f"PyTorch cannot run it on fake tensors: {place_of(own)} raises "
                f"{type(own).__name__}: {first_line(own)}",
                "no plan of parallel training can be followed",
            )
        return failure(subject.name, call.spec, subject.default_input, own)
    return ArchscopeError(
        parameter("plan", plan.kind),
        f"PyTorch cannot run {subject.name} under {PLANS[plan.kind]} on fake tensors: "
        f"{place_of(error)} raises {type(error).__name__}: {first_line(error)}",
    )


def _can_be_counted(subject: Subject, call: NetworkCall) -> bool:
    """Whether the network runs where archscope answers for its operators, backward included."""
    from archscope.ask.count import analyse
    from archscope.ask.target import Target

    try:
        analyse(Target(subject.module, {}, call.spec), backward=True, train=True)
    except ArchscopeError:
        return False
    return True


def _named(subject: Subject, error: NetworkError) -> ArchscopeError:
    """What is wrong with a network under its name, with a remedy that goes with training."""
    from archscope.measure.step import NO_TRAINING

    return error.named(subject.name, SEE_TO_LOSS if error.remedy == NO_TRAINING else "")


SEE_TO_LOSS = "see that it has trainable parameters and returns what they compute"
