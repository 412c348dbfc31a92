"""Collectives of parallel training beside their closed forms."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.checkpoint import checkpoint

import archscope
from archscope import archive
from archscope.ask.distribute.plan import ParallelPlan
from archscope.records import Collective

MIB = 2**20


class Tower(nn.Sequential):
    """Four linear layers with normalisation: 4 · (1024² + 1024 + 2 · 1024) parameters."""

    def __init__(self, width: int = 1024) -> None:
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class Sometimes(nn.Module):
    """One layer that the loss does not need."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


class Decides(nn.Module):
    """The values of its input decide the way."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) if x.sum().item() > 0 else x


def ddp(network, gpus=64, input="1024", batch=2):
    return archscope.distribute(network, "ddp", gpus, input=input, batch=batch).record


@pytest.fixture(scope="module")
def tower():
    return ddp(Tower())


def test_ddp_reduces_each_gradient_once_and_broadcasts_each_buffer(tower):
    found = tower
    linear, norm = 4 * (1024 * 1024 + 1024), 4 * 2 * 1024
    assert found.total("all_reduce", "backward") == 4 * (linear + norm)
    statistics, counters = 4 * 2 * 1024 * 4, 4 * 8  # running mean and variance; an int64 a layer
    assert found.total("broadcast", "forward") == statistics + counters
    assert {row.group for row in found.collectives} == {64}
    for form in found.closed_forms:
        assert form.issued_bytes == form.expected_bytes and form.reasons == ()


def test_ddp_fills_buckets_backwards_from_the_last_layer(tower):
    """PyTorch's first bucket closes at 1 MiB, the others at 25 MiB; a layer here is 4.02 MiB."""
    reduces = [row for row in tower.step if row.kind == "all_reduce"]
    first = reduces[0]
    assert first.first == "10" and first.layer == "9" and first.size_bytes >= MIB
    assert reduces[-1].layer == "0"
    assert sum(row.tensors for row in reduces) == 16
    assert len(reduces) == 2


def test_ddp_starts_by_sending_the_state_to_every_gpu(tower):
    found = tower
    start = [row for row in found.collectives if row.phase == "start"]
    state = sum(row.size_bytes for row in start if row.content == "parameters and buffers")
    assert state == found.parameter_bytes + found.buffer_bytes


def test_frozen_parameters_are_not_reduced():
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    network[0].requires_grad_(False)
    assert ddp(network, input="8").total("all_reduce") == 4 * (8 * 8 + 8)


def test_unused_parameters_are_found_as_pytorch_asks():
    found = ddp(Sometimes(), input="8")
    assert any("find_unused_parameters" in note for note in found.notes)
    gradients = sum(row.size_bytes for row in found.step if row.content == "gradients")
    assert gradients == 2 * 4 * (8 * 8 + 8)
    ((why, size),) = found.closed_forms[0].reasons
    assert "a map of the parameters" in why and size == 4 * 4  # an int32 each


def test_a_gpu_sends_what_the_best_algorithm_sends():
    row = Collective("all_reduce", "backward", "fc", "gradients", 800, 4)
    assert row.sent_bytes == 2 * 3 / 4 * 800
    assert Collective("all_gather", "forward", "fc", "parameters", 800, 4).sent_bytes == 600


def test_the_module_and_the_process_are_as_before():
    network = Tower(64)
    weight, hook, environment = network[0].weight, sys.excepthook, dict(os.environ)
    before = weight.detach().clone()
    state = torch.get_rng_state()
    ddp(network, input="64")
    assert network[0].weight is weight and weight.grad is None
    assert torch.equal(weight, before) and network[1].running_mean.abs().sum() == 0
    assert not dist.is_initialized()
    assert dict(os.environ) == environment and sys.excepthook is hook
    assert torch.equal(torch.get_rng_state(), state)


def test_a_process_group_of_the_user_is_left_alone():
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=3)
    try:
        with pytest.raises(archscope.ArchscopeError, match="process group of its own"):
            ddp(Tower(8), input="8")
        assert dist.get_world_size() == 3 and dist.get_rank() == 1
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("network", "input", "batch", "message"),
    [
        (Decides(), "4", 2, "needs the values of tensors"),
        (Tower(8), "9", 2, "it takes 8 features and was given 2×9"),
        (Tower(8), "8", 1, "cannot train on one sample"),
        (nn.ReLU(), "4", 1, "nothing that depends on a trainable parameter"),
    ],
)
def test_what_cannot_run_is_refused_by_name(network, input, batch, message):
    with pytest.raises(archscope.ArchscopeError, match=message) as caught:
        ddp(network, input=input, batch=batch)
    assert "\n" not in str(caught.value)
    assert not dist.is_initialized()


