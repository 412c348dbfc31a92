"""Predictions as records, the batch that fits, and what is printed."""

import pytest
import torch
from torch import nn

from archscope import archive
from archscope.ask.memory import Setting, largest_batch, predict
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.measure.memory import peak_bytes
from archscope.measure.step import Settings, TrainingStep
from archscope.study.memory import ADAM_ON_A_CPU, memory_report, timeline_chart

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
    setting = Setting(mode=mode, optimizer="adam")
    found = largest_batch(network_target("resnet18", input=SMALL), budget, setting)
    batch = found.input.batch
    again = predict(network_target("resnet18", input=SMALL, batch=batch), setting)
    beyond = predict(network_target("resnet18", input=SMALL, batch=batch + 1), setting)
    assert found.peak_bytes == again.peak_bytes <= budget < beyond.peak_bytes


def test_batch_normalisation_that_cannot_train_on_one_sample_starts_at_two():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    assert largest_batch(network_target(network, input="4"), MIB).input.batch > 2


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
    kinds, saved = memory_report(prediction).tables
    assert sum(kinds.column("at_peak_bytes")[:-1]) == kinds.column("at_peak_bytes")[-1]
    assert kinds.column("at_peak_bytes")[-1] == prediction.peak_bytes
    assert prediction.peak.layer in kinds.notes[0]
    assert sum(saved.column("saved_bytes")[:-1]) == prediction.saved_bytes


def test_the_update_of_adam_is_a_gpu_s_and_a_cpu_needs_less():
    """The CPU's default works on one tensor at a time, with a few temporaries of its size."""
    module = nn.Sequential(*(nn.Linear(256, 256, bias=False) for _ in range(8)))
    weight = 256 * 256 * 4
    predicted = predict(network_target(module, input="256", batch=1), Setting(optimizer="adam"))
    assert predicted.peak.phase == "update" and predicted.peak.temporary == 8 * weight
    step = TrainingStep(module, predicted.input, Settings(optimizer="adam"), torch.device("cpu"))
    update = peak_bytes(step)["optimizer allocated"]
    assert 4 * weight < predicted.peak_bytes - update < 8 * weight
    told = memory_report(predicted).tables[0].notes
    assert ADAM_ON_A_CPU in told
    sgd = predict(network_target(module, input="256", batch=1), Setting())
    assert ADAM_ON_A_CPU not in memory_report(sgd).tables[0].notes


def test_the_timeline_stacks_to_the_live_bytes():
    prediction = predict(network_target("resnet18", input=SMALL, batch=2))
    chart = timeline_chart(prediction)
    heights = [sum(column) for column in zip(*(s.y for s in chart.series), strict=True)]
    assert chart.kind == "area"
    assert heights == [moment.total for moment in prediction.timeline]


def test_buffers_are_not_parameters():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    peak = predict(network_target(network, input="4", batch=2)).peak
    assert peak.parameters == (4 * 8 + 8 + 16) * 4
    assert peak.buffers == 16 * 4 + torch.int64.itemsize
