"""Predictions as records, the batch that fits, and what is printed."""

import pytest
import torch
from torch import nn

import archscope
from archscope import archive
from archscope.analysis.memory import CONTEXT_BYTES
from archscope.ask.count import analyse
from archscope.ask.memory.fit import largest_batch
from archscope.ask.memory.plan import blocks_pattern, plan_to_fit
from archscope.ask.memory.prediction import predict
from archscope.ask.memory.setting import Setting
from archscope.ask.network.subject import find
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.measure.memory import peak_bytes
from archscope.measure.step import Settings, TrainingStep
from archscope.study.memory import ADAM_ON_A_CPU, memory_report, plan_report, timeline_chart

MIB = 2**20
SMALL = "3x64x64"


def test_a_prediction_survives_its_file():
    prediction = predict(
        network_target("resnet18", input=SMALL, batch=2), Setting(optimizer="adam")
    )
    assert archive.loads(archive.dumps(prediction)) == prediction


def test_half_precision_halves_weights_activations_and_gradients():
    full, half = (
        predict(network_target("vgg11", input=SMALL, batch=2), Setting(dtype=dtype))
        for dtype in ("float32", "bfloat16")
    )
    assert half.peak.parameters * 2 == full.peak.parameters
    assert half.peak.input * 2 == full.peak.input
    gradients = [max(m.gradients for m in p.timeline) for p in (full, half)]
    assert gradients[0] == 2 * gradients[1]


def test_master_weights_stand_beside_the_network():
    prediction = predict(
        network_target("resnet18", input=SMALL, batch=2),
        Setting(dtype="bfloat16", optimizer="adam", master_weights=True),
    )
    elements = prediction.peak.parameters // 2
    assert prediction.peak.optimizer == 12 * elements


def test_activations_grow_with_the_batch_and_weights_do_not():
    one, four = (predict(network_target("vgg11", input=SMALL, batch=batch)) for batch in (1, 4))
    assert four.peak.parameters == one.peak.parameters
    rows = [sum(row.saved_bytes for row in p.saved if row.name != "loss") for p in (one, four)]
    assert rows[1] == 4 * rows[0]


def test_inference_keeps_nothing_for_the_backward_pass():
    prediction = predict(network_target("resnet18", input=SMALL), Setting("inference", "adam"))
    assert prediction.saved == () and prediction.saved_bytes == 0
    assert prediction.optimizer == ""
    peak = prediction.peak
    assert (peak.gradients, peak.optimizer, peak.activations) == (0, 0, 0)


@pytest.mark.parametrize("budget", [300 * MIB, 1000 * MIB])
@pytest.mark.parametrize("mode", ["training", "inference"])
def test_the_largest_batch_fits_and_the_next_does_not(budget, mode):
    setting = Setting(mode=mode, optimizer="adam", device="cpu")
    found = largest_batch(network_target("resnet18", input=SMALL), budget, setting)
    batch = found.input.batch
    again = predict(network_target("resnet18", input=SMALL, batch=batch), setting)
    beyond = predict(network_target("resnet18", input=SMALL, batch=batch + 1), setting)
    assert found.peak_bytes == again.peak_bytes <= budget < beyond.peak_bytes


def test_batch_normalisation_that_cannot_train_on_one_sample_starts_at_two():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    target = network_target(network, input="4")
    assert largest_batch(target, MIB, Setting(device="cpu")).input.batch > 2


def test_what_does_not_fit_at_all_is_told():
    with pytest.raises(ArchscopeError, match=r"^fit='1.00 MiB': batch 1 of resnet18 needs"):
        largest_batch(network_target("resnet18", input=SMALL), MIB)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) if x.sum() > -1e9 else x


def test_control_flow_on_values_runs_on_the_cpu_and_says_so():
    prediction = predict(network_target(Branching(), input="4", batch=3))
    assert prediction.saved_bytes > 0
    assert "needs the values of tensors" in prediction.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "lion"}, "optimizer='lion'"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"master_weights": True}, "^master_weights=True"),
        ({"train_only": "nothing*"}, "train_only='nothing"),
    ],
)
def test_mistakes_name_the_option(options, message):
    with pytest.raises(ArchscopeError, match=message):
        predict(network_target("resnet18", input=SMALL), Setting(**options))


