"""The join of kernels to layers, on the events that a CUDA step leaves behind, written by hand."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from archscope.measure.events import read
from archscope.measure.layers import CallRecorder, opened, run_stages
from archscope.measure.step import Settings, TrainingStep
from archscope.records import InputSpec, TensorSpec
from archscope.traces.attribution import attribute
from archscope.traces.events import CALL, EARLIER, LOSS, NODE, STAGE, STEP
from archscope.traces.join import busy
from archscope.traces.rows import DEVICE_GAP, OVERLAP, UNATTRIBUTED


@dataclass(frozen=True)
class Raw:
    """What torch.profiler's raw event answers."""

    n: str
    a: int
    b: int
    tid: int = 1
    seq: int = -1
    fwd: int = 0
    cid: int = 0
    linked: int = 0
    cuda: bool = False
    annotation: bool = False

    name = property(lambda self: lambda: self.n)
    start_ns = property(lambda self: lambda: self.a)
    duration_ns = property(lambda self: lambda: self.b - self.a)
    start_thread_id = end_thread_id = property(lambda self: lambda: self.tid)
    sequence_nr = property(lambda self: lambda: self.seq)
    fwd_thread_id = property(lambda self: lambda: self.fwd)
    correlation_id = property(lambda self: lambda: self.cid)
    linked_correlation_id = property(lambda self: lambda: self.linked)
    is_user_annotation = property(lambda self: lambda: self.annotation)
    is_async = property(lambda self: lambda: False)
    shapes = dtypes = property(lambda self: list)
    device_index = device_resource_id = property(lambda self: lambda: 0)

    def device_type(self):
        return DeviceType.CUDA if self.cuda else DeviceType.CPU


def kernel(name, begin, end, cid, linked=0):
    return Raw(name, begin, end, cid=cid, linked=linked, cuda=True)


def called(name, kind, begin, end, tid=1):
    """The range around a module call."""
    return Raw(f"{CALL}{name}|{kind}", begin, end, tid=tid)


HOST = [
    Raw(f"{STEP}1", 0, 800),
    Raw(f"{STAGE}forward", 1, 150),
    called("", "Net", 2, 100),
    called("conv", "Conv2d", 5, 40),
    Raw("aten::conv2d", 10, 35, seq=10, cid=7),
    Raw("cudaLaunchKernel", 20, 25, cid=501, linked=7),
    # An overhead record on another thread inherits the operator's id.
    Raw("Lazy Function Loading", 21, 24, cid=7, tid=77),
    called("triton", "Fused", 45, 70),
    # A kernel that no operator launched, from a thread the profiler does not know.
    Raw("cuLaunchKernel", 50, 55, cid=502, tid=99999),
    # The driver's id 7 is not the operator's id 7.
    Raw("aten::add", 80, 95, seq=12, cid=9),
    Raw("cudaLaunchKernel", 85, 90, cid=7, linked=9),
    Raw(f"{LOSS}[loss]|Loss", 101, 120),
    Raw("aten::sum", 102, 119, seq=13, cid=11),
    Raw("cudaLaunchKernel", 103, 104, cid=503, linked=11),
    Raw(f"{STAGE}backward", 160, 700),
    Raw("aten::ones_like", 161, 170, cid=12),
    Raw("cudaLaunchKernel", 162, 163, cid=504, linked=12),
    # The engine's own thread.
    Raw(NODE + "AddBackward0", 200, 220, tid=2, seq=12, fwd=1, cid=20),
    Raw("aten::mul", 202, 210, tid=2, cid=22),
    Raw("cudaLaunchKernel", 203, 204, tid=2, cid=505, linked=22),
    Raw(NODE + "ConvolutionBackward0", 300, 360, tid=2, seq=10, fwd=1, cid=30),
    Raw("aten::convolution_backward", 310, 340, tid=2, cid=31),
    Raw("cudaLaunchKernel", 320, 325, tid=2, cid=601, linked=31),
    Raw("cudaLaunchKernel", 330, 335, tid=2, cid=602, linked=31),
    Raw("aten::add", 345, 355, tid=2, cid=32),
    Raw("cudaLaunchKernel", 346, 347, tid=2, cid=604, linked=32),
    Raw(NODE + "torch::autograd::AccumulateGrad", 361, 380, tid=2, fwd=1, cid=40),
    Raw("aten::add_", 362, 370, tid=2, cid=41),
    Raw("cudaLaunchKernel", 363, 366, tid=2, cid=603, linked=41),
    Raw(f"{STAGE}optimizer", 710, 790),
    Raw("aten::_foreach_add_", 720, 760, cid=50),
    Raw("cudaLaunchKernel", 721, 722, cid=701, linked=50),
]

