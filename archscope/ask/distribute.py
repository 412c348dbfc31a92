"""A network and a plan of parallel training → the collectives of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from archscope.errors import ArchscopeError, NetworkError, first_line
from archscope.parameters import parameter
from archscope.patterns import unmatched
from archscope.process import interruptible
from archscope.records import ClosedForm, Collective, Distribution, ParallelKind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archscope.analysis.calls import Arguments
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target

Ran = TypeVar("Ran")

PLANS = {"ddp": "DistributedDataParallel", "fsdp": "fully_shard"}
"""Each plan, and PyTorch's name for what runs it."""

MOST_GPUS = 2**16


@dataclass(frozen=True)
class ParallelPlan:
    """How training is divided.

    Args:
        kind: one of `PLANS`.
        gpus: in the job.
        wrap: pattern of the modules that `fully_shard` gathers each by itself; the repeated blocks
            when `None`.
        reshard_after_forward: as for `fully_shard`: blocks drop gathered parameters until the
            backward pass.

    Raises:
        ArchscopeError: an unknown plan, or a number of GPUs that is none.
    """

    kind: ParallelKind
    gpus: int
    wrap: str | None = None
    reshard_after_forward: bool = True

    def __post_init__(self) -> None:
        if self.kind not in PLANS:
            raise ArchscopeError(
                parameter("plan", self.kind), "is unknown", f"use one of {', '.join(PLANS)}"
            )
        for name, given in (
            ("wrap", self.wrap), ("reshard_after_forward", not self.reshard_after_forward),
        ):  # fmt: skip
            if given and self.kind != "fsdp":
                raise ArchscopeError(
                    parameter(name, self.wrap if name == "wrap" else False),
                    f"decides nothing under {self.kind}",
                    f"use it with {parameter('plan', 'fsdp')}",
                )
        if not 2 <= self.gpus <= MOST_GPUS:
            raise ArchscopeError(
                parameter("gpus", self.gpus),
                "is not a number of GPUs that share a step",
                f"give 2 to {MOST_GPUS:,}",
            )


def distribute(target: Target, plan: ParallelPlan) -> Distribution:
    """Run one step of parallel training on fake tensors and a fake group, and take it down.

    PyTorch's own parallel classes run in this process as one GPU of the job; nothing is computed
    and nothing is sent. The batch is that of one GPU.

    Args:
        target: the network with its call.
        plan: how it is divided.

    Raises:
        ArchscopeError: the network cannot be found or built, PyTorch cannot run it under this plan
            on fake tensors, or this process has a process group already.
    """
    subject, call = target.called()
    module = subject.module
    parameter_bytes = sum(p.nbytes for p in module.parameters())
    trainable_bytes = sum(p.nbytes for p in module.parameters() if p.requires_grad)
    buffer_bytes = sum(b.nbytes for b in module.buffers())
    issued, closed_forms, notes = _ran(subject, call, plan)
    return Distribution(
        model=subject.name,
        input=call.spec,
        plan=plan.kind,
        gpus=plan.gpus,
        parameter_bytes=parameter_bytes,
        trainable_bytes=trainable_bytes,
        buffer_bytes=buffer_bytes,
        collectives=issued,
        closed_forms=closed_forms,
        keywords=subject.keywords,
        versions=subject.versions,
        notes=(*subject.notes, *notes),
    )


Found = tuple[tuple[Collective, ...], tuple[ClosedForm, ...], tuple[str, ...]]
"""Collectives, closed forms and notes."""

Lend = Callable[[Callable[..., Found]], Found]
"""Calls a run with a copy of the network, the arguments of its call and a loss."""


def _ran(subject: Subject, call: NetworkCall, plan: ParallelPlan) -> Found:
    from archscope.collectives.fake import fake_group

    with fake_group(plan.gpus):
        try:
            return _RUNS[plan.kind](partial(_run, subject, call), plan)
        except NetworkError as error:
            raise error.named(subject.name) from error
        except ArchscopeError:
            raise
        except Exception as error:
            raise _refusal(subject, call, plan, error) from error


def _run(subject: Subject, call: NetworkCall, run: Callable[..., Ran]) -> Ran:
    """Lend a copy of fake tensors, the arguments of its call and a loss."""
    import torch

    from archscope.analysis import borrow
    from archscope.analysis.calls import CallLog
    from archscope.analysis.trace import observed, unfused_attention
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
    except ArchscopeError as known:
        return known
    except Exception as own:
        if needs_values(own):
            return ArchscopeError(
                subject.name,
                f"{place_of(own)} needs the values of tensors, which fake tensors do not have",
                "no plan of parallel training can be followed",
            )
        return failure(subject.name, call.spec, subject.default_input, own)
    return ArchscopeError(
        parameter("plan", plan.kind),
        f"PyTorch cannot run {subject.name} under {PLANS[plan.kind]} on fake tensors: "
        f"{place_of(error)} raises {first_line(error)}",
    )


def _ddp(lend: Lend, plan: ParallelPlan) -> Found:
    from archscope.collectives import closed_forms, ddp

    def run(
        network: nn.Module,
        arguments: Arguments,
        loss: Callable[[Any], Tensor],
        unused: bool = False,
    ) -> Found:
        trainable = sum(p.nbytes for p in network.parameters() if p.requires_grad)
        buffers = sum(b.nbytes for b in network.buffers())
        issued = ddp.step(network, arguments, loss, unused)
        return issued, closed_forms.of_ddp(issued, trainable, buffers), UNUSED[:unused]

    try:
        return lend(run)
    except ddp.UnusedParametersError:
        return lend(partial(run, unused=True))


UNUSED = (
    "Some parameters get no gradient, so it ran with find_unused_parameters=True, which also "
    "all-reduces a map of those that are used.",
)


def _fsdp(lend: Lend, plan: ParallelPlan) -> Found:
    from archscope.analysis.borrow import members
    from archscope.collectives import closed_forms, fsdp

    def run(network: nn.Module, arguments: Arguments, loss: Callable[[Any], Tensor]) -> Found:
        modules = members(network)
        blocks = _blocks(network, plan)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        units = [
            closed_forms.Unit(
                name,
                tuple(
                    closed_forms.Sharded(names[id(p)], tuple(p.shape), p.itemsize, p.requires_grad)
                    for p in fsdp.own_parameters(modules, name, blocks)
                ),
            )
            for name in (*blocks, "")
        ]
        issued = fsdp.step(network, arguments, loss, blocks, plan.reshard_after_forward)
        forms = closed_forms.of_fsdp(issued, units, plan.gpus, plan.reshard_after_forward)
        return issued, forms, () if blocks else (NO_BLOCKS,)

    return lend(run)


NO_BLOCKS = (
    "No repeated blocks were found, so all parameters are gathered at once: name the modules to "
    f"shard by themselves with {parameter('wrap')}."
)


def _blocks(network: nn.Module, plan: ParallelPlan) -> list[str]:
    """The modules that are sharded each by itself.

    Raises:
        ArchscopeError: the pattern matches nothing.
    """
    from archscope.analysis.borrow import members
    from archscope.analysis.recomputation import outermost
    from archscope.collectives.blocks import blocks

    if plan.wrap is None:
        return blocks(network)
    found = outermost(network, plan.wrap)
    if not found:
        raise unmatched(
            parameter("wrap", plan.wrap), plan.wrap, type(network).__name__, members(network)
        )
    return found


_RUNS: dict[str, Callable[[Lend, ParallelPlan], Found]] = {"ddp": _ddp, "fsdp": _fsdp}
