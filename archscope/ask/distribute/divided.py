"""One step of `parallelize_module`, alone or inside of data parallelism."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from archscope.ask.distribute.found import Found, Lend
from archscope.ask.distribute.replicated import UNUSED, replicated_bytes
from archscope.ask.distribute.sharded import (
    NO_BLOCKS,
    gathered_blocks,
    gathered_units,
    of_sharding,
    sharding,
)
from archscope.errors import ArchscopeError, first_line
from archscope.records import ClosedForm, Collective

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed.device_mesh import DeviceMesh

    from archscope.analysis.calls import Arguments
    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.collectives.recorder import Recorder
    from archscope.collectives.sequence import Sequences
    from archscope.collectives.styles import Style, Styles
    from archscope.collectives.tensor_parallel import Owners


class Attempt(NamedTuple):
    """What may have to be tried otherwise.

    Args:
        styles: of the layers; those of the network when `None`.
        unused: whether `DistributedDataParallel` looks for parameters without a gradient.
    """

    styles: Styles | None = None
    unused: bool = False


def divided(lend: Lend, plan: ParallelPlan) -> Found:
    """Divide what is known to be divisible; attention whose code fails on some heads stays."""
    from archscope.ask.network.failure import place_of
    from archscope.collectives.heads import UndividedCallError

    seen: list[Styles] = []
    try:
        return _with_unused(lend, plan, seen, None)
    except ArchscopeError:
        raise
    except Exception as error:
        if not seen or seen[0].chosen or plan.sequence:
            raise
        known = isinstance(error, UndividedCallError)
        why = str(error) if known else f"{place_of(error)} raises {first_line(error)}"
        fewer = seen[0].without_attention(why)
        if not fewer.by_layer or len(fewer.by_layer) == len(seen[0].by_layer):
            raise
    return _with_unused(lend, plan, [], fewer)


def _with_unused(
    lend: Lend, plan: ParallelPlan, seen: list[Styles], styles: Styles | None
) -> Found:
    from archscope.collectives.ddp import UnusedParametersError

    run = partial(_run, plan=plan, seen=seen)
    try:
        return lend(partial(run, attempt=Attempt(styles)))
    except UnusedParametersError:
        return lend(partial(run, attempt=Attempt(styles, unused=True)))


def _run(
    network: nn.Module,
    arguments: Arguments,
    loss: Callable[[Any], Tensor],
    plan: ParallelPlan,
    seen: list[Styles],
    attempt: Attempt,
) -> Found:
    """Run one step of a network with divided layers, in the data parallelism that the plan has.

    Args:
        network: a copy of the user's.
        arguments: of its call.
        loss: makes a scalar of what the network returns.
        plan: `tp`, or another kind with it.
        seen: gets the styles that are tried, for a caller that wants to try fewer.
        attempt: how.
    """
    from archscope.collectives import closed_forms, fsdp, head_counts, heads, tensor_parallel
    from archscope.collectives.blocks import blocks
    from archscope.collectives.sequence import outside
    from archscope.collectives.styles import styles_of
    from archscope.collectives.transposed import write_linear

    write_linear(network)
    if attempt.styles is None and not plan.styles and not plan.sequence:
        heads.split(network)
    chosen = attempt.styles or styles_of(
        network, cast("tuple[tuple[str, Style], ...]", plan.styles)
    )
    seen.append(chosen)
    tensor_parallel.require_even(network, chosen.by_layer, plan.divided)
    step = _Step(network, arguments, loss, tensor_parallel.Owners(network, plan.sequence))
    data, layers = fsdp.meshes(plan.replicas, plan.sharing, plan.divided)
    recorder = step.recorder(plan)
    tokens = _divided_tokens(network, arguments, plan, chosen) if plan.sequence else None
    usual = chosen.by_layer if tokens is None else outside(chosen.by_layer, blocks(network))
    styles = tensor_parallel.usual(network, usual) + ([] if tokens is None else tokens.styles)
    tensor_parallel.divide(network, layers, styles, recorder)
    head_counts.share(network, chosen.by_layer, plan.divided)
    if plan.kind.startswith("ddp"):
        issued, forms, notes = step.replicated(recorder, data, attempt.unused)
    elif plan.sharded > 1:
        issued, forms, notes = step.sharded(recorder, data, plan)
    else:
        issued, forms, notes = step.alone(recorder)
    theirs = issued if tokens is None else tuple(row for row in issued if row.layer in usual)
    if usual:
        forms = (*_closed_forms(network, step.owners, plan, usual, theirs), *forms)
    if tokens is not None:
        alone = plan.sharded == 1
        others = [row for row in issued if row.layer not in usual]
        forms = (*closed_forms.of_sequence(others, tokens.moved, alone=alone), *forms)
        notes = (*notes, NORMALISING) if alone else notes
    return Found(issued, forms, (*chosen.notes, *notes), chosen.by_layer)


NORMALISING = (
    "Gradients of normalisation between divided layers are sums over each GPU's own tokens: "
    "PyTorch all-reduces them when they are read, as the optimiser does, and so not in this step."
)


def _divided_tokens(
    network: nn.Module, arguments: Arguments, plan: ParallelPlan, chosen: Styles
) -> Sequences:
    import torch

    from archscope.collectives.blocks import blocks
    from archscope.collectives.sequence import sequences

    own = next(network.parameters()).dtype
    dtype: torch.dtype = own if plan.dtype is None else getattr(torch, plan.dtype)
    return sequences(
        network, arguments, chosen.by_layer, blocks(network), plan.divided, dtype.itemsize
    )


def _closed_forms(
    network: nn.Module, owners: Owners, plan: ParallelPlan, layers: Mapping[str, Style],
    issued: tuple[Collective, ...],
) -> tuple[ClosedForm, ...]:  # fmt: skip
    import torch

    from archscope.collectives import closed_forms
    from archscope.collectives.blocks import blocks

    times = sum(any(n.startswith(f"{b}.") for n in layers) for b in blocks(network))
    dtype = None if plan.dtype is None else getattr(torch, plan.dtype)
    moved = owners.activation_bytes(layers, dtype)
    return closed_forms.of_tp(issued, moved, times)


class Ran(NamedTuple):
    """One step of a divided network, with what its data parallelism adds."""

    issued: tuple[Collective, ...]
    closed_forms: tuple[ClosedForm, ...] = ()
    notes: tuple[str, ...] = ()


class _Step(NamedTuple):
    """A step of a network whose layers are divided.

    Args:
        network: of fake tensors.
        arguments: of its call.
        loss: makes a scalar of what the network returns.
        owners: knows whose collective it is.
    """

    network: nn.Module
    arguments: Arguments
    loss: Callable[[Any], Tensor]
    owners: Owners

    def recorder(self, plan: ParallelPlan) -> Recorder:
        """Takes down the collectives of the layers, and of the wrapper where there is one."""
        from archscope.collectives.ddp import of_the_wrapper
        from archscope.collectives.recorder import Recorder

        wrapped = plan.kind.startswith("ddp")
        return Recorder(self.owners.beside(of_the_wrapper) if wrapped else self.owners)

    def alone(self, recorder: Recorder) -> Ran:
        """One group of GPUs divides every layer, and that is all."""
        from archscope.collectives.recorder import record_step

        loss = self.owners.until(self.loss)
        with self.owners.watching():
            return Ran(record_step(recorder, self.network, self.arguments, loss))

    def sharded(self, recorder: Recorder, mesh: DeviceMesh, plan: ParallelPlan) -> Ran:
        """`fully_shard` shares out each group's part."""
        blocks = gathered_blocks(self.network, plan)
        units = gathered_units(self.network, blocks, plan)
        sharding(mesh, blocks, plan).apply(self.network, recorder)
        issued = self.alone(recorder).issued
        return Ran(issued, of_sharding(issued, units, plan), () if blocks else (NO_BLOCKS,))

    def replicated(self, recorder: Recorder, mesh: DeviceMesh, unused: bool) -> Ran:
        """`DistributedDataParallel` has a copy of each part in every group."""
        from archscope.collectives import closed_forms, ddp

        sizes = replicated_bytes(self.network)
        issued = ddp.Replicas(mesh, unused).step(
            self.network, self.arguments, self.owners.until(self.loss), recorder,
            self.owners.watching(),
        )  # fmt: skip
        forms = closed_forms.of_ddp(issued, *sizes)
        return Ran(issued, forms, (UNUSED,) if unused else ())
