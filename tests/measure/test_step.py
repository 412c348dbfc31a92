"""A step is a copy: what it needs, what it refuses, and that nothing is left behind."""

import copy
import random
import time
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from archscope.errors import ArchscopeError
from archscope.measure import session
from archscope.measure.clock import WallClock, cold_cache
from archscope.measure.failure import OutOfMemoryError
from archscope.measure.sampling import StoppingRule
from archscope.measure.session import Plan, run
from archscope.measure.step import (
    InferenceStep,
    Loss,
    Settings,
    Step,
    TrainingStep,
    configured,
    random_inputs,
)
from archscope.records import InputSpec, TensorSpec

CPU = torch.device("cpu")
QUICK = StoppingRule(precision=0.5, min_seconds=0.001, max_seconds=0.02, min_warmup_seconds=0)
IMAGE = InputSpec((TensorSpec((2, 3, 8, 8)),))


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(144, 5),
    )  # fmt: skip


def quick(**settings):
    modes = settings.pop("modes", ("training", "inference"))
    return Plan(Settings(**settings), QUICK, modes, details=False)


def test_nothing_of_the_callers_changes():
    module = network().eval()
    module(torch.randn(2, 3, 8, 8)).sum().backward()
    torch.backends.cuda.matmul.fp32_precision = "none"
    before = copy.deepcopy(module.state_dict())
    gradients = [parameter.grad.clone() for parameter in module.parameters()]
    torch.manual_seed(1)
    random.seed(1)
    flags = lambda: (  # noqa: E731
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.cudnn.conv.fp32_precision,
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
    )
    state = flags()
    with torch.no_grad():
        run("net", module, IMAGE, quick(threads=1, dtype="tf32", optimizer="adam"))
    assert flags() == state
    assert not module.training
    assert all(torch.equal(module.state_dict()[key], value) for key, value in before.items())
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), gradients, strict=True))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_flags_return_even_when_measuring_fails():
    threads = torch.get_num_threads()
    other = Settings(threads=threads + 1)
    with pytest.raises(ValueError, match="stop"), configured(other, CPU):
        assert torch.get_num_threads() == threads + 1
        raise ValueError("stop")
    assert torch.get_num_threads() == threads


def test_dtype_decides_tf32():
    with configured(Settings(dtype="fp32"), CPU):
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    with configured(Settings(dtype="tf32"), CPU):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"


@pytest.mark.parametrize("dtype", ["float32", "tf32"])
def test_both_of_pytorchs_interfaces_to_tf32_agree(dtype):
    """Reading the older one raises where they do not, and torch.compile reads it."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, torch.get_float32_matmul_precision()
    with configured(Settings(dtype=dtype), CPU):
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (dtype == "tf32", dtype == "tf32")
        assert torch.get_float32_matmul_precision() == {"float32": "highest", "tf32": "high"}[dtype]
    assert (matmul.allow_tf32, cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before


def test_a_caller_who_set_only_the_newer_flags_keeps_them():
    matmul = torch.backends.cuda.matmul
    matmul.fp32_precision = "tf32"
    try:
        with configured(Settings(dtype="fp32"), CPU):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.allow_tf32 = False
        matmul.fp32_precision = "none"


def test_phases_of_training_and_inference_are_all_there():
    profile = run("net", network(), IMAGE, quick())
    assert list(profile.phases) == ["forward", "backward", "optimizer", "step", "inference"]
    assert "cross-entropy" in profile.notes[0]
    assert profile.environment.fact("torch") == str(torch.__version__)
    parts = [profile.phases[name].minimum for name in ("forward", "backward", "optimizer")]
    assert sum(parts) <= profile.phases["step"].minimum * (1 + 1e-6) + 1e-6


def test_the_very_first_run_is_told_apart():
    class Waking(nn.Linear):
        slept = False

        def forward(self, x):
            if not self.slept:
                time.sleep(0.05)
                self.slept = True
            return super().forward(x)

    spec = InputSpec((TensorSpec((2, 8)),))
    profile = run("waking", Waking(8, 4), spec, quick(modes=("training",)))
    assert profile.phases["forward"].first_seconds >= 0.05
    assert profile.phases["step"].first_seconds >= 0.05
    assert profile.phases["step"].minimum < 0.05


def test_a_step_without_an_optimizer_still_drops_its_gradients():
    step = TrainingStep(network(), IMAGE, Settings(optimizer="none"), CPU)
    step()
    assert list(step.stages) == ["forward", "backward"]
    assert all(parameter.grad is None for parameter in step.eager.parameters())


def test_settings_reach_the_network():
    step = InferenceStep(network(), IMAGE, Settings(dtype="bf16", channels_last=True), CPU)
    assert {p.dtype for p in step.eager.parameters()} == {torch.bfloat16}
    assert step.args[0].dtype == torch.bfloat16
    assert step.args[0].is_contiguous(memory_format=torch.channels_last)
    amp = InferenceStep(network(), IMAGE, Settings(amp=True), CPU)
    assert {p.dtype for p in amp.eager.parameters()} == {torch.float32}
    with amp.autocast():
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16


def test_double_networks_get_double_inputs_and_say_so():
    profile = run("double", network().double(), IMAGE, quick())
    assert profile.phases["step"].median > 0
    assert profile.environment.fact("network dtype") == "float64"
    assert profile.environment.fact("converted from") is None


def test_a_double_network_is_converted_where_fp32_is_asked_for():
    profile = run("double", network().double(), IMAGE, quick(dtype="fp32"))
    assert profile.environment.fact("network dtype") == "float32"
    assert profile.environment.fact("converted from") == "float64"


class Whole(nn.Module):
    """A network in whole numbers."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 3, dtype=torch.int32), requires_grad=False)

    def forward(self, x):
        return x @ self.weight


