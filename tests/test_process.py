"""What a count changes in the process is put back at once, and no other thread sees it."""

import contextvars
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archscope
from archscope import process

# An interrupt may come while Python collects garbage, inside a callback of another library
# (hypothesis has one), and is lost there with this warning, as Python does with any Ctrl-C.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Net(nn.Module):
    """Draws random numbers, changes itself, and asks for values if it is to."""

    def __init__(self, asks=False):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.3))
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.asks, self.seen, self.calls = asks, [[torch.zeros(2, 8)]], 0

    def forward(self, x):
        self.calls += 1
        self.seen[0].append(x)
        x = x * random.random() + torch.rand(2, 8)
        if self.asks and x.sum() > 1e9:
            return x
        with torch.autocast("cpu"):
            x = self.body(x).float()[:, None]
        return self.attend(x, x, x)[0]


def state_of(net):
    tensors = [
        (id(t), t.device, t.grad, float(t.detach().sum()))
        for t in net.state_dict(keep_vars=True).values()
    ]
    modules = [(id(m), m.training, len(vars(m))) for m in net.modules()]
    return tensors, modules, net.calls, len(net.seen[0])


def state_of_the_process():
    owners = (torch, nn.init, nn.functional, torch.backends.mha, torch.Tensor, nn.Module, nn.Linear)
    functions = [
        (name, id(value)) for o in owners for name, value in vars(o).items() if callable(value)
    ]
    modes = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    flags = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype()
    keys = torch._C._dispatch_tls_local_exclude_set().raw_repr()
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    return (
        functions,
        modes,
        flags,
        keys,
        handlers,
        random.getstate(),
        torch.get_rng_state().tolist(),
    )


