"""Live and saved tensors: against real CPU runs, and by hand on networks of two or three layers."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

import archscope
from archscope.ask.memory.prediction import predict
from archscope.ask.memory.setting import Setting
from archscope.ask.network.subject import find
from archscope.ask.target import network_target

FLOAT = 4


def key(tensor):
    return tensor.untyped_storage()._cdata


def really_saved(network, image):
    """Bytes that autograd keeps on the CPU, one count a storage, without parameters and input."""
    known = {key(t) for t in (*network.parameters(), *network.buffers(), image)}
    kept = {}

    def pack(tensor):
        if key(tensor) not in known:
            kept[key(tensor)] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(image)
    assert output is not None
    return sum(storage.nbytes() for storage in kept.values())


def saved_by_network(prediction):
    return sum(row.saved_bytes for row in prediction.saved if row.name != "loss")


NETWORKS = (
    "resnet18", "resnext50_32x4d", "densenet121", "alexnet", "squeezenet1_1", "mobilenet_v2",
    "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x1_0", "mnasnet0_5", "regnet_y_400mf",
    "convnext_tiny", "swin_t", "googlenet",
)  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_bytes_equal_those_of_a_real_run(name):
    side = 64 if name in ("alexnet", "squeezenet1_1", "swin_t") else 32
    network = find(name, {}).module.to_empty(device="cpu").train()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(0)
    expected = really_saved(network, torch.zeros(2, 3, side, side))
    target = network_target(name, input=f"3x{side}x{side}", batch=2)
    assert saved_by_network(predict(target, Setting(device="cpu"))) == expected


def test_attention_keeps_what_a_fused_kernel_keeps():
    network = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    expected = really_saved(network, torch.zeros(2, 9, 16))
    target = network_target(network, input="9x16", batch=2)
    assert saved_by_network(predict(target, Setting(device="cpu"))) == expected


class Attends(nn.Module):
    """Heads of 8 channels attend to each other's places: by PyTorch's function, or written out."""

    def __init__(self, written_out):
        super().__init__()
        self.projected = nn.Linear(16, 48)
        self.written_out = written_out

    def forward(self, x):
        query, key, value = self.projected(x).view(-1, 9, 3, 2, 8).permute(2, 0, 3, 1, 4)
        if self.written_out:
            return ((query * 8**-0.5) @ key.transpose(-2, -1)).softmax(-1) @ value
        return F.scaled_dot_product_attention(query, key, value)


@pytest.mark.parametrize("dtype", ["float32", "amp"])
def test_eager_attention_keeps_what_written_out_attention_keeps(dtype):
    written, called = (network_target(Attends(out), input="9x16", batch=2) for out in (True, False))
    eager = predict(called, Setting(dtype=dtype, attention="eager"))
    assert eager.saved == predict(written, Setting(dtype=dtype)).saved
    assert eager.saved != predict(called, Setting(dtype=dtype)).saved
    if dtype == "float32":
        assert saved_by_network(eager) == really_saved(Attends(True), torch.zeros(2, 9, 16))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["resnet50", "densenet121", "vit_b_16"])
def test_the_peak_is_within_a_tenth_of_the_cuda_allocator(name):
    network = find(name, {}).module.to_empty(device="cuda").train()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(0)
    image = torch.zeros(32, 3, 224, 224, device="cuda")
    labels = torch.zeros(32, dtype=torch.long, device="cuda")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        F.cross_entropy(network(image), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    real = torch.cuda.max_memory_allocated()
    predicted = predict(network_target(name, batch=32)).peak.allocated
    assert predicted == pytest.approx(real, rel=0.1)


def test_resnet50_at_batch_32_keeps_2730_megabytes():
    """As measured by saved-tensor hooks on a CPU; the sum of all outputs would be 57 % more."""
    assert round(predict(network_target("resnet50", batch=32)).saved_bytes / 1e6, 2) == 2730.18


def really_peaks(network, image, optimizer):
    """Most bytes that the CPU allocator held during one training step, the state included."""

    def step():
        scores = network(image)
        loss = F.cross_entropy(scores, torch.zeros(len(image), dtype=torch.long))
        del scores
        loss.backward()
        del loss
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    state = [t for entry in optimizer.state.values() for t in entry.values() if t.dim()]
    held = sum(t.nbytes for t in (*network.parameters(), *network.buffers(), image, *state))
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profiler:
        step()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return held + most


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_peak_is_that_of_the_cpu_allocator(name, optimizer):
    """Convolutions on the CPU take a little workspace; the prediction holds tensors alone."""
    network = find(name, {}).module.to_empty(device="cpu").train()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(0)
    parameters = network.parameters()
    if optimizer == "sgd":
        updates = torch.optim.SGD(parameters, lr=0.1, foreach=True)
    else:
        updates = torch.optim.Adam(parameters, lr=0.1, foreach=True)
    real = really_peaks(network, torch.zeros(8, 3, 64, 64), updates)
    predicted = predict(
        network_target(name, input="3x64x64", batch=8), Setting(optimizer=optimizer, device="cpu")
    ).peak_bytes
    labels = 8 * 8  # kept for the whole step by the prediction's loss
    assert 0.97 * real < predicted <= real + labels


def mlp(*inner):
    return nn.Sequential(nn.Linear(4, 8), *inner, nn.Linear(8, 2))


HIDDEN = 3 * 8 * FLOAT
"""One hidden activation at batch 3."""


def kept(network, **options):
    return saved_by_network(
        predict(network_target(network, input="4", batch=3), Setting(device="cpu", **options))
    )


def test_a_storage_counts_once_however_many_layers_keep_it():
    # ReLU keeps its result, which the second linear layer keeps as its input.
    assert kept(mlp(nn.ReLU())) == HIDDEN
    # A sigmoid and a ReLU each keep their own; the view in between is the same storage.
    assert kept(mlp(nn.Sigmoid(), nn.Unflatten(1, (2, 4)), nn.Flatten(), nn.ReLU())) == 2 * HIDDEN


def test_the_layer_that_keeps_it_is_named():
    rows = predict(network_target(mlp(nn.ReLU()), input="4", batch=3)).saved
    assert [(row.name, row.saved_bytes) for row in rows if row.name != "loss"] == [("1", HIDDEN)]


def peak_beyond(network, mode):
    """Bytes at the peak that are neither parameters, buffers nor input."""
    peak = predict(network_target(network, input="4", batch=3), Setting(mode, device="cpu")).peak
    return peak.total - peak.parameters - peak.buffers - peak.input


def test_an_in_place_activation_saves_a_copy():
    apart, in_place = (mlp(nn.ReLU(inplace=flag)) for flag in (False, True))
    assert peak_beyond(apart, "inference") == 2 * HIDDEN
    assert peak_beyond(in_place, "inference") == HIDDEN + 3 * 2 * FLOAT


class Checkpointed(nn.Module):
    def __init__(self, reentrant, *body):
        super().__init__()
        self.body = nn.Sequential(*body)
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_block_keeps_its_input_alone(reentrant):
    body = (nn.Sigmoid(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.Sigmoid())
    assert kept(mlp(*body)) == 3 * HIDDEN
    assert kept(mlp(Checkpointed(reentrant, *body))) == 2 * HIDDEN  # its input and its output


def test_what_a_checkpointed_block_computes_again_is_alive_in_the_backward_pass():
    body = [layer for _ in range(6) for layer in (nn.Linear(8, 8), nn.Sigmoid())]
    plain = predict(network_target(mlp(*body), input="4", batch=64))
    saving = predict(network_target(mlp(Checkpointed(False, *body)), input="4", batch=64))
    assert saving.saved_bytes < plain.saved_bytes
    forward, backward = (
        max(moment.temporary for moment in saving.timeline if moment.phase == phase)
        for phase in ("forward", "backward")
    )
    assert backward > forward + 3 * 64 * 8 * FLOAT


def test_frozen_layers_keep_nothing():
    assert kept(mlp(nn.Sigmoid()), train_only="2") == HIDDEN
    prediction = predict(
        network_target(mlp(nn.Sigmoid()), input="4", batch=3),
        Setting(optimizer="adam", train_only="2"),
    )
    trained = (8 * 2 + 2) * FLOAT
    assert max(moment.gradients for moment in prediction.timeline) == trained
    assert prediction.peak.optimizer == 2 * trained


class NoGradBackbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = mlp(nn.Sigmoid())
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(x)


def test_a_no_grad_region_keeps_nothing():
    assert kept(NoGradBackbone()) == 3 * 2 * FLOAT  # the input of the head


def test_the_update_holds_weights_gradients_and_state_at_once():
    prediction = predict(
        network_target(mlp(nn.ReLU()), input="4", batch=3), Setting(optimizer="adam")
    )
    weights = (4 * 8 + 8 + 8 * 2 + 2) * FLOAT
    last = prediction.timeline[-1]
    assert (last.phase, last.parameters, last.gradients) == ("update", weights, weights)
    assert last.optimizer == 2 * weights
    assert last.temporary >= weights  # the root of the second moment


def test_the_backward_pass_frees_what_it_has_used():
    timeline = predict(network_target("resnet18", input="3x64x64", batch=2)).timeline
    backward = [moment.activations for moment in timeline if moment.phase == "backward"]
    assert backward == sorted(backward, reverse=True)
    assert backward[-1] < backward[0] / 10


def test_the_network_is_handed_back_as_it_was():
    network = mlp(nn.BatchNorm1d(8)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    predict(network_target(network, input="4", batch=3), Setting(optimizer="adam"))
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert F.scaled_dot_product_attention.__module__ != "archscope.analysis.memory"


def test_nothing_of_the_step_stays_in_memory():
    """A hook that stays on a parameter would keep the network's copy for good."""

    def alive() -> int:
        gc.collect()
        return sum(type(thing) is nn.Parameter for thing in gc.get_objects())

    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    archscope.memory(network, "4")
    before = alive()
    archscope.memory(network, "4")
    assert alive() == before
