"""`fully_shard` with replicas, and in other dtypes than the parameters'."""

import pytest
from torch import nn

import archscope
from archscope.ask.distribute.plan import ParallelPlan
from archscope.errors import ArchscopeError
from archscope.study.distribute import distribute_report

WIDTH, DEPTH = 64, 3
BLOCK = 2 * (WIDTH * WIDTH + WIDTH)
"""Parameters of a block: two linear layers with biases."""
HEAD = WIDTH * 10 + 10


class Block(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(*(Block() for _ in range(DEPTH)), nn.Linear(WIDTH, 10))


def shard(plan="fsdp", gpus=8, **options):
    return archscope.distribute(Net(), plan, gpus, input="64", batch=2, **options).record


def test_replicas_reduce_the_shard_that_each_gpu_has():
    found = shard("hsdp", 32, replicas=4)
    head = 16 * WIDTH + 16  # 10 rows, filled up to a multiple of 8
    padded = 4 * (DEPTH * BLOCK + head)
    assert found.total("reduce_scatter") == padded
    assert found.total("all_reduce") == padded // 8
    groups = {row.kind: row.group for row in found.step}
    assert groups == {"all_gather": 8, "reduce_scatter": 8, "all_reduce": 4}
    scattered, reduced = (
        [(row.layer, row.tensors) for row in found.step if row.kind == kind]
        for kind in ("reduce_scatter", "all_reduce")
    )
    assert reduced == scattered and sorted(reduced) == [("", 2), ("0", 4), ("1", 4), ("2", 4)]
    form = found.closed_forms[-1]
    assert form.expected_bytes == 4 * (DEPTH * BLOCK + HEAD) // 8
    assert sum(size for _, size in form.reasons) == form.issued_bytes - form.expected_bytes
    assert not any("not explained" in why for why, _ in form.reasons)
    assert {held.gpus for held in found.memory} == {8}


def test_parameters_are_gathered_and_gradients_reduced_in_their_dtypes():
    plain, mixed = shard(), shard(dtype="bf16", reduce_dtype="float32")
    assert mixed.total("all_gather", "forward") * 2 == plain.total("all_gather", "forward")
    assert mixed.total("reduce_scatter") == plain.total("reduce_scatter")
    half = shard(dtype="bfloat16")
    assert half.total("reduce_scatter") * 2 == plain.total("reduce_scatter")
    assert {row.dtype for row in mixed.step if row.kind == "reduce_scatter"} == {"float32"}
    for found in (mixed, half):
        for form in found.closed_forms:
            assert not any("not explained" in why for why, _ in form.reasons)
    kept, computed = plain.memory[-1], mixed.memory[-1]
    assert (computed.parameters, computed.optimizer) == (kept.parameters, kept.optimizer)
    # Half, but for the loss and its labels.
    assert kept.activations // 2 <= computed.activations < kept.activations // 2 + 100
    assert "gathered parameters and activations bfloat16" in str(distribute_report(mixed).tables)


def test_memory_has_the_rows_that_fully_shard_fills_up():
    # Among 128 GPUs each of the 64 or 10 rows is filled up to 128: one row each.
    found = shard(gpus=128).memory
    row, bias = 4 * WIDTH, 4
    assert found[-1].parameters == (2 * DEPTH + 1) * (row + bias)
    assert found[1].parameters == 4 * (DEPTH * BLOCK + HEAD)  # stage 1 shares no parameters


def test_figures_show_layers_and_memory():
    by_layer, memory = distribute_report(shard()).charts
    totals = {series.name: sum(series.y) for series in by_layer.series}
    assert totals["Reduce-scatter, backward"] == shard().total("reduce_scatter")
    assert memory.series[0].y == tuple(held.parameters for held in shard().memory)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("pp", {}, "a pipeline's stage waits for tensors of other ranks"),
        ("cp+tp", {}, "ring attention has kernels of a GPU alone"),
        ("ep", {}, "which expert gets a token depends on values"),
        ("hsdp", {}, "replicas: is needed"),
        ("hsdp", {"replicas": 3}, "does not divide 8 GPUs into groups"),
        ("fsdp", {"replicas": 2}, "has no effect under fsdp"),
        ("ddp", {"dtype": "bfloat16"}, "has no effect under ddp"),
        ("fsdp", {"dtype": "fp8"}, "is unknown; use one of float32"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(kind, options, message):
    with pytest.raises(ArchscopeError, match=message):
        ParallelPlan(kind, 8, **options)
