"""The smoke test of the CUDA path, in the order in which to read a failure.

Run just these with `python -m pytest -m gpu tests/measure`, with nothing else on the device.
"""

import itertools
import shutil
import statistics
from collections import Counter

import pytest
import torch
from torch import nn
from torchvision import models

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def measured():
    """A warm ResNet-18 training step, large enough to keep the device busy, and its trace."""
    from archscope.measure import events, layers
    from archscope.measure.clock import synchronizer
    from archscope.measure.step import Settings, TrainingStep, configured
    from archscope.records import InputSpec, TensorSpec
    from archscope.traces.attribution import attribute

    device = torch.device("cuda", 0)
    settings = Settings(device="cuda:0")
    spec = InputSpec((TensorSpec((128, 3, 224, 224)),))
    with configured(settings, device):
        step = TrainingStep(models.resnet18(), spec, settings, device)
        for _ in range(10):
            step()
        synchronizer(device)()
        raw = layers._session(step, layers.CallRecorder(step.modules), 5)
        yield step, attribute(events.read(raw))


def plain_events_seconds(run, repeat=30):
    """Median by CUDA events around runs that are queued back to back: nothing of archscope's."""
    run()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeat + 1)]
    marks[0].record()
    for mark in marks[1:]:
        run()
        mark.record()
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(marks))


def spans(credits):
    """Seconds from each profiled step's first kernel to the end of its last."""
    found = {}
    for credit in credits:
        begin, end = found.get(credit.step, (credit.start, 0))
        finish = credit.start + credit.nanoseconds
        found[credit.step] = min(begin, credit.start), max(end, finish)
    return [(end - begin) / 1e9 for begin, end in found.values()]


def test_the_device_says_what_it_is():
    from archscope.measure import device as devices

    device = devices.find("cuda")
    facts = devices.environment(device)
    for key in ("device name", "cuda", "cudnn", "convolutions"):
        assert facts.fact(key)
    if shutil.which("nvidia-smi"):
        assert facts.fact("driver")
        assert devices.state(device)["SM clock"].endswith("MHz")


def test_roofs_lie_below_the_data_sheet_and_not_far_below():
    from archscope.measure import device as devices

    device = devices.find("cuda")
    rates = devices.measure_peaks(device)
    sheets = devices.DATA_SHEET.items()
    sheet = next((sheet for part, sheet in sheets if part in devices.model_name(device)), None)
    if sheet is None:
        pytest.skip("no data sheet of this device")
    for name, rate in sheet.items():
        assert 0.5 * rate < rates[name] < 1.05 * rate, name


def test_a_profiler_that_has_gone_costs_nothing():
    """Launches stay as fast as before the first session, also where they decide the time."""
    from torch.profiler import ProfilerActivity, profile

    small = nn.Sequential(*(nn.Linear(8, 8) for _ in range(200))).cuda()
    x = torch.randn(8, 8, device="cuda")

    def run():
        with torch.no_grad():
            small(x)

    before = plain_events_seconds(run, 200)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True):
        run()
    assert plain_events_seconds(run, 200) < 1.15 * before


def test_unclaimed_device_time_is_under_one_percent(measured):
    from archscope.traces.rows import UNATTRIBUTED

    table = measured[1].times()
    unknown = sum(row.total_seconds for row in table.rows if row.name == UNATTRIBUTED)
    assert unknown < 0.01 * table.busy_seconds
    assert min(table.attributed[phase] for phase in ("forward", "backward")) >= 0.98


def test_every_step_launches_the_same_number_of_kernels(measured):
    counts = Counter(credit.step for credit in measured[1].credits)
    assert len(set(counts.values())) == 1, counts


def test_kernels_sum_to_the_busy_time(measured):
    from archscope.traces.rows import DEVICE_GAP, OVERLAP

    table = measured[1].times()
    kernels = sum(row.total_seconds for row in table.rows if row.name not in (DEVICE_GAP, OVERLAP))
    assert kernels == pytest.approx(table.busy_seconds, rel=0.02)


def test_busy_time_is_near_graph_replay(measured):
    from archscope.measure.graph import captured

    step, found = measured
    replay = plain_events_seconds(captured(step))
    assert found.times().busy_seconds == pytest.approx(replay, rel=0.05)


def test_waiting_adds_up_to_the_idle_time_of_the_latency(measured):
    from archscope.traces.rows import DEVICE_GAP

    found = measured[1]
    latency = 1.5 * found.times().busy_seconds
    rows = {row.name: row for row in found.times(latency).rows}
    idle = rows[DEVICE_GAP].seconds["idle"]
    # What the device waits for after its last kernel is no layer's.
    assert 0 < sum(row.waiting_seconds for row in rows.values()) <= idle * (1 + 1e-9)


def test_backward_convolutions_have_the_weight_shape_of_their_layer(measured):
    from torch.profiler import ProfilerActivity, profile

    from archscope.measure import events, layers
    from archscope.traces.attribution import attribute

    step = measured[0]
    recorder = layers.CallRecorder(step.modules)
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with recorder, profile(activities=activities, record_shapes=True, acc_events=True) as session:
        layers.run_stages(step)
        torch.cuda.synchronize()
    trace = events.read(session.profiler.kineto_results.events())
    attribute(trace)
    found = [event for event in trace.host if event.name == "aten::convolution_backward"]
    assert len(found) == 20
    for event in found:
        assert event.shapes[2] == tuple(step.modules[event.owner.name].weight.shape)