DEVICE = [
    kernel("implicit_gemm", 1000, 2000, 501, 7),
    kernel("triton_kernel", 2000, 2300, 502),
    kernel("add_kernel", 2300, 2400, 7, 9),
    kernel("sum", 2400, 2410, 503, 11),
    kernel("fill", 2410, 2413, 504, 12),
    kernel("mul", 2500, 2507, 505, 22),
    kernel("dgrad", 3000, 4000, 601, 31),
    kernel("wgrad", 3500, 5000, 602, 31),
    kernel("fan_in", 5000, 5020, 604, 32),
    kernel("accumulate", 5020, 5070, 603, 41),
    kernel("sgd", 6000, 6200, 701, 50),
    # A range's shadow on the device must not count its kernels again.
    replace(kernel(f"{CALL}conv|Conv2d", 1000, 2000, 501, 7), annotation=True),
    replace(kernel("a range of the user's", 1000, 2300, 502), annotation=True),
]


def table_of(raw, latency=8000e-9):
    return attribute(read(raw)).times(latency)


def busy_by_row(raw):
    table = table_of(raw)
    return {
        (row.name, phase): round(1e9 * seconds)
        for row in table.rows
        for phase, seconds in row.seconds.items()
    }


def test_every_kernel_is_credited_once_to_its_layer_and_phase():
    assert busy_by_row(HOST + DEVICE) == {
        ("conv", "forward"): 1000,
        ("triton", "forward"): 300,
        ("", "forward"): 100,
        ("", "backward"): 7,
        ("[loss]", "forward"): 10,
        ("[loss]", "backward"): 3,
        ("conv", "backward"): 2500,
        ("conv", "accumulation"): 70,
        ("[optimizer]", "optimizer"): 200,
        (OVERLAP, "overlap"): -500,
        (DEVICE_GAP, "idle"): 8000 - (4190 - 500),
    }


def test_the_table_adds_up_to_the_latency_of_the_step():
    table = table_of(HOST + DEVICE)
    assert sum(row.total_seconds for row in table.rows) == pytest.approx(8000e-9)
    assert table.busy_seconds == pytest.approx(3690e-9)
    assert set(table.attributed.values()) == {1.0}


def test_waiting_is_the_idle_time_divided_as_the_profiled_step_waits():
    """The step ends with its last kernel at 6200, and 3690 of it are busy.

    The device waits 1000 for conv's first kernel and 493 for its last but three, 87 for the sum's
    backward kernel and 930 for the optimiser's, which is all of the 6200 − 3690 that are idle.
    """
    table = table_of(HOST + DEVICE)
    waits = {row.name: 1e9 * row.waiting_seconds for row in table.rows if row.waiting_seconds}
    share = (8000 - 3690) / (6200 - 3690)
    expected = {"conv": 1493 * share, "": 87 * share, "[optimizer]": 930 * share}
    assert waits == pytest.approx(expected)
    assert sum(waits.values()) == pytest.approx(1e9 * table.rows[-1].seconds["idle"])


def test_busy_time_is_the_union_of_kernels():
    assert busy(attribute(read(HOST + DEVICE)).credits) == {1: 3690}


def test_a_kernel_without_any_trace_of_its_launch_stays_unattributed_and_shows():
    # Known to lie in the step only by its own time, behind the first kernel that was launched.
    early = replace(DEVICE[0], a=100, b=1100)
    table = table_of([*HOST, early, *DEVICE[1:], kernel("memcpy", 790, 795, 999)])
    (row,) = [row for row in table.rows if row.name == UNATTRIBUTED]
    assert row.total_seconds == pytest.approx(5e-9)
    assert table.attributed["other"] == 0.0


def test_a_kernel_before_all_that_were_launched_is_of_an_earlier_step():
    table = table_of([*HOST, *DEVICE, kernel("memcpy", 790, 795, 999)])
    (row,) = [row for row in table.rows if row.name == EARLIER.name]
    assert row.total_seconds == pytest.approx(5e-9)
    assert set(table.attributed.values()) == {1.0}


def test_a_forward_thread_of_zero_means_the_only_one():
    raw = [replace(event, fwd=0) for event in HOST]
    assert busy_by_row(raw + DEVICE) == busy_by_row(HOST + DEVICE)


