"""The smoke test of the CUDA path, in the order in which to read a failure.

Run just these with `pytest -m gpu tests/measure`.
"""

import statistics

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def measured():
    """A warm ResNet-18 training step with its session of raw events."""
    models = pytest.importorskip("torchvision.models")
    from archscope.measure import events, layers
    from archscope.measure.clock import synchronizer
    from archscope.measure.step import Settings, TrainingStep, configured
    from archscope.records import InputSpec, TensorSpec

    device = torch.device("cuda", 0)
    settings = Settings(device="cuda:0")
    spec = InputSpec((TensorSpec((64, 3, 224, 224)),))
    with configured(settings, device):
        step = TrainingStep(models.resnet18(), spec, settings, device)
        for _ in range(10):
            step()
        synchronizer(device)()
        recorder = layers.CallRecorder(step.modules)
        raw = layers._session(step, recorder, 5)
        yield step, recorder, raw, events.read(raw)


def plain_events_seconds(run, repeat=30):
    """Median by CUDA events around single runs: nothing of archscope's."""
    seconds = []
    for _ in range(repeat):
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def test_unclaimed_device_time_is_under_one_percent(measured):
    from archscope.measure import layers

    _, recorder, _, trace = measured
    table = layers.times(trace, list(recorder.calls))
    unknown = sum(row.total_seconds for row in table.rows if row.name == layers.UNKNOWN)
    assert unknown < 0.01 * table.busy_seconds
    assert min(table.attributed[phase] for phase in ("forward", "backward")) >= 0.98


def test_every_step_launches_the_same_number_of_kernels(measured):
    from collections import Counter

    from archscope.measure import events

    _, recorder, _, trace = measured
    counts = Counter(c.step for c in events.join(trace, list(recorder.calls)))
    assert len(set(counts.values())) == 1, counts


def test_kernels_sum_to_the_busy_time(measured):
    from archscope.measure import layers

    _, recorder, _, trace = measured
    table = layers.times(trace, list(recorder.calls))
    outside = (layers.DEVICE_GAP, layers.OVERLAP)
    kernels = sum(row.total_seconds for row in table.rows if row.name not in outside)
    assert kernels == pytest.approx(table.busy_seconds, rel=0.02)


def test_busy_time_is_near_graph_replay(measured):
    from archscope.measure import layers
    from archscope.measure.graph import captured

    step, recorder, _, trace = measured
    busy = layers.times(trace, list(recorder.calls)).busy_seconds
    assert busy == pytest.approx(plain_events_seconds(captured(step)), rel=0.05)


def test_backward_convolutions_have_the_weight_shape_of_their_layer(measured):
    from torch.profiler import ProfilerActivity, profile

    from archscope.measure import events, layers

    step = measured[0]
    recorder = layers.CallRecorder(step.modules)
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with recorder, profile(activities=activities, record_shapes=True, acc_events=True) as session:
        layers._run_stages(step, recorder)
        torch.cuda.synchronize()
    raw = list(session.profiler.kineto_results.events())
    trace = events.read(raw)
    events.join(trace, recorder.calls)
    owner = {(event.start, event.name): event.owner for event in trace.host}
    convolutions = [event for event in raw if event.name() == "aten::convolution_backward"]
    assert len(convolutions) == 20
    for event in convolutions:
        call = recorder.calls[owner[event.start_ns(), event.name()]]
        assert list(event.shapes()[2]) == list(step.modules[call.name].weight.shape)


def test_whole_step_agrees_with_plain_events(measured):
    from archscope.measure.clock import StreamClock
    from archscope.measure.sampling import measure

    step = measured[0]
    stream = measure(StreamClock([step], step.device)).total.median
    assert stream == pytest.approx(plain_events_seconds(step), rel=0.02)


def test_profiling_slows_the_step_by_less_than_a_quarter(measured):
    from archscope.measure import events

    step, _, _, trace = measured
    profiled = statistics.median(events.step_nanoseconds(trace).values()) / 1e9
    assert profiled < 1.25 * plain_events_seconds(step)
