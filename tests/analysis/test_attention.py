"""Attention as its kernel: what a CPU chooses, asked of PyTorch, and the rules of a GPU."""

import itertools
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as bound_elsewhere
from torch.utils._python_dispatch import TorchDispatchMode

import archscope
from archscope.analysis import shapes
from archscope.analysis.counting import counting

FUSED_ON_CPU = "aten::_scaled_dot_product_flash_attention_for_cpu"


class Names(TorchDispatchMode):
    """The operators that ran, with shape rules in the place of the kernels of attention."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.found.append(func._schema.name)
        on_meta = isinstance(args[0], torch.Tensor) and args[0].is_meta
        rule = shapes.RULES.get(func) if on_meta and "dot_product" in func._schema.name else None
        return (rule or func)(*args, **(kwargs or {}))

    @property
    def kernels(self):
        return [name for name in self.found if "flash" in name or "bmm" in name]


def on_meta(tensor):
    if tensor is None:
        return None
    return torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta",
        requires_grad=tensor.requires_grad,
    )  # fmt: skip


MASKS = {
    "none": lambda: None,
    "bool": lambda: torch.ones(12, 12, dtype=torch.bool),
    "float": lambda: torch.zeros(2, 1, 12, 12),
    "trained": lambda: torch.zeros(12, 12, requires_grad=True),
    "one column": lambda: torch.zeros(12, 1),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("heads", "grouped"), [(8, False), (2, True), (1, False)])
def test_meta_chooses_as_a_cpu_does(mask, heads, grouped):
    for value_width, unbatched, dropout, strided in itertools.product(
        (16, 8), (False, True), (0.0, 0.1), (False, True)
    ):
        q = torch.randn(2, 8, 12, 16)
        if strided:
            q = torch.randn(2, 8, 16, 12).transpose(2, 3)
        k, v, m = (
            torch.randn(2, heads, 12, 16),
            torch.randn(2, heads, 12, value_width),
            MASKS[mask](),
        )
        if unbatched:
            q, k, v = q[0], k[0], v[0]
            m = m[0] if m is not None and m.dim() == 4 else m
        options = {"attn_mask": m, "dropout_p": dropout, "enable_gqa": grouped}
        with Names() as real:
            right = F.scaled_dot_product_attention(q, k, v, **options)
        with counting(), Names() as said:
            options["attn_mask"] = on_meta(m)
            found = F.scaled_dot_product_attention(on_meta(q), on_meta(k), on_meta(v), **options)
        assert said.kernels == real.kernels
        assert (found.shape, found.stride()) == (right.shape, right.stride())


def chosen(*shapes, dtype=torch.float32, on="cuda", **options):
    q, k, v = (torch.empty(shape, dtype=dtype, device="meta") for shape in shapes)
    with counting(on) as kernels:
        F.scaled_dot_product_attention(q, k, v, **options)
    return kernels


SAME = ((2, 8, 12, 64),) * 3
GROUPED = (SAME[0], (2, 2, 12, 64), (2, 2, 12, 64))
MASK = torch.zeros(12, 12, device="meta", dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("kernel", "shapes", "dtype", "options"),
    [
        ("flash", SAME, torch.bfloat16, {}),
        ("flash", GROUPED, torch.float16, {"enable_gqa": True}),
        ("flash", SAME, torch.bfloat16, {"is_causal": True, "dropout_p": 0.1}),
        ("flash", ((2, 8, 12, 50),) * 3, torch.bfloat16, {}),  # padded to 56
        ("memory-efficient", SAME, torch.float32, {}),  # flash takes half precision alone
        ("memory-efficient", SAME, torch.bfloat16, {"attn_mask": MASK}),  # flash takes no mask
        ("memory-efficient", (SAME[0], SAME[0], (2, 8, 12, 32)), torch.bfloat16, {}),
        ("memory-efficient", ((2, 8, 12, 512),) * 3, torch.bfloat16, {}),  # flash ends at 256
        ("math", SAME, torch.float64, {}),
        ("math", ((2, 8, 12, 50),) * 3, torch.float32, {}),  # 50 is no multiple of 16 bytes
        ("math", GROUPED, torch.float64, {"enable_gqa": True}),
    ],
)
def test_the_choice_of_a_gpu(kernel, shapes, dtype, options):
    assert chosen(*shapes, dtype=dtype, **options) == {f"{kernel} on cuda"}


def test_other_threads_and_the_time_after_see_pytorch_alone():
    q = torch.empty(1, 2, 4, 8, device="meta")

    def operators():
        with Names() as names:
            F.scaled_dot_product_attention(q, q, q)
        return names.kernels

    found = []
    with counting():
        thread = threading.Thread(target=lambda: found.append(operators()))
        thread.start()
        thread.join()
        assert operators() == [FUSED_ON_CPU]
    assert found == [["aten::bmm"] * 2]
    assert operators() == ["aten::bmm"] * 2


class Attention(nn.Module):
    """Two heads of width 8 over the input's positions, without parameters."""

    def __init__(self, function, needs_values=False):
        super().__init__()
        self.function, self.needs_values = function, needs_values

    def forward(self, x):
        if self.needs_values:
            float(x.sum())
        return self.function(x, x, x)