def test_the_report_adds_up_and_names_the_peak():
    prediction = predict(network_target("resnet18", input=SMALL, batch=16))
    report = memory_report(prediction)
    kinds, saved = report.tables
    assert sum(kinds.column("at_peak_bytes")[:-1]) == kinds.column("at_peak_bytes")[-1]
    assert kinds.column("at_peak_bytes")[-1] == prediction.peak_bytes
    assert prediction.peak.layer in report.answer
    assert sum(saved.column("saved_bytes")[:-1]) == prediction.saved_bytes


def test_the_update_of_adam_is_that_of_its_form():
    """A CPU's default works on one tensor at a time; a GPU's on all."""
    module = nn.Sequential(*(nn.Linear(256, 256, bias=False) for _ in range(8)))
    weight = 256 * 256 * 4
    target = network_target(module, input="256", batch=1)
    every = predict(target, Setting(optimizer="adam", device="cpu"))
    assert every.peak.phase == "update" and every.peak.temporary == 8 * weight
    one = predict(target, Setting(optimizer="adam", form="for-loop", device="cpu"))
    step = TrainingStep(module, one.input, Settings(optimizer="adam"), torch.device("cpu"))
    # The labels and the loss are small beside a weight.
    assert one.peak_bytes == pytest.approx(peak_bytes(step)["optimizer allocated"], abs=weight / 10)
    assert ADAM_ON_A_CPU in memory_report(every).tables[0].notes
    for setting in (Setting(), Setting(optimizer="adam", form="fused")):
        assert ADAM_ON_A_CPU not in memory_report(predict(target, setting)).tables[0].notes


@pytest.mark.parametrize(
    ("name", "kind", "held"),
    [
        ("rmsprop", torch.optim.RMSprop, 1),  # the root of the average
        ("adagrad", torch.optim.Adagrad, 2),  # the root of the sum, and the scaled gradient
        ("nadam", torch.optim.NAdam, 1),  # the root of the second moment
        ("asgd", torch.optim.ASGD, 1),  # the difference from the average
    ],
)
def test_other_optimisers_keep_what_pytorch_s_own_do(name, kind, held):
    module = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    found = predict(network_target(module, input="8", batch=1), Setting(optimizer=name))
    module(torch.zeros(1, 8)).sum().backward()
    optimizer = kind(module.parameters())
    optimizer.step()
    states = [x for state in optimizer.state.values() for x in state.values()]
    # Counters have no dimensions; those of ASGD are on the GPU: a step, a rate and a weight each.
    counters = 4 * 3 * 4 if name == "asgd" else 0
    assert found.timeline[-1].optimizer == sum(x.nbytes for x in states if x.dim()) + counters
    assert found.timeline[-1].temporary == held * sum(p.nbytes for p in module.parameters())


def test_optimisers_of_one_tensor_after_another():
    """Adafactor keeps a row and a column of each matrix (Shazeer and Stern 2018, algorithm 4)."""
    linear = nn.Linear(64, 32)
    adafactor = predict(network_target(linear, input="64", batch=1), Setting(optimizer="adafactor"))
    assert adafactor.timeline[-1].optimizer == 4 * (64 + 32 + 32)
    assert adafactor.timeline[-1].temporary < 3 * linear.weight.nbytes
    with pytest.raises(ArchscopeError, match=r"muon.*1 of 2 trainable.*such as 32"):
        predict(network_target(linear, input="64", batch=1), Setting(optimizer="muon"))
    matrices = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(8)))
    muon = predict(network_target(matrices, input="64", batch=1), Setting(optimizer="muon"))
    assert muon.timeline[-1].optimizer == 8 * 64 * 64 * 4
    assert muon.timeline[-1].temporary < 8 * 64 * 64 * 4