@pytest.mark.parametrize(("kind", "gpus"), [("zigzag", 8), ("ddp", 1), ("ddp", 10**6)])
def test_a_plan_that_is_none_is_refused(kind, gpus):
    with pytest.raises(archscope.ArchscopeError, match=r"is unknown|is not a number of GPUs"):
        ParallelPlan(kind, gpus)


def test_a_record_is_saved_and_read_again(tower):
    assert archive.loads(archive.dumps(tower)) == tower


class Block(nn.Module):
    """A residual block: 2 · (width · 2 width) parameters."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(x)))


class Stack(nn.Module):
    """Three blocks between an embedding and a head that belong to the root."""

    def __init__(self, classes: int = 16) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 64, bias=False)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(64, classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


BLOCK = 4 * 2 * 64 * 128
ROOT = 4 * (64 * 64 + 64 * 16)


def fsdp(network, gpus=8, **how):
    return archscope.distribute(network, "fsdp", gpus, input="64", batch=2, **how).record


def test_fsdp_gathers_twice_and_scatters_once_what_belongs_to_blocks():
    found = fsdp(nn.Sequential(Block(), Block(), Block()))
    assert found.total("all_gather") == 2 * 3 * BLOCK
    assert found.total("reduce_scatter", "backward") == 3 * BLOCK
    assert all(form.reasons == () for form in found.closed_forms)
    assert [row.layer for row in found.step if row.phase == "forward"] == ["0", "1", "2"]


def test_fsdp_keeps_the_root_gathered_after_the_forward_pass():
    found = fsdp(Stack())
    assert found.total("all_gather", "forward") == 3 * BLOCK + ROOT
    assert found.total("all_gather", "backward") == 3 * BLOCK
    assert found.total("reduce_scatter") == 3 * BLOCK + ROOT
    (reason,) = {form.phase + form.kind: form for form in found.closed_forms}[
        "backwardall_gather"
    ].reasons
    assert reason[1] == -ROOT and "root" in reason[0]


def test_fsdp_pads_rows_that_the_gpus_cannot_share():
    """The head's 10 rows of 64 are 16 on 8 GPUs: 6 · 64 · 4 bytes more in each pass."""
    found = fsdp(Stack(classes=10))
    ideal = 3 * BLOCK + 4 * (64 * 64 + 64 * 10)
    assert found.total("all_gather", "forward") == ideal + 6 * 64 * 4
    reasons = found.closed_forms[0].reasons
    assert [size for _, size in reasons] == [6 * 64 * 4] and "head.weight" in reasons[0][0]


def test_fsdp_without_resharding_gathers_once():
    found = fsdp(Stack(), reshard_after_forward=False)
    assert found.total("all_gather") == 3 * BLOCK + ROOT
    assert found.total("all_gather", "backward") == 0
    assert found.closed_forms[1].reasons[0][1] == -3 * BLOCK - ROOT


def test_fsdp_scatters_no_gradient_of_a_frozen_block():
    network = Stack()
    network.blocks[1].requires_grad_(False)
    found = fsdp(network)
    assert found.total("reduce_scatter") == 2 * BLOCK + ROOT
    assert found.closed_forms[2].expected_bytes == 2 * BLOCK + ROOT


def test_fsdp_shards_what_a_pattern_chooses():
    found = fsdp(Stack(), wrap="Linear")
    layers = {row.layer for row in found.step}
    assert layers == {"stem", "head"} | {
        f"blocks.{i}.{n}" for i in range(3) for n in ("up", "down")
    }
    with pytest.raises(archscope.ArchscopeError, match="no such layer"):
        fsdp(Stack(), wrap="Convolution")
    with pytest.raises(archscope.ArchscopeError, match="has no effect under ddp"):
        ParallelPlan("ddp", 8, wrap="Linear")


def test_a_module_that_never_runs_gathers_nothing():
    class Skips(Stack):
        def forward(self, x):
            return self.head(self.blocks[2](self.blocks[0](self.stem(x))))

    found = fsdp(Skips())
    assert found.total("all_gather", "forward") == 2 * BLOCK + ROOT
    assert [(size, "blocks.1" in why) for why, size in found.closed_forms[0].reasons] == [
        (-BLOCK, True)
    ]


