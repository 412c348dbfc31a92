"""What training on several GPUs communicates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archscope.api.answer import Answer, remembering
from archscope.api.asked import asked
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.dtypes import full_name

if TYPE_CHECKING:
    import torch

    from archscope.ask.network.subject import Source
    from archscope.ask.target import Input, Model
    from archscope.records import Distribution, ParallelKind


@remembering
@allowing
@spelt
def distribute(
    network: Model | None = None,
    /,
    plan: ParallelKind = "ddp",
    gpus: int = 8,
    *,
    input: Input | None = None,
    wrap: str | None = None,
    reshard_after_forward: bool = True,
    tp: int | None = None,
    sequence_parallel: bool = False,
    style: Mapping[str, str] | None = None,
    optimizer: str = "adamw",
    on: str | None = None,
    replicas: int | None = None,
    dtype: str | torch.dtype | None = None,
    reduce_dtype: str | torch.dtype | None = None,
    model: Source | None = None,
    batch: int | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Distribution]:
    """Record the collectives of a training step on several GPUs, as PyTorch issues them.

    PyTorch's own parallel classes run on a fake process group and on tensors without storage.

    Args:
        network: as for `summary`; a module is copied and left as it is.
        plan: `"ddp"` for `DistributedDataParallel`, `"fsdp"` for `fully_shard`, `"hsdp"` for the
            same with replicas, `"tp"` for `parallelize_module`, and `"ddp+tp"`, `"fsdp+tp"` or
            `"hsdp+tp"` for two of them.
        gpus: in the job.
        input: as for `summary`, of one GPU.
        batch: batch size of one GPU, 1 by default.
        wrap: pattern of the modules that `fully_shard` gathers each by itself; the repeated blocks
            when `None`.
        reshard_after_forward: as for `fully_shard`.
        tp: GPUs that divide each layer, where `"tp"` is beside another.
        sequence_parallel: whether GPUs that divide layers also divide the tokens between them.
        style: pattern of linear layers or embeddings to `"colwise"`, `"rowwise"` or
            `"colwise_gather_output"`; when `None` as the network's configuration says, or the
            names of its layers.
        optimizer: of the predicted memory, as for `memory`.
        on: GPU whose time is predicted, such as `"h100"`.
        replicas: groups of GPUs under `"hsdp"`, each of which holds all parameters once.
        dtype: in which `fully_shard` gathers parameters and computes, such as `"bfloat16"`; their
            own when `None`.
        reduce_dtype: in which it reduces gradients; as `dtype` when `None`.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be run under this plan, or this process has a process
            group already.

    Examples:
        >>> archscope.distribute("lenet", gpus=64).record.total("all_reduce")  # 4 · 61,706
        246824
    """
    from archscope.ask.distribute.plan import ParallelPlan
    from archscope.ask.distribute.run import distribute as distributed
    from archscope.study.distribute import distribute_report

    styles = tuple((style or {}).items())
    chosen = ParallelPlan(
        plan, gpus, wrap, reshard_after_forward, tp, styles, optimizer, on, replicas,
        None if dtype is None else full_name(dtype),
        None if reduce_dtype is None else full_name(reduce_dtype), sequence_parallel,
    )  # fmt: skip
    target = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    found = distributed(target, chosen)
    return Answer(found, lambda: distribute_report(found))