def quantized():
    from torch.ao.nn.quantized.dynamic import Linear

    with warnings.catch_warnings():  # PyTorch deprecates its quantised tensors
        warnings.simplefilter("ignore")
        return nn.Sequential(Linear(8, 3))


@pytest.mark.parametrize(
    ("build", "dtype", "arithmetic"),
    [
        (lambda: nn.Linear(8, 3).double(), "float64", torch.float64),
        (lambda: nn.Linear(8, 3).bfloat16(), "bfloat16", torch.bfloat16),
        (nn.Flatten, "float32", torch.float32),
        (quantized, "quantized", None),
        (Whole, "int32", None),
    ],
)
def test_the_dtype_of_a_network_is_that_of_its_weights(build, dtype, arithmetic):
    number = "int32" if dtype == "int32" else "float32"
    spec = InputSpec((TensorSpec((2, 8), number),))
    step = InferenceStep(build(), spec, Settings(), CPU)
    assert (step.dtype, step.arithmetic) == (dtype, arithmetic)
    step()


def test_autocast_decides_the_arithmetic():
    step = InferenceStep(network(), IMAGE, Settings(amp=True), CPU)
    assert (step.dtype, step.arithmetic) == ("float32", torch.bfloat16)


def test_integer_inputs_are_whole_numbers_and_random():
    spec = InputSpec((TensorSpec((4, 64), "int64"), TensorSpec((4,), "float32", name="scale")))
    args, kwargs = random_inputs(spec, nn.Embedding(2, 3), Settings(), CPU, "float32")
    assert args[0].dtype == torch.int64 and set(args[0].flatten().tolist()) == {0, 1}
    assert kwargs["scale"].shape == (4,)


def trained(*shape):
    """What a trainable parameter decides: ones."""
    return torch.ones(shape, requires_grad=True)


@pytest.mark.parametrize(
    ("output", "rule"),
    [
        (trained(4, 10), "cross-entropy with random labels"),
        (trained(), "the network's own scalar"),
        (trained(4, 3, 2), "sum of all floating outputs"),
        ({"out": trained(4, 10), "aux": [torch.ones(2), torch.ones(3).long()]}, "sum of all"),
    ],
)
def test_loss_suits_the_output(output, rule):
    loss = Loss()
    value = loss(output)
    assert value.dim() == 0 and value.requires_grad
    assert loss.rule.startswith(rule)
    if rule == "sum of all":
        assert value == 42


class Loud(nn.Module):
    """Its outputs sum up to much, so that a step of any length would change it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3)

    def forward(self, x):
        return 1e6 * self.conv(x)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
def test_steps_leave_the_weights_as_they_were(optimizer):
    """What flows decides the time of a network that looks at it, and NaN are slow or fast."""
    step = TrainingStep(Loud(), IMAGE, Settings(optimizer=optimizer), CPU)
    before = copy.deepcopy(step.eager.state_dict())
    for _ in range(3):
        step()
    assert bool(step.optimizer.state) == (optimizer != "sgd"), "all but plain SGD keep something"
    after = step.eager.state_dict()
    # Weight decay of AdamW is scaled by the learning rate too.
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_emptying_the_cache_is_paid_from_the_time_for_a_number(monkeypatch):
    """Emptying takes 3 ms and the step 1 ms: a quarter of the seconds is left for samples."""
    monkeypatch.setattr(
        session.WallClock, "laps",
        lambda clock, count: [(0.001,) if isinstance(clock.stages[0], Step) else (0.003,)] * count,
    )  # fmt: skip
    step = InferenceStep(network(), IMAGE, Settings(), CPU)
    plan = Plan(Settings(cold_l2=True), StoppingRule(max_seconds=8.0, min_seconds=4.0))
    rule = session.within_time(step, plan)
    assert (rule.max_seconds, rule.min_seconds) == (2.0, 1.0)
    warm = replace(plan, settings=Settings())
    assert session.within_time(step, warm) is warm.rule


class Constant(nn.Module):
    """Its output depends on nothing that can be trained."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return (x.mean() > 0).float() + self.weight.detach().sum()