def test_the_timeline_stacks_to_the_live_bytes_of_tensors():
    prediction = predict(network_target("resnet18", input=SMALL, batch=2))
    chart = timeline_chart(prediction)
    heights = [sum(column) for column in zip(*(s.y for s in chart.series), strict=True)]
    assert chart.kind == "area"
    assert heights == [m.total - m.rounding - m.allowance for m in prediction.timeline]
    assert "GiB" in chart.notes[0]  # the allowance is said, not drawn


def test_buffers_are_not_parameters():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    peak = predict(network_target(network, input="4", batch=2)).peak
    assert peak.parameters == (4 * 8 + 8 + 16) * 4
    assert peak.buffers == 16 * 4 + torch.int64.itemsize


def test_a_gpu_s_allocator_rounds_and_something_is_allowed_for_the_rest():
    network = nn.Linear(3, 5, bias=False)  # 60 bytes
    peak = predict(network_target(network, input="3", batch=2), Setting("inference")).peak
    assert peak.parameters == 60
    # Weight 60, input 24 and output 40 bytes, each in a block of 512.
    assert peak.allocated == 3 * 512
    assert peak.total == 3 * 512 + 2**30 + 3 * 512 // 12
    on_cpu = predict(
        network_target(network, input="3", batch=2), Setting("inference", device="cpu")
    ).peak
    assert on_cpu.total == 60 + 24 + 40


def test_autocast_keeps_weights_in_float32_and_activations_in_half():
    full, amp = (
        predict(network_target("vgg11", input=SMALL, batch=8), Setting(dtype=dtype))
        for dtype in ("float32", "amp")
    )
    assert amp.peak.parameters == full.peak.parameters
    rows = [sum(r.saved_bytes for r in p.saved if r.kind in ("ReLU", "MaxPool2d"))
            for p in (full, amp)]  # fmt: skip
    assert rows[1] < rows[0]


def test_accumulated_gradients_are_there_from_the_start():
    target = network_target("resnet18", input=SMALL, batch=2)
    one, four = (predict(target, Setting(optimizer="adam", accumulate=n)) for n in (1, 4))
    assert one.timeline[0].gradients == 0
    assert four.timeline[0].gradients == four.timeline[0].parameters
    notes = memory_report(four).tables[0].notes
    assert "Each of 4 passes per update takes 2 samples" in notes[0]
    assert ADAM_ON_A_CPU in notes


def test_checkpointed_blocks_keep_less_and_repeat_their_macs():
    target = network_target("resnet18", input=SMALL, batch=4)
    plain, again = (predict(target, Setting(checkpoint=c)) for c in (None, "layer*"))
    assert again.saved_bytes < plain.saved_bytes
    analysis = analyse(target)
    stages = sum(x.macs for x in analysis.calls if x.name.startswith("layer"))
    assert (plain.recomputed_macs, again.recomputed_macs) == (0, stages)
    with pytest.raises(ArchscopeError, match=r"checkpoint='stage"):
        predict(target, Setting(checkpoint="stage*"))


def test_checkpointing_goes_with_autocast():
    target = network_target("resnet18", input=SMALL, batch=4)
    found = predict(target, Setting(dtype="amp", checkpoint="layer*.*"))
    assert found.saved_bytes < predict(target, Setting(dtype="amp")).saved_bytes


def test_lora_trains_two_small_matrices_a_layer():
    network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    target = network_target(network, input="64", batch=2)
    found = predict(target, Setting(optimizer="adam", lora=4))
    small = 4 * (64 + 128) + 4 * (128 + 32)
    assert found.peak.optimizer == 2 * 4 * small
    assert max(m.gradients for m in found.timeline) == 4 * small
    one = predict(target, Setting(optimizer="adam", lora=4, lora_on="2"))
    assert one.peak.optimizer == 2 * 4 * 4 * (128 + 32)
    assert sum(p.numel() for p in network.parameters()) == 64 * 128 + 128 + 128 * 32 + 32
    with pytest.raises(ArchscopeError, match="matches no linear layer"):
        predict(target, Setting(lora=4, lora_on="attention"))