def test_a_trace_of_the_recorder_says_what_profile_says(tmp_path):
    """Kernels of the same steps by layer, from a file and from a session of its own."""
    from archscope.measure.layers import profile_layers
    from archscope.measure.record import record
    from archscope.measure.step import Settings, TrainingStep
    from archscope.records import InputSpec, TensorSpec
    from archscope.traces import chrome
    from archscope.traces.attribution import attribute

    spec = InputSpec((TensorSpec((64, 3, 224, 224)),))
    step = TrainingStep(models.resnet18(), spec, Settings(), torch.device("cuda", 0))
    for _ in range(10):
        step()
    path = tmp_path / "trace.json"
    with record(step.network, str(path), steps=5, before=1) as ended:
        for _ in range(8):
            step()
            ended()
    written = attribute(chrome.read(str(path))).times()
    session = profile_layers(step)
    theirs = {row.name: row.total_seconds for row in written.rows if row.in_network}
    ours = {row.name: row.total_seconds for row in session.rows if row.in_network}
    assert theirs.keys() == ours.keys()
    assert sum(theirs.values()) == pytest.approx(sum(ours.values()), rel=0.05)


def test_whole_step_agrees_with_plain_events(measured):
    from archscope.measure.clock import StreamClock
    from archscope.measure.sampling import measure

    step = measured[0]
    stream = measure(StreamClock([step], step.device)).total.median
    assert stream == pytest.approx(plain_events_seconds(step), rel=0.02)


def test_profiling_slows_the_step_by_less_than_a_quarter(measured):
    step, found = measured
    profiled = statistics.median(spans(found.credits))
    assert profiled < 1.25 * plain_events_seconds(step)


SETTINGS = [
    {"dtype": "fp32"},
    {"dtype": "tf32", "optimizer": "adamw"},
    {"dtype": "bf16", "channels_last": True},
    {"amp": True, "cold_l2": True, "optimizer": "none"},
]


def settings_id(chosen):
    return "-".join(map(str, chosen.values()))


@pytest.mark.parametrize("chosen", SETTINGS, ids=settings_id)
def test_every_setting_is_measured_whole_and_by_layer(chosen):
    from archscope.measure.sampling import StoppingRule
    from archscope.measure.session import Plan, run
    from archscope.measure.step import Settings
    from archscope.records import InputSpec, TensorSpec

    network = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    rule = StoppingRule(precision=0.05, min_seconds=0.05, max_seconds=0.5, min_warmup_seconds=0.05)
    plan = Plan(Settings(device="cuda", cuda_graph=True, **chosen), rule)
    found = run("network", network, InputSpec((TensorSpec((32, 3, 64, 64)),)), plan)
    assert {"step", "step stream", "step graph", "inference graph"} <= set(found.phases)
    assert not [note for note in found.notes if "graph" in note]
    assert {"0", "1", "2", "3", "4", "6"} <= {row.name for row in found.layers}
    assert min(found.attributed[phase] for phase in ("forward", "backward")) >= 0.98
    assert found.peak_bytes["forward reserved"] >= found.peak_bytes["forward allocated"]
    assert found.peak_bytes["forward allocated"] > found.peak_bytes["activations"] > 0
    assert found.phases["step graph"].median < 1.05 * found.phases["step stream"].median


def test_memory_of_an_earlier_step_does_not_count():
    from archscope.measure.memory import peak_bytes
    from archscope.measure.step import Settings, TrainingStep
    from archscope.records import InputSpec, TensorSpec

    spec = InputSpec((TensorSpec((4, 2048)),))

    def peak():
        step = TrainingStep(nn.Linear(2048, 2048), spec, Settings(), torch.device("cuda", 0))
        return peak_bytes(step)["forward allocated"]

    peak()  # the libraries' own workspaces
    assert peak() == peak()


def test_kernels_of_a_compiled_network_belong_to_its_graph():
    pytest.importorskip("triton")
    from archscope.measure.layers import profile_layers
    from archscope.measure.step import Settings, TrainingStep
    from archscope.records import InputSpec, TensorSpec

    network = nn.Sequential(nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 10))
    settings = Settings(device="cuda", compile="default")
    spec = InputSpec((TensorSpec((512, 256)),))
    step = TrainingStep(network, spec, settings, torch.device("cuda", 0))
    for _ in range(5):
        step()
    table = profile_layers(step)
    (graph,) = [row for row in table.rows if row.name.startswith("compiled region")]
    assert graph.seconds["forward"] > 0 and graph.seconds["backward"] > 0
    assert table.attributed["forward"] >= 0.98


def test_a_step_that_cannot_be_captured_says_why_and_leaves_the_stream():
    from archscope.measure.graph import captured
    from archscope.measure.step import InferenceStep, Settings
    from archscope.records import InputSpec, TensorSpec

    class Waiting(nn.Linear):
        def forward(self, x):
            return super().forward(x) * float(x.sum())

    device = torch.device("cuda", 0)
    spec = InputSpec((TensorSpec((4, 8)),))
    step = InferenceStep(Waiting(8, 8), spec, Settings(device="cuda"), device)
    before = torch.cuda.current_stream()
    with pytest.raises(RuntimeError):
        captured(step)
    assert torch.cuda.current_stream() == before
    step()
    torch.cuda.synchronize()