@pytest.mark.parametrize("name", ["Buffer Flush", "Lazy Function Loading", "unknown"])
def test_the_profilers_own_work_cuts_no_range_in_two(name):
    """It runs on a thread of CUPTI's, but is reported on that of the ranges, and overlaps them."""
    across = [Raw(name, 8, 130, cid=501), Raw(name, 161, 715, cid=7)]
    assert busy_by_row([*HOST, *across, *DEVICE]) == busy_by_row(HOST + DEVICE)


def test_waiting_is_no_work():
    # Recorded on the device where a library has switched these records on.
    waiting = [kernel(name, 100, 9000, 0) for name in ("Stream Wait Event", "Context Sync")]
    assert busy_by_row([*HOST, *DEVICE, *waiting]) == busy_by_row(HOST + DEVICE)


def test_a_call_recorded_by_runtime_and_driver_credits_its_kernel_once():
    """As when cudaLaunchKernelExC calls cuLaunchKernelEx; both carry the kernel's id."""
    twice = [Raw("cuLaunchKernelEx", 331, 334, tid=2, cid=602, linked=31)]
    assert busy_by_row([*HOST, *twice, *DEVICE]) == busy_by_row(HOST + DEVICE)


def test_all_kernels_of_a_graph_launch_belong_to_the_operator_that_launched_it():
    """Also where the clocks of host and driver disagree, so that the call lies behind it."""
    launch = [
        Raw("Torch-Compiled Region: 0/0", 35, 39),
        Raw("CompiledFxGraph", 36, 38, cid=70),
        Raw("cudaGraphLaunch", 41, 43, cid=900, linked=70),
        kernel("triton_a", 2420, 2430, 900),
        kernel("triton_b", 2430, 2450, 900),
        kernel("Memset (Device)", 2450, 2451, 900),
    ]
    rows = busy_by_row([*HOST, *launch, *DEVICE])
    assert rows["compiled region 0/0", "forward"] == 31
    eager = replace(launch[1], n="aten::mul")
    replayed = busy_by_row([*HOST, eager, *launch[2:], *DEVICE])
    assert replayed["[CUDA graph replay]", "forward"] == 31


def test_a_number_that_a_hook_kept_from_the_engines_event_is_taken_from_the_node():
    """PyTorch copies it only between neighbours, and a tensor's hook runs between the two."""
    (engine,) = [event for event in HOST if event.n == NODE + "AddBackward0"]
    rest = [event for event in HOST if event is not engine]
    hooked = [
        replace(engine, seq=-1, fwd=0),
        Raw("aten::mul", 201, 202, tid=2, cid=21),
        replace(engine, n="AddBackward0", a=202, b=219, cid=23),
    ]
    assert busy_by_row(rest + hooked + DEVICE) == busy_by_row(HOST + DEVICE)


def test_recomputation_is_a_phase_of_its_own():
    again = [
        called("conv", "Conv2d", 311, 319, tid=2),
        Raw("aten::conv2d", 312, 318, tid=2, cid=60),
        Raw("cudaLaunchKernel", 313, 314, tid=2, cid=801, linked=60),
        kernel("implicit_gemm", 5100, 5500, 801, 60),
    ]
    table = table_of([*HOST, *DEVICE, *again])
    (conv,) = [row for row in table.rows if row.name == "conv"]
    assert conv.seconds["recompute"] == pytest.approx(400e-9)


def shifted(raw, step, offset):
    """The same step later, with its own correlation ids."""

    def moved(event):
        name = f"{STEP}{step}" if event.n.startswith(STEP) else event.n
        ids = {"cid": event.cid and event.cid + 10**4 * step}
        ids["linked"] = event.linked and event.linked + 10**4 * step
        return replace(event, n=name, a=event.a + offset, b=event.b + offset, **ids)

    return [moved(event) for event in raw]


def test_a_step_that_lost_kernels_is_discarded():
    whole = [event for step in (1, 2, 4) for event in shifted(HOST + DEVICE, step, 10**4 * step)]
    lossy = shifted(HOST + DEVICE[2:], 3, 3 * 10**4)
    table = table_of(whole + lossy)
    assert table.notes[0].startswith("left out: 1 of 4 steps, with other launches")
    (conv,) = [row for row in table.rows if row.name == "conv"]
    assert conv.seconds["forward"] == pytest.approx(1000e-9)