class Lookup(nn.Module):
    """An embedding with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4, sparse=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)


def with_a_spare_lazy_layer() -> nn.Module:
    network = nn.Linear(4, 4)
    network.spare = nn.LazyLinear(7)  # never called: nobody knows its size
    return network


@pytest.mark.parametrize(
    ("network", "plan", "input", "message"),
    [
        (Lookup(), "ddp", "3:int64", "cannot run Lookup under DistributedDataParallel"),
        (with_a_spare_lazy_layer(), "ddp", "4", "has lazy parameters"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4)),
            "ddp", "3x2x2", "1 is a SyncBatchNorm, which PyTorch runs on a GPU alone",
        ),
        (nn.Linear(4, 4).requires_grad_(False), "fsdp", "4", "see that it has trainable"),
    ],
)  # fmt: skip
def test_what_pytorch_cannot_run_under_a_plan_is_named(network, plan, input, message, capfd):
    with pytest.raises(archscope.ArchscopeError, match=message) as caught:
        archscope.distribute(network, plan, 4, input=input, batch=2)
    assert "\n" not in str(caught.value) and "eval" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_float64_is_recorded_without_its_memory():
    found = ddp(nn.Linear(4, 4).double(), input="4")
    assert found.total("all_reduce") == 8 * (4 * 4 + 4) and found.memory == ()


class Attention(nn.Module):
    """Four heads of 16; what -1 stands for is this GPU's share of them."""

    def __init__(self, fixed: bool = False, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.q, self.k, self.v, self.o = (nn.Linear(64, 64, bias=False) for _ in range(4))
        self.heads = 4 if fixed else -1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, 16)).transpose(1, 2)
                   for f in (self.q, self.k, self.v))  # fmt: skip
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        out = self.o(attended.transpose(1, 2).flatten(-2))
        return x + out if self.residual else out


class Layer(nn.Sequential):
    """Attention, then a perceptron."""


class Transformer(nn.Module):
    """Two layers of attention and perceptron behind a projection."""

    def __init__(self, fixed: bool = False) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 64, bias=False)
        self.layers = nn.ModuleList(Layer(Attention(fixed), Block()) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return x


TOKENS = 4 * 2 * 5 * 64
"""Bytes of an activation: batch 2, 5 tokens, 64 features of 4 bytes."""


def tp(network, gpus=4, plan="tp", **how):
    return archscope.distribute(network, plan, gpus, input="5x64", batch=2, **how).record


def test_tp_reduces_six_times_a_block_where_the_textbook_says_four():
    """O and down forward; q, k, v and up backward, of which q, k and v have one input."""
    found = tp(Transformer())
    assert found.total("all_reduce", "forward") == 2 * 2 * TOKENS
    assert found.total("all_reduce", "backward") == 2 * 4 * TOKENS
    forward, backward = found.closed_forms
    assert forward.reasons == () and forward.expected_bytes == 2 * 2 * TOKENS
    assert backward.expected_bytes == 2 * 2 * TOKENS
    ((why, size),) = backward.reasons
    assert size == 2 * 2 * TOKENS
    assert "separately, 8 times" in why
    assert "That is 6 all-reduces a block instead of 4." in why


def test_tp_names_the_layer_that_each_collective_serves():
    step = tp(Transformer()).step
    assert [row.layer for row in step if row.phase == "forward"] == [
        "layers.0.0.o", "layers.0.1.down", "layers.1.0.o", "layers.1.1.down",
    ]  # fmt: skip
    backward = [row.layer for row in step if row.phase == "backward"]
    assert backward[0] == "layers.1.1.up" and set(backward[-3:]) == {
        "layers.0.0.q", "layers.0.0.k", "layers.0.0.v",
    }  # fmt: skip


def test_the_first_layer_reduces_nothing_where_its_input_needs_no_gradient():
    found = tp(nn.Sequential(Block(), Block()))
    assert found.total("all_reduce", "backward") == TOKENS
    assert [(size, "0.up" in why) for why, size in found.closed_forms[1].reasons] == [
        (-TOKENS, True)
    ]


def test_checkpointed_layers_reduce_their_outputs_again():
    class Checkpointed(Stack):
        def forward(self, x):
            x = self.stem(x)
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=False)
            return self.head(x)

    found = archscope.distribute(Checkpointed(), "tp", 4, input="64", batch=2).record
    again = [row for row in found.step if row.phase == "backward" and row.content == "activations"]
    explained = {size for form in found.closed_forms for why, size in form.reasons}
    assert explained == ({sum(row.size_bytes for row in again)} if again else set())
    assert all("not explained" not in why for form in found.closed_forms
               for why, _ in form.reasons)  # fmt: skip


