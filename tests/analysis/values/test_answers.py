"""Values that are known stay known and right; what depends on a weight or a float has none.

Each network here takes the dear way (a layer of 8·1000) or the cheap one (8·1) by a value; the
right way is the one that PyTorch takes.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import archscope
from archscope.analysis.borrow import weightless
from archscope.analysis.calls import CallLog
from archscope.analysis.trace import Recorder
from archscope.analysis.values import known
from archscope.analysis.values.needed import ValueNeeded
from tests.fuzz.networks import many

X = torch.ones(2, 8)
CHEAP, DEAR = 2 * 8 * 1, 2 * 8 * 1000


class Ways(nn.Module):
    """Goes the way that a function of its input, other arguments and itself says."""

    def __init__(self, says: Callable[..., Any]) -> None:
        super().__init__()
        self.cheap, self.dear = nn.Linear(8, 1, bias=False), nn.Linear(8, 1000, bias=False)
        self.says = says

    def forward(self, x: Tensor, *more: Any) -> Tensor:
        return self.dear(x) if self.says(self, x, *more) else self.cheap(x)


def way(summary: archscope.Summary) -> int:
    """Multiply-accumulates of the layer that was chosen."""
    return sum(layer.macs for layer in summary.layers if layer.name)


def swallowing(says: Callable[..., Any], *kinds: type[BaseException]) -> Callable[..., Any]:
    def silent(*arguments: Any) -> Any:
        with suppress(*kinds):
            return says(*arguments)
        return False

    return silent


def written(x: Tensor) -> Tensor:
    flag = torch.zeros(3)
    flag[1] = x.sum()
    return flag


def added(x: Tensor) -> Tensor:
    total = torch.zeros(2, 8)
    total += x
    return total


def scattered(x: Tensor) -> Tensor:
    return torch.zeros(8).index_add_(0, torch.arange(2), x[:, 0])


def through_a_view(x: Tensor) -> Tensor:
    whole = torch.zeros(4, 8)
    whole[1:3].copy_(x)
    return whole.view(-1)


def through_out(x: Tensor) -> Tensor:
    result = torch.zeros(2, 8)
    torch.add(x, 1, out=result)
    return result


def printed(x: Tensor) -> str:
    with redirect_stdout(io.StringIO()) as text:
        print(x)
    return text.getvalue()


ON_FLOATS: dict[str, Callable[..., Any]] = {
    "an item": lambda self, x: x.sum().item() > 0,
    "a comparison": lambda self, x: x.sum() > 0,
    "a list": lambda self, x: x.sum(1).tolist()[0] > 0,
    "an array": lambda self, x: x.detach().numpy().sum() > 0,
    "as an array": lambda self, x: numpy.asarray(x).sum() > 0,
    "a weight": lambda self, x: float((self.dear.weight.detach() * 0).sum()) == 0,
    "written in place": lambda self, x: written(x)[1] > 0,
    "added in place": lambda self, x: added(x).sum() > 0,
    "scattered": lambda self, x: scattered(x).sum() > 0,
    "written through a view": lambda self, x: through_a_view(x)[9] > 0,
    "written by out=": lambda self, x: through_out(x).sum() > 0,
    "a table looked up": lambda self, x: torch.full((8,), 5.0)[x.argmax(1)].sum() == 10,
    "a gather": lambda self, x: torch.ones(2, 8).gather(1, x.long()).sum() == 16,
    "an embedding": lambda self, x: nn.functional.embedding(x.long(), torch.ones(2, 3)).all(),
    "a product with a constant": lambda self, x: (torch.ones(3, 2) @ x).sum() > 0,
    "a layer's function": lambda self, x: nn.functional.linear(torch.ones(2, 8), x).sum() > 0,
    "a choice": lambda self, x: torch.where(x > 0, torch.ones(()), torch.zeros(())).sum() > 0,
    "the largest": lambda self, x: torch.maximum(torch.zeros(()), x.sum()) > 0,
    "equality": lambda self, x: torch.equal(x, torch.ones(2, 8)),
    "where it is true": lambda self, x: len(x.nonzero()) == 16,
    "a mask": lambda self, x: x[x > 0].numel() == 16,
    "a range": lambda self, x: len(range(int(x.sum()))) == 16,
    "its text": lambda self, x: "1., 1." in repr(x),
    "a text it prints": lambda self, x: "1., 1." in printed(x),
}  # fmt: skip


@pytest.mark.parametrize("swallowed", [(), (RuntimeError,), (Exception,), (BaseException,)])
@pytest.mark.parametrize("question", ON_FLOATS)
def test_a_question_about_floats_is_answered_by_a_real_run(
    question: str, swallowed: tuple[type[BaseException], ...]
) -> None:
    says = ON_FLOATS[question]
    assert Ways(says)(X).shape == (2, 1000)
    network = Ways(swallowing(says, *swallowed) if swallowed else says)
    summary = archscope.summary(network, X)
    assert way(summary) == DEAR
    assert summary.analysis.executed_on == "cpu"


def on_meta(make: Callable[..., Tensor]) -> Tensor:
    with torch.device("meta"):
        return make([2, 3])


LENGTHS = torch.tensor([5, 3])
MASK = torch.tensor([[True, True], [True, False]])

KERNELS = str(torch._C._dispatch_keys(X))

ON_WHOLE_NUMBERS: dict[str, Callable[..., Any]] = {
    "an item": lambda self, x, n, m: n[0].item() == 5,
    "a list": lambda self, x, n, m: n.tolist() == [5, 3],
    "an array": lambda self, x, n, m: n.numpy().sum() == 8,
    "as an array": lambda self, x, n, m: numpy.asarray(n).sum() == 8,
    "a mask": lambda self, x, n, m: not m.all(),
    "a sum of both": lambda self, x, n, m: (n * m.sum(1)).sum() == 13,
    "on the CPU": lambda self, x, n, m: n.cpu().max() == 5,
    "moved": lambda self, x, n, m: n.to(x.device, torch.float32).sum() == 8,
    "a constant": lambda self, x, n, m: torch.arange(4).sum() == 6,
    "a constant on the device": lambda self, x, n, m: torch.ones(3, device=x.device).sum() == 3,
    "numbers": lambda self, x, n, m: torch.tensor([1.0, 2.0]).sum() == 3,
    "of its shape": lambda self, x, n, m: torch.zeros_like(x).sum() == 0,
    "new": lambda self, x, n, m: x.new_ones(4).sum() == 4,
    "filled": lambda self, x, n, m: torch.empty(4).fill_(2).sum() == 8,
    "filled again": lambda self, x, n, m: written(x).fill_(1).sum() == 3,
    "written in place": lambda self, x, n, m: n.add_(1).sum() == 10 and n[0] == 6,
    "through a view": lambda self, x, n, m: n[1:].zero_() is not None and n.sum() == 5,
    "where true": lambda self, x, n, m: m.nonzero().tolist() == [[0, 0], [0, 1], [1, 0]],
    "chosen by a mask": lambda self, x, n, m: x[m[1]].shape == (1, 8),
    "selected": lambda self, x, n, m: x[:, :2].masked_select(m).shape == (3,),
    "repeated": lambda self, x, n, m: x.repeat_interleave(n, 0).shape == (8, 8),
    "distinct": lambda self, x, n, m: n.unique().tolist() == [3, 5],
    "one of many": lambda self, x, n, m: nn.functional.one_hot(n).shape == (2, 6),
    "a table": lambda self, x, n, m: self.table[n - 3].sum() == 4,
    "an index": lambda self, x, n, m: [7, 8, 9][n[1] - 2] == 8,
    "a loop": lambda self, x, n, m: sum(1 for _ in range(n[0])) == 5,
    "sorted": lambda self, x, n, m: n.sort().values.tolist() == [3, 5],
    "split": lambda self, x, n, m: [len(p) for p in x[0].split(n.tolist())] == [5, 3],
    "numbers drawn": lambda self, x, n, m: torch.rand(9).sum() >= 0,
    "in an embedding": lambda self, x, n, m: len(self.dear.weight[n]) == n.numel(),
    "its text": lambda self, x, n, m: f"{n}" == "tensor([5, 3])",
    "no text of meta": lambda self, x, n, m: "meta" not in f"{x.device} {n} {m}",
    "its type": lambda self, x, n, m: x.type() == "torch.FloatTensor",
    "a copy": lambda self, x, n, m: copy.deepcopy(n).tolist() == [5, 3],
    "made on meta": lambda self, x, n, m: on_meta(torch.empty).is_meta and not x.is_meta,
    "numbers on meta": lambda self, x, n, m: on_meta(torch.tensor).device.type == "meta",
    "made of them": lambda self, x, n, m: torch.cat([on_meta(torch.ones) * 2] * 2)[1:].is_meta,
    "like them": lambda self, x, n, m: torch.ones_like(on_meta(torch.ones), device="cpu").all(),
    "moved to meta": lambda self, x, n, m: x.to("meta").is_meta and not x.is_meta,
    "its old type": lambda self, x, n, m: isinstance(x, torch.FloatTensor),
    "another old type": lambda self, x, n, m: not isinstance(x, torch.cuda.FloatTensor),
    "moved to an old type": lambda self, x, n, m: n.type(torch.IntTensor).dtype == torch.int32,
    "its kernels": lambda self, x, n, m: str(torch._C._dispatch_keys(x)) == KERNELS,
    "printed": lambda self, x, n, m: print("seen", [x]) is None,
    "an own bound": lambda self, x, n, m: torch.equal(n, torch.tensor([5, 3])),
}  # fmt: skip


def test_what_a_network_prints_is_no_part_of_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    archscope.summary(Ways(lambda self, x: print("seen", [x], torch.ones(2))), X)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "seen [tensor(..., size=(2, 8))] tensor([1., 1.])\n")


@pytest.mark.parametrize("question", ON_WHOLE_NUMBERS)
def test_a_question_about_what_was_given_is_answered_on_meta(question: str) -> None:
    def network() -> Ways:
        made = Ways(ON_WHOLE_NUMBERS[question])
        made.register_buffer("table", torch.tensor([1, 2, 3]))
        return made

    assert network()(X, LENGTHS.clone(), MASK.clone()).shape == (2, 1000)
    lengths, mask = LENGTHS.clone(), MASK.clone()
    summary = archscope.summary(network(), (X, lengths, mask))
    assert way(summary) == DEAR
    assert summary.analysis.executed_on == "meta"
    assert torch.equal(lengths, LENGTHS)
    assert torch.equal(mask, MASK)


STEPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": lambda a, b: a + b,
    "product": lambda a, b: a * b % 7,
    "less": lambda a, b: (a < b).long(),
    "flip": lambda a, b: a.flip(0),
    "turn": lambda a, b: a.t().contiguous().view(4, 4),
    "roll": lambda a, b: a.roll(1, 1),
    "running sum": lambda a, b: a.cumsum(0) % 11,
    "look up": lambda a, b: a.flatten()[b % 16],
    "add in place": lambda a, b: a.add_(1),
    "write a row": lambda a, b: a[1].copy_(b[0]) if False else _row(a, b),
    "mask": lambda a, b: a.masked_fill(b > 3, 2),
    "sort": lambda a, b: a.sort(1).values,
    "of both": lambda a, b: torch.where(a > b, a, b),
    "by position": lambda a, b: a.scatter(1, b % 4, 5),
    "a view": lambda a, b: a[:2].expand(2, 2, 4).reshape(4, 4),
    "floating": lambda a, b: (a.float() / 2).round().long(),
}


def _row(a: Tensor, b: Tensor) -> Tensor:
    a[1] = b[2]
    return a


@many
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)),
                max_size=12))  # fmt: skip
def test_what_is_computed_of_known_values_is_what_pytorch_computes(
    steps: list[tuple[str, int, int]],
) -> None:
    def run(a: Tensor, b: Tensor) -> list[Tensor]:
        made = [a, b]
        for name, first, second in steps:
            made.append(STEPS[name](made[first % len(made)], made[second % len(made)]))
        return made

    given = [torch.arange(16).view(4, 4) % 5, torch.arange(16).view(4, 4) * 3 % 8]
    expected = run(*(t.clone() for t in given))
    recorder = Recorder(CallLog(nn.Module(), lambda: 0), on_meta=True)
    twins = [weightless(t) for t in given]
    with torch.no_grad(), recorder:
        found = run(*twins)
    assert all(t.is_meta for t in found)
    assert all(map(torch.equal, map(known.value_of, reversed(found)), reversed(expected)))
    assert torch.equal(given[0], torch.arange(16).view(4, 4) % 5)


def test_nothing_stays_behind_in_the_table() -> None:
    before = dict(known.TABLE)
    archscope.summary(Ways(ON_WHOLE_NUMBERS["sorted"]), (X, LENGTHS, MASK))
    assert known.TABLE.keys() <= before.keys()


def test_a_value_of_a_shape_alone_is_refused() -> None:
    with pytest.raises(ValueNeeded):
        known.value_of(weightless(X))


class Placed(nn.Module):
    """Takes the dear way on a GPU, where it also makes tensors and moves them to."""

    def __init__(self) -> None:
        super().__init__()
        self.cheap, self.dear = nn.Linear(8, 1, bias=False), nn.Linear(8, 1000, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cuda:
            return self.cheap(x)  # type: ignore[no-any-return]
        there = torch.ones(2, 8, device=x.device) + torch.arange(8, device=x.device)
        known = torch.tensor([1, 2]).to(x.device, torch.float32).sum() == 3
        moved = x.to("cuda").double().cuda().float() + there.to(x.device, non_blocking=True)
        there_too = str(x.device) == "cuda:0" and moved.device == x.device
        return self.dear(moved) if known and there_too else moved


@pytest.mark.parametrize(("device", "macs"), [(None, CHEAP), ("cpu", CHEAP), ("cuda", DEAR)])
def test_a_branch_on_the_device_is_that_of_the_device_asked_about(device: Any, macs: int) -> None:
    counted = archscope.summary(Placed(), X, device=device)
    assert (way(counted), counted.analysis.executed_on) == (macs, "meta")


def test_the_kernel_of_attention_is_that_of_the_device_asked_about() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for device in ("cpu", "cuda"):
        (kernel,) = archscope.summary(
            layer, torch.ones(1, 4, 8), device=device
        ).coverage.attention_kernels
        assert kernel.endswith(device)
