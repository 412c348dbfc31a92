"""Operators whose operands are functions, at the public function, against counts by hand."""

import threading

import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops import associative_scan, map, scan, while_loop

import archscope
from archscope.analysis.counting import counting

EIGHT = 8 * 8


class Layers(nn.Module):
    """A layer of 8 by 8, one of 8 by 80, and what a subclass makes of them."""

    def __init__(self):
        super().__init__()
        self.small, self.big = nn.Linear(8, 8, bias=False), nn.Linear(8, 80, bias=False)


def count(network, *args, **options):
    return archscope.summary(network, args, **options)


class Cond(Layers):
    def forward(self, x):
        def true(y):
            return self.small(y)

        def false(y):
            return self.big(y)[:, :8].contiguous()

        return torch.cond(x.sum() > 0, true, false, (x,))


def test_of_an_unknown_condition_the_larger_branch_counts_and_both_are_named():
    summary = count(Cond(), torch.ones(2, 8))
    assert summary.total.macs == 2 * 10 * EIGHT
    (said,) = summary.coverage.branches
    assert "true 128 MACs" in said and "false 1,280 MACs" in said and "counted: false" in said
    assert "counted: false" in " ".join(str(summary).split())
    ran = {layer.name for layer in summary.analysis.calls if layer.forward.operators}
    assert ran == {"", "big"}  # the branch on trial has left no call behind


def test_the_branch_that_counts_has_its_backward_pass():
    total = count(Cond(), torch.ones(2, 8), backward=True).total
    assert total.macs_backward == 2 * 10 * EIGHT  # the weight's gradient alone


def test_a_known_condition_is_followed():
    class Known(Layers):
        def forward(self, x):
            flag = torch.tensor(True)
            return torch.cond(flag, lambda y: self.small(y), lambda y: self.big(y)[:, :8] + 0, (x,))

    summary = count(Known(), torch.ones(2, 8))
    assert summary.total.macs == 2 * EIGHT
    assert not summary.coverage.branches


def test_a_condition_inside_a_condition():
    class Nested(Layers):
        def forward(self, x):
            def inner(y):
                return torch.cond(y.sum() > 1, lambda z: self.small(z), lambda z: z + 1, (y,))

            return torch.cond(x.sum() > 0, inner, lambda y: y + 1, (x,))

    assert count(Nested(), torch.ones(2, 8)).total.macs == 2 * EIGHT


def test_a_scan_runs_its_body_for_every_slice():
    class Scan(Layers):
        def forward(self, x):
            def step(carry, row):
                carry = self.small(carry) + row
                return carry, carry.clone()

            return scan(step, x.new_zeros(2, 8), x)[1]

    x = torch.randn(5, 2, 8)
    assert count(Scan(), x).total.macs == 5 * 2 * EIGHT
    total = count(Scan(), x, backward=True).total
    # gradients of the weight at each step, and of each carry but the first
    assert total.macs_backward == 5 * 2 * EIGHT + 4 * 2 * EIGHT


def test_a_loop_whose_condition_needs_values_runs_on_the_cpu():
    class Loop(Layers):
        def forward(self, x):
            def more(i, y):
                return i < 3

            def body(i, y):
                return i + 1, self.small(y)

            return while_loop(more, body, (torch.zeros((), dtype=torch.int64), x))[1]

    assert count(Loop(), torch.randn(2, 8)).total.macs == 3 * 2 * EIGHT


def test_a_map_runs_its_body_for_every_slice():
    class Map(Layers):
        def forward(self, x):
            return map(lambda row: self.small(row), x)

    assert count(Map(), torch.randn(5, 2, 8)).total.macs == 5 * 2 * EIGHT


def test_an_associative_scan_is_counted():
    class Sums(nn.Module):
        def forward(self, x):
            return associative_scan(lambda a, b: a + b, x, 0, combine_mode="generic")

    summary = count(Sums(), torch.randn(8, 2))
    assert summary.coverage.complete
    assert summary.total.elementwise >= 7 * 2  # eight rows need seven sums


