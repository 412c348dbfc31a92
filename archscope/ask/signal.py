"""Networks run once at initialisation → how signal and gradient travel through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archscope.ask.network.inputs import Tensors
from archscope.ask.target import Target, network_target
from archscope.errors import ArchscopeError, first_line
from archscope.parameters import parameter
from archscope.records import InputSpec, NetworkSignal, SignalPropagation, TensorSpec
from archscope.saved.record import Saved

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis.calls import Arguments

BATCH = 8
"""Samples of a pass when nobody asks for another number."""


def signal(
    targets: Sequence[Target | Saved],
) -> SignalPropagation:
    """Run networks forward and backward once and note the statistics of every layer.

    Args:
        targets: networks with their calls (the weights of an `nn.Module` are used as they are; a
            batch is 8 samples when `None`), or records of other networks' statistics.

    Raises:
        ArchscopeError: a network cannot be found, built, or run on this input.
    """
    import torch

    from archscope._version import __version__

    networks: list[NetworkSignal] = []
    for target in targets:
        if isinstance(target, Target):
            networks.append(_measured(target))
        elif isinstance(target.record, SignalPropagation):
            networks += target.record.networks
        else:
            networks.append(_measured(network_target(target)))
    versions = (("archscope", __version__), ("torch", str(torch.__version__)))
    return SignalPropagation(tuple(networks), versions)


def _measured(target: Target) -> NetworkSignal:
    import torch

    from archscope.analysis import borrow
    from archscope.analysis.nested import tensors
    from archscope.ask.network.allowance import require_memory
    from archscope.ask.network.call import network_call
    from archscope.ask.network.failure import one_sample, one_sample_failure, training_of
    from archscope.ask.network.lazy import materialised
    from archscope.measure.signal import propagate
    from archscope.measure.step import Loss

    subject = target.subject()
    if subject.rebuild is None:
        raise ArchscopeError(subject.name, "has no weights to run", "build it with storage")
    if next(subject.module.parameters(), None) is None:
        raise ArchscopeError(
            subject.name, "has no parameters to follow a gradient to", "count it with summary"
        )
    is_specification = not isinstance(target.input, Tensors)
    size = BATCH if target.batch is None and is_specification else target.batch
    call = network_call(subject, target.input, size)
    subject = materialised(subject, call)
    assert subject.rebuild is not None, "it had weights before"
    require_memory(
        subject, tensors(call.on_meta()), "its forward and backward pass", gradients=True
    )
    loss = Loss()
    try:
        given = call.original(on_meta=False)
        rows = _least_rows(subject.module) if is_specification else 0
        given = _with_ids(call.spec, given, rows) if rows else given
        lent = borrow.copied(subject.rebuild(), given, borrow.with_storage)
        with lent as (network, (args, kwargs)):
            torch.manual_seed(0)
            with training_of(subject.name, "count it with archscope summary instead"):
                points = propagate(network, args, kwargs, loss)
    except ArchscopeError:
        raise
    except Exception as error:
        if one_sample(call.spec, error):
            raise one_sample_failure(subject.name, "a layer") from error
        raise ArchscopeError(
            parameter("input", call.spec),
            f"{subject.name} fails: {first_line(error)}",
            "check that the network takes this input, and trains on this batch",
        ) from error
    values = _values(call.spec, rows) if is_specification else "as given"
    run = f"Input: {values}. L: {loss.rule}."
    return NetworkSignal(subject.name, call.spec, points, subject.keywords, (*subject.notes, run))


def _least_rows(module: nn.Module) -> int:
    """Rows of the smallest table, whose indices every table has; 0 without any.

    Tables of kinds, such as those of BERT's two sentences, get no tokens.
    """
    from torch import nn

    return min(
        (
            table.num_embeddings
            for name, table in module.named_modules()
            if isinstance(table, nn.Embedding) and "type" not in name and "segment" not in name
        ),
        default=0,
    )


def _is_ids(tensor: TensorSpec) -> bool:
    """Whether an input holds indices of tokens, not a mask, kinds or sizes."""
    plain = tensor.name in ("", "ids", "input_ids", "tokens", "decoder_input_ids")
    return tensor.dtype in ("int64", "int32") and plain


def _with_ids(spec: InputSpec, given: Arguments, rows: int) -> Arguments:
    """The arguments with random indices below `rows` in the place of zeros, from seed 0."""
    import torch

    generator = torch.Generator().manual_seed(0)
    positional, named = list(given[0]), dict(given[1])
    for place, tensor in enumerate(spec.tensors):
        holder: Any = named if tensor.name else positional
        key: Any = tensor.name or place
        if _is_ids(tensor) and isinstance(holder[key], torch.Tensor):
            ids = torch.randint(rows, holder[key].shape, generator=generator)
            holder[key] = ids.to(holder[key].dtype)
    return tuple(positional), named


def _values(spec: InputSpec, rows: int) -> str:
    """What an input is filled with."""
    kinds = dict.fromkeys(
        "standard normal" if "float" in tensor.dtype
        else f"random indices below {rows:,} (seed 0)" if rows and _is_ids(tensor)
        else "integers zero"
        for tensor in spec.tensors
    )  # fmt: skip
    return ", ".join(kinds)