class Indices(nn.Module):
    def forward(self, x):
        return x.flatten(1).argmax(1)


class Overwritten(nn.Module):
    """Changes in place what its backward pass needs; PyTorch says so in 260 characters."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        kept = torch.sigmoid(self.conv(x))
        used = kept.square().sum()
        kept.add_(1)
        return used


def frozen():
    return network().requires_grad_(False)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (frozen, "net: returns nothing that depends on a trainable parameter"),
        (Constant, "net: returns nothing that depends on a trainable parameter"),
        (Indices, "net: returns no floating-point tensor"),
        (lambda: nn.Conv2d(5, 4, 3), "net: fails in forward .*; check input"),
        (Overwritten, "net: fails in backward .*; measure inference with eval=True"),
        (lambda: network().to("meta"), "net: has no weights"),
    ],
)
def test_networks_that_cannot_train_say_so_in_one_line(build, message):
    with pytest.raises(ArchscopeError, match=message) as caught:
        run("net", build(), IMAGE, quick(modes=("training",)))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 170


def test_a_network_that_cannot_train_can_be_measured_in_inference():
    profile = run("net", Indices(), IMAGE, quick(modes=("inference",)))
    assert list(profile.phases) == ["inference"]


class Hungry(nn.Module):
    def forward(self, x):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_running_out_of_memory_names_the_batch():
    with pytest.raises(OutOfMemoryError, match="batch 2: runs out of memory on cpu"):
        run("hungry", Hungry(), IMAGE, quick(modes=("inference",)))


def test_interruption_keeps_what_was_measured_and_the_samples_at_hand():
    def interrupting(label, share):
        if label == "inference":
            raise KeyboardInterrupt

    profile = run("net", network(), IMAGE, quick(), interrupting)
    assert list(profile.phases) == ["forward", "backward", "optimizer", "step", "inference"]
    assert not any("interrupted" in text for text in profile.phases["step"].warnings)
    cut_short = profile.phases["inference"]
    assert cut_short.warnings[0] == f"interrupted: after {len(cut_short.seconds)} samples"
    assert cut_short.first_seconds > 0
    assert profile.interrupted
    assert any(note.startswith("Interrupted") for note in profile.notes)


class Stopped(nn.Linear):
    """Ctrl-C comes in its fifth call: behind the first run, the first repetition and two more."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 5:
            raise KeyboardInterrupt
        return super().forward(x)


def test_interruption_in_the_first_measurement_keeps_its_samples():
    spec = InputSpec((TensorSpec((2, 8)),))
    profile = run("stopped", Stopped(8, 4), spec, quick(modes=("training",)))
    assert list(profile.phases) == ["forward", "backward", "optimizer", "step"]
    for measurement in profile.phases.values():
        assert len(measurement.seconds) == 2
        assert measurement.warnings[0] == "interrupted: after 2 samples of the warm-up"
        assert measurement.known_half_width is None
    assert profile.interrupted


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:99", "this machine has"),
        ("tpu", "unknown device"),
        ("meta", "this machine has no meta"),
    ],
)
def test_devices_that_are_not_there(name, message):
    with pytest.raises(ArchscopeError, match=message):
        run("net", network(), IMAGE, quick(device=name))


def test_wall_clock_runs_stages_in_order_between_synchronisations():
    log = []
    clock = WallClock(
        [lambda: log.append("a"), lambda: log.append("b")],
        synchronize=lambda: log.append("|"),
        before=lambda: log.append("cold"),
    )
    laps = clock.laps(2)
    assert log == ["cold", "|", "a", "|", "b", "|"] * 2
    assert len(laps) == 2 and all(len(lap) == 2 and min(lap) >= 0 for lap in laps)


def test_cold_cache_overwrites_a_quarter_of_a_gigabyte():
    assert cold_cache(CPU)().numel() == 256 << 20