@pytest.fixture
def alarm(monkeypatch):
    """Calls a function, which is interrupted after so many seconds; whether it was."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)

    def interrupted(function, seconds):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds)
                function()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            return True
        return False

    yield interrupted
    signal.signal(signal.SIGALRM, before)


def test_an_interrupted_count_leaves_everything_as_it_was(alarm):
    x = torch.randn(2, 8)
    nets = Net().eval(), Net(asks=True)
    counts = [
        lambda: archscope.summary(nets[0], (x,), backward=True),
        lambda: archscope.summary(nets[1], (x,), backward=True),
        lambda: archscope.memory(nets[0], (x,)),
        lambda: archscope.summary(Net, (x,)),
    ]
    took = []
    for count in counts:
        count()
        start = time.perf_counter()
        count()
        took.append(time.perf_counter() - start)
    before = *map(state_of, nets), state_of_the_process()
    chance, times = random.Random(0), 0
    for trial in range(32):
        place = trial % len(counts)
        seconds = max(1e-5, chance.random() * took[place])
        times += alarm(counts[place], seconds)
        after = *map(state_of, nets), state_of_the_process()
        assert after == before
    assert times > 8  # about nine of ten


def test_an_interrupt_waits_while_something_is_put_back(alarm):
    put_back = []

    def count():
        with process.undisturbed():
            try:
                with process.interruptible():
                    pass
            finally:
                signal.raise_signal(signal.SIGALRM)
                put_back.append(True)

    assert alarm(count, 100)
    assert put_back == [True]


def test_the_third_interrupt_does_not_wait(alarm):
    reached = []

    def count():
        with process.undisturbed():
            for time_ in range(5):
                reached.append(time_)
                signal.raise_signal(signal.SIGALRM)

    assert alarm(count, 100)
    assert reached == [0, 1, 2]


def test_an_interrupt_inside_the_network_comes_at_once(alarm):
    class Interrupted(nn.Linear):
        def forward(self, x):
            signal.raise_signal(signal.SIGALRM)
            self.after = True
            return super().forward(x)

    net = Interrupted(8, 8)
    assert alarm(lambda: archscope.summary(net, (torch.ones(2, 8),)), 100)


def test_an_interrupt_that_became_another_error_is_still_one(alarm):
    class Confused(nn.Linear):
        def forward(self, x):
            try:
                signal.raise_signal(signal.SIGALRM)
            except KeyboardInterrupt:
                raise RuntimeError("confused") from None

    net = Confused(8, 8)
    assert alarm(lambda: archscope.summary(net, (torch.ones(2, 8),)), 100)


def test_what_a_network_changes_in_the_process_is_put_back():
    class Rude(nn.Linear):
        def forward(self, x):
            torch.set_default_dtype(torch.float64)
            torch.set_default_device("meta")
            torch.manual_seed(3)
            random.seed(3)
            torch.autocast("cpu").__enter__()
            torch.set_grad_enabled(True)
            raise ValueError("rude")

    net = Rude(8, 8)
    before = state_of_the_process()
    with pytest.raises(archscope.ArchscopeError, match="rude"):
        archscope.summary(net, (torch.ones(2, 8),))
    assert state_of_the_process() == before
    assert torch.ones(1).device.type == "cpu"


SETTING = contextvars.ContextVar("SETTING", default=0)


def test_what_a_network_sets_for_all_code_is_put_back(tmp_path):
    class Sets(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            os.environ["ARCHSCOPE_TEST"] = "1"
            os.chdir(tmp_path)
            sys.path.append("/nowhere")
            SETTING.set(1)
            np.seterr(all="raise")
            np.set_printoptions(precision=2)
            torch.set_printoptions(precision=2)
            torch.backends.cudnn.benchmark = True
            F.relu = F.gelu
            torch.new_name = 1
            return self.layer(F.relu(x))

    def state():
        return (
            dict(os.environ), Path.cwd(), list(sys.path), SETTING.get(), np.geterr(),
            np.get_printoptions(), dict(vars(torch._tensor_str.PRINT_OPTS)),
            torch.backends.cudnn.benchmark, F.relu, hasattr(torch, "new_name"),
        )  # fmt: skip

    SETTING.set(0)
    before = state()
    archscope.summary(Sets(), (torch.ones(2, 8),))
    assert state() == before


def test_a_context_variable_may_hold_what_has_no_truth():
    class Sets(nn.Linear):
        def forward(self, x):
            SETTING.set(x)
            return super().forward(x)

    users = torch.ones(2, 8)
    SETTING.set(users)
    archscope.summary(Sets(8, 8), (users,))
    assert SETTING.get() is users
    SETTING.set(0)


def test_what_a_package_sets_that_forward_imports_stays(tmp_path, monkeypatch):
    """It is imported once, so nobody would set it again."""
    code = "import os, sys\nos.environ['ARCHSCOPE_TEST'] = '1'\nsys.path.append('/nowhere')\n"
    (tmp_path / "imported_in_forward.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ARCHSCOPE_TEST", "0")
    monkeypatch.delenv("ARCHSCOPE_TEST")

    class Imports(nn.Linear):
        def forward(self, x):
            import imported_in_forward  # noqa: F401

            return super().forward(x)

    archscope.summary(Imports(8, 8), (torch.ones(2, 8),))
    assert os.environ["ARCHSCOPE_TEST"] == "1"
    assert sys.path[-1] == "/nowhere"


def test_an_autocast_block_left_open_is_closed():
    """A block that is entered and never left would keep casts of weights for the next one."""

    class LeftOpen(nn.Linear):
        def forward(self, x):
            torch.autocast("cpu").__enter__()
            return super().forward(x)

    def depth():
        torch.autocast_increment_nesting()
        return torch.autocast_decrement_nesting()

    before = depth()
    archscope.summary(LeftOpen(4, 4), "4")
    assert depth() == before
    assert not torch.is_autocast_enabled("cpu")


def test_numpy_s_generator_is_put_back():
    numpy = pytest.importorskip("numpy")

    class Draws(nn.Linear):
        def forward(self, x):
            numpy.random.rand(3)
            return super().forward(x)

    numpy.random.seed(1)
    wanted = numpy.random.rand()
    numpy.random.seed(1)
    archscope.summary(Draws(8, 8), (torch.ones(2, 8),))
    assert numpy.random.rand() == wanted


def test_other_threads_build_and_run_as_ever_while_counts_wait_for_each_other():
    net, x = Net(), torch.randn(2, 8)
    wanted = archscope.summary(net, (x,), backward=True).total
    counting, wrong, found = True, [], []

    def build():
        while counting:
            layer, ones = nn.Linear(4, 4), nn.init.ones_(torch.zeros(3))
            y = layer(torch.ones(1, 4))
            if layer.weight.is_meta or y.device.type != "cpu" or float(ones.sum()) != 3:
                wrong.append(y)

    def count():
        for _ in range(4):
            total = archscope.summary(net, (x,), backward=True).total
            found.append((total.macs, total.macs_backward))
            archscope.summary(Net, (x,))

    builder = threading.Thread(target=build)
    builder.start()
    counters = [threading.Thread(target=count) for _ in range(3)]
    for counter in counters:
        counter.start()
    for counter in counters:
        counter.join()
    counting = False
    builder.join()
    assert not wrong
    assert found == [(wanted.macs, wanted.macs_backward)] * 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system copies no processes")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_copy_of_the_process_counts_while_another_thread_did():
    runs, copied = threading.Event(), threading.Event()

    class Waits(nn.Linear):
        def forward(self, x):
            runs.set()
            copied.wait(60)
            return super().forward(x)

    own, x = nn.Module._call_impl, (torch.ones(2, 8),)
    counter = threading.Thread(target=archscope.summary, args=(Waits(8, 8), x))
    counter.start()
    runs.wait(60)
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            clean = nn.Module._call_impl is own
            macs = archscope.summary(nn.Linear(8, 8), x).total.macs
            os._exit(0 if clean and macs == 128 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    copied.set()
    counter.join()
    assert status == 0


def test_a_device_context_works_after_a_factory_that_uses_one():
    def factory():
        with torch.device("cpu"):
            return nn.Linear(8, 8)

    archscope.summary(factory, (torch.ones(2, 8),))
    with torch.device("meta"):
        assert torch.empty(2).is_meta and torch.zeros(2).is_meta and torch.ones(2).is_meta


def test_who_binds_a_replaced_function_has_the_original_afterwards():
    bound = []

    def factory():
        bound.extend((nn.init.ones_, torch.empty))
        return nn.Linear(8, 8)

    archscope.summary(factory, (torch.ones(2, 8),))
    assert float(bound[0](torch.zeros(3)).sum()) == 3
    assert not bound[1](3, device=None).is_meta


@pytest.mark.parametrize("backward", [False, True])
def test_inference_mode_counts_as_no_grad(backward):
    with torch.inference_mode():
        net, x = Net(), torch.randn(2, 8)
        inside = archscope.summary(net, (x,), backward=backward).total
        asking = archscope.summary(Net(asks=True), (x,), backward=backward).total
        assert torch.is_inference_mode_enabled()
    outside = archscope.summary(Net(), (torch.randn(2, 8),), backward=backward).total
    assert (inside.macs, inside.macs_backward) == (outside.macs, outside.macs_backward)
    assert (asking.macs, asking.macs_backward) == (outside.macs, outside.macs_backward)