class Conv1D(nn.Module):
    """A linear layer as GPT-2 has it in transformers: its weight is (D_in, D_out)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(6, 10))

    def forward(self, x):
        return x @ self.weight


def test_lora_adapts_the_linear_layers_of_gpt2():
    found = predict(network_target(Conv1D(), input="6", batch=2), Setting(lora=4))
    assert found.timeline[-1].gradients == 4 * 4 * (6 + 10)  # float32, rank 4


def test_peft_s_own_lora_needs_what_the_what_if_says():
    peft = pytest.importorskip("peft")
    network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    config = peft.LoraConfig(r=4, target_modules=["0", "2"], lora_dropout=0.0)
    target = network_target(network, input="64", batch=2)
    what_if = predict(target, Setting(optimizer="adam", lora=4))
    own = predict(
        network_target(peft.get_peft_model(network, config), input="64", batch=2),
        Setting(optimizer="adam"),
    )
    assert own.peak.optimizer == what_if.peak.optimizer
    assert max(m.gradients for m in own.timeline) == max(m.gradients for m in what_if.timeline)


def test_zero_shares_out_stage_by_stage():
    """Rajbhandari et al. 2020, section 5: state, then gradients, then weights."""
    target = network_target("vgg11", input=SMALL, batch=2)
    whole, *stages = (
        predict(target, Setting(optimizer="adam", zero=zero, gpus=4 if zero else 1))
        for zero in (0, 1, 2, 3)
    )
    update = [p.timeline[-1] for p in (whole, *stages)]
    assert [m.optimizer for m in update[1:]] == [-(-update[0].optimizer // 4)] * 3
    assert [m.gradients for m in update[:2]] == [update[0].gradients] * 2
    # Adam's update holds the roots of the second moments that are here.
    assert [m.temporary for m in update[1:]] == [-(-update[0].temporary // 4)] * 3
    assert update[2].gradients == -(-update[0].gradients // 4)
    assert update[2].parameters == update[0].parameters
    assert update[3].parameters == -(-update[0].parameters // 4)
    # The first linear layer, the largest block, is gathered while it runs.
    largest = 25088 * 4096 * 4 + 4096 * 4
    grown = max(s.temporary - w.temporary
                for s, w in zip(stages[2].timeline, whole.timeline, strict=True))  # fmt: skip
    assert grown == largest - -(-largest // 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zero": 4, "gpus": 2}, "zero=4: is not a stage"),
        ({"zero": 2}, "add gpus=8"),
        ({"gpus": 8}, "has no effect without zero"),
        ({"form": "one"}, "form='one'"),
        ({"form": "fused", "optimizer": "nadam"}, "has no fused kernel"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"device": "tpu"}, "device='tpu'"),
        ({"dtype": "amp", "master_weights": True}, "master_weights=True"),
    ],
)
def test_settings_that_contradict_are_refused(options, message):
    with pytest.raises(ArchscopeError, match=message):
        Setting(**options)


def test_a_plan_takes_the_cheapest_measures_until_the_step_fits():
    target = network_target("resnet18", input=SMALL, batch=64)
    asked = Setting(optimizer="adam")
    start = predict(target, asked).peak_bytes
    nothing = plan_to_fit(target, start, asked)
    assert nothing.fits and len(nothing.together) == 1
    plan = plan_to_fit(target, start - MIB, asked)
    assert plan.fits
    assert all(tried.peak_bytes > plan.budget_bytes for tried in plan.together[:-1])
    last = plan.together[-1]
    batch = 64 // last.measure.divided
    again = predict(network_target("resnet18", input=SMALL, batch=batch), last.measure.setting)
    assert again.peak_bytes == last.peak_bytes
    assert not plan_to_fit(target, CONTEXT_BYTES + MIB, asked).fits
    with pytest.raises(ArchscopeError, match="is of training"):
        plan_to_fit(target, start, Setting("inference"))


def test_the_report_of_a_plan_says_first_whether_it_fits():
    target = network_target("resnet18", input=SMALL, batch=64)
    report = plan_report(plan_to_fit(target, 2**40, Setting()))
    assert report.tables[0].title.endswith("fits into 1.00 TiB as it is")
    report = plan_report(plan_to_fit(target, CONTEXT_BYTES + MIB, Setting()))
    assert "does not fit into 1.00 GiB" in report.tables[0].title
    with pytest.raises(ArchscopeError, match=r"^plan='100 MiB': nothing can fit: 1.00 GiB is"):
        plan_to_fit(target, 100 * MIB, Setting())


def test_a_plan_takes_one_measure_where_one_is_enough_and_names_it_first():
    target = network_target("resnet18", input=SMALL, batch=1024)
    alone = plan_to_fit(target, 2**40, Setting()).alone
    autocast, passes = alone[1:3]
    assert passes.peak_bytes < autocast.peak_bytes  # so that the cheaper one is not enough
    plan = plan_to_fit(target, passes.peak_bytes, Setting())
    assert [tried.measure.name for tried in plan.together] == ["as asked", "2 passes per update"]
    assert plan_report(plan).tables[0].title.endswith(" with 2 passes per update")
    least = min(tried.peak_bytes for tried in alone)
    both = plan_report(plan_to_fit(target, least - 1, Setting())).tables[0].title
    assert both.endswith(" with autocast to bfloat16 and 2 passes per update")


def test_blocks_are_what_repeats():
    assert blocks_pattern(find("resnet18", {}).module) == "layer*.*"
    assert blocks_pattern(nn.Sequential(nn.Linear(2, 2))) == ""


@pytest.mark.parametrize(("layer", "said"), [(nn.LSTM(4, 4), True), (nn.Linear(4, 4), False)])
def test_the_backend_of_recurrent_layers_is_named(layer, said):
    report = memory_report(predict(network_target(layer, input="3x4", batch=2)))
    assert ("as PyTorch's own cells" in " ".join(report.tables[0].notes)) is said


def test_a_module_is_predicted_in_its_own_dtype():
    net = nn.Sequential(nn.Linear(512, 512, bias=False)).to(torch.bfloat16)
    record = archscope.memory(net, (torch.randn(4, 512, dtype=torch.bfloat16),)).record
    assert record.peak.parameters == 512 * 512 * 2
    assert record.dtype == "bfloat16"
    asked = archscope.memory(net, "512", dtype="float32").record
    assert asked.peak.parameters == 512 * 512 * 4


@pytest.mark.parametrize("setting", [{"gpus": 0}, {"accumulate": 1.5}, {"lora": 1.5}])
def test_numbers_that_are_none_are_refused_by_name(setting):
    (name,) = setting
    with pytest.raises(ArchscopeError, match=f"{name}=.*: is out of range; give a whole number"):
        archscope.memory("lenet", **setting)


class Positions(nn.Module):
    """Makes a tensor where its input is, as most code does."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(16, 4)

    def forward(self, x):
        return x + self.table(torch.arange(x.shape[1], device=x.device))


def test_the_device_of_the_input_is_not_one_of_the_network_s_own():
    assert not predict(network_target(Positions(), input="8x4"), Setting()).notes
    named = network_target(Positions().requires_grad_(False), input="8x4")
    assert not predict(named, Setting(mode="inference")).notes


def test_an_optimizer_is_named_as_its_class_is():
    assert Setting(optimizer="Adam") == Setting(optimizer="adam")


class Experts(nn.Module):
    """Two experts as transformers computes them: it asks which kernels the GPU has."""

    def __init__(self, width=16):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, width, width))

    def forward(self, x):
        assert x.device.type == "cuda" and torch.cuda.get_device_capability(x.device) >= (8, 0)
        half = torch.tensor([len(x) // 2, len(x)], dtype=torch.int32, device=x.device)
        return torch._grouped_mm(x, self.weight, offs=half)


def test_a_network_that_asks_which_gpu_it_is_on_is_answered_where_there_is_none():
    found = predict(network_target(Experts, input="16", batch=16), Setting(optimizer="sgd"))
    assert found.peak.parameters == 2 * 16 * 16 * 4
