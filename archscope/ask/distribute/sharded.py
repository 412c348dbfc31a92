"""One step of `fully_shard`, and what its closed forms promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from archscope.ask.distribute.found import Found, Lend
from archscope.parameters import parameter
from archscope.patterns import unmatched
from archscope.records import ClosedForm, Collective

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed.device_mesh import DeviceMesh

    from archscope.analysis.calls import Arguments
    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.collectives.closed_forms import Sharded, Unit
    from archscope.collectives.fsdp import Sharding

NO_BLOCKS = (
    "No repeated blocks were found, so all parameters are gathered at once: name the modules to "
    f"shard by themselves with {parameter('wrap')}."
)


def sharded(lend: Lend, plan: ParallelPlan) -> Found:
    from archscope.collectives import fsdp
    from archscope.collectives.recorder import Cause, Recorder, record_step

    def run(network: nn.Module, arguments: Arguments, loss: Callable[[Any], Tensor]) -> Found:
        blocks = gathered_blocks(network, plan)
        units = gathered_units(network, blocks, plan)
        recorder = Recorder(lambda recorder, tensors: Cause("", "parameters"))
        mesh = fsdp.meshes(plan.replicas, plan.sharing, 1)[0]
        sharding(mesh, blocks, plan).apply(network, recorder)
        issued = record_step(recorder, network, arguments, loss)
        return Found(issued, of_sharding(issued, units, plan), () if blocks else (NO_BLOCKS,))

    return lend(run)


def of_sharding(
    issued: tuple[Collective, ...], units: list[Unit], plan: ParallelPlan
) -> tuple[ClosedForm, ...]:
    """The closed forms of `fully_shard`, with replicas where the plan has them."""
    from archscope.collectives import closed_forms

    forms = closed_forms.of_fsdp(issued, units, plan.sharing, plan.reshard_after_forward)
    if plan.replicas is not None:
        forms += closed_forms.of_replicas(issued, units, plan.sharing)
    return forms


def sharding(mesh: DeviceMesh, blocks: list[str], plan: ParallelPlan) -> Sharding:
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    from archscope.collectives.fsdp import Sharding

    gathered, reduced = (
        None if name is None else getattr(torch, name) for name in (plan.dtype, plan.reduce_dtype)
    )
    policy = MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=reduced)
    return Sharding(mesh, blocks, plan.reshard_after_forward, policy)


def gathered_blocks(network: nn.Module, plan: ParallelPlan) -> list[str]:
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


def gathered_units(network: nn.Module, blocks: list[str], plan: ParallelPlan) -> list[Unit]:
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
