"""One step under each plan: what is issued, and what the closed forms promise of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from archscope.errors import ArchscopeError, first_line
from archscope.parameters import parameter
from archscope.patterns import unmatched
from archscope.records import ClosedForm, Collective, ParallelKind

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed.device_mesh import DeviceMesh

    from archscope.analysis.calls import Arguments
    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.collectives.closed_forms import Sharded, Unit
    from archscope.collectives.fsdp import Sharding
    from archscope.collectives.styles import Style, Styles


class Found(NamedTuple):
    """What one run gave.

    Args:
        issued: the collectives.
        closed_forms: totals beside their formulas.
        notes: sentences for the reader.
        styles: how linear layers are divided, by name.
    """

    issued: tuple[Collective, ...]
    closed_forms: tuple[ClosedForm, ...]
    notes: tuple[str, ...] = ()
    styles: Mapping[str, Style] = MappingProxyType({})


Lend = Callable[[Callable[..., Found]], Found]
"""Calls a run with a copy of the network, the arguments of its call and a loss."""


# DistributedDataParallel

UNUSED = (
    "Some parameters get no gradient, so it ran with find_unused_parameters=True, which also "
    "all-reduces a map of those that are used."
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
        forms = closed_forms.of_ddp(issued, trainable, buffers)
        return Found(issued, forms, (UNUSED,) if unused else ())

    try:
        return lend(run)
    except ddp.UnusedParametersError:
        return lend(partial(run, unused=True))


# fully_shard

NO_BLOCKS = (
    "No repeated blocks were found, so all parameters are gathered at once: name the modules to "
    f"shard by themselves with {parameter('wrap')}."
)


def _fsdp(lend: Lend, plan: ParallelPlan) -> Found:
    from archscope.collectives import closed_forms, fsdp
    from archscope.collectives.recorder import Cause, Recorder, record_step

    def run(network: nn.Module, arguments: Arguments, loss: Callable[[Any], Tensor]) -> Found:
        blocks = _blocks(network, plan)
        units = _units(network, blocks, plan)
        recorder = Recorder(lambda recorder, tensors: Cause("", "parameters"))
        if plan.replicas is None:
            mesh = fsdp.mesh_of(plan.gpus, 1)[0]
        else:
            mesh = fsdp.replicated_mesh(plan.replicas, plan.sharing)
        _sharding(mesh, blocks, plan).apply(network, recorder)
        issued = record_step(recorder, network, arguments, loss)
        forms = closed_forms.of_fsdp(issued, units, plan.sharing, plan.reshard_after_forward)
        if plan.replicas is not None:
            forms += closed_forms.of_replicas(issued, units, plan.sharing)
        return Found(issued, forms, () if blocks else (NO_BLOCKS,))

    return lend(run)


def _sharding(mesh: DeviceMesh, blocks: list[str], plan: ParallelPlan) -> Sharding:
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    from archscope.collectives.fsdp import Sharding

    gathered, reduced = (
        None if name is None else getattr(torch, name) for name in (plan.dtype, plan.reduce_dtype)
    )
    policy = MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=reduced)
    return Sharding(mesh, blocks, plan.reshard_after_forward, policy)


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


def _units(network: nn.Module, blocks: list[str], plan: ParallelPlan) -> list[Unit]:
    """What is gathered together, the root last; of a divided network, this GPU's part."""
    from archscope.analysis.borrow import members
    from archscope.collectives.closed_forms import Unit
    from archscope.collectives.fsdp import own_parameters

    modules = members(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [
        Unit(
            name,
            tuple(_sharded(names[id(p)], p, plan) for p in own_parameters(modules, name, blocks)),
        )
        for name in (*blocks, "")
    ]


def _sharded(name: str, parameter: nn.Parameter, plan: ParallelPlan) -> Sharded:
    """A parameter in the dtypes in which it is gathered and its gradient is reduced."""
    import torch

    from archscope.collectives.closed_forms import Sharded
    from archscope.collectives.tensor_parallel import local

    own = parameter.itemsize
    gathered = own if plan.dtype is None else getattr(torch, plan.dtype).itemsize
    reduced = gathered if plan.reduce_dtype is None else getattr(torch, plan.reduce_dtype).itemsize
    shape = tuple(local(parameter).shape)
    return Sharded(name, shape, gathered, reduced, parameter.requires_grad)


# parallelize_module


def _tp(lend: Lend, plan: ParallelPlan) -> Found:
    """Divide what is known to be divisible; attention whose code fails on some heads stays."""
    from archscope.ask.network.failure import place_of

    seen: list[Styles] = []
    try:
        return lend(partial(_divided, plan=plan, seen=seen))
    except ArchscopeError:
        raise
    except Exception as error:
        if not seen or seen[0].chosen:
            raise
        why = f"{place_of(error)} raises {first_line(error)}"
        fewer = seen[0].without_attention(why)
        if not fewer.by_layer or len(fewer.by_layer) == len(seen[0].by_layer):
            raise
    return lend(partial(_divided, plan=plan, seen=[], styles=fewer))


def _divided(
    network: nn.Module,
    arguments: Arguments,
    loss: Callable[[Any], Tensor],
    plan: ParallelPlan,
    seen: list[Styles],
    styles: Styles | None = None,
) -> Found:
    """Run one step of a network with divided layers, and with sharded blocks where that is asked.

    Args:
        network: a copy of the user's.
        arguments: of its call.
        loss: makes a scalar of what the network returns.
        plan: `tp` or `fsdp+tp`.
        seen: gets the styles that are tried, for a caller that wants to try fewer.
        styles: those of the network when `None`.
    """
    from archscope.collectives import closed_forms, fsdp, tensor_parallel
    from archscope.collectives.blocks import blocks
    from archscope.collectives.recorder import Recorder, record_step
    from archscope.collectives.styles import styles_of

    chosen = styles or styles_of(network, plan.styles)
    seen.append(chosen)
    tensor_parallel.require_even(network, chosen.by_layer, plan.divided)
    owners = tensor_parallel.Owners(network)
    recorder = Recorder(owners)
    outer, inner = fsdp.mesh_of(plan.sharded, plan.divided)
    tensor_parallel.divide(network, inner, chosen.by_layer, recorder)
    notes, units = chosen.notes, []
    if plan.sharded > 1:
        sharded = _blocks(network, plan)
        units = _units(network, sharded, plan)
        _sharding(outer, sharded, plan).apply(network, recorder)
        notes = (*notes, *(() if sharded else (NO_BLOCKS,)))
    with owners.watching():
        issued = record_step(recorder, network, arguments, owners.until(loss))
    columns, rows = owners.activation_bytes(chosen.by_layer)
    forms = closed_forms.of_tp(issued, columns, rows, len(blocks(network)))
    if units:
        keep = plan.reshard_after_forward
        forms += closed_forms.of_fsdp(issued, units, plan.sharded, keep)
    return Found(issued, forms, notes, chosen.by_layer)


RUNS: Mapping[ParallelKind, Callable[[Lend, ParallelPlan], Found]] = {
    "ddp": _ddp,
    "fsdp": _fsdp,
    "hsdp": _fsdp,
    "tp": _tp,
    "fsdp+tp": _tp,
}