def flex(**options):
    attend = pytest.importorskip("torch.nn.attention.flex_attention").flex_attention

    class Flex(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(32, 96, bias=False)

        def forward(self, x):
            q, k, v = self.qkv(x).view(2, -1, 3, 2, 16).permute(2, 0, 3, 1, 4)
            return attend(q, k, v, **options)

    return Flex()


@pytest.mark.parametrize("backward", [False, True])
def test_flex_attention_without_a_mask(backward):
    total = count(flex(), torch.randn(2, 256, 32), backward=backward).total
    attention = 2 * 2 * 256 * 256 * 16
    assert total.macs == 2 * attention + 2 * 256 * 32 * 96
    if backward:
        assert total.macs_backward == 4 * attention + 2 * 256 * 32 * 96


def test_flex_attention_counts_the_blocks_of_its_mask():
    module = pytest.importorskip("torch.nn.attention.flex_attention")
    mask = module.create_block_mask(causal, None, None, 300, 300, device="cpu")
    total = count(flex(block_mask=mask), torch.randn(2, 300, 32)).total
    # blocks of 128 over 300 = 128 + 128 + 44: row by row 128·128, 128·256, 44·300
    pairs = 128 * 128 + 128 * 256 + 44 * 300
    assert total.macs == 2 * 2 * 2 * pairs * 16 + 2 * 300 * 32 * 96


def causal(b, h, q, k):
    return q >= k


@pytest.mark.parametrize("made", ["a parameter", "another layer"])
def test_flex_attention_trains_a_bias_that_its_score_uses(made):
    attend = pytest.importorskip("torch.nn.attention.flex_attention").flex_attention

    class Biased(nn.Module):
        def __init__(self):
            super().__init__()
            self.slopes = nn.Linear(3, 2, bias=False)
            self.table = nn.Parameter(torch.zeros(2, 15))

        def forward(self, x):
            slopes = self.slopes(torch.ones(8, 3))

            def biased(score, b, h, q, k):
                table = self.table[h, q - k + 7]
                return score + table if made == "a parameter" else score * slopes[q, h]

            return attend(x, x, x, score_mod=biased)

    total = count(Biased(), torch.randn(1, 2, 8, 4), backward=True).total
    attention, linear = 2 * 8 * 8 * 4, 8 * 3 * 2
    assert total.macs == 2 * attention + linear
    # the kernel computes the gradients of q, k and v, whoever needs them, and the layer one
    assert total.macs_backward == 4 * attention + (linear if made == "another layer" else 0)


class Scaled(nn.Module):
    """Attention whose scores are scaled by a parameter, or by its number alone."""

    def __init__(self, trains):
        super().__init__()
        self.scale, self.trains = nn.Parameter(torch.ones(2)), trains

    def forward(self, x):
        attend = pytest.importorskip("torch.nn.attention.flex_attention").flex_attention

        def scaled(score, b, h, q, k):
            return score * (self.scale if self.trains else self.scale.detach())[h]

        return attend(x, x, x, score_mod=scaled)


def test_of_a_number_alone_flex_attention_trains_nothing():
    x = torch.randn(1, 2, 8, 4)
    with pytest.raises(archscope.ArchscopeError, match="no output that needs a gradient"):
        count(Scaled(trains=False), x, backward=True)


def test_memory_follows_a_step_that_trains_the_scores_of_flex_attention():
    record = archscope.memory(Scaled(trains=True), (torch.randn(1, 2, 8, 4),)).record
    assert record.saved


def test_flex_attention_keeps_no_scores():
    record = archscope.memory(flex(), (torch.randn(2, 1024, 32),)).record
    scores = 2 * 2 * 1024 * 1024 * 4
    assert sum(kept.saved_bytes for kept in record.saved) < scores / 4


def test_flex_attention_in_a_cpu_run_has_values():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = flex()

        def forward(self, x):
            y = self.inner(x)
            return y if float(y.abs().sum()) > 0 else y + 1

    analysis = count(Asks(), torch.randn(2, 64, 32)).analysis
    assert analysis.executed_on == "cpu"
    assert analysis.total.macs == 2 * 2 * 2 * 64 * 64 * 16 + 2 * 64 * 32 * 96


def test_an_exported_module_counts_as_the_module():
    class Net(Layers):
        def forward(self, x):
            return self.big(torch.relu(self.small(x)))

    x = torch.randn(2, 8)
    exported = torch.export.export(Net(), (x,)).module()
    assert count(exported, x).total.macs == 2 * 11 * EIGHT
    assert count(exported, x, backward=True).total.macs_backward == 2 * (EIGHT + 2 * 10 * EIGHT)


def test_an_exported_condition_counts_its_larger_branch():
    exported = torch.export.export(Cond(), (torch.ones(2, 8),)).module()
    assert count(exported, torch.ones(2, 8)).total.macs == 2 * 10 * EIGHT


def test_other_threads_compile_as_ever():
    called = []

    def elsewhere(x: Tensor) -> None:
        from torch._higher_order_ops import utils

        try:
            utils._hop_compile_and_call(lambda x: called.append(x.is_meta), (x,))
        except Exception as error:  # whatever the compiler makes of it, it was asked
            called.append(type(error))

    with counting():
        before = torch._higher_order_ops.utils._hop_compile_and_call
        before(lambda x: called.append("here"), (torch.ones(1),))
        assert called == ["here"]


def test_two_counts_at_once_in_two_threads():
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(count(Cond(), torch.ones(2, 8)).total.macs))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
        thread.join()
    assert found == [1280, 1280]