def test_without_kernels_the_operators_own_time_counts():
    # On a host's own step the backward pass runs on the thread that called it.
    host = [replace(event, tid=1) for event in HOST]
    own = {
        (row.name, phase): round(1e9 * seconds)
        for row in attribute(read(host)).times().rows
        for phase, seconds in row.seconds.items()
    }
    assert own["conv", "forward"] == 25
    assert own["[loss]", "backward"] == 9
    # On the host the engine's own time counts, so the node as a whole belongs to the layer.
    assert own["conv", "backward"] == 60 - 10
    # The sum of the gradients that arrive at `conv` over two paths, and that of its weight.
    assert own["conv", "accumulation"] == 10 + 19
    assert sum(own.values()) == 800


def test_graphs_of_the_compiler_are_rows_of_their_own():
    """Two graphs, the second called from inside the first as after a graph break."""
    raw = [
        Raw(f"{STEP}1", 0, 900),
        Raw(f"{STAGE}forward", 1, 400),
        called("", "OptimizedModule", 2, 399),
        Raw("Torch-Compiled Region: 0/0", 10, 390),
        Raw("CompiledFunction", 20, 100, seq=10, cid=1),
        Raw("Torch-Compiled Region: 1/0", 110, 380),
        Raw("CompiledFunction", 120, 300, seq=11, cid=2),
        Raw(f"{STAGE}backward", 410, 890),
        Raw(NODE + "CompiledFunctionBackward", 420, 500, tid=2, seq=11, fwd=1, cid=3),
        Raw(NODE + "CompiledFunctionBackward", 510, 600, tid=2, seq=10, fwd=1, cid=4),
        kernel("triton_0", 1000, 1100, 0, 1),
        kernel("triton_1", 1100, 1300, 0, 2),
        kernel("triton_1_backward", 1300, 1600, 0, 3),
        kernel("triton_0_backward", 1600, 2000, 0, 4),
    ]
    table = table_of(raw)
    rows = {row.name: row.seconds for row in table.rows}
    assert rows["compiled region 0/0"] == pytest.approx({"forward": 100e-9, "backward": 400e-9})
    assert rows["compiled region 1/0"] == pytest.approx({"forward": 200e-9, "backward": 300e-9})


class OnEngineThread:
    """An event of a real step as a GPU's backward pass records it: on the engine's own thread."""

    def __init__(self, raw):
        self._raw = raw
        self.start_thread_id = self.end_thread_id = lambda: 2

    def __getattr__(self, name):
        return getattr(self._raw, name)


class Convolutions(nn.Module):
    """Weights of different shapes: one checkpointed, one called twice, one behind a hook."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.repeated = nn.Conv2d(4, 4, 1)
        self.checkpointed = nn.Conv2d(4, 5, 3)
        self.hooked = nn.Conv2d(5, 6, 3)

    def forward(self, x):
        x = self.repeated(self.repeated(self.first(x)))
        x = checkpoint(self.checkpointed, x, use_reentrant=False)
        y = self.hooked(x)
        y.register_hook(lambda gradient: gradient * 2)
        return y.mean((2, 3))


def test_kernels_launched_by_a_real_steps_operators_find_the_layer_with_their_weights_shape():
    spec = InputSpec((TensorSpec((2, 3, 16, 16)),))
    step = TrainingStep(Convolutions(), spec, Settings(), torch.device("cpu"))
    recorder = CallRecorder(step.modules)
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True)
    with recorder, profiler as session, opened(f"{STEP}0"):
        run_stages(step)
    raw = list(session.profiler.kineto_results.events())
    (backward,) = [event for event in raw if event.name() == f"{STAGE}backward"]
    end = backward.start_ns() + backward.duration_ns()
    moved, shapes = [], {}
    for event in raw:
        inside = backward.start_ns() < event.start_ns() < end
        moved.append(OnEngineThread(event) if inside else event)
        if event.name() == "aten::convolution_backward":
            number = len(shapes)
            shapes[10**6 * number] = event.shapes()[2]
            at, operator = event.start_ns() + 1, event.correlation_id()
            moved += [
                Raw("cudaLaunchKernelExC", at, at + 1, cid=number + 1, linked=operator),
                # Every other kernel is known by its launch alone.
                kernel("wgrad", 10**6 * number, 10**6 * number + 9, number + 1,
                       operator if number % 2 else 0),
                Raw("Activity Buffer Request", at, end + 10**6, cid=operator),
            ]  # fmt: skip
    credits = attribute(read(moved)).credits
    assert [credit.phase for credit in credits] == ["backward"] * 5
    for credit in credits:
        weight = step.modules[credit.call.name].weight
        assert shapes[credit.start] == list(weight.shape)