@pytest.mark.parametrize("needs_values", [False, True])
def test_every_binding_on_meta_and_in_a_cpu_run(needs_values):
    x = torch.randn(3, 2, 16, 8)
    analysis = archscope.summary(Attention(bound_elsewhere, needs_values), (x,)).analysis
    work = analysis.calls[0]
    products = 3 * 2 * 16 * 16 * 8
    assert work.forward.macs == 2 * products  # query·key and weights·value
    made = x.numel() * 4 + 3 * 2 * 16 * 4  # the result, and a sum for each row
    assert work.activation_bytes == made + 4 * needs_values
    assert analysis.coverage.attention_kernels == ("flash on cpu",)
    said = str(archscope.summary(Attention(bound_elsewhere), (x,)))
    assert "the CPU's flash kernel" in " ".join(said.split())


def test_inference_mode_hides_nothing():
    x = torch.randn(3, 2, 16, 8)
    with torch.inference_mode():
        summary = archscope.summary(Attention(F.scaled_dot_product_attention), (x,))
    assert summary.total.macs == 2 * 3 * 2 * 16 * 16 * 8


class Masked(nn.Module):
    """One attention over itself, causal by its flag or by a mask of a window."""

    def __init__(self, window=None):
        super().__init__()
        self.window = window

    def forward(self, x):
        heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
        mask = None
        if self.window is not None:
            places = torch.arange(x.shape[1], device=x.device)
            ahead = places[:, None] - places
            mask = (ahead >= 0) & (ahead < self.window)
        causal = self.window is None
        return F.scaled_dot_product_attention(heads, heads, heads, mask, is_causal=causal)


@pytest.mark.parametrize(
    ("window", "needed"),
    [(None, 10 * 11 // 2), (3, 1 + 2 + 8 * 3), (1, 10)],
    ids=["causal", "window", "itself"],
)
def test_the_count_says_how_many_scores_a_mask_leaves(window, needed):
    """Ten queries and ten keys: the i-th query sees i keys, or those of its window."""
    answer = archscope.summary(Masked(window), "10x16")
    assert answer.record.coverage.attention_scores == ((100, needed),)
    assert answer.record.total.macs == 2 * 100 * 16  # as it is computed
    assert f"{needed} of 100" in str(answer)


def test_a_mask_that_nobody_knows_is_not_reported():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.mask = nn.Parameter(torch.randn(10, 10))

        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x, self.mask > 0)

    answer = archscope.summary(Learned(), "2x10x16")
    assert answer.record.coverage.attention_scores == ()