def test_prepare_module_input_makes_one_of_three():
    """The remedy that the reason names, by PyTorch itself."""
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import PrepareModuleInput, parallelize_module

    from archscope.collectives import fsdp, tensor_parallel
    from archscope.collectives.fake import fake_group, fake_tensors
    from archscope.collectives.recorder import Recorder, record_step

    with fake_group(4), fake_tensors():
        network = nn.Sequential(nn.Linear(64, 64), Attention(residual=False))
        mesh = fsdp.meshes(None, 1, 4)[1]
        recorder = Recorder(tensor_parallel.Owners(network))
        styles = {"1.q": "colwise", "1.k": "colwise", "1.v": "colwise", "1.o": "rowwise"}
        tensor_parallel.divide(network, mesh, tensor_parallel.usual(network, styles), recorder)
        replicated = PrepareModuleInput(
            input_layouts=Replicate(), desired_input_layouts=Replicate()
        )
        parallelize_module(network, mesh, {"1": replicated})
        given = (torch.randn(2, 5, 64),), {}
        issued = record_step(recorder, network, given, torch.sum)
    assert [row.phase for row in issued if row.kind == "all_reduce"] == ["forward", "backward"]


def test_attention_whose_code_fixes_its_heads_stays_whole():
    found = tp(Transformer(fixed=True))
    assert {row.layer for row in found.step} == {
        f"layers.{i}.1.{name}" for i in range(2) for name in ("up", "down")
    }
    assert any(note.startswith("Attention stays undivided") for note in found.notes)


def test_multihead_attention_of_another_sequence_stays_undivided():
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerDecoderLayer(64, 4, 128, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x, x)

    found = tp(Crossed())
    assert {row.layer for row in found.step} == {
        f"layer.{name}" for name in ("self_attn.out_proj", "linear2", "linear1")
    }
    assert any("nn.MultiheadAttention stays undivided" in note for note in found.notes)


def test_styles_may_be_given():
    found = tp(Transformer(), style={"*.1.up": "colwise", "*.1.down": "rowwise"})
    assert {row.layer.rpartition(".")[2] for row in found.step} == {"up", "down"}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"gpus": 3}, "3 GPUs cannot divide the 64 out_features"),
        ({"style": {"*.up": "diagonal"}}, "'diagonal' is unknown"),
        ({"style": {"nothing": "colwise"}}, "has no linear layer or embedding nothing"),
        ({"tp": 2}, "has no effect under tp"),
        ({"plan": "fsdp+tp"}, "is needed"),
        ({"plan": "fsdp+tp", "gpus": 8, "tp": 3}, "does not divide 8 GPUs"),
        ({"plan": "ddp", "style": {"*.up": "colwise"}}, "has no effect under ddp"),
    ],
)
def test_what_tensor_parallelism_cannot_divide_is_refused(how, message):
    with pytest.raises(archscope.ArchscopeError, match=message):
        tp(Transformer(), **how)


def test_a_network_without_pairs_is_refused_by_name():
    with pytest.raises(archscope.ArchscopeError, match="Tower: has no pair of linear layers"):
        archscope.distribute(Tower(8), "tp", 2, input="8", batch=2)


class Language(Transformer):
    """An embedding of 32 rows before the layers, and a head behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, 64)
        self.head = nn.Linear(64, 32, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(super().forward(self.embed(ids)))


ENDS = {"*.q": "colwise", "*.k": "colwise", "*.v": "colwise", "*.o": "rowwise",
        "*.up": "colwise", "*.down": "rowwise",
        "embed": "rowwise", "head": "colwise_gather_output"}  # fmt: skip


def test_embedding_and_head_are_divided_where_that_is_asked():
    """The embedding all-reduces its output, the head gathers its own and reduces its input's."""
    asked = {"input": "4:int64", "batch": 2, "style": ENDS}
    found = archscope.distribute(Language(), "tp", 4, **asked).record
    tokens, classes = 4 * 2 * 4 * 64, 4 * 2 * 4 * 32
    at = {(row.layer, row.kind, row.phase): row.size_bytes for row in found.step}
    assert at["embed", "all_reduce", "forward"] == tokens
    assert at["head", "all_gather", "forward"] == classes
    assert at["head", "all_reduce", "backward"] == tokens
    assert not any("not explained" in why for form in found.closed_forms for why, _ in form.reasons)
    alone, part = found.memory
    assert part.parameters == (alone.parameters - 4 * 64 * 64) // 4 + 4 * 64 * 64  # but the stem


def test_an_embedding_without_its_gather_is_refused():
    asked = {"input": "4:int64", "batch": 2, "style": {"embed": "colwise"}}
    with pytest.raises(archscope.ArchscopeError, match="embed=colwise_gather_output"):
        archscope.distribute(Language(), "tp", 4, **asked)


def test_replicas_reduce_their_shards_of_divided_layers():
    """16 GPUs in groups of 2, and 8 of these as 2 replicas of 4 that share each part."""
    found = tp(Transformer(), gpus=16, plan="tp+hsdp", tp=2, replicas=2)
    part = (4 * (4 * 64 * 64 + 2 * 64 * 128) // 2) * 2 + 4 * 64 * 64
    of = {(row.kind, row.content): row.group for row in found.step}
    assert of == {
        ("all_gather", "parameters"): 4, ("all_reduce", "activations"): 2,
        ("all_reduce", "gradients of activations"): 2, ("reduce_scatter", "gradients"): 4,
        ("all_reduce", "gradients"): 2,
    }  # fmt: skip
    sizes = {form.content: form for form in found.closed_forms if form.kind == "all_reduce"}
    assert sizes["gradients"].issued_bytes == sizes["gradients"].expected_bytes == part // 4
    assert sizes["gradients of activations"].issued_bytes == 2 * 4 * TOKENS
    assert not any("not explained" in why for form in found.closed_forms for why, _ in form.reasons)


def test_ddp_reduces_the_parts_of_divided_layers():
    found = tp(Transformer(), gpus=8, plan="ddp+tp", tp=2)
    part = (4 * (4 * 64 * 64 + 2 * 64 * 128) // 2) * 2 + 4 * 64 * 64
    reduces = [row for row in found.step if row.content == "gradients"]
    assert sum(row.size_bytes for row in reduces) == part
    assert {row.group for row in reduces} == {4}
    activations = [row for row in found.step if row.content == "activations"]
    assert [row.layer for row in activations] == [
        "layers.0.0.o", "layers.0.1.down", "layers.1.0.o", "layers.1.1.down",
    ]  # fmt: skip
    assert {row.group for row in activations} == {2}
    exact = [form.content for form in found.closed_forms if form.reasons == ()]
    assert {"activations", "gradients"} <= set(exact)
    assert tp(Sided(), gpus=8, plan="ddp+tp", tp=2).notes[-1].startswith("Some parameters get no")


class Sided(Transformer):
    """With a layer beside the others that the loss does not need."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Linear(64, 64)


def test_a_divided_layer_is_reduced_in_the_dtype_in_which_it_computes():
    found = tp(Transformer(), gpus=8, plan="fsdp+tp", tp=2, dtype="bfloat16")
    assert found.total("all_reduce", "forward") == 2 * 2 * TOKENS // 2
    assert not any("not explained" in why for form in found.closed_forms for why, _ in form.reasons)


def test_both_shard_the_parts_of_divided_layers():
    """8 GPUs in groups of 2: each group of 4 that shares a part gathers half of a layer."""
    found = tp(Transformer(), gpus=8, plan="fsdp+tp", tp=2)
    part = 4 * (4 * 64 * 64 + 2 * 64 * 128) // 2
    stem = 4 * 64 * 64
    assert {(row.kind, row.group) for row in found.step} == {
        ("all_gather", 4), ("reduce_scatter", 4), ("all_reduce", 2),
    }  # fmt: skip
    assert found.total("all_gather", "forward") == 2 * part + stem
    assert found.total("all_gather", "backward") == 2 * part
    assert found.total("all_reduce", "backward") == 2 * 4 * TOKENS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"), [("resnet50", 25_557_032), ("resnext50_32x4d", 25_028_904)]
)
def test_the_parameters_that_torchvision_publishes(name, parameters):
    found = archscope.distribute(name, "ddp", 64, batch=2).record
    assert found.total("all_reduce") == 4 * parameters


def test_threads_that_ask_at_once_wait_for_each_other() -> None:
    def ask(_: int) -> int:
        network = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
        asked = archscope.distribute(network, "ddp", 2, input="4", batch=2)
        return sum(collective.size_bytes for collective in asked.record.collectives)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_half_a_gpu_is_refused() -> None:
    with pytest.raises(archscope.ArchscopeError, match=r"gpus=2\.5: is not a number of GPUs"):
        archscope.distribute(nn.Linear(4, 4), "ddp", 2.5, input="4")  # type: ignore[arg-type]


class Experts(nn.Module):
    """Two experts, each with half of the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, 16, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ends = torch.tensor([len(x) // 2, len(x)], dtype=torch.int32, device=x.device)
        return torch._grouped_mm(x, self.weight, offs=ends)


def test_grouped_products_in_float32_are_followed():
    """PyTorch computes them, and has a kernel of shapes for 16-bit numbers alone."""
    found = archscope.distribute(Experts(), "ddp", 4, input="16", batch=8).record
    assert (
        sum(one.size_bytes for one in found.collectives if one.phase == "backward") == 2 * 16**2 * 4
    )
